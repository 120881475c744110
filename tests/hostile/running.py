"""`dockgate` as a user runs it, watched: what it says, how long it takes, and how much memory it ever had.

It is forked from a process that has imported it: most of a command's time would go into its imports.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.forks import FORKS
from tests.hostile.watching import watch


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

    def __call__(self, *arguments: str) -> Ran:
        environment = {
            "PATH": os.environ["PATH"],
            "DOCKGATE_DATA": str(self.data),
            "DOCKGATE_CACHE": str(self.cache),
        }
        with TemporaryDirectory() as name:
            watcher = FORKS.Process(target=watch, args=(arguments, environment, name, self.patience))
            watcher.start()
            watcher.join()
            folder = Path(name)
            code, seconds, peak = json.loads((folder / "usage").read_text("utf-8"))
            out, err = (folder.joinpath(stream).read_text("utf-8") for stream in ("out", "err"))
        return Ran(code, out, err, seconds, peak / 1024)
