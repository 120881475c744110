"""The expiry of a waiver is announced once, when it is time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.gate.model import Waiver
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.shared.timestamps import format_time
from dockgate.store import Store
from dockgate.store.records import ImageLocation

START = datetime(2026, 11, 24, 10, tzinfo=UTC)
END = START + timedelta(days=20)


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def list_announcements(store: Store, *days: float, kind: str = "waiver.expiring") -> list[str]:
    """When the end of a waiver is announced, looked for after so many days by the clock, in this order."""
    waiver = Waiver("w1", "ana", "It is never called.", "CVE-2024-1", until=format_time(END), created_by="ana")
    store.waivers.add(waiver)
    for day in days:
        clock = ServerClock(lambda day=day: START + timedelta(days=day))  # type: ignore[misc]
        ServerWaivers(store, lambda repository, image: [], (), clock, Effects(), 7).announce_expiring()
    return [event.at for event in store.event_log.read() if event.detail_type == kind]


def get_time(day: float) -> str:
    return format_time(START + timedelta(days=day))


@limit_to_sqlite("store")
def test_a_waiver_that_expires_is_announced_once(store: Store) -> None:
    assert list_announcements(store, 1, 14, 15) == [get_time(14)]


@limit_to_sqlite("store")
def test_a_waiver_that_a_clock_announced_which_was_ahead_is_announced_when_it_is_time(store: Store) -> None:
    assert list_announcements(store, 13.5, 1, 2, 14, 15) == [get_time(13.5), get_time(14)]


@limit_to_sqlite("store")
def test_the_end_of_a_waiver_is_announced_once(store: Store) -> None:
    assert list_announcements(store, 19, 21, 22, kind="waiver.expired") == [get_time(21)]


@limit_to_sqlite("store")
def test_the_end_of_a_waiver_that_a_clock_announced_which_was_ahead_is_announced_when_it_is_there(store: Store) -> None:
    assert list_announcements(store, 21, 15, 20, 21, kind="waiver.expired") == [get_time(21), get_time(20)]


def test_an_end_that_a_clock_announced_which_was_ahead_is_taken_back_once(store: Store) -> None:
    assert list_announcements(store, 21, 15, 16, 20, kind="waiver.restored") == [get_time(15)]


@limit_to_sqlite("store")
def test_what_a_clock_announced_which_was_ahead_is_not_announced_again_if_it_is_so_by_now(store: Store) -> None:
    assert list_announcements(store, 19, 14, 15) == [get_time(19)]
    assert list_announcements(store, 30, 21, 22, kind="waiver.expired") == [get_time(30)]
    assert list_announcements(store, kind="waiver.restored") == []


@limit_to_sqlite("store")
def test_the_end_of_a_waiver_names_another_one_that_accepts_the_same(store: Store) -> None:
    store.waivers.add(
        Waiver("w2", "ana", "It is still never called.", "CVE-2024-1", until=get_time(90), created_by="ana")
    )
    assert list_announcements(store, 14) == [get_time(14)]
    assert list_announcements(store, 21, kind="waiver.expired") == [get_time(21)]
    details = [event.body["detail"] for event in store.event_log.read() if event.detail_type.startswith("waiver.exp")]
    assert [(detail["waiver"], detail.get("covered_by")) for detail in details] == [("w1", "w2")] * 2


@limit_to_sqlite("store")
def test_a_revoked_waiver_has_no_end_to_announce(store: Store) -> None:
    assert list_announcements(store, 1) == []
    store.waivers.revoke("w1", "ana", get_time(2))
    assert list_announcements(store, 21, kind="waiver.expired") == []


@limit_to_sqlite("store")
def test_the_waivers_that_ended_are_read_once_for_all_images(store: Store) -> None:
    for name, repository, image in (("all", None, None), ("web", "team/*", None), ("one", None, "sha256:1")):
        store.waivers.add(
            Waiver(name, "ana", "No.", "CVE-1", repository=repository, image=image, until=get_time(1), created_by="ana")
        )
    store.waivers.revoke("web", "bob", get_time(1))
    clock = ServerClock(lambda: START + timedelta(days=1, minutes=1))
    service = ServerWaivers(store, lambda repository, image: [], (), clock, Effects(), 7)
    statements: list[str] = []
    event.listen(store.database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    names = ("team/web", "sha256:1"), ("other", "sha256:2"), ("other", "sha256:3")
    images = [ImageLocation(*name) for name in names]
    reasons = service.explain_ends(dict.fromkeys(images, get_time(1)), get_time(0))
    assert len(statements) == 1
    every = f"the waiver all ended at {get_time(1)}"
    assert reasons == {
        ("team/web", "sha256:1"): f"{every}; the waiver web was revoked by bob; the waiver one ended at {get_time(1)}",
        ("other", "sha256:2"): every,
        ("other", "sha256:3"): every,
    }
    assert service.explain_ends({ImageLocation("other", "sha256:2"): get_time(0)}, get_time(1)) == {}
    # One that ended before the image had its verdict did not count for it.
    assert service.explain_ends({ImageLocation("other", "sha256:2"): get_time(2)}, get_time(0)) == {}
