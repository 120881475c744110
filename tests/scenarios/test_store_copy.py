"""A server that was killed in the middle of its work, and goes on from a copy of its tables on another database."""

import os
from contextlib import closing
from functools import partial
from pathlib import Path

from tests.forks import ForkedProcess, Surroundings
from tests.parts import wait_until
from tests.postgres import make_database_url
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.scenarios.server_until_killed import NAMES

from dockgate.delivery.model import ExecutionId
from dockgate.store.copy import copy_store, open_source
from dockgate.store.engine import Database


def _has_succeeded(system: ServerSystem, execution: str) -> bool:
    return system.store.executions.get(ExecutionId(execution)).state == "Succeeded"


def kill_server_in_the_middle(folder: Path) -> None:
    log = folder / "killed.log"
    log.touch()
    server = ForkedProcess("tests.scenarios.server_until_killed", (str(folder),), Surroundings(dict(os.environ), log))
    try:
        wait_until(lambda: log.read_text().endswith("ready\n") or server.poll() is not None)
        assert server.poll() is None, log.read_text()
    finally:
        server.kill()
        server.wait()


def test_interrupted_work_continues_on_postgres_and_finished_work_does_not_run_again(tmp_path: Path) -> None:
    kill_server_in_the_middle(tmp_path)
    with open_source(tmp_path, None) as source, closing(Database.from_url(make_database_url(tmp_path))) as target:
        copy_result = copy_store(source, target)
    assert copy_result.tables["executions"] == 3
    system = ServerSystem(tmp_path, database="postgres")
    assert system.store.id == copy_result.store
    images = {name: system.plan_foreign_image(name, PlannedFindings()) for name in NAMES}
    for name, image in images.items():
        system.builder.digests[f"{name}/app"] = image
        system.scan_may_end[image].set()
    before = system.store.executions.list_runs(ExecutionId("done-1"))
    with system:
        for name in ("waits", "builds"):
            wait_until(partial(_has_succeeded, system, f"{name}-1"), seconds=30)
            assert system.is_running(images[name])
        assert [key[: len("builds-1-")] for key in system.builder.builds] == ["builds-1-"]
        assert system.store.executions.list_runs(ExecutionId("done-1")) == before
        for image in images.values():
            causes = [verdict["cause"] for verdict in system.get(f"/images/{image}")["verdicts"]]
            assert len([cause for cause in causes if "/Approval/" in cause]) == 1
