"""What every store promises of notices. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, LATER, NOW, opened

from dockgate.delivery.model import Service, TaskDefinition
from dockgate.events.notifications import NoticeDelivery, notice_deliveries
from dockgate.events.notifiers.log import LogNotifier
from dockgate.events.notifiers.memory import MemoryNotifier
from dockgate.events.ports import Notice
from dockgate.store import Store

LATEST = "2026-11-24T12:00:00.000Z"
NOTICE = Notice("waiver-lapses/1", "Waiver Lapses", "it lapses", "so it is", {"until": LATER, "n": 1})
NOTIFIERS = (LogNotifier(), MemoryNotifier())
AT_RISK = replace(NOTICE, key="at-risk/web/1", kind="Service At Risk")


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path) as store:
        yield store


def due(store: Store, now: str = LATEST, notifier: str = "memory") -> list[NoticeDelivery]:
    return list(store.notices.due(notifier, now, 10))


def test_a_notice_is_due_to_each_notifier_once(store: Store) -> None:
    for now in (NOW, LATER):
        store.notices.put(notice_deliveries(replace(NOTICE, body=f"written {now}"), NOTIFIERS, now))
    for notifier in NOTIFIERS:
        (one,) = due(store, NOW, notifier.name)
        assert (one.notice, one.since, one.attempts) == (replace(NOTICE, body=f"written {NOW}"), NOW, 0)
    assert due(store, notifier="another") == []


def test_what_one_was_told_is_due_to_the_other_still_and_never_again_to_itself(store: Store) -> None:
    store.notices.put(notice_deliveries(NOTICE, NOTIFIERS, NOW))
    for now in (LATER, LATEST):
        store.notices.told(NOTICE.key, "memory", now)
    store.notices.failed(NOTICE.key, "memory", 1, "too late", NOW)
    store.notices.put(notice_deliveries(NOTICE, NOTIFIERS, LATEST))
    assert due(store) == []
    assert len(due(store, notifier="log")) == 1


def test_what_failed_is_due_at_its_time_until_it_is_given_up(store: Store) -> None:
    store.notices.put(notice_deliveries(NOTICE, NOTIFIERS, NOW))
    store.notices.failed(NOTICE.key, "memory", 1, "no network", LATER)
    store.notices.failed(NOTICE.key, "memory", 1, "a second telling of the same failure", LATEST)
    assert due(store, NOW) == []
    (one,) = due(store, LATER)
    assert (one.attempts, one.last_error) == (1, "no network")
    store.notices.failed(NOTICE.key, "memory", 2, "still none", "")
    assert due(store) == []


def test_the_longest_due_come_first_and_only_so_many(store: Store) -> None:
    for number, now in enumerate((LATER, NOW, LATEST)):
        store.notices.put(notice_deliveries(replace(NOTICE, key=str(number)), NOTIFIERS, now))
    assert [one.key for one in store.notices.due("memory", LATEST, 2)] == ["1", "0"]


def test_old_ones_are_forgotten_told_or_not(store: Store) -> None:
    for key, now in (("old", NOW), ("young", LATEST)):
        store.notices.put(notice_deliveries(replace(NOTICE, key=key), NOTIFIERS, now))
    assert [store.notices.purge(LATER) for _ in range(2)] == [2, 0]
    assert [one.key for one in due(store)] == ["young"]


def test_a_service_that_comes_to_be_at_risk_is_told_of_in_the_same_transaction(store: Store) -> None:
    store.services.put(Service("web", "podman", 1, 1), TaskDefinition("web", 1, "app", "app@sha256:1"))
    told = notice_deliveries(AT_RISK, NOTIFIERS, NOW)
    for until in (LATER, LATEST):
        store.services.at_risk(
            "web", "CVE-2026-1", until, notice_deliveries(replace(AT_RISK, key=until), NOTIFIERS, NOW)
        )
    assert [one.key for one in due(store)] == [LATER]
    store.services.at_risk("web", "", "", told)
    assert len(due(store)) == 1
    store.services.at_risk("web", "CVE-2026-2", LATEST, told)
    assert [one.key for one in due(store)] == [LATER, AT_RISK.key]
