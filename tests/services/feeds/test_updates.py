"""The server's own updates over HTTP, with a clock that is passed: schedule, failures, announcements, other writers."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, open_store_of_kind
from tests.vulnerabilities.feeds.feed_files import (
    export,
    make_entry,
    make_epss,
    make_fixed_range,
    make_kev,
    record,
    write_files,
)
from tests.vulnerabilities.feeds.feed_site import Site, serve_files

from dockgate.config import FeedUpdateSettings, Settings, from_environment
from dockgate.events.envelope import NewEvent
from dockgate.services.clock import ServerClock
from dockgate.services.feeds import advisories
from dockgate.services.feeds.status import FeedStatus, read_feed_statuses
from dockgate.services.feeds.updates import FeedUpdates
from dockgate.shared.errors import UsageError
from dockgate.store import Store
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.feed_states import SUFFIX
from dockgate.vulnerabilities.database.writer import lock_database

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OSV, KEV, EPSS = "/osv/PyPI/all.zip", "/kev.json", "/epss.csv.gz"


def make_pypi_export(*names: str) -> bytes:
    return export(*(record(f"PYSEC-{name}", make_entry("PyPI", name, *make_fixed_range("2"))) for name in names))


@pytest.fixture
def site() -> Iterator[Site]:
    files = {
        OSV: make_pypi_export("six"),
        KEV: make_kev({"CVE-1": "2024-01-01"}),
        EPSS: make_epss(("CVE-1", "0.5", "0.9")),
    }
    with serve_files(files | {"/osv/ecosystems.txt": b"PyPI\n"}) as site:
        yield site


class Server:
    """Updates of a server whose time the test sets, in hours from NOW."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.hours = 0.0
        self.events: list[NewEvent] = []
        self.installs = 0
        urls = [("osv", f"{site.url}/osv"), ("kev", site.url + KEV), ("epss", site.url + EPSS)]
        self.settings = Settings(
            folder, folder, feeds=tuple(urls), updates=FeedUpdateSettings("auto", (("amazon", 0.0), ("osv", 3600.0)))
        )
        self.updates = self.restart()

    def restart(self) -> FeedUpdates:
        clock = ServerClock(lambda: NOW + timedelta(hours=self.hours))
        self.updates = FeedUpdates(self.settings, self.record, clock, self.install, jitter=lambda: 0)
        return self.updates

    def record(self, events: Sequence[NewEvent]) -> None:
        stored_ids = {event.id for event in self.events}
        self.events += [event for event in events if event.id not in stored_ids]

    def install(self) -> None:
        self.installs += 1

    def run(self, hours: float) -> None:
        self.hours = hours
        self.updates.run()
        self.updates.announce_stale()

    def list_event_kinds(self) -> list[str]:
        return [event.detail_type for event in self.events]

    def get_status(self, feed: str) -> FeedStatus:
        statuses = read_feed_statuses(self.settings.advisories, self.settings.feeds)
        return next(status for status in statuses if status.feed == feed)

    def list_advisory_ids(self) -> list[str]:
        """The ids of the advisories in the database."""
        with Database.open(self.settings.advisories) as database:
            return sorted(database.list_record_times("osv", "PyPI"))


@pytest.fixture
def server(tmp_path: Path, site: Site) -> Server:
    return Server(tmp_path, site)


def test_the_first_run_fetches_everything_and_later_ones_by_schedule(server: Server, site: Site) -> None:
    server.run(0)
    assert server.list_advisory_ids() == ["PYSEC-six"]
    assert server.installs == 1
    site.requests.clear()
    server.run(0.9)
    assert site.requests == []
    server.run(1.1)
    assert f"{OSV} 304" in site.requests
    assert f"{KEV} 304" in site.requests
    assert not any(EPSS in url for url in site.requests)  # every six hours
    server.run(6.1)
    assert f"{EPSS} 304" in site.requests
    assert server.events == []


def test_a_new_record_is_installed_and_announced_to_the_hook(server: Server, site: Site) -> None:
    server.run(0)
    site.files[OSV] = make_pypi_export("six", "idna")
    server.run(0.5)
    assert (server.list_advisory_ids(), server.installs) == (["PYSEC-six"], 1)
    server.run(1.1)
    assert (server.list_advisory_ids(), server.installs) == (["PYSEC-idna", "PYSEC-six"], 2)


def test_a_database_that_a_command_installs_calls_the_hook(server: Server, site: Site, tmp_path: Path) -> None:
    server.run(0)
    server.run(0.1)
    assert server.installs == 1
    advisories.update(server.settings, server.settings.advisories, lambda line: None)
    server.run(0.2)
    assert server.installs == 2


def test_a_hook_that_fails_is_called_again(server: Server) -> None:
    def fail() -> None:
        server.installs += 1
        raise RuntimeError("no database")

    clock = ServerClock(lambda: NOW)
    updates = FeedUpdates(server.settings, server.record, clock, fail)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            updates.run()
    assert server.installs == 2


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
    assert event.subject == "feed osv"
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


def test_one_feed_that_fails_delays_no_other(server: Server, site: Site) -> None:
    server.run(0)
    site.failing[OSV] = [500] * 100
    site.files[KEV] = make_kev({"CVE-1": "2024-01-01", "CVE-2": "2026-01-01"})
    server.run(1.1)
    with Database.open(server.settings.advisories) as database:
        assert database.find_cves(["CVE-2"])
    assert server.get_status("kev").failures == 0


