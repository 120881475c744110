"""The server's log: control characters are escaped, and warnings that repeat are counted.

Text from images, feeds and callers cannot control a terminal that shows it.
"""

import logging
import threading

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


# For how many seconds a warning is not logged again.
REPEAT_SECONDS = 600.0

# Beyond so many different warnings within this time, the oldest may be logged again.
_MAX_WARNINGS = 1000


class RepeatedWarnings(logging.Filter):
    """A filter that drops repeats of a warning within 10 minutes. The next one counts them.

    Tasks that run every second or two fail as often, for instance for a damaged repository or a missing database.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        # The time of the last logged record and how many came since, by logger and message.
        self._last_records: dict[tuple[str, str], tuple[float, int]] = {}

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        key = record.name, record.getMessage()
        with self._lock:
            logged_at, repetitions = self._last_records.get(key, (0.0, 0))
            # The clock may have been set back.
            if 0 <= record.created - logged_at < REPEAT_SECONDS:
                self._last_records[key] = logged_at, repetitions + 1
                return False
            self._last_records.pop(key, None)
            self._last_records[key] = record.created, 0
            if len(self._last_records) > _MAX_WARNINGS:
                del self._last_records[next(iter(self._last_records))]
        if repetitions:
            record.msg = f"{key[1]} ({repetitions} more since)"
            record.args = ()
        return True


def start_logging() -> None:
    """Log to standard error from level INFO on."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    handler.addFilter(RepeatedWarnings())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("alembic", "botocore", "httpx", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
