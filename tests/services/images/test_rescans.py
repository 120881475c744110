"""A newer scanner reads kept images again: which, in which order, how fast, and what happens to failures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.scanned_platforms import list_platforms
from tests.services.fleet.test_index import (
    IDNA,
    AdvisoryDatabase,
    digest,
    index_of,
    list_findings,
    make_inventory,
    make_package,
)
from tests.store.factories import FACTORIES, NOW, limit_to_sqlite, open_store_of_kind

from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.scanner.model import Package, ScannedPlatform
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.images.rescans import (
    BURST,
    IDLE_SECONDS,
    REGISTRY_RETRIES,
    RETRY_SECONDS,
    ImageRescans,
)
from dockgate.shared.errors import DockgateError, NotFoundError, TooSlowError, UnavailableError
from dockgate.shared.references import ImageReference
from dockgate.store import Store
from dockgate.store.records import ScanState, Worker

OLD, NEW, NEWEST = "13.5-aaaaaaaa", "13.6-bbbbbbbb", "14.2-cccccccc"


@dataclass
class Registry:
    """Images by name, each with the packages that today's scanner finds. `errors` are raised by repository."""

    packages: dict[str, tuple[Package, ...]] = field(default_factory=dict)
    errors: dict[str, DockgateError] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    def __call__(self, repository: str, digest: str) -> Sequence[ScannedPlatform]:
        self.read.append(repository)
        if repository in self.errors:
            raise self.errors[repository]
        return list_platforms(make_inventory(digest, *self.packages.get(digest, ())))


@dataclass
class Server:
    """A server whose scanner has a version, and whose clock a test sets."""

    store: Store
    registry: Registry
    version: str = NEW
    per_minute: float = 60
    worker: str = "server-1"
    seconds: float = 1000

    def __post_init__(self) -> None:
        clock = ServerClock(lambda: datetime(2026, 11, 25, tzinfo=UTC))
        index = index_of(self.store, AdvisoryDatabase([IDNA]))
        self.rescans = ImageRescans(
            self.store,
            self.registry,
            index.add,
            self.version,
            self.worker,
            self.per_minute,
            clock,
            Effects(),
            monotonic=lambda: self.seconds,
        )

    def run(self, after: float = 0) -> list[str]:
        """The repositories that are read so many seconds later."""
        self.seconds += after
        self.registry.read.clear()
        self.rescans.run()
        return list(self.registry.read)

    def run_until_done(self) -> list[str]:
        return [name for _ in range(20) for name in self.run(after=1)]


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def scan_image(store: Store, repository: str, scanner: str | None, *packages: Package, day: int = 20) -> str:
    image, at = digest(repository), f"2026-11-{day}T10:00:00.000Z"
    scan = store.images.request_scan(image, repository, at)
    store.images.finish_scan(
        image, scan.number, list_platforms(make_inventory(image, *packages)), None, at, scanner=scanner
    )
    index_of(store, AdvisoryDatabase([IDNA])).add(image)
    return image


def get_scanner_version(store: Store, image: str) -> str | None:
    scan = store.images.find_newest_scan(image)
    assert scan is not None
    assert (scan.state, scan.number) == (ScanState.DONE, 1)
    return scan.scanner


@limit_to_sqlite("store")
def test_a_newer_scanner_finds_what_the_older_one_did_not(store: Store) -> None:
    image = scan_image(store, "web", OLD)
    assert list_findings(store) == {}
    server = Server(store, Registry({image: (make_package("idna", "3.6"),)}))
    assert server.run() == ["web"]
    assert get_scanner_version(store, image) == NEW
    assert list_findings(store) == {"idna 3.6": ("CVE-2026-1", "3.7")}
    indexed_image = store.fleet.find_image(image)
    assert indexed_image is not None
    assert (indexed_image.scanner, indexed_image.seen_at) == (NEW, "2026-11-20T10:00:00.000Z")
    assert server.run(after=100) == []


