"""Images and advisories between one case and another: so that of two inputs that changed, one is replaced. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dockgate.gate.model import VerdictCase
from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities.model import AdvisorySnapshot, Coverage


def with_own_layers_of(ours: Sequence[Inventory], theirs: Sequence[Inventory]) -> tuple[Inventory, ...]:
    """Their images as they would be on our base images. A platform that is new, or of which nobody knows where the base
    image ends, is theirs altogether."""
    held = {inventory.platform: inventory for inventory in ours}
    return tuple(_rebased(held.get(inventory.platform), inventory) for inventory in theirs)


def _rebased(base: Inventory | None, own: Inventory) -> Inventory:
    if base is None or not base.base_layers or not own.base_layers:
        return own
    if base.layers[: base.base_layers] == own.layers[: own.base_layers]:
        return own
    added = [package for package in own.packages if not own.in_base(package)]
    replaced = {_place(package) for package in added}
    kept = [package for package in base.packages if base.in_base(package) and _place(package) not in replaced]
    below = base.layers[: base.base_layers]
    gone = own.layers[: own.base_layers]
    return replace(
        own,
        distribution=base.distribution,
        layers=(*below, *own.layers[own.base_layers :]),
        packages=tuple(sorted((*kept, *added), key=lambda one: (one.name, one.version, one.purl, one.path, one.layer))),
        unread=(
            *(entry for entry in base.unread if entry.layer in below),
            *(entry for entry in own.unread if entry.layer not in gone),
        ),
        base_layers=base.base_layers,
        base=base.base,
        diff_ids=_diff_ids(base)[: base.base_layers] + _diff_ids(own)[own.base_layers :],
    )


def _diff_ids(inventory: Inventory) -> tuple[str, ...]:
    return inventory.diff_ids or ("",) * len(inventory.layers)


def _place(package: Package) -> tuple[str, ...]:
    return package.ecosystem, package.name, package.arch, package.path


def advisories_between(one: VerdictCase, other: VerdictCase) -> AdvisorySnapshot:
    """What the first case's database says of its packages, and the second's of packages that only that one has: the
    first snapshot does not speak of these, which is not to say that they are fine."""
    ours, theirs = one.snapshot, other.snapshot
    held = [*one.inventories, *(inventory for each in one.baselines.values() for inventory in each)]
    packages = [package for inventory in held for package in inventory.packages]
    names = {(package.ecosystem.partition(":")[0], package.source_name) for package in packages}
    named = {name for row in ours.advisories for name in (row.id, *row.aliases, *row.upstream)}
    known = {cve.id for cve in ours.cves}
    return AdvisorySnapshot(
        (
            *ours.advisories,
            *(row for row in theirs.advisories if (row.ecosystem.partition(":")[0], row.name) not in names),
        ),
        tuple(_coverage(ours, theirs, {package.ecosystem for package in packages}, names)),
        tuple(
            sorted((*ours.cves, *(cve for cve in theirs.cves if cve.id not in named | known)), key=lambda cve: cve.id)
        ),
    )


def say_the_same(known: AdvisorySnapshot, other: VerdictCase) -> bool:
    """Whether `known` says of the other case's packages all that its own snapshot says, and no more."""
    held = [*other.inventories, *(inventory for each in other.baselines.values() for inventory in each)]
    packages = [package for inventory in held for package in inventory.packages]
    ecosystems = {package.ecosystem for package in packages}
    names = {(package.ecosystem.partition(":")[0], package.source_name) for package in packages}

    def words(snapshot: AdvisorySnapshot) -> tuple[object, ...]:
        rows = {row for row in snapshot.advisories if (row.ecosystem.partition(":")[0], row.name) in names}
        named = {name for row in rows for name in (row.id, *row.aliases, *row.upstream)}
        coverage = {(entry.ecosystem, entry.complete, entry.checked_at) for entry in snapshot.coverage}
        return (
            rows,
            {entry for entry in coverage if entry[0] in ecosystems},
            {cve for cve in snapshot.cves if cve.id in named},
        )

    return words(known) == words(other.snapshot)


def _coverage(
    ours: AdvisorySnapshot, theirs: AdvisorySnapshot, ecosystems: set[str], names: set[tuple[str, str]]
) -> Iterator[Coverage]:
    added = {coverage.ecosystem: coverage for coverage in theirs.coverage}
    for coverage in ours.coverage:
        other = added.pop(coverage.ecosystem, None)
        base = coverage.ecosystem.partition(":")[0]
        more = [name for name in other.names if (base, name) not in names] if other else []
        yield replace(coverage, names=tuple(sorted({*coverage.names, *more})))
    yield from (coverage for name, coverage in added.items() if name not in ecosystems)
