"""Find the versions that a package can be upgraded to, and the findings of each version. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cmp_to_key, partial

from dockgate.gate.model import Violation
from dockgate.gate.remediation.search_budget import SearchBudget
from dockgate.scanner.model import Inventory, Package
from dockgate.shared.errors import UncomparableError
from dockgate.vulnerabilities.model import Finding, UndeterminedFact
from dockgate.vulnerabilities.ports import PackageMatcher

# Versions of one package that are tried, fewer in images with very many findings. A kernel's headers have hundreds of
# fixed versions.
TARGET_LIMIT = 24

# The findings by (path, finding id), as findings of the installed package.
FindingsByPath = Mapping[tuple[str, str], Finding]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A version that a package's source can be upgraded to.

    `cleared_findings` are the ids of findings that it does not have, `remaining_findings` its findings. `is_clean`: it
    adds no finding and nothing undetermined.
    """

    version: str
    cleared_findings: frozenset[str]
    remaining_findings: FindingsByPath
    is_clean: bool

    def is_no_worse_than(self, target: "Target") -> bool:
        """Return whether the other version has all findings of this one."""
        return all(target.remaining_findings.get(key) == finding for key, finding in self.remaining_findings.items())


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """The packages of one purl, which can be upgraded. `targets` are sorted, lowest first.

    `choices` are the targets that no other target beats. With a single clean choice (`is_simple`), the only decision is
    whether to upgrade at all: it removes findings and adds none.
    """

    purl: str
    packages: tuple[Package, ...]
    is_in_base: bool
    targets: tuple[Target, ...]
    choices: tuple[Target, ...]

    @property
    def is_simple(self) -> bool:
        """Return whether a single clean choice is left."""
        return len(self.choices) == 1 and self.choices[0].is_clean

    def list_targets_below(self, version: str) -> Iterator[Target]:
        """The targets below this version, lowest first."""
        for target in self.targets:
            if target.version == version:
                return
            yield target


def find_candidates(
    inventory: Inventory, violations: Iterable[Violation], matcher: PackageMatcher, budget: SearchBudget
) -> list[Candidate]:
    """Find the packages in violations of which some finding has a fix.

    Those that clear the most findings come first, then those of the image's own layers, by name.
    """
    violating: dict[str, list[Finding]] = {}
    for violation in violations:
        for finding in violation.findings:
            violating.setdefault(finding.package.purl, []).append(finding)
    packages_by_purl: dict[str, list[Package]] = {purl: [] for purl in violating}
    for package in inventory.packages:
        if package.purl in packages_by_purl:
            packages_by_purl[package.purl].append(package)
    installed_matches = {
        purl: _match_at_version(packages, None, matcher) for purl, packages in packages_by_purl.items()
    }
    cost = sum(map(len, packages_by_purl.values())) + sum(len(findings) for findings, _ in installed_matches.values())
    target_limit = budget.count_rounds(cost, TARGET_LIMIT)
    candidates = []
    for purl, findings in violating.items():
        fixed_versions = {finding.fixed for finding in findings}
        targets = _find_targets(packages_by_purl[purl], installed_matches[purl], fixed_versions, matcher, target_limit)
        budget.spend(sum(len(packages_by_purl[purl]) + len(target.remaining_findings) for target in targets))
        if targets:
            is_in_base = all(inventory.is_in_base(package) for package in packages_by_purl[purl])
            candidates.append(
                Candidate(purl, tuple(packages_by_purl[purl]), is_in_base, targets, _select_best_targets(targets))
            )
    clears = {purl: sum(bool(finding.fixed) for finding in findings) for purl, findings in violating.items()}
    return sorted(
        candidates,
        key=lambda candidate: (
            -clears[candidate.purl],
            candidate.is_in_base,
            candidate.packages[0].name,
            candidate.purl,
        ),
    )


def _find_targets(
    packages: Sequence[Package],
    installed_matches: tuple[FindingsByPath, frozenset[UndeterminedFact]],
    fixed_versions: set[str | None],
    matcher: PackageMatcher,
    target_limit: int,
) -> tuple[Target, ...]:
    """The fixed versions, and those that fix what a fixed version adds.

    () if the versions cannot be compared. `installed_matches` are those of the installed version. `fixed_versions`
    contains None for findings without a fix. They may disappear when other findings are fixed.
    """
    before, undetermined_before = installed_matches
    versions = {version for version in fixed_versions if version} | (
        _collect_fixes(before) if None in fixed_versions else set()
    )
    ordered_versions = _sort_versions(packages[0].ecosystem, versions, matcher)
    if len(ordered_versions) > target_limit:
        ordered_versions = [
            ordered_versions[len(ordered_versions) * step // target_limit] for step in range(target_limit - 1)
        ] + ordered_versions[-1:]
    targets: dict[str, Target] = {}
    untried_versions = list(reversed(ordered_versions))
    while untried_versions and len(targets) < 2 * target_limit:
        version = untried_versions.pop()
        if version in targets:
            continue
        remaining, undetermined_after = _match_at_version(packages, version, matcher)
        is_clean = undetermined_after == undetermined_before and all(
            before.get(key) == finding for key, finding in remaining.items()
        )
        cleared_ids = frozenset(identity for path, identity in before if (path, identity) not in remaining)
        targets[version] = Target(version, cleared_ids, remaining, is_clean)
        added_fixes = {finding.fixed for key, finding in remaining.items() if before.get(key) != finding}
        further = {fix for fix in added_fixes if fix} | (_collect_fixes(remaining) if None in added_fixes else set())
        untried_versions += sorted(further - targets.keys(), reverse=True)
    return tuple(targets[version] for version in _sort_versions(packages[0].ecosystem, set(targets), matcher))


def _collect_fixes(findings: FindingsByPath) -> set[str]:
    return {finding.fixed for finding in findings.values() if finding.fixed}


def _match_at_version(
    packages: Sequence[Package], version: str | None, matcher: PackageMatcher
) -> tuple[FindingsByPath, frozenset[UndeterminedFact]]:
    """Findings and undetermined entries of the package at a version, None for the installed one."""
    by_path = {package.path: package for package in packages}
    if version is not None:
        packages = [replace(package, version=version, source_version=version) for package in packages]
    matches = matcher.match(packages)  # of all at once: that is limited
    findings = {
        (finding.package.path, finding.id): finding.with_package(by_path[finding.package.path])
        for finding in matches.findings
    }
    return findings, frozenset(matches.undetermined)


def _select_best_targets(targets: Sequence[Target]) -> tuple[Target, ...]:
    """The targets that no lower or better target beats."""
    best_targets: list[Target] = []
    for target in targets:
        if any(choice.is_no_worse_than(target) for choice in best_targets):
            continue
        best_targets = [choice for choice in best_targets if not target.is_no_worse_than(choice)] + [target]
    return tuple(best_targets)


def _sort_versions(ecosystem: str, versions: set[str], matcher: PackageMatcher) -> list[str]:
    """The versions, lowest first; [] if they cannot be compared. A single version needs no order."""
    try:
        return sorted(sorted(versions), key=cmp_to_key(partial(matcher.compare, ecosystem)))
    except UncomparableError:
        return []
