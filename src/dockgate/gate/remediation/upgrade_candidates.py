"""To which versions a package that breaks a rule can be raised, and what it would suffer there. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cmp_to_key, partial

from dockgate.gate.model import Violation
from dockgate.gate.rule import PackageMatcher
from dockgate.scanner.model import Inventory, Package
from dockgate.shared.errors import UncomparableError
from dockgate.vulnerabilities.model import Finding, Undetermined

# Versions of one package that are looked at; a kernel's headers alone have hundreds of fixed versions.
MOST_TARGETS = 24

# (path, finding id) -> the finding, said of the package as it is installed.
Suffered = Mapping[tuple[str, str], Finding]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A version of a package's source. `cleared` are the findings' ids that it is free of, `rest` what stays or comes.

    `clean`: all that is left was there before, and nothing else is said of it than before.
    """

    version: str
    cleared: frozenset[str]
    rest: Suffered
    clean: bool

    def no_worse_than(self, other: "Target") -> bool:
        """Whether whatever it suffers, the other suffers too."""
        return all(other.rest.get(key) == finding for key, finding in self.rest.items())


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A package (all places of one purl) that could be raised. `targets` rise.

    `choices` are those of them than which no other is better. A single clean one leaves nothing to decide but whether
    the package is raised at all (`plain`): it takes something away and adds nothing.
    """

    purl: str
    places: tuple[Package, ...]
    base: bool
    targets: tuple[Target, ...]
    choices: tuple[Target, ...]

    @property
    def plain(self) -> bool:
        return len(self.choices) == 1 and self.choices[0].clean

    def at_best(self) -> "Candidate":
        """With the one choice that leaves the fewest findings; of equals the lowest."""
        return replace(self, choices=(min(self.choices, key=lambda target: len(target.rest)),))

    def below(self, version: str) -> Iterator[Target]:
        """Targets lower than this one, the lowest first."""
        for target in self.targets:
            if target.version == version:
                return
            yield target


def candidates(inventory: Inventory, violations: Iterable[Violation], matching: PackageMatcher) -> list[Candidate]:
    """The packages with a finding that counts in a violation, and of which some finding has a fix, those that clear
    most first; of equals those of the image's own layers, by name."""
    breaking: dict[str, list[Finding]] = {}
    for violation in violations:
        for finding in violation.findings:
            breaking.setdefault(finding.package.purl, []).append(finding)
    places: dict[str, list[Package]] = {purl: [] for purl in breaking}
    for package in inventory.packages:
        if package.purl in places:
            places[package.purl].append(package)
    found = []
    for purl, findings in breaking.items():
        targets = _targets(places[purl], {finding.fixed for finding in findings}, matching)
        if targets:
            base = all(inventory.in_base(package) for package in places[purl])
            found.append(Candidate(purl, tuple(places[purl]), base, targets, _choices(targets)))
    clears = {purl: sum(bool(finding.fixed) for finding in findings) for purl, findings in breaking.items()}
    return sorted(found, key=lambda one: (-clears[one.purl], one.base, one.places[0].name, one.purl))


def _targets(places: Sequence[Package], fixed: set[str], matching: PackageMatcher) -> tuple[Target, ...]:
    """The fixed versions, and those that mend what a fixed version brings with it; none where they have no order.

    `fixed` has "" for what has no fix: it may be gone all the same where others are mended."""
    before, doubts = _suffered(places, None, matching)
    ordered = _ordered(places[0].ecosystem, fixed - {""} | (_fixes(before) if "" in fixed else set()), matching)
    if len(ordered) > MOST_TARGETS:
        ordered = [ordered[len(ordered) * step // MOST_TARGETS] for step in range(MOST_TARGETS - 1)] + ordered[-1:]
    found: dict[str, Target] = {}
    waiting = list(reversed(ordered))
    while waiting and len(found) < 2 * MOST_TARGETS:
        version = waiting.pop()
        if version in found:
            continue
        rest, then = _suffered(places, version, matching)
        clean = then == doubts and all(before.get(key) == finding for key, finding in rest.items())
        cleared = frozenset(identity for path, identity in before if (path, identity) not in rest)
        found[version] = Target(version, cleared, rest, clean)
        come = {one.fixed for key, one in rest.items() if before.get(key) != one}
        waiting += sorted((come | (_fixes(rest) if "" in come else set())) - {"", *found}, reverse=True)
    return tuple(found[version] for version in _ordered(places[0].ecosystem, set(found), matching))


def _fixes(suffered: Suffered) -> set[str]:
    return {finding.fixed for finding in suffered.values() if finding.fixed}


def _suffered(
    places: Sequence[Package], version: str | None, matching: PackageMatcher
) -> tuple[Suffered, frozenset[Undetermined]]:
    """What is said of the package at a version, None for the one that is installed."""
    suffered: dict[tuple[str, str], Finding] = {}
    doubts: set[Undetermined] = set()
    for place in places:
        raised = place if version is None else replace(place, version=version, source_version=version)
        matches = matching.match((raised,))
        doubts.update(matches.undetermined)
        for finding in matches.findings:
            suffered[place.path, finding.id] = finding.of(place)
    return suffered, frozenset(doubts)


def _choices(targets: Sequence[Target]) -> tuple[Target, ...]:
    """Without what another does better, or a lower version as well."""
    best: list[Target] = []
    for target in targets:
        if any(one.no_worse_than(target) for one in best):
            continue
        best = [one for one in best if not target.no_worse_than(one)] + [target]
    return tuple(best)


def _ordered(ecosystem: str, versions: set[str], matching: PackageMatcher) -> list[str]:
    """From the lowest up; [] where they cannot be compared. One alone needs no order."""
    try:
        return sorted(sorted(versions), key=cmp_to_key(partial(matching.compare, ecosystem)))
    except UncomparableError:
        return []
