"""The format of the server's log, with control characters escaped.

Text from images, feeds and callers cannot control a terminal that shows it.
"""

import logging

from dockgate.shared.escaping import clean_text
from dockgate.shared.interfaces import override


class PrintableFormatter(logging.Formatter):
    """One line for each message and for each line of its traceback; unprintable characters are escaped."""

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        return clean_text(super().formatMessage(record))

    @override
    def formatException(self, ei: object) -> str:
        return "\n".join(clean_text(line) for line in super().formatException(ei).split("\n"))  # type: ignore[arg-type]


def start_logging() -> None:
    """Log to standard error from level INFO on."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("alembic.runtime.plugins", "botocore", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
