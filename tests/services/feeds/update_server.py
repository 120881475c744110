"""Updates of a server over HTTP whose time a test sets."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.vulnerabilities.feeds.feed_files import (
    export,
    make_entry,
    make_fixed_range,
    record,
)
from tests.vulnerabilities.feeds.feed_site import Site

from dockgate.config import FeedUpdateSettings, Settings
from dockgate.events.model import NewEvent
from dockgate.services.clock import ServerClock
from dockgate.services.feeds.status import FeedStatus, read_feed_statuses
from dockgate.services.feeds.updates import FeedUpdates
from dockgate.vulnerabilities.database.database import Database

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OSV, KEV, EPSS = "/osv/PyPI/all.zip", "/kev.json", "/epss.csv.gz"


def make_pypi_export(*names: str) -> bytes:
    return export(*(record(f"PYSEC-{name}", make_entry("PyPI", name, *make_fixed_range("2"))) for name in names))


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
