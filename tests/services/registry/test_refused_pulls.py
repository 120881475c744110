"""Refused pulls become events: one in an hour of each repository, image and caller, on all servers together."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.events.model import NewEvent
from dockgate.services.clock import ServerClock
from dockgate.services.registry.refused_pulls import RefusedPull, RefusedPulls
from dockgate.shared.errors import StoreError
from dockgate.store import Store

IMAGE, SECOND_IMAGE = "sha256:" + "a" * 64, "sha256:" + "b" * 64
NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


class Clock:
    seconds = 0.0

    def __call__(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


def pull(repository: str = "prod/web", image: str = IMAGE, by: str = "cluster", tag: str | None = None) -> RefusedPull:
    return RefusedPull(repository, image, tag, by, "no verdict")


@pytest.fixture(params=FACTORIES, ids=str)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def list_event_details(store: Store) -> list[dict[str, Any]]:
    return [event.body["detail"] for event in store.event_log.read()]


@limit_to_sqlite("store")
def test_a_client_that_retries_every_second_makes_one_event_an_hour_that_counts(store: Store) -> None:
    clock = Clock()
    pulls = RefusedPulls(store.event_log.record, ServerClock(clock))
    for second in range(3 * 3600):
        clock.seconds = second
        pulls.record(pull(tag="v1"))
    assert [(detail["count"], detail["since"]) for detail in list_event_details(store)] == [
        (1, "2026-11-28T12:00:00.000Z"),
        (3600, "2026-11-28T12:00:01.000Z"),
        (3600, "2026-11-28T13:00:01.000Z"),
    ]
    assert list_event_details(store)[0] == {
        "repository": "prod/web",
        "image": IMAGE,
        "tag": "v1",
        "by": "cluster",
        "reason": "no verdict",
        "count": 1,
        "since": "2026-11-28T12:00:00.000Z",
    }


@limit_to_sqlite("store")
def test_each_repository_image_and_caller_has_its_own_event(store: Store) -> None:
    pulls = RefusedPulls(store.event_log.record, ServerClock(Clock()))
    for refused_pull in (pull(), pull("prod/api"), pull(image=SECOND_IMAGE), pull(by="laptop"), pull()):
        pulls.record(refused_pull)
    recorded_pulls = [(detail["repository"], detail["image"], detail["by"]) for detail in list_event_details(store)]
    assert recorded_pulls == [
        ("prod/web", IMAGE, "cluster"),
        ("prod/api", IMAGE, "cluster"),
        ("prod/web", SECOND_IMAGE, "cluster"),
        ("prod/web", IMAGE, "laptop"),
    ]
    assert {event.repository for event in store.event_log.read()} == {"prod/web", "prod/api"}


def test_several_servers_make_one_event(store: Store) -> None:
    clock = Clock()
    servers = [RefusedPulls(store.event_log.record, ServerClock(clock)) for _ in range(3)]
    for clock.seconds in (0, 1, 3600):
        for server in servers:
            server.record(pull())
    assert len(list_event_details(store)) == 2


def test_an_event_that_could_not_be_stored_comes_with_the_next_refusal() -> None:
    clock, is_away = Clock(), True
    stored_events: list[NewEvent] = []

    def record(events: Sequence[NewEvent]) -> None:
        if is_away:
            raise StoreError("The database does not answer.")
        stored_events.extend(events)

    pulls = RefusedPulls(record, ServerClock(clock))
    pulls.record(pull())
    is_away, clock.seconds = False, 5
    pulls.record(pull())
    (event,) = stored_events
    assert (event.detail["count"], event.detail["since"]) == (2, "2026-11-28T12:00:00.000Z")
