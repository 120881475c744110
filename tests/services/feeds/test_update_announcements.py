"""What a server announces of its feeds: failures, stale and suspect ones, each once, without secrets."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from tests.services.feeds.update_server import KEV, NOW, OSV, Server, make_pypi_export
from tests.store.factories import FACTORIES, open_store_of_kind
from tests.vulnerabilities.feeds.feed_files import (
    export,
    make_entry,
    make_fixed_range,
    record,
)
from tests.vulnerabilities.feeds.feed_site import Site

from dockgate.config import FeedUpdateSettings
from dockgate.events.subject import EventSubject
from dockgate.services.clock import ServerClock
from dockgate.services.feeds import advisories
from dockgate.services.feeds.status import read_feed_statuses
from dockgate.services.feeds.updates import FeedUpdates
from dockgate.store import Store


@pytest.mark.parametrize("fault", ["500", "nonsense", "cut", "half", "smaller"])
def test_a_faulty_answer_is_announced_once_and_changes_nothing(fault: str, server: Server, site: Site) -> None:
    names = [f"name-{number}" for number in range(100)]
    site.files[OSV] = make_pypi_export(*names)
    server.run(0)
    before = server.list_advisory_ids()
    good = make_pypi_export(*names, "new")
    site.files[OSV] = {
        "nonsense": b"nonsense",
        "half": good[: len(good) // 2],
        "smaller": make_pypi_export(*names[:50]),
    }.get(fault, good)
    if fault == "500":
        site.failing[OSV] = [500] * 100
    if fault == "cut":
        site.cut.add(OSV)
    for hours in (1.1, 1.2, 1.3):
        server.run(hours)
        assert server.list_advisory_ids() == before
    assert server.list_event_kinds() == ["feed.failed"]
    (event,) = server.events
    assert event.subject == EventSubject("feed", "osv")
    assert event.detail["parts"][0]["part"] == "osv PyPI"
    status = server.get_status("osv")
    assert status.failures > 1
    assert status.reason
    assert (status.failing_since, status.checked_at) == ("2026-11-24T13:06:00.000Z", "2026-11-24T12:00:00Z")
    assert status.next_at
    site.files[OSV], site.failing, site.cut = good, {}, set()
    server.run(2.5)
    server.run(2.6)
    assert server.list_event_kinds() == ["feed.failed", "feed.recovered"]
    assert "PYSEC-new" in server.list_advisory_ids()
    assert server.get_status("osv").reason is None


def test_a_feed_is_announced_as_stale_once_until_its_next_success(server: Server, site: Site) -> None:
    server.run(0)
    site.failing[KEV] = [403] * 1000
    for day in range(1, 10):
        server.run(day * 24)
    assert server.list_event_kinds().count("feed.stale") == 1
    (event,) = (event for event in server.events if event.detail_type == "feed.stale")
    assert event.detail == {"feed": "kev", "since": "2026-11-24T12:00:00Z", "parts": ["kev"]}
    site.failing.clear()
    server.run(240)
    assert server.get_status("kev").checked_at == "2026-12-04T12:00:00Z"
    server.run(241)
    assert server.list_event_kinds() == ["feed.failed", "feed.stale", "feed.recovered"]


def test_a_stale_feed_that_the_server_does_not_fetch_has_recovered_when_a_command_fetches_it(server: Server) -> None:
    server.run(0)
    settings = server.settings
    server.settings = settings._replace(updates=FeedUpdateSettings("off"))
    for day in (8, 9):
        server.restart()
        server.run(day * 24)
    assert server.list_event_kinds() == ["feed.stale"] * 3
    advisories.update(settings, settings.advisories, lambda line: None, now=NOW + timedelta(days=9))
    for hours in (1, 2):
        server.run(9 * 24 + hours)
    assert server.list_event_kinds() == [*["feed.stale"] * 3, *["feed.recovered"] * 3]


def test_a_feed_that_is_checked_and_brings_nothing_is_announced_as_suspect_once(server: Server, site: Site) -> None:
    days = [NOW - timedelta(days=number) for number in range(30)]
    records = (
        record(
            f"PYSEC-{day:%j}", make_entry("PyPI", "six", *make_fixed_range("2")), modified=f"{day:%Y-%m-%d}T00:00:00Z"
        )
        for day in days
    )
    site.files[OSV] = export(*records)
    server.updates.announce_suspect()  # there is no database yet
    for day in range(12):
        server.run(day * 24)
        server.updates.announce_suspect()
        server.restart().announce_suspect()
    (event,) = (event for event in server.events if event.detail_type == "feed.suspect")
    assert event.detail == {
        "feed": "osv",
        "part": "osv PyPI",
        "newest": "2026-11-24",
        "since": "2026-12-01T00:00:00.000Z",
    }
    assert server.get_status("osv").suspect == "the newest record of osv PyPI is of 2026-11-24"
    assert (server.get_status("osv").records, server.get_status("osv").newest) == (30, "2026-11-24")
    newer = record("PYSEC-1", make_entry("PyPI", "six", *make_fixed_range("3")), modified="2026-12-05T00:00:00Z")
    site.files[OSV] = export(
        newer, *(record(f"PYSEC-{day:%j}", make_entry("PyPI", "six", *make_fixed_range("2"))) for day in days)
    )
    server.run(12 * 24)
    server.updates.announce_suspect()
    assert server.list_event_kinds().count("feed.suspect") == 1
    assert server.get_status("osv").suspect is None
    assert server.get_status("osv").newest == "2026-12-05"


def test_a_clock_that_jumps_makes_nothing_stale(server: Server, site: Site) -> None:
    server.run(0)
    server.run(24 * 365)
    server.run(24 * 365 + 0.1)
    site.requests.clear()
    server.run(0.5)
    assert f"{OSV} 304" in site.requests  # its check lies in the future
    assert server.get_status("osv").checked_at == "2026-11-24T12:30:00Z"
    assert server.events == []


def test_a_feed_that_a_clock_announced_as_stale_which_was_ahead_is_announced_when_it_is_stale(
    server: Server, site: Site
) -> None:
    server.run(0)
    site.failing[KEV] = [403] * 1000
    for day, count in ((1, 0), (9, 1), (10, 1), (2, 1), (6, 1), (7, 2), (8, 2), (12, 2)):
        for hours in (0.1, 2):
            server.run(day * 24 + hours)
            server.restart()
        assert server.list_event_kinds().count("feed.stale") == count, day


def test_feeds_whose_folder_cannot_be_written_are_announced_as_stale(server: Server) -> None:
    server.run(0)
    lock = server.settings.advisories.with_name(f"{server.settings.advisories.name}.feeds.json.lock")
    lock.unlink()
    lock.mkdir()
    for hours in (6 * 24, 8 * 24, 8 * 24 + 1):
        server.hours = hours
        server.updates.run()
        with suppress(OSError):
            server.updates.announce_stale()
    assert [event.detail["feed"] for event in server.events] == ["epss", "kev", "osv"]


def test_a_suspect_feed_that_a_clock_announced_which_was_ahead_is_announced_when_it_is_one(
    server: Server, site: Site
) -> None:
    days = [NOW - timedelta(days=number) for number in range(30)]
    site.files[OSV] = export(
        *(
            record(
                f"PYSEC-{day:%j}",
                make_entry("PyPI", "six", *make_fixed_range("2")),
                modified=f"{day:%Y-%m-%d}T00:00:00Z",
            )
            for day in days
        )
    )
    for day, count in ((0, 0), (100, 1), (1, 1), (12, 2), (13, 2)):
        server.run(day * 24)
        server.updates.announce_suspect()
        assert server.list_event_kinds().count("feed.suspect") == count, day


def test_secrets_in_urls_are_in_no_status_and_no_event(tmp_path: Path, site: Site) -> None:
    server = Server(tmp_path, site)
    secret = site.url.replace("//", "//user:secret@")
    server.settings = server.settings._replace(feeds=(("osv", f"{secret}/nowhere?key=secret"), ("kev", secret + KEV)))
    server.restart()
    server.run(0)
    assert server.events
    statuses = read_feed_statuses(server.settings.advisories, server.settings.feeds)
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert "secret" not in f"{server.events} {statuses} {files!r}"


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path / "store") as store:
        yield store


def test_events_are_stored_once(store: Store, server: Server, site: Site) -> None:
    site.failing[KEV] = [500] * 100
    for _ in range(2):
        clock = ServerClock(lambda: NOW)
        FeedUpdates(server.settings, store.event_log.record, clock, jitter=lambda: 0).run()
    (event,) = store.event_log.read()
    assert (event.detail_type, str(event.subject), event.body["source"]) == ("feed.failed", "feed kev", "dockgate")
    assert event.body["detail"]["feed"] == "kev"
