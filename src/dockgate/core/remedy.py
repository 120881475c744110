"""What would turn a verdict: the upgrades to make, proven by judging again as if they had been made. Pure."""

from collections.abc import Callable, Sequence
from functools import cmp_to_key, partial
from typing import Protocol

from dockgate.core.errors import UncomparableError
from dockgate.core.match import with_versions
from dockgate.core.model import Finding, Inventory, Undetermined
from dockgate.core.ports import Matching
from dockgate.core.verdict import Breach, Obstacle, Remedy, Status, Upgrade


class Said(Protocol):
    """What the rules say of a package list (`gate.Said`)."""

    @property
    def findings(self) -> tuple[Finding, ...]: ...
    @property
    def breaches(self) -> tuple[Breach, ...]: ...
    @property
    def undetermined(self) -> tuple[Undetermined, ...]: ...
    @property
    def status(self) -> Status: ...


def find_remedy(inventory: Inventory, before: Said, say: Callable[[Inventory], Said], matching: Matching) -> Remedy:
    """The upgrades that clear every finding in a breach which has a fix.

    `before` is what is said of the inventory as it is, `say` what would be said of another.

    A finding's `fixed` is the lowest version free of it, so each round is a lower bound of the next: it ends, for
    there are finitely many fixed versions, at the lowest version of each package that breaks no rule.
    """
    if not before.breaches:
        return Remedy()
    versions: dict[str, str] = {}
    after = before
    while raised := _fixes(after.breaches, matching, versions):
        versions |= raised
        after = say(with_versions(inventory, versions))
    return Remedy(
        upgrades=_upgrades(inventory, before, after, versions),
        turns=after.status is Status.APPROVED,
        obstacles=_obstacles(after),
    )


def _upgrades(inventory: Inventory, before: Said, after: Said, versions: dict[str, str]) -> tuple[Upgrade, ...]:
    left = {(finding.package.purl, finding.id): finding for finding in after.findings}
    breaking = {(finding.package.purl, finding.id) for breach in after.breaches for finding in breach.findings}
    cleared: dict[str, dict[str, None]] = {purl: {} for purl in versions}
    for finding in before.findings:
        purl, key = finding.package.purl, (finding.package.purl, finding.id)
        # Beyond the fix a record without an end may still say "affected": then it is open, and may not count any more.
        opened = key in left and finding.fixed and not left[key].fixed and key not in breaking
        if purl in versions and (key not in left or opened):
            cleared[purl][finding.id] = None
    raised = {package.purl: package for package in inventory.packages if cleared.get(package.purl)}
    return tuple(
        Upgrade(
            package=package.purl,
            name=package.name,
            version=package.version,
            fixed=versions[package.purl],
            clears=tuple(cleared[package.purl]),
            base=inventory.in_base(package),
        )
        for package in sorted(raised.values(), key=lambda package: (package.name, package.purl))
    )


def _obstacles(after: Said) -> tuple[Obstacle, ...]:
    found: dict[Obstacle, None] = {}
    for breach in after.breaches:
        if not breach.findings:
            found[Obstacle(f"{breach.message}: no upgrade changes that.")] = None
        for finding in breach.findings:
            package = finding.package
            reason = f"{package.name} {package.version}: {finding.id} has no fix ({finding.state.value})."
            found[Obstacle(reason, finding.id, package.purl)] = None
    for entry in after.undetermined:
        found[Obstacle(entry.reason)] = None
    return tuple(found)


def _fixes(breaches: Sequence[Breach], matching: Matching, tried: dict[str, str]) -> dict[str, str]:
    """Purl -> the version free of all its findings that count in a breach and have a fix."""
    fixes: dict[str, list[str]] = {}
    ecosystems: dict[str, str] = {}
    for breach in breaches:
        for finding in breach.findings:
            if finding.fixed:
                fixes.setdefault(finding.package.purl, []).append(finding.fixed)
                ecosystems[finding.package.purl] = finding.package.ecosystem
    newest = {purl: _newest(ecosystems[purl], versions, matching) for purl, versions in fixes.items()}
    return {purl: version for purl, version in newest.items() if version and tried.get(purl) != version}


def _newest(ecosystem: str, versions: Sequence[str], matching: Matching) -> str:
    """The highest of these versions, "" where they cannot be compared."""
    try:
        return max(sorted(set(versions)), key=cmp_to_key(partial(matching.compare, ecosystem)))
    except UncomparableError:
        return ""
