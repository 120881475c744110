"""Build intermediate cases between two cases, so that one of two changed inputs can be replaced alone.

Pure: no I/O, no clock.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dockgate.gate.model import VerdictCase
from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities.model import AdvisorySnapshot, Coverage, strip_release


def rebase_inventories(
    inventories: Sequence[Inventory], other_inventories: Sequence[Inventory]
) -> tuple[Inventory, ...]:
    """The images of `other_inventories` on top of the base images of `inventories`.

    A platform that is new, or whose base image is unknown, is taken unchanged.
    """
    inventories_by_platform = {inventory.platform: inventory for inventory in inventories}
    return tuple(_rebase(inventories_by_platform.get(inventory.platform), inventory) for inventory in other_inventories)


def _rebase(base: Inventory | None, inventory: Inventory) -> Inventory:
    if base is None or not base.base_layers or not inventory.base_layers:
        return inventory
    if base.layers[: base.base_layers] == inventory.layers[: inventory.base_layers]:
        return inventory
    added_packages = [package for package in inventory.packages if not inventory.is_in_base(package)]
    added_keys = {_make_package_key(package) for package in added_packages}
    base_packages = [
        package
        for package in base.packages
        if base.is_in_base(package) and _make_package_key(package) not in added_keys
    ]
    layers_below = base.layers[: base.base_layers]
    replaced_layers = inventory.layers[: inventory.base_layers]
    return replace(
        inventory,
        distribution=base.distribution,
        layers=(*layers_below, *inventory.layers[inventory.base_layers :]),
        packages=tuple(sorted((*base_packages, *added_packages), key=_make_sort_key)),
        unread=(
            *(entry for entry in base.unread if entry.layer in layers_below),
            *(entry for entry in inventory.unread if entry.layer not in replaced_layers),
        ),
        base_layers=base.base_layers,
        base=base.base,
        diff_ids=_list_diff_ids(base)[: base.base_layers] + _list_diff_ids(inventory)[inventory.base_layers :],
    )


def _list_diff_ids(inventory: Inventory) -> tuple[str, ...]:
    return inventory.diff_ids or ("",) * len(inventory.layers)


def _make_sort_key(package: Package) -> tuple[str, ...]:
    return package.name, package.version, package.purl, package.path, package.layer or ""


def _make_package_key(package: Package) -> tuple[str | None, ...]:
    return package.ecosystem, package.name, package.arch, package.path


def merge_advisories(old: VerdictCase, new: VerdictCase) -> AdvisorySnapshot:
    """The advisories for a comparison: old ones for old packages, new ones for new packages.

    New packages are those that only the new case has. The old snapshot has no advisories for those, which does not mean
    that they have no vulnerabilities.
    """
    old_snapshot, new_snapshot = old.snapshot, new.snapshot
    packages = _list_packages(old)
    names = {(strip_release(package.ecosystem), package.source_name) for package in packages}
    names_in_advisories = {name for row in old_snapshot.advisories for name in (row.id, *row.aliases, *row.upstream)}
    cve_ids = {cve.id for cve in old_snapshot.cves}
    added_advisories = [row for row in new_snapshot.advisories if (strip_release(row.ecosystem), row.name) not in names]
    coverage = _merge_coverage(old_snapshot, new_snapshot, {package.ecosystem for package in packages}, names)
    cves = [*old_snapshot.cves, *(cve for cve in new_snapshot.cves if cve.id not in names_in_advisories | cve_ids)]
    cves.sort(key=lambda cve: cve.id)
    return AdvisorySnapshot((*old_snapshot.advisories, *added_advisories), tuple(coverage), tuple(cves))


def is_same_for(snapshot: AdvisorySnapshot, case: VerdictCase) -> bool:
    """Return whether a snapshot says the same about the packages of a case as the case's own snapshot."""
    packages = _list_packages(case)
    ecosystems = {package.ecosystem for package in packages}
    names = {(strip_release(package.ecosystem), package.source_name) for package in packages}

    def select_relevant(snapshot: AdvisorySnapshot) -> tuple[object, ...]:
        rows = {row for row in snapshot.advisories if (strip_release(row.ecosystem), row.name) in names}
        names_in_rows = {name for row in rows for name in (row.id, *row.aliases, *row.upstream)}
        coverage = {(entry.ecosystem, entry.is_complete, entry.checked_at) for entry in snapshot.coverage}
        return (
            rows,
            {entry for entry in coverage if entry[0] in ecosystems},
            {cve for cve in snapshot.cves if cve.id in names_in_rows},
        )

    return select_relevant(snapshot) == select_relevant(case.snapshot)


def _list_packages(case: VerdictCase) -> list[Package]:
    """The packages of the image and of its baselines."""
    baselines = (inventory for inventories in case.baselines.values() for inventory in inventories)
    return [package for inventory in (*case.inventories, *baselines) for package in inventory.packages]


def _merge_coverage(
    old_snapshot: AdvisorySnapshot, new_snapshot: AdvisorySnapshot, ecosystems: set[str], names: set[tuple[str, str]]
) -> Iterator[Coverage]:
    new_coverages = {coverage.ecosystem: coverage for coverage in new_snapshot.coverage}
    for coverage in old_snapshot.coverage:
        new_coverage = new_coverages.pop(coverage.ecosystem, None)
        base = strip_release(coverage.ecosystem)
        new_names = [name for name in new_coverage.names if (base, name) not in names] if new_coverage else []
        yield replace(coverage, names=tuple(sorted({*coverage.names, *new_names})))
    yield from (coverage for name, coverage in new_coverages.items() if name not in ecosystems)
