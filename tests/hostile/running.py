"""`dockgate` as a user runs it, watched: what it says, how long it takes, and how much memory it ever had."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Between pytest and the child, because a child's peak memory includes that of its parent.
WATCH = """
import json, os, signal, sys
report_fd, patience, *command = sys.argv[1:]
child = os.posix_spawn(command[0], command, os.environ)
signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
signal.alarm(int(patience))
_, status, used = os.wait4(child, 0)
seconds = used.ru_utime + used.ru_stime
os.write(int(report_fd), json.dumps([os.waitstatus_to_exitcode(status), seconds, used.ru_maxrss]).encode())
"""


@dataclass(frozen=True)
class Ran:
    """A run: its exit (negative for a signal), what it wrote, the processor's seconds that it took, for the machine may
    have other work, and the peak of its memory in MB."""

    code: int
    out: str
    err: str
    seconds: float
    peak: float

    @property
    def document(self) -> dict[str, Any]:
        """What it wrote, as JSON."""
        document: dict[str, Any] = json.loads(self.out)
        return document

    @property
    def broken_layers(self) -> dict[str, str]:
        """Layer -> why nothing of it was read."""
        entries = (entry for platform in self.document["platforms"] for entry in platform["unread"])
        return {item["layer"]: item["reason"] for item in entries if item["path"] == "/"}

    @property
    def unread_paths(self) -> dict[str, str]:
        """Path -> reason of every unread entry, of all platforms."""
        return {
            entry["path"]: entry["reason"] for platform in self.document["platforms"] for entry in platform["unread"]
        }


@dataclass(frozen=True)
class Dockgate:
    """Runs commands with these folders of data and cache; one that has not ended after `patience` seconds is killed."""

    data: Path
    cache: Path
    patience: int = 120

    def __call__(self, *arguments: str, stdin: Path | None = None) -> Ran:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "DOCKGATE_DATA": str(self.data),
            "DOCKGATE_CACHE": str(self.cache),
        }
        reading, writing = os.pipe()
        watch = [sys.executable, "-I", "-S", "-c", WATCH, str(writing), str(self.patience)]
        with os.fdopen(reading) as output, (stdin or Path(os.devnull)).open("rb") as source:
            try:
                result = subprocess.run(
                    [*watch, sys.executable, "-m", "dockgate", *arguments],
                    stdin=source,
                    capture_output=True,
                    env=environment,
                    pass_fds=(writing,),
                    check=True,
                )
            finally:
                os.close(writing)
            code, seconds, peak = json.loads(output.read())
        return Ran(code, result.stdout.decode(), result.stderr.decode(), seconds, peak / 1024)
