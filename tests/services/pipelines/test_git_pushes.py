"""Pushes of git: the event of a push has its pusher, also when the reconciler looks for missed pushes meanwhile."""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.fakes.repository_host import MemoryHost
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.delivery.contributors import NO_OBJECT
from dockgate.delivery.source_ports import RefUpdate
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.pipelines.git_pushes import GitPushes, RepositoryBranches
from dockgate.shared.errors import UnavailableError
from dockgate.store import Store, open_store


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


class CountingHost(MemoryHost):
    """Counts how often it is asked for branches: with git, each is a process."""

    def __init__(self, fault: Callable[[str], None] = lambda moment: None) -> None:
        super().__init__(fault)
        self.call_count = 0

    def list_heads(self, repository: str) -> Mapping[str, str]:
        self.call_count += 1
        return super().list_heads(repository)


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def make_pushes(store: Store, host: MemoryHost) -> GitPushes:
    clock = ServerClock(lambda: datetime(2026, 11, 28, tzinfo=UTC))
    return GitPushes(store, host, clock, Effects(), NoStarter())  # type: ignore[arg-type]


def push_branch(pushes: GitPushes, host: MemoryHost, repository: str, branch: str = "main") -> str:
    commit = host.push(repository, {"a": branch}, branch=branch)
    pushes.finish_push(repository, "ada", [RefUpdate(f"refs/heads/{branch}", NO_OBJECT, commit)], commit, "token")
    return commit


@limit_to_sqlite("store")
def test_branches_of_many_repositories_are_listed_without_git(store: Store) -> None:
    host = CountingHost()
    pushes = make_pushes(store, host)
    names = [f"r{number}" for number in range(40)]
    for name in (*names, "empty"):
        host.create(name)
    heads = {name: {branch: push_branch(pushes, host, name, branch) for branch in ("é", "main", "Z")} for name in names}
    host.call_count = 0
    branches = pushes.list_branches([*names, "empty"])
    assert host.call_count == 0
    assert {name: entry.heads for name, entry in branches.items()} == {**heads, "empty": {}}
    assert list(branches["r1"].heads) == ["Z", "main", "é"]
    assert {entry.problem for entry in branches.values()} == {None}


@limit_to_sqlite("store")
def test_a_deleted_branch_is_not_listed(store: Store) -> None:
    host = CountingHost()
    pushes = make_pushes(store, host)
    host.create("web")
    old_commit = push_branch(pushes, host, "web", "next")
    commit = push_branch(pushes, host, "web")
    host.delete_branch("web", "next")
    pushes.finish_push("web", "ada", [RefUpdate("refs/heads/next", old_commit, NO_OBJECT)], "push-3", "token")
    assert pushes.list_branches(["web"])["web"].heads == {"main": commit}


@limit_to_sqlite("store")
def test_git_is_asked_for_a_repository_with_a_push_that_is_not_recorded(store: Store) -> None:
    host = CountingHost()
    pushes = make_pushes(store, host)
    for name in ("web", "api"):
        host.create(name)
        push_branch(pushes, host, name)
    host.call_count = 0
    commit = host.push("web", {"a": "2"})
    update = RefUpdate("refs/heads/main", NO_OBJECT, commit)
    pushes.record_requested("push-2", "web", "ada", "token", [update])  # and then the server is killed
    for server in (pushes, make_pushes(store, host)):
        assert server.list_branches(["api", "web"])["web"].heads == {"main": commit}
    assert host.call_count == 2
    pushes.finish_push("web", "ada", [update], "push-2", "token")
    host.call_count = 0
    assert pushes.list_branches(["web"])["web"].heads == {"main": commit}
    assert host.call_count == 0


@limit_to_sqlite("store")
def test_git_is_asked_after_an_error_and_after_a_start_until_the_branches_are_recorded(store: Store) -> None:
    failures = ["before heads"]

    def fail_once(moment: str) -> None:
        if moment in failures:
            failures.remove(moment)
            raise UnavailableError("git does not answer")

    host = CountingHost(fail_once)
    pushes = make_pushes(store, host)
    host.create("web")
    with pytest.raises(UnavailableError):
        push_branch(pushes, host, "web")
    commit = host.list_heads("web")["main"]
    assert pushes.list_branches(["web"])["web"].heads == {"main": commit}
    second_server = make_pushes(store, host)
    store.repositories.put("web", "2026-11-28T00:00:00.000Z")
    second_server.recover()
    assert second_server.list_branches(["web"])["web"].heads == {"main": commit}
    second_server.observe_missed()
    host.call_count = 0
    assert second_server.list_branches(["web"])["web"].heads == {"main": commit}
    assert host.call_count == 0


def test_a_damaged_repository_has_a_reason_and_hides_no_other(store: Store) -> None:
    def fail(moment: str) -> None:
        if host.damaged_repositories and moment == "before heads":
            raise UnavailableError("not a git repository")

    host = CountingHost(fail)
    pushes = make_pushes(store, host)
    for name in ("web", "api"):
        host.create(name)
        push_branch(pushes, host, name)
    host.damaged_repositories.add("web")
    listed_branches = pushes.list_branches(["web", "api", "gone"])
    assert listed_branches["web"] == RepositoryBranches({}, "not a git repository")
    assert listed_branches["api"].problem is None
    assert listed_branches["gone"].problem is not None
