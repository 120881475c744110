"""The fleet index: what every scanned image contains, and what is known of it.

An image is indexed after its scan, and its new components are matched with the advisory database. When that has
changed, components are matched again, never images: `rematch` those that a change can concern, `rematch_all` where the
change is not known. One process at a time matches; a component that comes meanwhile waits unmatched.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dockgate.delivery.ports import Advisories
from dockgate.scanner.model import Inventory, Package
from dockgate.scanner.ports import Ecosystem
from dockgate.services.answer_priority import AnswerPriority
from dockgate.services.clock import ServerClock
from dockgate.services.error_isolation import run_for_each
from dockgate.services.fleet.matching import match_components
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DatabaseError
from dockgate.store import Store
from dockgate.store.fleet.findings import MATCHING, Source
from dockgate.store.fleet.index import NewBundle, NewImage, NewPlatform
from dockgate.store.fleet.records import Change, Component, ComponentFinding, Vulnerability
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.matching import combine_cves, select_preferred_rating
from dockgate.vulnerabilities.model import Rating
from dockgate.vulnerabilities.ports import AdvisoryReader

# Images that are indexed in one round of the reconciler, components that are matched at once, and more than there are.
IMAGES, COMPONENTS, NO_LIMIT = 50, 20_000, 1 << 31

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RematchResult:
    """The effects of a change of advisories.

    The findings that changed, and all components of which verdicts may differ: with other findings, KEV and EPSS values
    or undetermined entries, or of an ecosystem that is covered differently.
    """

    changes: Sequence[Change] = ()
    components: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class FleetIndex:
    """The index of images, with the findings of their components."""

    store: Store
    advisories: Advisories
    ecosystems: Sequence[Ecosystem]
    clock: ServerClock
    engine_version: str
    answer_priority: AnswerPriority = field(default_factory=AnswerPriority)

    def add(self, image: str) -> None:
        """Index an image as its finished scan says, once; without one, do nothing.

        Its new components are matched.
        """
        scan = self.store.images.find_newest_scan(image)
        inventories = self.store.images.list_inventories(image)
        if scan is None or scan.finished_at is None or not inventories:
            return
        digests = self.store.images.list_inventory_digests(image)
        self.store.tag_history.add_location(image, scan.repository, scan.requested_at)
        new = self.store.fleet.add(
            NewImage(
                digest=image,
                repository=scan.repository,
                inventories=compute_digest(canonical.encode(list(digests))),
                scanner=scan.scanner,
                seen_at=scan.requested_at,
                scanned_at=scan.finished_at,
                platforms=tuple(split_inventory(inventory) for inventory in inventories),
            )
        )
        if new:
            self.match_new()

    def add_missing(self) -> None:
        """Index what was scanned and is not in the index, a few images at a time."""
        while self.store.tag_history.add_missing():
            pass
        run_for_each(self.store.images.list_unindexed(IMAGES), self._add_later)

    def _add_later(self, image: str) -> None:
        self.answer_priority.give_way()
        self.add(image)

    def match_new(self) -> None:
        """Match the components that were never matched, if the findings are of today's advisory database.

        Otherwise they wait for `rematch` or `rematch_all`; without an advisory database, for one.
        """
        findings = self.store.fleet_findings
        with self.store.locks.hold(MATCHING):
            while components := findings.list_unmatched_components(COMPONENTS):
                try:
                    reader = self.advisories()
                    source = Source(reader.digest, self.engine_version)
                    findings.begin(source, self.clock.now())
                    if findings.find_source() != source:
                        return
                    results = list(match_components(components, reader, self.ecosystems))
                except DatabaseError as error:
                    _log.info("new packages are not matched with advisories yet: %s", error)
                    return
                if not findings.record_new(results, source, self.clock.now()):
                    return

    def find_unmatched_images(self) -> set[int]:
        """Return the images (ids) with components whose findings are not known yet.

        They are judged once these are.
        """
        components = [number for number, _ in self.store.fleet_findings.list_unmatched_components(NO_LIMIT)]
        bundles = {bundle for _, bundle, _ in self.store.fleet.iterate_bundle_uses(components)} if components else set()
        return self.store.fleet.find_images_with(bundles) if bundles else set()

    def is_current(self, reader: AdvisoryReader) -> bool:
        """Return whether the findings are of this advisory database, and of this version of Dockgate."""
        return self.store.fleet_findings.find_source() in (None, Source(reader.digest, self.engine_version))

    def rematch(self, reader: AdvisoryReader, previous: str, changes: AdvisoryChanges) -> RematchResult | None:
        """Match what changed since the advisory database with the digest `previous`.

        `reader` is open on the new one. None, and nothing is done, if the findings are not of `previous`: `rematch_all`
        then.
        """
        findings = self.store.fleet_findings
        with self.store.locks.hold(MATCHING):
            source, before = Source(reader.digest, self.engine_version), Source(previous, self.engine_version)
            if findings.find_source() != before:
                return None
            values, rated_names = self._read_catalogue_values(reader, changes.cves)
            ecosystem_components = findings.find_components_in(changes.ecosystems)
            components = {*findings.find_components_named(changes.keys), *ecosystem_components, *rated_names}
            components.update(number for number, _ in findings.list_unmatched_components(NO_LIMIT))
            result = self._match_again(
                reader, before, source, self.store.fleet.iterate_components(components), values, bool(changes)
            )
            # What no feed covers is not stored: it follows from the coverage.
            return result and replace(result, components=result.components.union(ecosystem_components))

    def rematch_all(self, reader: AdvisoryReader) -> RematchResult:
        """Match every component, whatever the findings are of."""
        with self.store.locks.hold(MATCHING):
            source, before = Source(reader.digest, self.engine_version), self.store.fleet_findings.find_source()
            values, _ = self._read_catalogue_values(reader, None)
            return (
                self._match_again(reader, before, source, self.store.fleet.iterate_components(), values)
                or RematchResult()
            )

    def _match_again(
        self,
        reader: AdvisoryReader,
        before: Source | None,
        source: Source,
        components: Iterable[tuple[int, Component]],
        values: Mapping[int, Vulnerability],
        has_new_data: bool = True,
    ) -> RematchResult | None:
        """Match components again, and store it with what KEV and EPSS say of some vulnerabilities."""
        findings = self.store.fleet_findings
        results = list(match_components(components, reader, self.ecosystems))
        differences = findings.record_all(results, values, source, before, self.clock.now(), has_new_data)
        if differences is None:
            return None
        changes, changed_components = differences
        return RematchResult(changes, frozenset((*(change.component for change in changes), *changed_components)))

    def _read_catalogue_values(
        self, reader: AdvisoryReader, cves: Collection[str] | None
    ) -> tuple[dict[int, Vulnerability], set[int]]:
        """Return the fleet's vulnerabilities with these CVEs (None: all), with today's data of KEV and EPSS.

        The second result is the components whose severity comes from one of the CVEs and has changed.
        """
        findings = self.store.fleet_findings
        vulnerabilities = findings.list_vulnerabilities() if cves is None else findings.list_vulnerabilities_named(cves)
        if not vulnerabilities:
            return {}, set()
        names = {name for entry in vulnerabilities.values() for name in (entry.name, *entry.aliases)}
        by_name = reader.find_cves(name for name in names if name.startswith("CVE-"))
        values, ratings = {}, {}
        for number, entry in vulnerabilities.items():
            facts = [by_name[name] for name in (entry.name, *entry.aliases) if name in by_name]
            values[number] = entry.with_facts(combine_cves(facts))
            ratings[number] = [cve.rating for cve in facts if cve.rating]
        rated_names = {
            finding.component
            for finding in findings.list_rated_by_cve()
            if (ratings_of := ratings.get(finding.vulnerability)) is not None and not _has_rating(finding, ratings_of)
        }
        return values, rated_names


def _has_rating(finding: ComponentFinding, ratings: Sequence[Rating]) -> bool:
    """Return whether the finding has the rating that matching would take from those of its CVEs."""
    present_rating = Rating(finding.source, finding.severity, finding.score, finding.vector)
    return present_rating == select_preferred_rating(ratings) if ratings else not finding.source


def split_inventory(inventory: Inventory) -> NewPlatform:
    """Split the packages of a platform into bundles: one for each layer, in the order of layers."""
    layers: dict[str | None, tuple[dict[Component, set[str]], dict[Component, set[str]]]] = {
        layer: ({}, {}) for layer in (*inventory.layers, None)
    }
    in_base: dict[str | None, Package] = {}
    for package in inventory.packages:
        kinds = layers.setdefault(package.layer, ({}, {}))
        kinds[bool(package.owner)].setdefault(Component.from_package(package), set()).add(package.path)
        in_base.setdefault(package.layer, package)
    bundles = tuple(
        NewBundle(
            layer,
            inventory.is_in_base(in_base[layer]),
            {component: len(paths) for component, paths in unowned_paths.items()},
            {component: len(paths) for component, paths in owned_paths.items()},
        )
        for layer, (unowned_paths, owned_paths) in layers.items()
        if unowned_paths or owned_paths
    )
    return NewPlatform(replace(inventory, packages=()), len(inventory.packages), bundles)
