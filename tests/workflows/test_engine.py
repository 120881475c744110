"""What we rely on in dbos: keys, recovery, fencing, versions and queues, with processes that are killed and frozen."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.forks import FORKS
from tests.parts import wait_until
from tests.postgres import drop_database, make_database_url
from tests.workflows import engine_process

from dockgate.store import open_store

ALL = "build,control"


class Processes:
    """Engines in processes of their own, on one database: Postgres, or SQLite without a URL."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder = folder
        self._url = url
        self._running: dict[str, BaseProcess] = {}

    def start(self, name: str, *keys: str, version: str = "1", queues: str = ALL) -> None:
        """Start an engine with these workflows, and return when it is ready."""
        (self.folder / f"ready-{name}").unlink(missing_ok=True)
        arguments = (self.folder, self._url, name, version, queues.split(","), keys)
        process = FORKS.Process(target=engine_process.run, args=arguments)
        process.start()
        self._running[name] = process
        wait_until(lambda: (self.folder / f"ready-{name}").exists() or not process.is_alive(), seconds=60)
        assert process.is_alive(), (self.folder / f"log-{name}").read_text()

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        process.join()

    def stop(self, name: str) -> None:
        """End a process once its workflows have ended."""
        end = self.folder / f"end-{name}"
        end.touch()
        process = self._running.pop(name)
        process.join(60)
        assert process.exitcode == 0, (self.folder / f"log-{name}").read_text()
        end.unlink()

    def signal(self, name: str, number: int) -> None:
        process = self._running[name].pid
        assert process is not None
        os.kill(process, number)

    def release_steps(self) -> None:
        """Let the second steps end."""
        (self.folder / "go").touch()

    def list_steps(self, key: str) -> list[str]:
        """The steps of a workflow with the process that ran each, such as "first one"."""
        file = self.folder / "steps"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.removeprefix(f"{key} ") for line in lines if line.startswith(f"{key} ")]

    def change_workflow_name(self, key: str, name: str) -> None:
        """Make the workflow of this key one of another name."""
        table = "workflow_status" if self._url is None else "dbos.workflow_status"
        with closing(open_store(self.folder, self._url)) as store, store.database.write() as connection:
            statement = text(f"UPDATE {table} SET name = :name WHERE workflow_uuid = :id")  # noqa: S608
            connection.execute(statement, {"name": name, "id": f"{store.id}/{key}"})

    def end(self) -> None:
        self.release_steps()
        for name in list(self._running):
            (self.folder / f"end-{name}").touch()
        for process in self._running.values():
            process.join(20)
            process.kill()
            process.join()


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path, make_database_url(tmp_path))
    yield processes
    processes.end()
    drop_database(tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Processes]:
    processes_of_test = Processes(tmp_path, None if request.param == "sqlite" else make_database_url(tmp_path))
    yield processes_of_test
    processes_of_test.end()
    drop_database(tmp_path)


# The tests of several processes show on Postgres that work goes on elsewhere, and that versions run side by side.
less_often_on_postgres = pytest.mark.parametrize(
    "processes", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)


def test_a_workflow_runs_once_under_its_key(processes: Processes) -> None:
    processes.release_steps()
    processes.start("one", "web-1", "web-1", "web-1", "wait for web-1")
    processes.kill("one")
    processes.start("one", "web-1", "web-2")
    wait_until(lambda: len(processes.list_steps("web-2")) == 3)
    assert processes.list_steps("web-1") == ["first one", "second one", "third one"]


@less_often_on_postgres
def test_a_process_of_the_same_id_continues_what_a_killed_one_left(processes: Processes) -> None:
    processes.start("one", "web-1")
    wait_until(lambda: len(processes.list_steps("web-1")) == 2)
    processes.kill("one")
    processes.release_steps()
    processes.start("one")
    wait_until(lambda: "third one" in processes.list_steps("web-1"))
    assert processes.list_steps("web-1") == ["first one", "second one", "second one", "third one"]


