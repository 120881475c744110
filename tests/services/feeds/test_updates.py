"""The server's own updates over HTTP, with a clock that is passed: schedule, failures, settings, other writers."""

from pathlib import Path

import pytest
from tests.services.feeds.update_server import EPSS, KEV, NOW, OSV, Server, make_pypi_export
from tests.vulnerabilities.feeds.feed_files import (
    make_kev,
    write_files,
)
from tests.vulnerabilities.feeds.feed_site import Site

from dockgate.config import FeedUpdateSettings, Settings, from_environment
from dockgate.scanner.images.artifact import pull_artifact, push_artifact
from dockgate.services.clock import ServerClock
from dockgate.services.feeds import advisories
from dockgate.services.feeds.updates import FeedUpdates
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.feed_states import SUFFIX
from dockgate.vulnerabilities.database.writer import lock_database


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
    digest = advisories.export(
        server.settings, server.settings.advisories, file, lambda line: None, push_artifact
    ).content
    advisories.import_database(server.settings.advisories, file, lambda line: None, pull_artifact, digest=digest)
    server.run(0.1)
    assert "imported" in (server.get_status("osv").off or "")
    assert server.installs == 2
    # A URL that is set is fetched, and with "on" all are.
    server.settings = server.settings._replace(feeds=(("osv", f"{site.url}/osv"),))
    server.restart()
    server.run(0.2)
    assert server.get_status("osv").off is None
    assert server.get_status("kev").off is not None


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
