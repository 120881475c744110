"""The demo in a folder of its own, as `make demo` and `make clean-demo` run it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

# The demo takes one minute or two, on a busy machine several times as long.
SECONDS = 900


@dataclass(frozen=True, slots=True)
class PlayedDemo:
    """The demo in a folder."""

    folder: Path

    def play(self) -> str:
        """Play the demo. Returns what it printed."""
        return self._run_dockgate("demo", "--data", str(self.folder))

    def purge(self) -> None:
        self._run_dockgate("down", "--purge")

    def require_purged(self) -> None:
        """Nothing of the server is left: no files, mounts or processes."""
        assert not (self.folder / "data").exists()
        assert [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(self.folder) in line] == []
        assert self._list_processes() == []

    def _run_dockgate(self, *words: str) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "dockgate", *words],
            env={**os.environ, "DOCKGATE_DATA": str(self.folder / "data")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
        return result.stdout

    def _list_processes(self) -> list[str]:
        commands = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has just ended
                continue
            if str(self.folder) in command:
                commands.append(command)
        return commands


@contextmanager
def open_demo() -> Iterator[PlayedDemo]:
    """A demo in a folder with a short path, for sockets. It is purged even if the demo fails."""
    with TemporaryDirectory(prefix="demo-") as name:
        demo = PlayedDemo(Path(name))
        try:
            yield demo
        finally:
            demo.purge()
