"""The format of the server's log: text from images, feeds and callers cannot control a terminal that shows it."""

import logging

from dockgate.shared.escaping import clean


class PrintableFormatter(logging.Formatter):
    """One line for each message and for each line of its traceback; unprintable characters are escaped."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return clean(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802
        return "\n".join(clean(line) for line in super().formatException(ei).split("\n"))  # type: ignore[arg-type]


def start_logging() -> None:
    """Log to standard error from level INFO on."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("botocore", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
