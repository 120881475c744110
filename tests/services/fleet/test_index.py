"""The fleet index: what scans write, how findings follow the advisory database, and what happens side by side."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.scanned_platforms import list_platforms
from tests.store.factories import FACTORIES, NOW, limit_to_sqlite, open_store_of_kind

from dockgate.scanner import ecosystems
from dockgate.scanner.model import Distribution, Inventory, Package
from dockgate.services.clock import ServerClock
from dockgate.services.fleet.index import FleetIndex, split_inventory
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DatabaseError
from dockgate.store import Store
from dockgate.store.fleet.records import Component
from dockgate.store.schema.fleet import fleet_past_findings
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.model import (
    Advisory,
    AdvisorySnapshot,
    AdvisoryText,
    Coverage,
    Cve,
    Range,
    Rating,
    Severity,
)

KINDS = ecosystems.load()


def make_advisory(name: str, package: str, fixed: str, ecosystem: str = "PyPI", severity: str = "HIGH") -> Advisory:
    events = (("introduced", "0"), *((("fixed", fixed),) if fixed else ()))
    ratings = (Rating("advisory", Severity(severity)),) if severity else ()
    return Advisory(
        name, ecosystem, package, (Range("ECOSYSTEM", events),), aliases=("GHSA-" + name[4:],), ratings=ratings
    )


@dataclass
class AdvisoryDatabase:
    """An advisory database; `fails` makes it missing."""

    advisories: list[Advisory]
    known_cves: dict[str, Cve] = field(default_factory=dict)
    fails: bool = False
    requested: list[str] = field(default_factory=list)
    texts: list[AdvisoryText] = field(default_factory=list)
    checked_at: str = NOW

    @property
    def digest(self) -> str:
        return compute_digest(repr((self.advisories, self.known_cves)).encode())

    def __call__(self) -> "AdvisoryDatabase":
        if self.fails:
            raise DatabaseError("there is no advisory database", "Run `dockgate db update`.")
        return self

    def read_snapshot(self, inventories: Sequence[Inventory]) -> AdvisorySnapshot:
        names = {package.source_name for inventory in inventories for package in inventory.packages}
        self.requested += sorted(names)
        affecting = tuple(entry for entry in self.advisories if entry.name in names)
        return AdvisorySnapshot(affecting, tuple(self.list_coverage()), tuple(self.known_cves.values()))

    def read_catalogues(self, cve_names: Collection[str]) -> AdvisorySnapshot:
        return AdvisorySnapshot((), ())

    def find_cves(self, names: Iterable[str]) -> Mapping[str, Cve]:
        return {name: self.known_cves[name] for name in names if name in self.known_cves}

    def find_packages(self, names: Sequence[str]) -> Collection[tuple[str, str]] | None:
        return {
            (entry.ecosystem.partition(":")[0], entry.name)
            for entry in self.advisories
            if {entry.id, *entry.aliases} & set(names)
        } or None

    def has_package(self, names: Sequence[str]) -> bool:
        return any(entry.name in names for entry in self.advisories)

    def list_advisories(self, names: Sequence[str]) -> Sequence[Advisory]:
        return [entry for entry in self.advisories if {entry.id, *entry.aliases, *entry.upstream} & set(names)]

    def list_texts(self, names: Sequence[str]) -> Sequence[AdvisoryText]:
        return [text for text in self.texts if text.id in names]

    def list_coverage(self) -> Sequence[Coverage]:
        return (Coverage("PyPI", True, (), self.checked_at),)


def make_package(name: str, version: str, layer: str | None = "sha256:own") -> Package:
    purl = f"pkg:pypi/{name}@{version}"
    return Package(name, version, purl, "PyPI", name, version, f"app/{name}/METADATA", layer)


def make_inventory(image: str, *packages: Package) -> Inventory:
    return Inventory(
        image, "linux/amd64", Distribution("debian", "13"), ("sha256:base", "sha256:own"), packages, (), base_layers=1
    )


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def digest(name: str) -> str:
    return compute_digest(name.encode())


def index_of(store: Store, database: AdvisoryDatabase) -> FleetIndex:
    clock = ServerClock(lambda: datetime(2026, 11, 24, 10, tzinfo=UTC))
    return FleetIndex(store, database, KINDS, clock, "1")


def scan_image(store: Store, name: str, *packages: Package) -> str:
    image = digest(name)
    scan = store.images.request_scan(image, f"team/{name}", NOW)
    store.images.finish_scan(image, scan.number, list_platforms(make_inventory(image, *packages)), None, NOW)
    return image


def list_findings(store: Store) -> dict[str, tuple[str, str | None]]:
    """Package -> vulnerability and fixed version."""
    components = dict(store.fleet.iterate_components())
    vulnerabilities = store.fleet_findings.list_vulnerabilities()
    return {
        f"{components[row.component].name} {components[row.component].version}": (
            vulnerabilities[row.vulnerability].name,
            row.fixed,
        )
        for row in store.fleet_findings.iterate_findings()
    }


IDNA, FLASK = make_advisory("CVE-2026-1", "idna", "3.7"), make_advisory("CVE-2026-2", "flask", "")


@limit_to_sqlite("store")
def test_a_scanned_image_is_indexed_with_the_findings_of_its_components(store: Store) -> None:
    database = AdvisoryDatabase([IDNA])
    index = index_of(store, database)
    image = scan_image(
        store,
        "web",
        make_package("idna", "3.6", "sha256:base"),
        make_package("idna", "3.7"),
        make_package("flask", "2"),
    )
    for _ in range(2):
        index.add(image)
    assert list_findings(store) == {"idna 3.6": ("CVE-2026-1", "3.7")}
    assert list(store.fleet_findings.list_unmatched_components(10)) == []
    bundles = list(store.fleet.iterate_bundles_of_images())
    assert [(row.layer, row.is_in_base) for row in bundles] == [("sha256:base", True), ("sha256:own", False)]
    (period,) = store.tag_history.list_periods([image])
    assert (period.repository, period.tag, period.until) == ("team/web", None, None)


@limit_to_sqlite("store")
def test_a_known_component_is_not_matched_again(store: Store) -> None:
    database = AdvisoryDatabase([IDNA])
    index = index_of(store, database)
    index.add(scan_image(store, "one", make_package("idna", "3.6")))
    database.requested.clear()
    index.add(scan_image(store, "two", make_package("idna", "3.6"), make_package("flask", "2")))
    assert database.requested == ["flask"]


@limit_to_sqlite("store")
def test_an_image_without_a_finished_scan_is_not_indexed(store: Store) -> None:
    index = index_of(store, AdvisoryDatabase([]))
    store.images.request_scan(digest("a"), "team/a", NOW)
    failed_scan = store.images.request_scan(digest("b"), "team/b", NOW)
    store.images.finish_scan(digest("b"), failed_scan.number, [], "It is broken.", NOW)
    for name in ("a", "b", "c"):
        index.add(digest(name))
    assert list(store.fleet.iterate_images()) == []


@limit_to_sqlite("store")
def test_images_scanned_before_the_index_are_indexed(store: Store) -> None:
    for number in range(3):
        scan_image(store, f"web-{number}", make_package("idna", f"3.{number}"))
    index = index_of(store, AdvisoryDatabase([IDNA]))
    for _ in range(2):
        index.add_missing()
    assert len(list(store.fleet.iterate_images())) == 3
    assert len(list_findings(store)) == 3


@limit_to_sqlite("store")
def test_without_an_advisory_database_components_wait_for_one(store: Store) -> None:
    database = AdvisoryDatabase([IDNA], fails=True)
    index = index_of(store, database)
    index.add(scan_image(store, "web", make_package("idna", "3.6")))
    index.match_new()
    assert list_findings(store) == {}
    database.fails = False
    index.match_new()
    assert list_findings(store) == {"idna 3.6": ("CVE-2026-1", "3.7")}


@limit_to_sqlite("store")
def test_findings_follow_a_change_that_is_not_known(store: Store) -> None:
    database = AdvisoryDatabase([IDNA])
    index = index_of(store, database)
    index.add(scan_image(store, "web", make_package("idna", "3.6"), make_package("flask", "2")))
    database.advisories = [FLASK]
    assert not index.is_current(database)
    index.add(scan_image(store, "api", make_package("flask", "3")))
    assert list_findings(store) == {"idna 3.6": ("CVE-2026-1", "3.7")}
    index.rematch_all(database)
    assert list_findings(store) == {"flask 2": ("CVE-2026-2", None), "flask 3": ("CVE-2026-2", None)}
    assert index.is_current(database)


@limit_to_sqlite("store")
def test_only_what_a_known_change_concerns_is_matched_again(store: Store) -> None:
    database = AdvisoryDatabase([IDNA])
    index = index_of(store, database)
    index.add(scan_image(store, "web", make_package("idna", "3.6"), make_package("flask", "2")))
    previous = database.digest
    database.advisories = [replace(IDNA, ratings=(Rating("advisory", Severity.LOW),)), FLASK]
    database.requested.clear()
    result = index.rematch(database, previous, AdvisoryChanges(keys=frozenset({("PyPI", "flask")})))
    assert result is not None
    assert database.requested == ["flask"]
    assert {change.after.severity for change in result.changes if change.after} == {Severity.HIGH}
    assert list_findings(store) == {"idna 3.6": ("CVE-2026-1", "3.7"), "flask 2": ("CVE-2026-2", None)}
    assert index.rematch(database, previous, AdvisoryChanges()) is None


def test_kev_and_epss_are_stored_without_matching(store: Store) -> None:
    database = AdvisoryDatabase([IDNA])
    index = index_of(store, database)
    index.add(scan_image(store, "web", make_package("idna", "3.6"), make_package("flask", "2")))
    previous, database.known_cves = database.digest, {"CVE-2026-1": Cve("CVE-2026-1", exploited="2026-11-01", epss=0.9)}
    database.requested.clear()
    result = index.rematch(database, previous, AdvisoryChanges(cves=frozenset({"CVE-2026-1", "CVE-2026-99"})))
    assert result is not None
    assert (result.changes, len(result.components), database.requested) == ([], 1, [])
    (vulnerability,) = store.fleet_findings.list_vulnerabilities().values()
    assert (vulnerability.exploited, vulnerability.epss) == ("2026-11-01", 0.9)


@limit_to_sqlite("store")
@pytest.mark.parametrize(
    ("before", "after", "severity"),
    [
        (None, Rating("cve", Severity.CRITICAL, 9.8), Severity.CRITICAL),
        (Rating("cve", Severity.LOW, 2.0), Rating("cve", Severity.CRITICAL, 9.8), Severity.CRITICAL),
        (Rating("cve", Severity.LOW, 2.0), None, Severity.UNTRIAGED),
    ],
)
def test_a_severity_that_comes_from_the_cve_follows_it(
    store: Store, before: Rating | None, after: Rating | None, severity: Severity
) -> None:
    database = AdvisoryDatabase([make_advisory("CVE-2026-1", "idna", "", severity="")])
    database.known_cves = {"CVE-2026-1": Cve("CVE-2026-1", before)}
    index = index_of(store, database)
    index.add(scan_image(store, "web", make_package("idna", "3.6")))
    previous, database.known_cves = database.digest, {"CVE-2026-1": Cve("CVE-2026-1", after)}
    result = index.rematch(database, previous, AdvisoryChanges(cves=frozenset({"CVE-2026-1"})))
    assert result is not None
    assert [change.after.severity for change in result.changes if change.after] == [severity]


def test_a_withdrawn_finding_is_kept_for_questions_about_the_past(store: Store) -> None:
    database = AdvisoryDatabase([IDNA])
    index = index_of(store, database)
    index.add(scan_image(store, "web", make_package("idna", "3.6")))
    database.advisories = []
    index.rematch_all(database)
    assert list_findings(store) == {}
    with store.database.read() as connection:
        past = connection.execute(select(fleet_past_findings)).one()
    assert (past.opened, past.closed, past.why) == (NOW, NOW, "advisory changed")


def test_images_are_added_side_by_side(store: Store) -> None:
    index = index_of(store, AdvisoryDatabase([IDNA]))
    shared_packages = [make_package(f"p{number}", "1", "sha256:base") for number in range(60)]
    images = [
        scan_image(
            store, f"web-{number}", *shared_packages, *(make_package(f"q{(number + n) % 20}", "1") for n in range(10))
        )
        for number in range(16)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(index.add, [*images, *images]))
    assert len(list(store.fleet.iterate_images())) == 16
    assert len(list(store.fleet.iterate_components())) == 80
    assert list(store.fleet_findings.list_unmatched_components(1)) == []
    assert len(list(store.fleet.iterate_bundles_of_images())) == 32


def test_an_inventory_is_split_by_layer_and_owner() -> None:
    twice = replace(make_package("idna", "3.6"), path="b")
    owned_package = replace(make_package("idna", "3.6", "sha256:base"), owner="python3-idna")
    platform = split_inventory(
        make_inventory("sha256:x", make_package("idna", "3.6"), twice, owned_package, make_package("odd", "1", None))
    )
    component = Component.from_package(twice)
    assert [
        (bundle.layer, bundle.is_base, dict(bundle.counted_components), dict(bundle.owned_components))
        for bundle in platform.bundles
    ] == [
        ("sha256:base", True, {}, {component: 1}),
        ("sha256:own", False, {component: 2}, {}),
        (None, False, {Component.from_package(make_package("odd", "1")): 1}, {}),
    ]
    assert platform.package_count == 4
    assert platform.facts.packages == ()