def test_scans_of_a_newer_scanner_are_not_repeated(store: Store) -> None:
    scan_image(store, "old", OLD)
    scan_image(store, "unknown", None)
    scan_image(store, "same", NEW)
    scan_image(store, "newer", NEWEST)
    scan_image(store, "later", "a format of the future")
    assert sorted(Server(store, Registry()).run_until_done()) == ["old", "unknown"]


def test_two_versions_side_by_side_read_each_image_once(store: Store) -> None:
    images = [scan_image(store, f"app-{number}", OLD) for number in range(4)]
    older, newer = Server(store, Registry(), NEW), Server(store, Registry(), NEWEST)
    read = [name for _ in range(10) for server in (older, newer) for name in server.run(after=1)]
    assert {get_scanner_version(store, image) for image in images} == {NEWEST}
    assert len(read) <= 2 * len(images)
    for server in (older, newer):
        assert server.run(after=IDLE_SECONDS) == []


def test_running_images_come_first_then_the_newest(store: Store) -> None:
    scan_image(store, "oldest", OLD, day=1 + 9)
    running = scan_image(store, "running", OLD, day=11)
    scan_image(store, "newest", OLD, day=12)
    definition = TaskDefinition("shop", 1, "web", ImageReference("registry.example/running", running))
    store.services.put(Service("shop", "local", 1, 1), definition)
    assert Server(store, Registry()).run_until_done() == ["running", "newest", "oldest"]


@limit_to_sqlite("store")
def test_reading_is_limited_by_the_minute_also_after_a_pause(store: Store) -> None:
    for number in range(BURST + 4):
        scan_image(store, f"app-{number}", OLD)
    server = Server(store, Registry(), per_minute=6)
    assert [len(server.run(after=seconds)) for seconds in (0, 1, 8, 1, 10)] == [1, 0, 0, 1, 1]
    assert len(server.run(after=3600)) == BURST


@limit_to_sqlite("store")
def test_a_rate_of_zero_reads_nothing(store: Store) -> None:
    scan_image(store, "web", OLD)
    assert Server(store, Registry(), per_minute=0).run_until_done() == []


@limit_to_sqlite("store")
def test_reading_goes_on_after_a_restart(store: Store) -> None:
    for number in range(3):
        scan_image(store, f"app-{number}", OLD)
    first = Server(store, Registry()).run()
    later_reads = Server(store, Registry()).run_until_done()
    assert sorted(first + later_reads) == ["app-0", "app-1", "app-2"]


def test_one_of_several_servers_reads_until_it_ends(store: Store) -> None:
    for number in range(4):
        scan_image(store, f"app-{number}", OLD, day=20 - number)
    first, second = Server(store, Registry()), Server(store, Registry(), worker="server-2")
    for server in (first, second):
        store.workers.add(Worker(server.worker, "host", "1", (), {}, started_at=NOW, seen_at=NOW))
    assert first.run() == ["app-0"]
    assert second.run() == []
    assert first.run(after=1) == ["app-1"]
    store.workers.mark_lost(first.worker)
    assert second.run(after=IDLE_SECONDS) == ["app-2", "app-3"]
    assert first.run(after=1) == []


@limit_to_sqlite("store")
def test_a_server_with_a_newer_scanner_reads_instead_of_the_one_that_did(store: Store) -> None:
    for number in range(2):
        scan_image(store, f"app-{number}", OLD, day=20 - number)
    old, new = Server(store, Registry()), Server(store, Registry(), version=NEWEST, worker="server-2")
    for server in (old, new):
        store.workers.add(Worker(server.worker, "host", "1", (), {}, started_at=NOW, seen_at=NOW))
    assert old.run() == ["app-0"]
    assert new.run(after=1) == ["app-0"]
    assert old.run(after=1) == []
    assert new.run(after=1) == ["app-1"]


