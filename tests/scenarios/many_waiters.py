"""Server processes with many waiting approvals, without podman and registry, which can be killed and restarted.

Run one as `python -m tests.scenarios.many_waiters FOLDER PORT PAUSE [DATABASE URL]`. Every image exists, and reading
one takes no time. Half of the images have a critical finding (`is_vulnerable`).
"""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psycopg
from sqlalchemy import insert
from tests.parts import wait_until
from tests.ports import find_free_port
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import SECRET, ServerSystem

from dockgate.delivery.approval_request import ApprovalRequest
from dockgate.delivery.model import Approval
from dockgate.delivery.webhook_delivery import Callback
from dockgate.events.webhooks.http import HttpWebhooks
from dockgate.gate.policy_reference import PolicyReference
from dockgate.scanner.model import Inventory
from dockgate.store import Store, open_store
from dockgate.store.delivery.approvals import Approvals
from dockgate.store.events.outbox import add_entries
from dockgate.store.schema.delivery import approvals

REPOSITORY = "elsewhere.example/app"


def digest(number: int) -> str:
    return f"sha256:{sha256(f'crowd-{number}'.encode()).hexdigest()}"


def is_vulnerable(image: str) -> bool:
    """Half of the images are."""
    return int(image[-1], 16) % 2 == 1


# Triggers that count the answers of each approval, by any process.
_COUNT_ANSWERS = {
    "sqlite": (
        "CREATE TRIGGER answered AFTER UPDATE OF state ON approvals "
        "BEGIN INSERT INTO answers VALUES (NEW.id, NEW.state); END",
    ),
    "postgresql": (
        "CREATE FUNCTION count_answer() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO answers VALUES (NEW.id, NEW.state); RETURN NEW; END'",
        "CREATE TRIGGER answered AFTER UPDATE OF state ON approvals FOR EACH ROW EXECUTE FUNCTION count_answer()",
    ),
}


