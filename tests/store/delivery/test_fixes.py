"""What the store promises of fixes: one at a time, so many a day, each once, on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread

import pytest
from tests.postgres import drop_database
from tests.store.factories import FACTORIES

from dockgate.delivery.fixes import Fix, FixDetails, FixKind, FixState
from dockgate.delivery.model import FixAction
from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.store import Store

DAY_1, DAY_2, DAY_3 = (f"2026-11-{day}T10:00:00.000Z" for day in (26, 27, 28))
IMAGE = "sha256:" + "a" * 64
DETAILS = FixDetails(("flask: 1.0 → 2.0",), ("CVE-2026-1",), (), ("pip install flask==2.0",))


@pytest.fixture(params=sorted(FACTORIES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = FACTORIES[request.param](tmp_path)
    yield store
    store.close()
    drop_database(tmp_path)


def make_fix(identity: str, pipeline: str = "shop", created_at: str = DAY_2) -> Fix:
    return Fix(
        identity,
        pipeline,
        IMAGE,
        "shop/app",
        FixKind.CHANGE,
        FixAction.BRANCH,
        DETAILS,
        "shop",
        "c" * 40,
        created_at,
    )


def end_fix(fix: Fix, state: FixState = FixState.FAILED, at: str = DAY_2) -> Fix:
    return replace(fix, state=state, ended_at=at)


def make_event(name: str) -> NewEvent:
    return NewEvent(name, "dockgate", "fix.available", EventSubject("pipeline", "shop"), DAY_2, {})


def test_a_fix_is_stored_as_it_is(store: Store) -> None:
    assert store.fixes.plan(make_fix("1"), DAY_1, 1, ())
    assert store.fixes.find_open_fix("shop") == make_fix("1")
    assert store.fixes.list_pipelines() == {"shop"}
    planned_fix = replace(make_fix("1"), parent="d" * 40, commit="e" * 40)
    store.fixes.set_commit(planned_fix)
    assert store.fixes.find_open_fix("shop") == planned_fix
    offered_fix = replace(planned_fix, state=FixState.OFFERED, branch="dockgate/fix-1")
    assert store.fixes.offer(offered_fix, [make_event("1")])
    assert not store.fixes.offer(offered_fix, [make_event("2")])
    store.fixes.set_commit(replace(planned_fix, commit="f" * 40))
    assert store.fixes.list("shop") == [offered_fix]
    assert [event.id for event in store.event_log.read()] == ["1"]


def test_one_fix_of_a_pipeline_is_open_and_a_fix_is_never_made_twice(store: Store) -> None:
    assert store.fixes.plan(make_fix("1"), DAY_1, 9, ())
    assert not store.fixes.plan(make_fix("1"), DAY_1, 9, ())
    assert not store.fixes.plan(make_fix("2"), DAY_1, 9, ())
    assert store.fixes.plan(make_fix("3", "web"), DAY_1, 9, ())
    assert store.fixes.end(end_fix(make_fix("1")), [make_event("1")])
    assert not store.fixes.end(end_fix(make_fix("1"), FixState.APPLIED), [make_event("2")])
    assert not store.fixes.offer(make_fix("1"), [make_event("3")])
    assert store.fixes.find_open_fix("shop") is None
    assert not store.fixes.plan(make_fix("1"), DAY_1, 9, ())
    assert store.fixes.plan(make_fix("2", created_at=DAY_3), DAY_1, 9, ())
    assert [fix.id for fix in store.fixes.list("shop")] == ["2", "1"]
    assert [event.id for event in store.event_log.read()] == ["1"]


def test_a_day_has_a_limit(store: Store) -> None:
    assert store.fixes.plan(make_fix("1"), DAY_1, 1, ())
    store.fixes.end(end_fix(make_fix("1")))
    assert not store.fixes.plan(make_fix("2"), DAY_1, 1, ())
    assert store.fixes.plan(make_fix("2", created_at=DAY_3), DAY_2, 1, ())


def test_a_fix_by_hand_keeps_back_no_other_fix_of_the_day(store: Store) -> None:
    by_hand = replace(make_fix("1"), kind=FixKind.BY_HAND)
    assert store.fixes.plan(by_hand, DAY_1, 1, ())
    store.fixes.end(end_fix(by_hand))
    assert not store.fixes.plan(replace(make_fix("2"), kind=FixKind.BY_HAND), DAY_1, 1, ())
    assert store.fixes.plan(make_fix("3"), DAY_1, 1, ())
    store.fixes.end(end_fix(make_fix("3")))
    assert not store.fixes.plan(make_fix("4"), DAY_1, 1, ())


def test_of_two_servers_one_plans(store: Store) -> None:
    answers: list[bool] = []
    barrier = Barrier(4)

    def plan(number: int) -> None:
        barrier.wait()
        answers.append(store.fixes.plan(make_fix(str(number)), DAY_1, 9, ()) is not None)

    threads = [Thread(target=plan, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False, False, False, True]


def test_old_fixes_are_deleted_and_open_ones_stay(store: Store) -> None:
    store.fixes.plan(make_fix("1"), DAY_1, 9, ())
    store.fixes.end(end_fix(make_fix("1")))
    store.fixes.plan(make_fix("2"), DAY_1, 9, ())
    assert store.fixes.purge(DAY_1) == 0
    assert store.fixes.purge(DAY_3) == 1
    assert [fix.id for fix in store.fixes.list("shop")] == ["2"]