@limit_to_sqlite("store")
def test_gone_images_and_failed_scans_are_not_read(store: Store) -> None:
    removed_image = scan_image(store, "gone", OLD)
    store.image_removals.remove("gone", removed_image, NOW)
    scan = store.images.request_scan(digest("failed"), "failed", NOW)
    store.images.finish_scan(digest("failed"), scan.number, (), "it is broken", NOW)
    assert Server(store, Registry()).run_until_done() == []


@limit_to_sqlite("store")
def test_a_registry_that_does_not_answer_is_asked_later_and_stops_no_other(store: Store) -> None:
    image = scan_image(store, "down.example/a", OLD, day=20)
    scan_image(store, "down.example/b", OLD, day=19)
    scan_image(store, "web", OLD, day=18)
    registry = Registry(errors={"down.example/a": UnavailableError("it does not answer", "Wait.")})
    server = Server(store, registry)
    assert server.run() == ["down.example/a"]
    assert server.run(after=1) == ["web"]
    assert get_scanner_version(store, image) == OLD
    assert server.run(after=REGISTRY_RETRIES.first_pause - 2) == []
    assert server.run(after=1) == ["down.example/a"]
    assert server.run(after=REGISTRY_RETRIES.first_pause) == []  # the second pause is longer
    registry.errors.clear()
    assert server.run(after=REGISTRY_RETRIES.first_pause) == ["down.example/a", "down.example/b"]


@limit_to_sqlite("store")
def test_a_registry_that_is_slow_on_purpose_takes_no_hour_for_each_of_its_images(store: Store) -> None:
    """Nothing else is read meanwhile."""
    for number in range(3):
        scan_image(store, f"slow.example/{number}", OLD, day=20 - number)
    scan_image(store, "web", OLD, day=16)
    slow = {f"slow.example/{number}": TooSlowError("not within 3600 seconds", "Wait.") for number in range(3)}
    server = Server(store, Registry(errors=dict(slow)))
    assert server.run() == ["slow.example/0"]
    assert server.run(after=1) == ["web"]
    assert server.run(after=REGISTRY_RETRIES.longest_pause - 2) == []
    assert server.run(after=1) == ["slow.example/1"]
    assert server.run(after=REGISTRY_RETRIES.longest_pause - 1) == []
    assert server.run(after=1) == ["slow.example/2"]


@limit_to_sqlite("store")
def test_an_image_that_cannot_be_read_keeps_what_was_found_and_is_tried_after_a_day(store: Store) -> None:
    image = scan_image(store, "web", OLD, make_package("idna", "3.6"))
    server = Server(store, Registry(errors={"web": NotFoundError("there is no such image", "")}))
    assert server.run() == ["web"]
    assert server.run(after=RETRY_SECONDS - 1) == []
    assert list_findings(store) == {"idna 3.6": ("CVE-2026-1", "3.7")}
    assert get_scanner_version(store, image) == OLD
    assert server.run(after=1) == ["web"]


def test_a_scan_that_is_requested_meanwhile_wins(store: Store) -> None:
    image = scan_image(store, "web", OLD)
    scan = store.images.find_newest_scan(image)
    assert scan is not None
    store.images.request_new_scan(image, "web", scan.number, NOW)
    assert not store.rescans.record(scan, list_platforms(make_inventory(image, make_package("idna", "3.6"))), NEW, NOW)
    assert len(store.images.list_inventories(image)[0].packages) == 0


def test_recording_twice_changes_nothing(store: Store) -> None:
    image = scan_image(store, "web", OLD)
    scan = store.images.find_newest_scan(image)
    assert scan is not None
    assert store.rescans.record(scan, list_platforms(make_inventory(image, make_package("idna", "3.6"))), NEW, NOW)
    assert not store.rescans.record(scan, list_platforms(make_inventory(image)), NEW, NOW)
    assert [entry.name for entry in store.images.list_inventories(image)[0].packages] == ["idna"]
