"""Random fleets for the tests: images that share packages, and the index that `gate.fleet` reads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.gate.samples import ECOSYSTEMS

from dockgate.gate import vex_statements, waivers
from dockgate.gate.fleet.model import (
    BundleComponent,
    FleetComponent,
    FleetImage,
    FleetPlatform,
    FleetWaivers,
    LayerOrigin,
)
from dockgate.gate.model import ExemptionSet, Policy, VerdictCase
from dockgate.gate.provenance import ProvenanceFacts
from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import CATALOGUES, AdvisorySnapshot


@dataclass(frozen=True)
class FleetItem:
    """An image as it was scanned, and the repository whose waivers count."""

    digest: str
    inventories: tuple[Inventory, ...]
    repository: str | None = None
    provenance: ProvenanceFacts | None = None


class FleetIndex:
    """The components, bundles and images of some scanned images, as the index in the store has them."""

    def __init__(self, items: Sequence[FleetItem], snapshot: AdvisorySnapshot, *, only_findings: bool = True) -> None:
        self._matcher = Matcher(snapshot, ECOSYSTEMS)
        self._numbers: dict[Package, int] = {}
        self._bundle_numbers: dict[tuple[BundleComponent, ...], int] = {}
        self.components: dict[int, FleetComponent] = {}
        self.bundles: dict[int, tuple[BundleComponent, ...]] = {}
        self.images = [self._add_image(item) for item in items]
        if only_findings:
            with_facts = {number for number, entry in self.components.items() if entry.findings or entry.undetermined}
            self.bundles = {
                bundle: tuple(entry for entry in entries if entry.component in with_facts)
                for bundle, entries in self.bundles.items()
            }

    def _add_image(self, item: FleetItem) -> FleetImage:
        platforms = tuple(self._add_platform(inventory) for inventory in item.inventories)
        return FleetImage(item.digest, platforms, item.repository, item.provenance)

    def _add_platform(self, inventory: Inventory) -> FleetPlatform:
        layers: dict[str, dict[tuple[int, bool], int]] = {}
        for package in inventory.packages:
            counts = layers.setdefault(package.layer or "", {})
            key = self._add_component(package), bool(package.owner)
            counts[key] = counts.get(key, 0) + 1
        bundles = tuple((self._add_bundle(counts), _find_origin(inventory, layer)) for layer, counts in layers.items())
        own_ecosystems = {package.ecosystem for package in inventory.packages if not package.owner}
        return FleetPlatform(
            inventory.image_digest,
            bundles,
            tuple(sorted(own_ecosystems)),
            len(inventory.packages),
            len(inventory.unread),
            inventory.base_layers > 0,
            replace(inventory, packages=()),
        )

    def _add_component(self, package: Package) -> int:
        bare = replace(package, path="", layer=None, owner=None)
        if bare not in self._numbers:
            self._numbers[bare] = number = len(self._numbers) + 1
            matches = self._matcher.match([bare])
            self.components[number] = FleetComponent(bare, matches.findings, matches.undetermined)
        return self._numbers[bare]

    def _add_bundle(self, counts: dict[tuple[int, bool], int]) -> int:
        entries = tuple(
            sorted(BundleComponent(number, paths, is_owned) for (number, is_owned), paths in counts.items())
        )
        number = self._bundle_numbers.setdefault(entries, len(self._bundle_numbers) + 1)
        self.bundles[number] = entries
        return number


def _find_origin(inventory: Inventory, layer: str) -> LayerOrigin:
    if not layer or not inventory.base_layers:
        return LayerOrigin.UNKNOWN
    return LayerOrigin.BASE if layer in inventory.layers[: inventory.base_layers] else LayerOrigin.OWN


def build_case(
    item: FleetItem, policy: Policy, snapshot: AdvisorySnapshot, fleet_waivers: FleetWaivers, now: str
) -> VerdictCase:
    """The case that the server builds of an image (`services.verdicts.case_builder`)."""
    images = list(dict.fromkeys((item.digest, *(inventory.image_digest for inventory in item.inventories))))
    attached_statements = [entry for digest in images for entry in fleet_waivers.attached_statements.get(digest, ())]
    packages = [package for inventory in item.inventories for package in inventory.packages if not package.owner]
    ecosystems = {package.ecosystem for package in packages}
    return VerdictCase(
        item.digest,
        policy,
        now,
        "0.1.0",
        item.inventories,
        replace(
            snapshot,
            coverage=tuple(entry for entry in snapshot.coverage if entry.ecosystem in ecosystems | {*CATALOGUES}),
        ),
        ExemptionSet(
            waivers.select_waivers(fleet_waivers.waivers, item.repository, images, now),
            vex_statements.select_statements(
                [*fleet_waivers.statements, *attached_statements], images, item.inventories
            ),
        ),
        provenance=item.provenance,
    )