def test_a_restarted_server_announces_and_fetches_nothing_again(server: Server, site: Site) -> None:
    server.run(0)
    site.failing[OSV] = [500] * 100
    server.run(1.1)
    server.restart()
    site.requests.clear()
    server.run(1.105)
    assert site.requests == []
    assert server.list_event_kinds() == ["feed.failed"]


def test_an_update_that_ends_the_process_is_not_repeated_at_once(server: Server, site: Site) -> None:
    class Killed(BaseException):
        pass

    def update(settings: Settings, path: Path, report: object, **options: object) -> None:
        def kill_process(line: str) -> None:
            raise Killed

        advisories.update(settings, path, kill_process, **options)  # type: ignore[arg-type]

    clock = ServerClock(lambda: NOW)
    updates = FeedUpdates(server.settings, server.record, clock, update=update)  # type: ignore[arg-type]
    with pytest.raises(Killed):
        updates.run()
    site.requests.clear()
    server.run(0.01)
    assert site.requests == []


def test_a_feed_is_announced_as_stale_once_until_its_next_success(server: Server, site: Site) -> None:
    server.run(0)
    site.failing[KEV] = [500] * 1000
    for day in range(1, 10):
        server.run(day * 24)
    assert server.list_event_kinds().count("feed.stale") == 1
    (event,) = (event for event in server.events if event.detail_type == "feed.stale")
    assert event.detail == {"feed": "kev", "since": "2026-11-24T12:00:00Z", "parts": ["kev"]}
    site.failing.clear()
    server.run(240)
    assert server.get_status("kev").checked_at == "2026-12-04T12:00:00Z"
    assert server.list_event_kinds()[-1] == "feed.recovered"


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


def test_a_database_from_a_folder_or_an_import_is_not_replaced(site: Site, tmp_path: Path) -> None:
    server = Server(tmp_path / "data", site)
    server.settings = server.settings._replace(feeds=(), updates=FeedUpdateSettings())
    folder = write_files(tmp_path / "feeds", {"osv/PyPI/all.zip": make_pypi_export("six")})
    advisories.build(server.settings.advisories, folder, lambda line: None)
    server.restart()
    server.run(0)
    assert "built from a folder" in (server.get_status("osv").off or "")
    assert server.get_status("osv").next_at is None
    file = str(tmp_path / "export")
    digest = advisories.export(server.settings, server.settings.advisories, file, lambda line: None).content
    advisories.import_database(server.settings, server.settings.advisories, file, lambda line: None, digest=digest)
    server.run(0.1)
    assert "imported" in (server.get_status("osv").off or "")
    assert server.installs == 2
    # A URL that is set is fetched, and with "on" all are.
    server.settings = server.settings._replace(feeds=(("osv", f"{site.url}/osv"),))
    server.restart()
    server.run(0.2)
    assert server.get_status("osv").off is None
    assert server.get_status("kev").off is not None


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


def test_a_command_that_fails_marks_no_feed_as_failing_that_the_server_does_not_fetch(
    server: Server, site: Site
) -> None:
    server.settings = server.settings._replace(updates=FeedUpdateSettings("auto", (("amazon", 0.0), ("kev", 0.0))))
    server.restart()
    server.run(0)
    site.files.pop(KEV)
    advisories.update(server.settings, server.settings.advisories, lambda text: None, feeds=["kev"], now=NOW)
    server.run(0.1)
    assert server.get_status("kev").off is not None
    assert server.get_status("kev").failures == 0
    assert "feed.failed" not in server.list_event_kinds()


def test_updates_can_be_turned_off(server: Server, site: Site) -> None:
    server.settings = server.settings._replace(updates=FeedUpdateSettings("off"))
    server.restart()
    server.run(0)
    assert site.requests == []
    assert server.get_status("osv").off == "DOCKGATE_UPDATES turns it off"


def test_a_command_that_writes_the_database_is_waited_for(server: Server, site: Site) -> None:
    with lock_database(server.settings.advisories):
        server.run(0)
    assert site.requests == []
    assert server.events == []
    server.run(0.02)
    assert server.list_advisory_ids() == ["PYSEC-six"]


def test_a_broken_state_file_costs_only_requests(server: Server, site: Site) -> None:
    server.run(0)
    path = server.settings.advisories.with_name(server.settings.advisories.name + SUFFIX)
    for content in (b"\0", b"[]", b'{"feeds": {"osv": {"unknown": 1}}}', b"1" * 2_000_000):
        path.write_bytes(content)
        server.run(0.5)
    assert server.list_advisory_ids() == ["PYSEC-six"]
    assert server.events == []


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


def test_an_unknown_feed_in_the_settings_is_refused(server: Server) -> None:
    server.settings = server.settings._replace(updates=FeedUpdateSettings("auto", (("osw", 1.0),)))
    with pytest.raises(UsageError, match="osw"):
        server.restart()


@pytest.mark.parametrize("text", ["maybe", "osv=", "osv=0h", "osv=1w", "osv=-1h", "=1h", "osv=1.5h", "osv=9999999h"])
def test_settings_that_are_no_schedule_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="DOCKGATE_UPDATES"):
        from_environment({"DOCKGATE_UPDATES": text, "HOME": "/"})


def test_settings_of_a_schedule() -> None:
    read = from_environment({"DOCKGATE_UPDATES": "on osv=30m epss=12h kev=off", "HOME": "/"}).updates
    assert read == FeedUpdateSettings("on", (("epss", 43200.0), ("kev", 0.0), ("osv", 1800.0)))


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
    assert (event.detail_type, event.subject, event.body["source"]) == ("feed.failed", "feed kev", "dockgate")
    assert event.body["detail"]["feed"] == "kev"
