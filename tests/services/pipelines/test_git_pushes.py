"""Pushes of git: the event of a push has its pusher, also when the reconciler looks for missed pushes meanwhile."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.fakes.repository_host import MemoryHost

from dockgate.delivery.contributors import NO_OBJECT
from dockgate.delivery.source_ports import RefUpdate
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.pipelines.git_pushes import GitPushes
from dockgate.shared.errors import UnavailableError
from dockgate.store import open_store


class NoStarter:
    """Starts nothing."""

    def start_event(self, event_id: str) -> None:
        pass


def test_looking_for_missed_pushes_does_not_take_the_event_of_a_push_that_is_being_recorded(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    threads: list[threading.Thread] = []

    def look_meanwhile(moment: str) -> None:
        if moment == "before references" and not threads:  # while the push is recorded
            threads.append(threading.Thread(target=pushes.observe_missed))
            threads[0].start()
            threads[0].join(timeout=0.5)

    host = MemoryHost(look_meanwhile)
    clock = ServerClock(lambda: datetime(2026, 11, 28, tzinfo=UTC))
    pushes = GitPushes(store, host, clock, Effects(), NoStarter())  # type: ignore[arg-type]
    host.create("web")
    commit = host.push("web", {"a": "1"})
    events = pushes.finish_push("web", "ada", [RefUpdate("refs/heads/main", NO_OBJECT, commit)], "push-1", "token")
    threads[0].join()
    store.close()
    assert [event.detail.get("by") for event in events] == ["ada"]


def test_each_of_two_pushes_at_the_same_time_has_the_event_of_its_own_branch(tmp_path: Path) -> None:
    store, host = open_store(tmp_path), MemoryHost()
    pushes = GitPushes(store, host, ServerClock(lambda: datetime(2026, 11, 28, tzinfo=UTC)), Effects(), NoStarter())  # type: ignore[arg-type]
    host.create("web")
    commits = {branch: host.push("web", {"a": branch}, branch=branch) for branch in ("main", "next")}
    updates = {branch: [RefUpdate(f"refs/heads/{branch}", NO_OBJECT, commit)] for branch, commit in commits.items()}
    first = pushes.finish_push("web", "ada", updates["main"], "push-1", "token")
    second = pushes.finish_push("web", "bob", updates["next"], "push-2", "token")
    assert [(event.detail["branch"], event.detail["by"]) for event in (*first, *second)] == [
        ("main", "ada"),
        ("next", "bob"),
    ]
    store.close()


def test_a_server_that_read_a_branch_before_the_push_to_another_server_does_not_move_it_back(tmp_path: Path) -> None:
    store, threads = open_store(tmp_path), list[threading.Thread]()

    class SlowHost(MemoryHost):
        def list_heads(self, repository: str) -> Mapping[str, str]:
            heads = super().list_heads(repository)
            if not threads:  # the other push comes after this server has read the branch
                threads.append(threading.Thread(target=push_elsewhere))
                threads[0].start()
                threads[0].join(timeout=0.5)
            return heads

    def push_elsewhere() -> None:
        commits.append(host.push("web", {"a": "2"}))
        second_server.finish_push("web", "bob", [RefUpdate("refs/heads/main", *commits)], "push-2", "token")

    host, clock = SlowHost(), ServerClock(lambda: datetime(2026, 11, 28, tzinfo=UTC))
    first_server, second_server = (GitPushes(store, host, clock, Effects(), NoStarter()) for _ in range(2))  # type: ignore[arg-type]
    host.create("web")
    commits = [host.push("web", {"a": "1"})]
    first_server.finish_push("web", "ada", [RefUpdate("refs/heads/main", NO_OBJECT, commits[0])], "push-1", "token")
    threads[0].join()
    assert [event.detail["commit"] for event in store.push_events.list_unhandled()] == commits
    store.close()


def test_a_branch_whose_push_could_not_be_recorded_is_recorded_after_the_next_push(tmp_path: Path) -> None:
    store, failures = open_store(tmp_path), ["before heads"]

    def fail_once(moment: str) -> None:
        if moment in failures:
            failures.remove(moment)
            raise UnavailableError("git does not answer")

    host, clock = MemoryHost(fail_once), ServerClock(lambda: datetime(2026, 11, 28, tzinfo=UTC))
    pushes = GitPushes(store, host, clock, Effects(), NoStarter())  # type: ignore[arg-type]
    host.create("web")
    commits = {branch: host.push("web", {"a": branch}, branch=branch) for branch in ("main", "next")}
    updates = {branch: [RefUpdate(f"refs/heads/{branch}", NO_OBJECT, commit)] for branch, commit in commits.items()}
    with pytest.raises(UnavailableError):
        pushes.finish_push("web", "ada", updates["main"], "push-1", "token")
    pushes.finish_push("web", "bob", updates["next"], "push-2", "token")
    pushes.observe_missed()
    assert [event.detail["branch"] for event in store.push_events.list_unhandled()] == ["next", "main"]
    store.close()
