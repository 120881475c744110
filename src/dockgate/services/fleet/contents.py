"""The content of the fleet index, read for judging (`gate.fleet`).

Each part is read when it is needed, once.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from dockgate.gate.fleet.model import BundleComponent, Bundles, FleetComponent, LayerOrigin
from dockgate.scanner.model import Inventory
from dockgate.store import Store
from dockgate.store.fleet.judging_state import IndexedPlatform
from dockgate.store.fleet.records import BundleContent, ComponentFinding, IndexedImage, Vulnerability
from dockgate.vulnerabilities.model import Coverage, UndeterminedFact

# Takes the place of a component's purl, which the component itself has.
_PACKAGE = "pkg:"


@dataclass(frozen=True)
class FleetFacts:
    """The components of the fleet, and the bundles that contain them.

    `coverage` is the advisory database's.
    """

    store: Store
    coverage: Sequence[Coverage]

    @cached_property
    def components(self) -> Mapping[int, FleetComponent]:
        """The components that have findings or undetermined entries."""
        return dict(self._read_components(self.notable, self.store.fleet_findings.list_vulnerabilities()))

    @cached_property
    def notable(self) -> frozenset[int]:
        """The ids of `components`."""
        return frozenset(self._findings.keys() | self._undetermined_entries.keys() | self._uncovered_components)

    def select_components(self, numbers: Collection[int]) -> Mapping[int, FleetComponent]:
        """The components among these that have findings or undetermined entries."""
        chosen_components = self.notable.intersection(numbers)
        ids = {row.vulnerability for number in chosen_components for row in self._findings.get(number, ())}
        return dict(self._read_components(chosen_components, self.store.fleet_findings.list_vulnerabilities(ids)))

    @cached_property
    def every_component(self) -> Mapping[int, FleetComponent]:
        """All components."""
        return dict(self._read_components(None, self.store.fleet_findings.list_vulnerabilities()))

    @cached_property
    def bundles(self) -> Bundles:
        """Return what all bundles contain of `components`, owned ones left out."""
        bundles: dict[int, list[BundleComponent]] = {}
        for component, bundle, path_count in self.store.fleet.iterate_bundle_uses(self.components):
            bundles.setdefault(bundle, []).append(BundleComponent(component, path_count))
        return {bundle: tuple(entries) for bundle, entries in bundles.items()}

    @cached_property
    def all_bundles(self) -> Bundles:
        """What all bundles contain."""
        return {bundle: list_bundle_components(content) for bundle, content in self.store.fleet.iterate_bundles()}

    @cached_property
    def ecosystems(self) -> Mapping[int, str]:
        """The ecosystem of each component."""
        return {number: component.ecosystem for number, component in self.store.fleet.iterate_components()}

    @cached_property
    def _findings(self) -> Mapping[int, Sequence[ComponentFinding]]:
        findings: dict[int, list[ComponentFinding]] = {}
        for row in self.store.fleet_findings.iterate_findings():
            findings.setdefault(row.component, []).append(row)
        return findings

    @cached_property
    def _undetermined_entries(self) -> Mapping[int, Sequence[UndeterminedFact]]:
        undetermined_entries: dict[int, list[UndeterminedFact]] = {}
        for component, entry in self.store.fleet_findings.list_undetermined():
            undetermined_entries.setdefault(component, []).append(
                UndeterminedFact(_PACKAGE, entry.reason, entry.kind, entry.ids)
            )
        return undetermined_entries

    @cached_property
    def _uncovered_components(self) -> frozenset[int]:
        return frozenset(self.store.fleet.list_uncovered_components(self.coverage))

    def _read_components(
        self, numbers: Collection[int] | None, vulnerabilities: Mapping[int, Vulnerability]
    ) -> Iterable[tuple[int, FleetComponent]]:
        covered_ecosystems = {entry.ecosystem for entry in self.coverage}
        for number, component in self.store.fleet.iterate_components(numbers):
            package = component.to_package()
            rows = self._findings.get(number, ())
            findings = tuple(row.make_finding(package, vulnerabilities[row.vulnerability]) for row in rows)
            undetermined_entries = list(self._undetermined_entries.get(number, ()))
            if number in self._uncovered_components:
                subject = _PACKAGE if package.ecosystem in covered_ecosystems else package.ecosystem or "/"
                undetermined_entries.append(
                    UndeterminedFact(subject, "The advisory database does not cover it.", "uncovered")
                )
            yield number, FleetComponent(package, findings, tuple(undetermined_entries))


@dataclass(frozen=True)
class FleetContents:
    """The index of `images`, in the order of their ids.

    With `is_dense`, they are most of those between their ids.
    """

    facts: FleetFacts
    images: Sequence[IndexedImage]
    is_dense: bool

    @cached_property
    def platforms(self) -> Mapping[int, Sequence[IndexedPlatform]]:
        """The platforms of each image."""
        platforms: dict[int, list[IndexedPlatform]] = {}
        state = self.facts.store.fleet_judging
        indexed_platforms = (
            state.iterate_platforms_between(*self._range) if self.is_dense else state.iterate_platforms(self._ids)
        )
        for platform in indexed_platforms:
            platforms.setdefault(platform.image, []).append(platform)
        return platforms

    @cached_property
    def inventories(self) -> Mapping[tuple[int, int], Inventory]:
        """The inventories of all platforms without packages, by image and position."""
        return self._read_inventories(self._ids)

    @cached_property
    def unread_inventories(self) -> Mapping[tuple[int, int], Inventory]:
        """The inventories of images of which something could not be read."""
        platforms = (platform for platforms in self.platforms.values() for platform in platforms)
        return self._read_inventories({platform.image for platform in platforms if platform.unread_count})

    @cached_property
    def platform_bundles(self) -> Mapping[tuple[int, int], tuple[tuple[int, LayerOrigin], ...]]:
        """The bundles of each platform, by image and position."""
        state = self.facts.store.fleet_judging
        rows = state.iterate_placements_between(*self._range) if self.is_dense else state.iterate_placements(self._ids)
        return {(row.image, row.position): row.bundles for row in rows}

    @cached_property
    def bundles(self) -> Bundles:
        """Return what the images' bundles contain of `components`, without owned ones."""
        if self.is_dense:
            return self.facts.bundles
        notable = self.facts.notable
        return {
            bundle: tuple(
                BundleComponent(component, content.counted_components[component])
                for component in sorted(notable.intersection(content.counted_components))
            )
            for bundle, content in self._contents.items()
        }

    @cached_property
    def components(self) -> Mapping[int, FleetComponent]:
        """The components of the images that have findings or undetermined entries."""
        if self.is_dense:
            return self.facts.components
        numbers = {entry.component for entries in self.bundles.values() for entry in entries}
        return self.facts.select_components(numbers)

    @cached_property
    def all_bundles(self) -> Bundles:
        """What the images' bundles contain."""
        if self.is_dense:
            return self.facts.all_bundles
        return {bundle: list_bundle_components(content) for bundle, content in self._contents.items()}

    @cached_property
    def _contents(self) -> Mapping[int, BundleContent]:
        """Return what the bundles of the images contain."""
        numbers = {bundle for placed_bundles in self.platform_bundles.values() for bundle, _ in placed_bundles}
        return dict(self.facts.store.fleet.iterate_bundles(numbers))

    def list_ecosystems(self, image: int, position: int) -> tuple[str, ...]:
        """Return the ecosystems of a platform's packages that belong to no other package, sorted."""
        bundles = (self._ecosystems_by_bundle[bundle] for bundle, _ in self.platform_bundles.get((image, position), ()))
        return tuple(sorted(frozenset().union(*bundles)))

    @cached_property
    def _ecosystems_by_bundle(self) -> Mapping[int, frozenset[str]]:
        names = self.facts.ecosystems
        return {
            bundle: frozenset(names[entry.component] for entry in entries if not entry.is_owned)
            for bundle, entries in self.all_bundles.items()
        }

    @cached_property
    def _ids(self) -> frozenset[int]:
        return frozenset(image.id for image in self.images)

    @property
    def _range(self) -> tuple[int, int]:
        return self.images[0].id, self.images[-1].id + 1

    def _read_inventories(self, ids: Collection[int]) -> dict[tuple[int, int], Inventory]:
        return {(entry.image, entry.position): entry.facts for entry in self.facts.store.fleet.iterate_platforms(ids)}


def list_bundle_components(content: BundleContent) -> tuple[BundleComponent, ...]:
    """Read the content of a bundle."""
    return (
        *(BundleComponent(component, path_count) for component, path_count in content.counted_components.items()),
        *(BundleComponent(component, path_count, True) for component, path_count in content.owned_components.items()),
    )
