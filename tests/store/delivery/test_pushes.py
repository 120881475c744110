"""Contract of the store: who pushed what. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, LATER, NOW, open_store_of_kind

from dockgate.delivery.contributors import NO_OBJECT, Pusher, PushRecord
from dockgate.store import Store

A, B, C = "a" * 40, "b" * 40, "c" * 40
MAIN, SIDE = "refs/heads/main", "refs/heads/side"


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def record(push: str, ref: str = MAIN, old: str = NO_OBJECT, new: str = A, who: str = "ada") -> PushRecord:
    return PushRecord(push, "web", ref, old, new, who, f"{who}@example.org", "token", NOW)


def accept(store: Store, *records: PushRecord, commits: tuple[str, ...] = ()) -> list[PushRecord]:
    accepted_pushes = [replace(request, is_accepted=True) for request in records]
    for _ in range(2):
        store.pushes.complete(records[0].push, accepted_pushes, commits)
    return accepted_pushes


def test_a_push_is_unfinished_until_it_is_accepted(store: Store) -> None:
    requested_pushes = [record("one"), record("one", SIDE)]
    for _ in range(2):
        store.pushes.add_requested(requested_pushes)
    assert list(store.pushes.list_unfinished("web")) == requested_pushes
    assert list(store.pushes.list_unfinished("other")) == []
    moved_refs = accept(store, requested_pushes[0])
    assert list(store.pushes.list_unfinished("web")) == []
    assert list(store.pushes.list_for_ref("web", MAIN)) == moved_refs
    assert list(store.pushes.list_for_ref("web", SIDE)) == []  # git refused it


def test_a_push_that_moved_nothing_leaves_nothing(store: Store) -> None:
    store.pushes.add_requested([record("one")])
    for _ in range(2):
        store.pushes.complete("one", [], [])
    assert list(store.pushes.list_unfinished("web")) == list(store.pushes.list_for_ref("web", MAIN)) == []


def test_accepted_updates_are_kept_in_the_order_of_the_pushes(store: Store) -> None:
    store.pushes.add_requested([record("one", new=C)])
    first = accept(store, record("one"))
    second = accept(store, replace(record("two", old=A, new=B, who="ben"), at=LATER))
    assert list(store.pushes.list_for_ref("web", MAIN)) == [*first, *second]


def test_a_pushed_commit_is_found_by_the_first_digits_of_its_id(store: Store) -> None:
    for who in ("ada", "ben"):
        accept(store, record(who, who=who), commits=(A, B))
    accept(store, replace(record("other"), repository="app"), commits=(A,))
    assert store.pushes.find_commits("a" * 7, 9) == [("app", A), ("web", A)]
    assert store.pushes.find_commits(B, 9) == [("web", B)]
    assert store.pushes.find_commits("a" * 7, 1) == [("app", A)]
    assert not store.pushes.find_commits("ab", 9)
    assert store.pushes.find_commits("a" * 7, 1, ["web"]) == [("web", A)]
    assert not store.pushes.find_commits("a" * 7, 1, [])


def test_a_commit_has_all_its_pushers(store: Store) -> None:
    accept(store, record("one"), commits=(A, B))
    accept(store, record("two", SIDE, who="ben"), commits=(B, C))
    ada, ben = Pusher("ada", "ada@example.org"), Pusher("ben", "ben@example.org")
    pushers = store.pushes.list_pushers("web", [A, B, C, "d" * 40])
    assert {commit: list(pushers) for commit, pushers in pushers.items()} == {A: [ada], B: [ada, ben], C: [ben]}
    assert store.pushes.list_pushers("other", [A]) == {}


def test_a_push_of_many_commits_keeps_each(store: Store) -> None:
    commits = tuple(f"{number:040x}" for number in range(6001))
    accept(store, record("one"), commits=commits)
    assert len(store.pushes.list_pushers("web", commits)) == 6001
