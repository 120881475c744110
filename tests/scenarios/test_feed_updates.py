"""A server updates its advisories by its own schedule; users see it by the API. Of two processes, one fetches."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.parts import wait_until
from tests.postgres import drop_database
from tests.scenarios.advisories import record
from tests.scenarios.browser import Browser
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.store.factories import DECISION_KINDS, FACTORIES
from tests.vulnerabilities.feeds.feed_files import export, make_kev
from tests.vulnerabilities.feeds.feed_site import Site, serve_files

from dockgate.config import FeedUpdateSettings, Settings
from dockgate.services.clock import ServerClock
from dockgate.services.feeds.updates import FeedUpdates
from dockgate.shared.errors import UnavailableError
from dockgate.shared.timestamps import parse_time
from dockgate.vulnerabilities.database.feed_states import read_states
from dockgate.workflows.reconciler import Reconciler, RepeatedTask, TaskGroup

EXPORT, KEV = "/osv/Debian/all.zip", "/kev.json"
OFF = (("amazon", 0.0), ("cvss", 0.0), ("epss", 0.0))


@pytest.fixture
def site() -> Iterator[Site]:
    files = {EXPORT: export(record("CVE-2026-1", "unrelated", "2")), KEV: make_kev({"CVE-2020-1": "2024-01-01"})}
    with serve_files(files | {"/osv/ecosystems.txt": b"Debian\n"}) as site:
        yield site


def make_settings(folder: Path, site: Site, period: float) -> Settings:
    periods = (*OFF, ("kev", period), ("osv", period))
    urls = (("kev", site.url + KEV), ("osv", f"{site.url}/osv"))
    return Settings(folder, folder, feeds=urls, updates=FeedUpdateSettings("auto", periods))


@pytest.mark.parametrize("database", DECISION_KINDS)
def test_a_record_that_is_published_blocks_and_marks_what_runs(database: str, site: Site, tmp_path: Path) -> None:
    with ServerSystem(tmp_path, database=database, feeds=make_settings(tmp_path, site, 1.0)) as server:
        wait_until(lambda: "coverage" in server.get("/status")["database"])
        image = server.plan_image("shop", PlannedFindings({}))
        server.deploy_image(image)
        assert not server.get("/services/shop")["service"]["at_risk"]
        site.files[EXPORT] = export(record("CVE-2026-1", "unrelated", "2"), record("CVE-2026-2", "shop", "2"))
        wait_until(lambda: server.get("/services/shop")["service"]["at_risk"], seconds=20)
        assert "shop 1" in server.get("/services/shop")["service"]["at_risk"]
        assert server.answer(server.request_approval(image)) == "Rejected"

        site.failing[KEV] = [500] * 1000
        wait_until(lambda: feed(server, "kev")["failures"], seconds=20)
        assert "500" in feed(server, "kev")["reason"]
        wait_until(lambda: feed(server, "kev")["next_at"])  # none while an attempt runs
        overview = httpx.get(server.url, headers={"Accept": "text/html"}).text
        assert "Feed kev" in overview
        assert "Updates began to fail" in overview
        site.failing.clear()
        wait_until(lambda: not feed(server, "kev")["failures"], seconds=30)
        wait_until(lambda: list_event_kinds(server) == ["feed.failed", "feed.recovered"])


def test_no_feed_is_updated_in_a_folder_that_is_not_the_servers(site: Site, tmp_path: Path) -> None:
    is_mounted, checks = threading.Event(), list[str]()

    def check() -> None:
        checks.append(threading.current_thread().name)
        if not is_mounted.is_set():
            raise UnavailableError("the folder belongs to another database")

    settings = make_settings(tmp_path / "shared", site, 3600.0)
    with ServerSystem(tmp_path / "data", feeds=settings, check=check, sweep_seconds=0.05) as server:
        wait_until(lambda: checks.count("reconcile feeds") > 2)
        assert not settings.advisories.parent.exists()
        is_mounted.set()
        wait_until(lambda: feed(server, "kev")["checked_at"])


def feed(server: ServerSystem, name: str) -> dict[str, Any]:
    status: dict[str, Any] = next(feed for feed in server.get("/status")["feeds"] if feed["feed"] == name)
    return status


def is_waiting_for_the_next_attempt(server: ServerSystem, name: str) -> bool:
    status = feed(server, name)
    return bool(status["checked_at"] and status["next_at"])


def list_event_kinds(server: ServerSystem) -> list[str]:
    events = server.store.event_log.read(limit=1000)
    return [event.detail_type for event in events if event.subject.kind == "feed"]


def test_of_two_processes_one_fetches(site: Site, tmp_path: Path) -> None:
    """Each process has its own store on one Postgres database, and both see one folder."""
    folder = tmp_path / "shared"
    with ExitStack() as stack:
        stack.callback(drop_database, tmp_path / "data")
        site.slow[KEV] = 0.002  # so that their attempts would overlap
        for _ in range(2):
            store = stack.enter_context(closing(FACTORIES["postgres"](tmp_path / "data")))
            clock = ServerClock(lambda: parse_time("2026-11-24T12:00:00Z"))  # type: ignore[arg-type, return-value]
            updates = FeedUpdates(make_settings(folder, site, 3600.0), store.event_log.record, clock)
            tasks = TaskGroup("feeds", [RepeatedTask("feeds", updates.run)])
            reconciler = Reconciler(store.locks, 0.01, [tasks])
            stack.callback(reconciler.close)
            reconciler.start()
        wait_until(lambda: read_states(folder / "advisories.db").get_state("kev").next_at, seconds=30)
        time.sleep(0.5)
    assert [url for url in site.requests if url.startswith(KEV)] == [f"{KEV} 200"]
    assert [url for url in site.requests if url.startswith(EXPORT)] == [f"{EXPORT} 200"]


def test_feeds_are_fetched_at_once_when_a_person_asks_for_it(site: Site, tmp_path: Path) -> None:
    with ServerSystem(tmp_path, feeds=make_settings(tmp_path, site, 3600.0)) as server:
        wait_until(lambda: all(is_waiting_for_the_next_attempt(server, name) for name in ("kev", "osv")))
        checked_at = feed(server, "kev")["checked_at"]
        server.clock.ahead = timedelta(minutes=5)  # a feed is fetched once a minute at most
        with Browser(server) as browser:
            page = browser.get("/advisories?sort=-checked").text
            assert "Update now" in page
            assert '<th aria-sort="descending"><a class="sort" href="/advisories?sort=checked">Checked' in page
            assert f'data-label="Records">{feed(server, "kev")["records"]:,}<' in page
            assert feed(server, "kev")["records"] > 0
            assert "The server was asked to fetch its feeds" not in page
            location = browser.send_form("/advisories/update").headers["location"]
            assert "The server was asked to fetch its feeds" in browser.get(location).text
        wait_until(lambda: feed(server, "kev")["checked_at"] > checked_at, seconds=20)
        (entry,) = [entry for entry in server.get("/audit") if entry["call"] == "POST /advisories/update"]
        assert entry["detail"] == "kev, osv"
