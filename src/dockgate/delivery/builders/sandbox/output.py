"""Read the output of a build's process, within limits of time and size."""

import subprocess
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from dockgate.shared.errors import BuildError

# Bytes of log that a line counts for, however short: each is a row of the store.
LINE_COST = 64
# Bytes; a longer line of output is logged in pieces.
_LONGEST_LINE = 16 * 1024
# Lines of output in an error.
_LAST_LINES = 12


class BuildLog:
    """Passes output to `log` line by line, at most `limit` bytes, and keeps the last lines."""

    def __init__(self, log: Callable[[str], None], limit: int) -> None:
        self._log = log
        self._limit = limit
        self._size = 0
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)

    @property
    def last_lines(self) -> str:
        """The last lines of the output, joined by newlines, for the message of a failed build."""
        return "\n".join(self._last_lines)

    def add(self, raw: bytes) -> None:
        """Take a line. Raises BuildError, and logs nothing, once there are too many bytes."""
        self._size += max(len(raw), LINE_COST)
        if self._size > self._limit:
            raise _make_limit_error(f"the build wrote more than {self._limit} bytes of log")
        line = raw.decode(errors="replace").rstrip("\r\n")
        self._last_lines.append(line)
        self._log(line)


def watch(
    process: "subprocess.Popen[bytes]",
    log: BuildLog | None,
    seconds: float,
    kill: Callable[[], None],
    stdin: bytes | None = None,
) -> None:
    """Send `stdin` to the process, and pass its output to `log` until it has ended.

    `kill` ends it, and is called for a passed limit and for any error. Raises BuildError for a passed limit.
    """
    has_timed_out = threading.Event()

    def expire() -> None:
        has_timed_out.set()
        kill()

    timer = threading.Timer(seconds, expire)
    timer.start()
    try:
        with process:
            output = process.stdout
            assert output is not None  # noqa: S101 - it is a pipe
            try:
                if process.stdin is not None and stdin is not None:
                    with suppress(BrokenPipeError):
                        process.stdin.write(stdin)
                        process.stdin.close()
                for raw in iter(lambda: output.readline(_LONGEST_LINE), b""):
                    if log is not None:
                        log.add(raw)
            except BaseException:
                kill()
                raise
    finally:
        timer.cancel()
    if has_timed_out.is_set():
        raise _make_limit_error(f"the build took longer than {seconds:g} s")


def _make_limit_error(reason: str) -> BuildError:
    return BuildError(reason, "Ask the server's operator to raise the limit, or make the build smaller.")