def test_two_processes_that_start_one_key_run_it_once(postgres: Processes) -> None:
    postgres.release_steps()
    postgres.start("one", *(f"web-{number}" for number in range(10)))
    postgres.start("two", *(f"web-{number}" for number in range(20)))
    for number in range(20):
        wait_until(lambda number=number: len(postgres.list_steps(f"web-{number}")) >= 3)  # type: ignore[misc]
    assert all(len(postgres.list_steps(f"web-{number}")) == 3 for number in range(20))


def test_the_work_of_a_process_that_is_no_worker_any_more_goes_on_elsewhere(postgres: Processes) -> None:
    postgres.start("dead", "web-1")
    wait_until(lambda: len(postgres.list_steps("web-1")) == 2)
    postgres.kill("dead")
    postgres.release_steps()
    postgres.start("alive", "recover orphans")
    wait_until(lambda: "third alive" in postgres.list_steps("web-1"))
    assert postgres.list_steps("web-1") == ["first dead", "second dead", "second alive", "third alive"]


def test_the_work_of_a_killed_process_goes_on_elsewhere_and_only_once(postgres: Processes) -> None:
    postgres.start("dead", "web-1", "build-1")
    wait_until(lambda: len(postgres.list_steps("web-1")) == 2 and len(postgres.list_steps("build-1")) == 2)
    postgres.kill("dead")
    postgres.release_steps()
    postgres.start("one", "recover dead")
    postgres.start("two", "recover dead")
    for key in ("web-1", "build-1"):
        wait_until(lambda key=key: len(postgres.list_steps(key)) == 4)  # type: ignore[misc]
        heir = postgres.list_steps(key)[2].split()[1]
        assert postgres.list_steps(key) == ["first dead", "second dead", f"second {heir}", f"third {heir}"]


def test_a_recovered_workflow_goes_to_a_process_that_takes_its_queue(postgres: Processes) -> None:
    postgres.start("dead", "build-1")
    wait_until(lambda: len(postgres.list_steps("build-1")) == 2)
    postgres.kill("dead")
    postgres.release_steps()
    postgres.start("control", "recover dead", queues="control")
    postgres.start("builder", queues="build")
    wait_until(lambda: len(postgres.list_steps("build-1")) == 4)
    assert postgres.list_steps("build-1")[2:] == ["second builder", "third builder"]


def test_a_frozen_process_whose_work_was_recovered_runs_no_further_step(postgres: Processes) -> None:
    postgres.start("frozen", "web-1")
    wait_until(lambda: len(postgres.list_steps("web-1")) == 2)
    postgres.signal("frozen", signal.SIGSTOP)
    postgres.release_steps()
    postgres.start("one", "recover frozen")
    wait_until(lambda: "third one" in postgres.list_steps("web-1"))
    postgres.signal("frozen", signal.SIGCONT)
    postgres.start("later", "web-2")
    wait_until(lambda: len(postgres.list_steps("web-2")) == 3)
    assert "third frozen" not in postgres.list_steps("web-1")
    assert postgres.list_steps("web-1").count("third one") == 1


def test_work_that_no_queue_here_takes_waits_for_a_process_that_takes_it(postgres: Processes) -> None:
    postgres.release_steps()
    postgres.start("one", "build-1", "web-1", queues="control")
    wait_until(lambda: len(postgres.list_steps("web-1")) == 3)
    assert postgres.list_steps("build-1") == []
    postgres.start("builder", queues="build")
    wait_until(lambda: len(postgres.list_steps("build-1")) == 3)
    assert {step.split()[1] for step in postgres.list_steps("build-1")} == {"builder"}