class Crowd:
    """The approvals are laid into the tables while no server runs. `pauses` are the seconds between its sweeps.

    Several `processes` need a database that is not in the folder: `database_url` is one of Postgres, empty and new.
    """

    def __init__(self, folder: Path, pauses: float = 2, database_url: str | None = None, processes: int = 1) -> None:
        self.folder = folder
        self.pauses = pauses
        self.database_url = database_url
        self.ports = [find_free_port() for _ in range(processes)]
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()

    def store_approvals(self, waiting: int, digests: int, callback: Callback | None = None) -> None:
        """Store approvals as `ApprovalRequests.ask` does, in turn on each digest. The database counts the answers."""
        waits = []
        for number in range(waiting):
            image = digest(number % digests)
            reference, url = f"{REPOSITORY}@{image}", callback.url if callback else None
            question = ApprovalRequest("crowd", "gate", str(number), reference, callback_url=url)
            name = question.make_id(REPOSITORY, image)
            waits.append(
                Approval(name, "token", image, REPOSITORY, PolicyReference("default"), "", "2026-11-26", "2999-01-01")
            )
        store = open_store(self.folder, self.database_url)
        with store.database.write() as connection:
            connection.execute(insert(approvals), [asdict(wait) for wait in waits])
            if callback is not None:
                add_entries(connection, [store.callbacks.make_entry(wait.id, callback) for wait in waits])
            connection.exec_driver_sql("CREATE TABLE answers (approval TEXT, state TEXT)")
            for statement in _COUNT_ANSWERS[connection.dialect.name]:
                connection.exec_driver_sql(statement)
        store.close()

    def start(self) -> None:
        """Start the processes, and return when all of them answer."""
        program = [sys.executable, "-m", "tests.scenarios.many_waiters", str(self.folder)]
        database = [self.database_url] if self.database_url else []
        for port, url in zip(self.ports, self.urls, strict=True):
            with (self.folder / "server.log").open("ab") as log:
                command = [*program, str(port), str(self.pauses), *database]
                self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
            wait_until(lambda url=url: self._is_answering(url), seconds=60)  # type: ignore[misc]

    def kill(self) -> None:
        """As a power cut would."""
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []

    def read_processor_seconds(self) -> float:
        """What the processes have used of the processors so far."""
        return sum(read_processor_seconds(process.pid) for process in self.processes)

    def make_notification(self, number: int, event: str, process: int = 0) -> dict[str, Any]:
        """What httpx's `post` is given to report a push to one of the processes."""
        target = {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(number),
            "repository": "app",
            "tag": str(number),
        }
        return {
            "url": f"{self.urls[process]}/registry/events",
            "json": {"events": [{"id": event, "action": "push", "target": target}]},
            "headers": {"Authorization": f"Bearer {SECRET}"},
        }

    def query_rows(self, query: str) -> list[Any]:
        if self.database_url:
            with psycopg.connect(self.database_url.replace("+psycopg", "")) as connection:
                return connection.execute(query.encode()).fetchall()
        sql = sqlite3.connect(f"file:{self.folder / 'dockgate.db'}?mode=ro", uri=True)
        try:
            return sql.execute(query).fetchall()
        finally:
            sql.close()

    def wait_until_settled(self, seconds: float = 60) -> None:
        wait_until(
            lambda: self.query_rows("SELECT count(*) FROM approvals WHERE state = 'Waiting'")[0][0] == 0, seconds, 0.2
        )

    def list_settled(self) -> Sequence[tuple[str, float]]:
        """Image and moment of each, in seconds since the epoch."""
        rows = self.query_rows("SELECT image, settled_at FROM approvals WHERE state != 'Waiting'")
        return [(image, datetime.fromisoformat(at).timestamp()) for image, at in rows]

    def list_some(self, count: int) -> list[tuple[str, str]]:
        return self.query_rows(f"SELECT id, image FROM approvals ORDER BY seq LIMIT {count}")  # noqa: S608 - a number

    def _is_answering(self, url: str) -> bool:
        assert self.alive, (self.folder / "server.log").read_text()[-4000:]
        try:
            return slow_http.get(f"{url}/api/v1/health", timeout=5).is_success
        except httpx.HTTPError:
            return False

    @property
    def alive(self) -> bool:
        """Whether every process was started and runs."""
        return bool(self.processes) and all(process.poll() is None for process in self.processes)


def read_processor_seconds(process: int) -> float:
    """What a process has used of the processors so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _PushesAlone:
    """The approvals' table, but no scan is begun because an approval waits: each case decides when it is."""

    def __init__(self, table: Approvals) -> None:
        self._table = table

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def list_unscanned(self) -> Sequence[Approval]:
        return ()


def _replace_approvals(store: Store) -> Store:
    values = {name: getattr(store, name) for name in Store.__dataclass_fields__}
    return Store(**{**values, "approvals": _PushesAlone(store.approvals)})


class _Server(ServerSystem):
    def _read(self, repository: str, digest: str) -> Sequence[Inventory]:
        """The tag is not known here: whether it is odd is in the digest."""
        if digest not in self.plans:
            self.plans[digest] = (
                f"crowd-{digest[7:19]}",
                PlannedFindings({"CRITICAL": 1} if is_vulnerable(digest) else {}),
            )
            self.scan_may_end[digest] = threading.Event()
            self.scan_may_end[digest].set()
        return super()._read(repository, digest)


if __name__ == "__main__":
    folder, port, pauses = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    database_url = sys.argv[4] if sys.argv[4:] else None
    with _Server(
        folder,
        _replace_approvals,
        port=port,
        sweep_seconds=pauses,
        webhooks=HttpWebhooks(is_loopback_allowed=True),
        open_store=lambda folder: open_store(folder, database_url),
    ):
        signal.sigwait([signal.SIGTERM, signal.SIGINT])
