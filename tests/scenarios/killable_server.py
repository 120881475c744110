"""A server that is killed at chosen moments (`crash_at_step.py`) and restarted, and the stories that run on it."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from tests.scenarios.end_state import read_end_state
from tests.scenarios.live import Live

T = TypeVar("T")

OVER = ("Succeeded", "Failed", "Stopped")


@dataclass
class Mortal(Live):
    """A server that dies at the moments given, in order, and is started again whenever it is found dead."""

    moments: list[str] = field(default_factory=list)
    deaths: int = 0

    def read_output(self) -> str:
        return (self.folder / "server.log").read_text()[-4000:]

    def revive_server(self) -> None:
        if not self.is_alive():
            if self.process is not None and self.process.returncode != -9:
                raise AssertionError(f"ended with {self.process.returncode}: {self.read_output()}")
            self.deaths += self.process is not None
            self.start(DOCKGATE_CRASH_AT=self.moments[self.deaths] if self.deaths < len(self.moments) else "")

    def repeat_until_done(self, attempt: Callable[[], T], seconds: float = 300) -> T:
        """The attempt's first true value, made again as long as the server dies under it."""
        end = time.monotonic() + seconds
        while True:
            try:
                self.revive_server()
                if value := attempt():
                    return value
            except (httpx.TransportError, AssertionError):
                if self.is_alive() and time.monotonic() > end:
                    raise
            assert time.monotonic() < end, f"not ready within {seconds} s: {self.read_output()}"
            time.sleep(0.3)  # each attempt takes the server's time

    def read_state(self, execution: str) -> str:
        state: str = self.get(f"/executions/{execution}")["execution"]["state"]
        return state

    def wait_for_end(self, execution: str) -> str:
        return self.repeat_until_done(lambda: (state := self.read_state(execution)) in OVER and state)  # type: ignore[return-value]


def play(folder: Path, story: Callable[[Mortal], None], moments: list[str]) -> tuple[dict[str, Any], int]:
    """Plays the story on a server that dies at the moments; what it leaves behind, and how often it died."""
    server = Mortal(
        folder,
        module="tests.scenarios.crash_at_step",
        arguments=(),
        environment={
            "GIT_AUTHOR_DATE": "2026-11-24T10:00:00Z",
            "GIT_COMMITTER_DATE": "2026-11-24T10:00:00Z",
            "DOCKGATE_STEPS": str(folder / "steps"),
        },
        moments=moments,
    )
    # Tags are made with the server's secret: with one secret both servers give the same.
    (server.data / "run").mkdir(parents=True)
    (server.data / "run/registry-secret").write_text("only-for-tests")
    try:
        story(server)
        server.moments = []
        server.repeat_until_done(lambda: _has_attached_provenance(server))
        # The fleet's verdicts may be renewed, and the server die of it, after the story.
        return server.repeat_until_done(lambda: read_end_state(server)), server.deaths
    finally:
        server.purge()


def _has_attached_provenance(server: Live) -> bool:
    """Whether the provenance of every built image is attached; no story waits for that."""
    with closing(sqlite3.connect(f"file:{server.data / 'dockgate.db'}?mode=ro", uri=True)) as sql:
        ((missing_count,),) = sql.execute("SELECT count(*) FROM outbox WHERE kind = 'provenance' AND done_at IS NULL")
    return not missing_count