def test_a_process_for_builds_alone_leaves_other_work_to_others(postgres: Processes) -> None:
    postgres.release_steps()
    postgres.start("builder", "build-1", "web-1", queues="build")
    wait_until(lambda: len(postgres.list_steps("build-1")) == 3)
    assert postgres.list_steps("web-1") == []
    postgres.start("one", queues="control")
    wait_until(lambda: len(postgres.list_steps("web-1")) == 3)
    assert {step.split()[1] for step in postgres.list_steps("web-1")} == {"one"}


@less_often_on_postgres
def test_the_next_version_continues_the_work_of_one_that_is_gone(processes: Processes) -> None:
    processes.start("one", "web-1", version="1")
    wait_until(lambda: len(processes.list_steps("web-1")) == 2)
    processes.kill("one")
    processes.release_steps()
    processes.start("one", "adopt 2", version="2")
    wait_until(lambda: "third one" in processes.list_steps("web-1"))
    assert processes.list_steps("web-1") == ["first one", "second one", "second one", "third one"]


@less_often_on_postgres
def test_a_workflow_that_only_a_later_version_knows_waits_and_holds_up_no_other(processes: Processes) -> None:
    processes.start("one", "web-1", "web-2", version="2")
    wait_until(lambda: len(processes.list_steps("web-1")) == len(processes.list_steps("web-2")) == 2)
    processes.kill("one")
    processes.change_workflow_name("web-1", "later-kind")
    processes.release_steps()
    processes.start("one", "recover one", "recover orphans", "adopt 1", version="1")
    wait_until(lambda: "third one" in processes.list_steps("web-2"))
    assert len(processes.list_steps("web-1")) == 2


def test_two_versions_run_side_by_side_and_the_older_one_can_take_over_again(postgres: Processes) -> None:
    postgres.start("old", "web-1", "build-1", version="1")
    postgres.start("new", "web-2", "build-2", version="2", queues="control")
    wait_until(lambda: all(len(postgres.list_steps(key)) == 2 for key in ("web-1", "build-1", "web-2")))
    assert postgres.list_steps("build-2") == [], "it waits for a worker of its version that builds"
    postgres.kill("new")
    postgres.release_steps()
    wait_until(lambda: len(postgres.list_steps("web-1")) == 3 and len(postgres.list_steps("build-1")) == 3)
    postgres.start("later", "adopt 1", version="1")
    wait_until(lambda: "third" in str(postgres.list_steps("web-2")) and len(postgres.list_steps("build-2")) == 3)
    assert postgres.list_steps("web-1") == ["first old", "second old", "third old"]
    assert [step.split()[0] for step in postgres.list_steps("web-2")] == ["first", "second", "second", "third"]


def test_a_deleted_workflow_leaves_its_key_free_and_a_kept_one_does_not(processes: Processes) -> None:
    processes.start("one", "quick-1", "quick-keep")
    wait_until(lambda: len(processes.list_steps("quick-1")) == len(processes.list_steps("quick-keep")) == 3)
    processes.stop("one")
    processes.start("one", "delete")
    processes.stop("one")
    processes.start("one")  # recovers nothing of the deleted one
    processes.stop("one")
    assert len(processes.list_steps("quick-1")) == 3
    processes.start("one", "quick-keep", "quick-1")
    wait_until(lambda: len(processes.list_steps("quick-1")) == 6)
    assert len(processes.list_steps("quick-keep")) == 3


def test_what_an_unfinished_workflow_may_have_started_is_not_deleted(processes: Processes) -> None:
    processes.start("one", "web-1", "quick-1", "wait for quick-1")
    wait_until(lambda: len(processes.list_steps("web-1")) == 2)
    processes.kill("one")
    processes.start("one", "delete", "quick-1", "quick-2")
    wait_until(lambda: len(processes.list_steps("quick-2")) == 3)
    assert len(processes.list_steps("quick-1")) == 3
    processes.release_steps()
    wait_until(lambda: "third one" in processes.list_steps("web-1"))
    processes.stop("one")
    processes.start("one", "delete", "quick-1")
    wait_until(lambda: len(processes.list_steps("quick-1")) == 6)
