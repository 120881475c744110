"""What would turn a verdict: the upgrades to make, proven by judging again as if they had been made. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Protocol

from dockgate.gate.model import Obstacle, Remediation, Status, Upgrade, Violation
from dockgate.gate.remediation.set_cover import Cover, Requirement, irreducible, smallest
from dockgate.gate.remediation.upgrade_candidates import Candidate, Target, candidates
from dockgate.gate.rule import PackageMatcher
from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.matching import with_versions
from dockgate.vulnerabilities.model import Finding, State, Undetermined

# Ways to raise the packages of which no version is the best, that are gone through.
MOST_STARTS = 32

# Purl -> the version that its source is raised to.
Versions = Mapping[str, str]
# The commands that make these upgrades.
Advise = Callable[[Sequence[Upgrade]], tuple[str, ...]]


class Evaluation(Protocol):
    """What the rules say of a package list (`gate.Said`)."""

    @property
    def findings(self) -> tuple[Finding, ...]: ...
    @property
    def violations(self) -> tuple[Violation, ...]: ...
    @property
    def undetermined(self) -> tuple[Undetermined, ...]: ...
    @property
    def status(self) -> Status: ...


def find_remediation(
    inventory: Inventory,
    before: Evaluation,
    say: Callable[[Inventory], Evaluation],
    matching: PackageMatcher,
    advise: Advise,
) -> Remediation:
    """The smallest set of upgrades with which the image is Approved, each to the lowest version that is enough.

    Where there is none, the upgrades that take away all that upgrades can, and what stands in the way.

    `before` is what is said of the inventory as it is, `say` what would be said of another. Packages whose best version
    takes findings away and adds none are the rule; those of which each version has something of its own are tried in
    all ways first, and the rest is searched for each.
    """
    if before.status is Status.APPROVED:
        return Remediation()
    trials = _Trials(inventory, say, before)
    search = _searched(trials, before.violations, matching)
    wider = None
    if before.undetermined or not all(violation.findings for violation in before.violations):
        # What cannot be said, or names no finding, may hang on findings that break nothing for sure.
        wider = _searched(trials, (*before.violations, Violation("", "", before.findings)), matching)
    if (
        wider
        and wider.is_sufficient
        and (not search.is_sufficient or len(wider.fewest.chosen) < len(search.fewest.chosen))
    ):
        search = wider
    elif wider and not search.is_sufficient and before.undetermined:
        search = min(search, wider, key=lambda one: one.least)
    solved, found = search.solved, search.found
    versions = {candidate.purl: target.version for candidate, target in solved.chosen.items()}
    after = trials.say(versions)
    upgrades = _upgrades(before, after, solved.chosen)
    return Remediation(
        upgrades=upgrades,
        is_sufficient=solved.is_sufficient,
        is_minimum=solved.is_minimum,
        obstacles=() if solved.is_sufficient else _obstacles(inventory, after, versions, found),
        commands=advise([upgrade for upgrade in upgrades if not upgrade.base]),
        base_commands=advise([upgrade for upgrade in upgrades if upgrade.base]),
    )


def _searched(trials: "_Trials", violations: Sequence[Violation], matching: PackageMatcher) -> "_Search":
    """Among the packages that break something, and those that do so once these are raised: a rule may tell of the worst
    alone, and a waiver may be of the installed version alone."""
    known = list(violations)
    while True:
        search = _Search(trials, candidates(trials.inventory, known, matching))
        if search.is_sufficient:
            return search
        told = {_fix(finding) for violation in known for finding in violation.findings}
        after = search.best.all_raised
        # A new one that names no finding may hang on any.
        come = [
            violation if violation.findings or violation in violations else replace(violation, findings=after.findings)
            for violation in after.violations
        ]
        come = [one for one in come if not told.issuperset(map(_fix, one.findings))]
        if not come:
            return search
        known += come


def _fix(finding: Finding) -> tuple[str, str, str]:
    return finding.package.purl, finding.id, finding.fixed


@dataclass(frozen=True, slots=True)
class _Solved:
    """Which candidates are raised, and to what."""

    chosen: Mapping[Candidate, Target]
    is_sufficient: bool
    is_minimum: bool


class _Search:
    """What can be had by raising these candidates."""

    def __init__(self, trials: "_Trials", found: Sequence[Candidate]) -> None:
        self.found = found
        plain = [one for one in found if one.plain]
        several, self._whole = _few([one for one in found if not one.plain])
        # Of more than can be gone through, only the best version is looked at, and each set is judged.
        beyond = [one.at_best() for one in found if not one.plain and one not in several]
        self._starts = [_Start(trials, [*plain, *beyond], start, simple=not beyond) for start in _starts(several)]

    @cached_property
    def is_sufficient(self) -> bool:
        return any(start.is_sufficient for start in self._starts)

    @cached_property
    def best(self) -> "_Start":
        """The start that leaves the least broken."""
        return min(self._starts, key=lambda start: start.rank)

    @property
    def least(self) -> int:
        """How much stays broken when all is raised."""
        return self.best.rank[0]

    @property
    def solved(self) -> _Solved:
        """The fewest upgrades that turn the verdict; where none do, those that clear what can be cleared."""
        return (
            self.fewest if self.is_sufficient else _Solved(self.best.clearing(), is_sufficient=False, is_minimum=False)
        )

    @cached_property
    def fewest(self) -> _Solved:
        solutions: list[tuple[Mapping[Candidate, Target], bool]] = []
        for start in (start for start in self._starts if start.is_sufficient):
            if not solutions or len(start.chosen) < min(len(chosen) for chosen, _ in solutions):
                solutions.append(start.smallest())
        chosen, _ = min(solutions, key=lambda solution: len(solution[0]))
        return _Solved(chosen, is_sufficient=True, is_minimum=self._whole and all(each for _, each in solutions))


class _Trials:
    """The inventory judged with some packages raised, each way once."""

    def __init__(self, inventory: Inventory, say: Callable[[Inventory], Evaluation], before: Evaluation) -> None:
        self.inventory, self._say = inventory, say
        self._said: dict[frozenset[tuple[str, str]], Evaluation] = {frozenset(): before}

    def say(self, versions: Versions) -> Evaluation:
        key = frozenset(versions.items())
        if key not in self._said:
            self._said[key] = self._say(with_versions(self.inventory, versions))
        return self._said[key]


def _few(several: Sequence[Candidate]) -> tuple[Sequence[Candidate], bool]:
    """As many of these as can be gone through in all ways, and whether these are all."""
    ways = 1
    for taken, one in enumerate(several):
        ways *= 1 + len(one.choices)
        if ways > MOST_STARTS:
            return several[:taken], False
    return several, True


def _starts(several: Sequence[Candidate]) -> list[Mapping[Candidate, Target]]:
    """Every way to raise, or leave, packages of which no version is the best; fewest raised first."""
    picks = product(*((None, *one.choices) for one in several))
    return sorted(({one: pick for one, pick in zip(several, each, strict=True) if pick} for each in picks), key=len)


@dataclass
class _Start:
    """A way to begin, from which only plain candidates are left to choose."""

    trials: _Trials
    plain: Sequence[Candidate]
    chosen: Mapping[Candidate, Target]
    simple: bool

    @cached_property
    def here(self) -> Evaluation:
        return self.trials.say(self._versions(frozenset()))

    @cached_property
    def all_raised(self) -> Evaluation:
        return self.trials.say(self._versions(frozenset(range(len(self.plain)))))

    @property
    def is_sufficient(self) -> bool:
        return self.all_raised.status is Status.APPROVED

    @property
    def rank(self) -> tuple[int, int]:
        """How much stays broken whatever is raised."""
        return len(_residue(self.all_raised)), len(self.chosen)

    def smallest(self) -> tuple[Mapping[Candidate, Target], bool]:
        """The fewest upgrades that turn the verdict, and whether there are no fewer."""
        cover = smallest(len(self.plain), self._demands, self._turned, counted=self._counted)
        return self._lowered(cover, self._approved), cover.is_minimum

    def clearing(self) -> Mapping[Candidate, Target]:
        """Upgrades none of which can be left out, that leave no more than all together do."""
        members = irreducible(len(self.plain), self._demands, self._cleared, counted=self._counted)
        cover = Cover(members, is_minimum=False)
        return self._lowered(cover, self._no_worse)

    def _versions(self, members: frozenset[int]) -> dict[str, str]:
        raised = {self.plain[index].purl: self.plain[index].choices[0].version for index in members}
        return {**{candidate.purl: target.version for candidate, target in self.chosen.items()}, **raised}

    def _approved(self, versions: Versions) -> bool:
        return self.trials.say(versions).status is Status.APPROVED

    def _no_worse(self, versions: Versions) -> bool:
        return _residue(self.trials.say(versions)) <= _residue(self.all_raised)

    def _turned(self, members: frozenset[int]) -> bool:
        return self._approved(self._versions(members))

    def _cleared(self, members: frozenset[int]) -> bool:
        return self._no_worse(self._versions(members))

    @cached_property
    def _counted(self) -> bool:
        """Whether the numbers of findings alone decide."""
        return (
            self.simple
            and not self.here.undetermined
            and all(violation.findings and violation.allowed >= 0 for violation in self.here.violations)
        )

    @cached_property
    def _broken(self) -> Sequence[Sequence[Sequence[str]]]:
        """By violation and plain candidate, the ids of the findings that it has in the violation."""
        place = {one.purl: index for index, one in enumerate(self.plain)}
        told: list[list[list[str]]] = [[[] for _ in self.plain] for _ in self.here.violations]
        for violation, ids in zip(self.here.violations, told, strict=True):
            for finding in violation.findings:
                if finding.package.purl in place:
                    ids[place[finding.package.purl]].append(finding.id)
        return told

    @cached_property
    def _demands(self) -> Sequence[Requirement]:
        """What each violation wants taken away: so much that it is kept, or all that can be."""
        demands = []
        for violation, ids in zip(self.here.violations, self._broken, strict=True):
            weights = tuple(_cleared(each, one.choices[0]) for each, one in zip(ids, self.plain, strict=True))
            excess = len(violation.findings) - violation.allowed if violation.allowed >= 0 else 0
            demands.append(Requirement(min(excess, sum(weights)), weights))
        return demands

    def _lowered(self, cover: Cover, enough: Callable[[Versions], bool]) -> Mapping[Candidate, Target]:
        """Every member at the lowest version that is enough beside the others."""
        picked: dict[int, Target] = {}
        versions = self._versions(cover.members)
        spare = [sum(demand.weights[index] for index in cover.members) - demand.need for demand in self._demands]
        for index in sorted(cover.members):
            one = self.plain[index]
            for target in one.below(one.choices[0].version):
                left = [
                    room - require.weights[index] + _cleared(ids[index], target)
                    for room, require, ids in zip(spare, self._demands, self._broken, strict=True)
                ]
                if target.clean and any(room < 0 for room in left):
                    continue
                if enough({**versions, one.purl: target.version}):
                    picked[index], versions, spare = target, {**versions, one.purl: target.version}, left
                    break
        chosen = {self.plain[index]: picked.get(index, self.plain[index].choices[0]) for index in sorted(cover.members)}
        for one, choice in self.chosen.items():
            lower = (target for target in one.below(choice.version) if enough({**versions, one.purl: target.version}))
            chosen[one] = next(lower, choice)
            versions = {**versions, one.purl: chosen[one].version}
        return chosen


def _cleared(ids: Sequence[str], target: Target) -> int:
    """How many of them the version is free of."""
    return sum(identity in target.cleared for identity in ids)


def _residue(said: Evaluation) -> frozenset[tuple[str, ...]]:
    """What is broken and in doubt, so that two answers can be compared."""
    broken = {
        (violation.rule, finding.package.purl, finding.package.path, finding.id)
        for violation in said.violations
        for finding in violation.findings
    }
    bare = {(violation.rule, violation.message) for violation in said.violations if not violation.findings}
    return frozenset(broken | bare | {("", entry.kind, entry.reason) for entry in said.undetermined})


def _upgrades(before: Evaluation, after: Evaluation, chosen: Mapping[Candidate, Target]) -> tuple[Upgrade, ...]:
    left = {(finding.package.purl, finding.id): finding for finding in after.findings}
    breaking = {(finding.package.purl, finding.id) for violation in after.violations for finding in violation.findings}
    cleared: dict[str, dict[str, None]] = {candidate.purl: {} for candidate in chosen}
    for finding in before.findings:
        purl, key = finding.package.purl, (finding.package.purl, finding.id)
        # Beyond the fix a record without an end may still say "affected": then it is open, and may not count any more.
        opened = key in left and finding.fixed and not left[key].fixed and key not in breaking
        if purl in cleared and (key not in left or opened):
            cleared[purl][finding.id] = None
    made = [
        Upgrade(
            package=candidate.purl,
            name=candidate.places[0].name,
            version=candidate.places[0].version,
            fixed=target.version,
            clears=tuple(cleared[candidate.purl]),
            base=candidate.base,
        )
        for candidate, target in chosen.items()
    ]
    return tuple(sorted(made, key=lambda one: (one.base, one.name, one.package)))


_WHY = {
    State.UNFIXED: "has no fix yet",
    State.WONT_FIX: "has no fix, and its maintainers do not intend one for now",
    State.END_OF_LIFE: "has no fix, for it is past its end of life",
    State.UNKNOWN: "has no fix that its advisories tell of",
}


def _obstacles(
    inventory: Inventory, after: Evaluation, versions: Versions, found: Sequence[Candidate]
) -> tuple[Obstacle, ...]:
    """What stays when all is raised that helps, in the order of the violations."""
    installed = {package.purl: package for package in inventory.packages}
    could = {one.purl for one in found}
    told: dict[Obstacle, None] = {}
    for violation in after.violations:
        if not violation.findings:
            told[Obstacle(f"{violation.message}: no upgrade to a fixed version changes that.")] = None
        for finding in violation.findings:
            package = installed[finding.package.purl]
            why = _reason(finding, f"{package.name} {package.version}", versions.get(package.purl, ""), could)
            told[Obstacle(why, finding.id, package.purl)] = None
    for entry in after.undetermined:
        told[Obstacle(entry.reason, package=entry.subject if entry.subject.startswith("pkg:") else "")] = None
    return tuple(told)


def _reason(finding: Finding, who: str, raised: str, could: set[str]) -> str:
    """Why the finding stays, as a sentence. `raised` is the version that the package was brought to, "" for none."""
    if raised:
        who += f" (and {raised})"
    if finding.malicious and not finding.fixed:
        return f"{who} is malicious, by {finding.id}: remove it."
    if not finding.fixed:
        return f"{who}: {finding.id} {_WHY[finding.state]}."
    if finding.package.purl not in could:
        return f"{who}: {finding.id} is fixed in {finding.fixed}, and these versions cannot be compared."
    return f"{who}: {finding.id} is fixed in {finding.fixed}, which breaks the policy by other findings."
