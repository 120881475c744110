"""Describe the result of a search: the upgrades, the commands that make them, and what remains. Pure."""

from collections.abc import Mapping, Sequence

from dockgate.gate.model import Obstacle, Upgrade
from dockgate.gate.remediation.upgrade_candidates import Candidate, Target
from dockgate.gate.rule import Evaluation
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Ecosystem, PackageUpgrade
from dockgate.shared.purl import is_purl
from dockgate.vulnerabilities.model import Finding, State
from dockgate.vulnerabilities.versions import list_order_names

# The version that the source of each package (by purl) is upgraded to.
Versions = Mapping[str, str]


def describe_upgrades(
    before: Evaluation, after: Evaluation, chosen_targets: Mapping[Candidate, Target]
) -> tuple[Upgrade, ...]:
    """The chosen upgrades, those of the image's own layers first, each with the findings that it clears."""
    remaining = {(finding.package.purl, finding.id): finding for finding in after.findings}
    violating = {(finding.package.purl, finding.id) for violation in after.violations for finding in violation.findings}
    cleared_ids: dict[str, dict[str, None]] = {candidate.purl: {} for candidate in chosen_targets}
    for finding in before.findings:
        purl, key = finding.package.purl, (finding.package.purl, finding.id)
        # Beyond the fix, a record without an end may still say "affected": then it is open, and may not count any more.
        is_open = key in remaining and finding.fixed and not remaining[key].fixed and key not in violating
        if purl in cleared_ids and (key not in remaining or is_open):
            cleared_ids[purl][finding.id] = None
    upgrades = [
        Upgrade(
            package=candidate.purl,
            name=candidate.packages[0].name,
            version=candidate.packages[0].version,
            fixed=target.version,
            clears=tuple(cleared_ids[candidate.purl]),
            is_in_base=candidate.is_in_base,
        )
        for candidate, target in chosen_targets.items()
    ]
    return tuple(sorted(upgrades, key=lambda upgrade: (upgrade.is_in_base, upgrade.name, upgrade.package)))


_REASON_BY_STATE = {
    State.UNFIXED: "has no fix yet",
    State.WONT_FIX: "has no fix, and its maintainers do not plan one",
    State.END_OF_LIFE: "has no fix: its release is past its end of life",
    State.UNKNOWN: "has no fix in its advisories",
}


def describe_obstacles(
    inventory: Inventory, after: Evaluation, versions: Versions, candidates: Sequence[Candidate]
) -> tuple[Obstacle, ...]:
    """Describe what remains after all helpful upgrades, in the order of the violations."""
    installed_packages = {package.purl: package for package in inventory.packages}
    upgradable = {candidate.purl for candidate in candidates}
    obstacles: dict[Obstacle, None] = {}
    for violation in after.violations:
        if not violation.findings:
            obstacles[Obstacle(f"{violation.message}: no upgrade to a fixed version changes that.")] = None
        for finding in violation.findings:
            package = installed_packages[finding.package.purl]
            name = f"{package.name} {package.version}"
            reason = _describe_obstacle(finding, name, versions.get(package.purl), upgradable)
            obstacles[Obstacle(reason, finding.id, package.purl or None)] = None
    for entry in after.undetermined:
        obstacles[Obstacle(entry.reason, package=entry.subject if is_purl(entry.subject) else None)] = None
    return tuple(obstacles)


def _describe_obstacle(finding: Finding, name: str, upgraded_to: str | None, upgradable: set[str]) -> str:
    """Return why the finding remains, as a sentence. `upgraded_to` is None for a package without an upgrade."""
    if upgraded_to:
        name += f" (and {upgraded_to})"
    if finding.is_malicious and not finding.fixed:
        return f"{name} is malicious, by {finding.id}: remove it."
    if not finding.fixed:
        return f"{name}: {finding.id} {_REASON_BY_STATE[finding.state]}."
    if finding.package.purl not in upgradable:
        return f"{name}: {finding.id} is fixed in {finding.fixed}, and these versions cannot be compared."
    return f"{name}: {finding.id} is fixed in {finding.fixed}, which violates the policy with other findings."


def build_commands(
    upgrades: Sequence[Upgrade], inventory: Inventory, ecosystems: Sequence[Ecosystem]
) -> tuple[str, ...]:
    """Shell lines for the upgrades. Upgrades of unknown ecosystems have none."""
    versions = {upgrade.package: upgrade.fixed for upgrade in upgrades}
    upgraded_packages = [
        PackageUpgrade(package, versions[package.purl]) for package in inventory.packages if package.purl in versions
    ]
    lines: list[str] = []
    for ecosystem in ecosystems if upgraded_packages else ():
        matching = [
            entry
            for entry in upgraded_packages
            if not set(list_order_names(entry.package.ecosystem)).isdisjoint(ecosystem.osv_names)
        ]
        if matching:
            lines += ecosystem.build_upgrade_commands(matching)
    return tuple(lines)
