"""A limit for the log files of a host: those of the server and of the programs that it runs."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

# The size at which a log starts again, in bytes. As much of what was before is kept beside it.
LOG_BYTES = 32 << 20


def shorten_logs(folder: Path, limit: int = LOG_BYTES) -> None:
    """Move the content of each log that is larger than `limit` bytes to NAME.log.1, which is replaced.

    Programs append to their logs, and keep them open, so the file stays. What is written in this moment may be lost.
    """
    for log in sorted(folder.glob("*.log")):
        with suppress(FileNotFoundError):
            if log.stat().st_size > limit:
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)
