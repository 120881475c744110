"""Components of a fleet, the bundles that contain them, and images made of bundles."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from dockgate.gate.model import Status, VexStatement, Waiver
from dockgate.gate.provenance import ProvenanceFacts
from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities.model import Finding, UndeterminedFact


class LayerOrigin(IntEnum):
    """Where the layers of a bundle come from.

    UNKNOWN: it is in no known layer, or the base image's layers are unknown.
    """

    UNKNOWN = 0
    BASE = 1
    OWN = 2


@dataclass(frozen=True, slots=True)
class FleetComponent:
    """A package version, and what is known of it. `package` has no path, layer or owner.

    `undetermined` are its undetermined entries. Those of an ecosystem without a feed may be missing.
    """

    package: Package
    findings: tuple[Finding, ...] = ()
    undetermined: tuple[UndeterminedFact, ...] = ()


class BundleComponent(NamedTuple):
    """A component in a bundle, at `path_count` paths. `is_owned`: it belongs to a distribution's package."""

    component: int
    path_count: int
    is_owned: bool = False


# What bundles contain. Components without findings and undetermined entries may be missing, see
# `FleetJudge.should_count_packages`.
Bundles = Mapping[int, tuple[BundleComponent, ...]]


class FleetPlatform(NamedTuple):
    """One platform of an image. `digest` is its manifest's.

    `ecosystems` are those of the packages without an owner. `inventory` has everything but packages; None if
    `FleetJudge.should_read_inventory` does not ask for it.
    """

    digest: str
    bundles: tuple[tuple[int, LayerOrigin], ...]
    ecosystems: tuple[str, ...] = ()
    package_count: int = 1
    unread_count: int = 0
    has_known_base: bool = False
    inventory: Inventory | None = None


class FleetImage(NamedTuple):
    """An image, or an index with its platforms.

    `repository` is the one whose waivers count, None if none do. `is_plain` is false if something belongs to the
    verdict that is not in the index: reports of other scanners, baselines, no scan.
    """

    digest: str
    platforms: tuple[FleetPlatform, ...]
    repository: str | None = None
    provenance: ProvenanceFacts | None = None
    is_plain: bool = True


@dataclass(frozen=True, slots=True)
class FleetWaivers:
    """All waivers and VEX statements of the server, and statements attached to images."""

    waivers: tuple[Waiver, ...] = ()
    statements: tuple[VexStatement, ...] = ()
    attached_statements: Mapping[str, tuple[VexStatement, ...]] = field(default_factory=dict)


class PlatformResult(NamedTuple):
    """The status of a platform, and its findings by severity, in the order of `Severity`.

    Also the time at which the status can change. `changes_at` are seconds since 1970, infinite if time alone changes
    nothing. `waived_count` is how many findings, violations and unread paths waivers and VEX statements excuse.
    `rejecting_rules` are the names of the rules that it violates, `undetermined_kinds` those of the undetermined
    entries (`Undetermined.kind`) to which a rule objects.
    """

    status: Status
    counts: tuple[int, ...]
    changes_at: float
    waived_count: int
    rejecting_rules: tuple[str, ...] = ()
    undetermined_kinds: frozenset[str] = frozenset()
