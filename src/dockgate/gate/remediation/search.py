"""Search for the upgrades with which an image would pass.

They are proven by evaluating it again with them applied. Pure: no I/O, no clock.

The algorithm is a minimum set cover whose solutions are tried. A candidate is *simple* if one version removes findings
and adds none. Each combination of versions of the other candidates is a *start* (`_Start`; beyond START_LIMIT they get
their best version): its upgrades are fixed, and simple ones are chosen. Each violation is a requirement: so many of its
findings must be cleared, and each simple candidate clears some. `set_cover.py` proposes the smallest sets that meet all
requirements, and a set counts if the image with it is Approved (`_Trials`). If numbers of findings alone decide
(`_is_counting`), fewer upgrades cannot suffice; otherwise smaller sets are tried too, up to a limit. Then each upgrade
is lowered to the lowest version that still suffices. Of all starts, the fewest upgrades win. If no start suffices, the
best start gives upgrades that clear as much as all upgrades do, none of which can be left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from dockgate.gate.model import Obstacle, Remediation, Status, Violation
from dockgate.gate.remediation.result import Versions, build_commands, describe_obstacles, describe_upgrades
from dockgate.gate.remediation.search_budget import SearchBudget
from dockgate.gate.remediation.set_cover import LimitedTrials, Requirement, find_irreducible_set, find_smallest_set
from dockgate.gate.remediation.upgrade_candidates import Candidate, Target, find_candidates
from dockgate.gate.rule import Evaluation
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Ecosystem
from dockgate.vulnerabilities.matching import TOO_MANY_FINDINGS, set_versions
from dockgate.vulnerabilities.model import Finding
from dockgate.vulnerabilities.ports import PackageMatcher

# Combinations of versions of packages without a best version that are tried.
START_LIMIT = 32
_CUT_SHORT = Obstacle("The search for upgrades ended early: the image has too many packages and findings.")


def find_remediation(
    inventory: Inventory,
    before: Evaluation,
    evaluate: Callable[[Inventory], Evaluation],
    matcher: PackageMatcher,
    ecosystems: Sequence[Ecosystem],
    budget: SearchBudget,
) -> Remediation:
    """Find the smallest set of upgrades with which the image is Approved.

    Each is to the lowest sufficient version. Without such a set, returns the upgrades that clear what can be cleared,
    and the obstacles. The search ends early when its budget is spent: then it returns what it has proven until then.

    `before` is the evaluation of the inventory, `evaluate` evaluates an upgraded one. For most packages one version
    removes findings and adds none. The packages where each version has findings of its own are tried in every
    combination; the others are searched for each combination.
    """
    if before.status is Status.APPROVED:
        return Remediation()
    if TOO_MANY_FINDINGS in before.undetermined:
        return Remediation(obstacles=(Obstacle(TOO_MANY_FINDINGS.reason),))  # nothing can be proven
    trials = _Trials(inventory, evaluate, before, budget)
    search = _search(trials, before.violations, matcher)
    wider = None
    if not budget.is_spent and (before.undetermined or not all(violation.findings for violation in before.violations)):
        # Undetermined entries and violations without findings may depend on any finding.
        wider = _search(trials, (*before.violations, Violation("", "", before.findings)), matcher)
    if wider and wider.is_sufficient:
        if not search.is_sufficient or len(wider.fewest.upgrades) < len(search.fewest.upgrades):
            search = wider
    elif wider and not search.is_sufficient and before.undetermined:
        search = min(search, wider, key=lambda option: option.least_residue)
    solution = search.solution
    versions = {candidate.purl: target.version for candidate, target in solution.upgrades.items()}
    after = trials.evaluate(versions)
    upgrades = describe_upgrades(before, after, solution.upgrades)
    obstacles = () if solution.is_sufficient else describe_obstacles(inventory, after, versions, search.candidates)
    own_upgrades, base_upgrades = (
        [upgrade for upgrade in upgrades if upgrade.is_in_base is is_base] for is_base in (False, True)
    )
    return Remediation(
        upgrades=upgrades,
        is_sufficient=solution.is_sufficient,
        is_minimum=solution.is_minimum and not budget.is_spent,
        obstacles=(_CUT_SHORT, *obstacles) if obstacles and budget.is_spent else obstacles,
        commands=build_commands(own_upgrades, inventory, ecosystems),
        base_commands=build_commands(base_upgrades, inventory, ecosystems),
    )


def _search(trials: "_Trials", violations: Sequence[Violation], matcher: PackageMatcher) -> "_Search":
    """Search among the packages in violations, also in those that appear only after upgrades.

    A rule may report the worst finding only, and a waiver may accept the installed version only.
    """
    considered_violations = list(violations)
    while True:
        search = _Search(trials, find_candidates(trials.inventory, considered_violations, matcher, trials.budget))
        if search.is_sufficient or trials.budget.is_spent:
            return search
        known_fixes = {_make_fix_key(finding) for violation in considered_violations for finding in violation.findings}
        after = search.best_start.all_upgraded
        # A new violation without findings may depend on any finding.
        new_violations = [
            violation if violation.findings or violation in violations else replace(violation, findings=after.findings)
            for violation in after.violations
        ]
        new_violations = [
            violation
            for violation in new_violations
            if not known_fixes.issuperset(map(_make_fix_key, violation.findings))
        ]
        if not new_violations:
            return search
        considered_violations += new_violations


def _make_fix_key(finding: Finding) -> tuple[str, str, str | None]:
    return finding.package.purl, finding.id, finding.fixed


@dataclass(frozen=True, slots=True)
class _Solution:
    """The candidates to upgrade, and to which version."""

    upgrades: Mapping[Candidate, Target]
    is_sufficient: bool
    is_minimum: bool


class _Search:
    """The reach of upgrading some of these candidates."""

    def __init__(self, trials: "_Trials", candidates: Sequence[Candidate]) -> None:
        self.candidates = candidates
        simple_candidates = [candidate for candidate in candidates if candidate.is_simple]
        multiple_choices = [candidate for candidate in candidates if not candidate.is_simple]
        combined_candidates = _limit_combinations(multiple_choices)
        # The candidates over the limit are reduced to the version with the fewest findings (among equals the lowest),
        # and each set is evaluated.
        reduced_candidates = [
            replace(candidate, choices=(min(candidate.choices, key=lambda target: len(target.remaining_findings)),))
            for candidate in multiple_choices[len(combined_candidates) :]
        ]
        self._is_exhaustive = not reduced_candidates
        self._trials = trials
        self._possible_starts = [
            _Start(
                trials, [*simple_candidates, *reduced_candidates], chosen_targets, is_monotone=not reduced_candidates
            )
            for chosen_targets in _list_combinations(combined_candidates)
        ]

    @cached_property
    def _starts(self) -> list["_Start"]:
        """The starts with everything upgraded, as many as the budget pays: at least the first."""
        starts: list[_Start] = []
        for start in self._possible_starts:
            if starts and self._trials.budget.is_spent:
                break
            _ = start.all_upgraded
            starts.append(start)
        return starts

    @cached_property
    def is_sufficient(self) -> bool:
        return any(start.is_sufficient for start in self._starts)

    @cached_property
    def best_start(self) -> "_Start":
        """The start with the smallest residue."""
        return min(self._starts, key=lambda start: start.rank)

    @property
    def least_residue(self) -> int:
        """The number of violations and undetermined entries that remain if everything is upgraded."""
        return self.best_start.rank[0]

    @property
    def solution(self) -> _Solution:
        """The fewest sufficient upgrades, or those that clear what can be cleared."""
        if self.is_sufficient:
            return self.fewest
        return _Solution(self.best_start.clear_most(), is_sufficient=False, is_minimum=False)

    @cached_property
    def fewest(self) -> _Solution:
        solutions: list[tuple[Mapping[Candidate, Target], bool]] = []
        for start in (start for start in self._starts if start.is_sufficient):
            if not solutions or len(start.fixed_upgrades) < min(len(chosen_targets) for chosen_targets, _ in solutions):
                solutions.append(start.find_fewest())
        chosen_targets, _ = min(solutions, key=lambda solution: len(solution[0]))
        is_minimum = self._is_exhaustive and all(is_minimum for _, is_minimum in solutions)
        return _Solution(chosen_targets, is_sufficient=True, is_minimum=is_minimum)


class _Trials:
    """Evaluations of the inventory with some packages upgraded, each computed once."""

    def __init__(
        self,
        inventory: Inventory,
        evaluate: Callable[[Inventory], Evaluation],
        before: Evaluation,
        budget: SearchBudget,
    ) -> None:
        self.inventory, self._evaluate = inventory, evaluate
        self._evaluations: dict[frozenset[tuple[str, str]], Evaluation] = {frozenset(): before}
        self.budget = budget

    def can_evaluate(self, versions: Versions) -> bool:
        """Return whether the evaluation is known, or the budget is not spent."""
        return not self.budget.is_spent or frozenset(versions.items()) in self._evaluations

    def evaluate(self, versions: Versions) -> Evaluation:
        key = frozenset(versions.items())
        if key not in self._evaluations:
            evaluation = self._evaluations[key] = self._evaluate(set_versions(self.inventory, versions))
            self.budget.spend(len(self.inventory.packages) + len(evaluation.findings))
        return self._evaluations[key]


def _limit_combinations(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """As many of the first candidates as can be tried in all combinations."""
    combinations = 1
    for count, candidate in enumerate(candidates):
        combinations *= 1 + len(candidate.choices)
        if combinations > START_LIMIT:
            return candidates[:count]
    return candidates


def _list_combinations(candidates: Sequence[Candidate]) -> list[Mapping[Candidate, Target]]:
    """Return every combination of upgrades, also that of none. Those with the fewest come first."""
    picks = product(*((None, *candidate.choices) for candidate in candidates))
    combinations = ({candidate: pick for candidate, pick in zip(candidates, row, strict=True) if pick} for row in picks)
    return sorted(combinations, key=len)


@dataclass
class _Start:
    """Some upgrades (`fixed_upgrades`) that are fixed; the `simple` candidates are left to choose from.

    `is_monotone`: no simple candidate adds a finding.
    """

    trials: _Trials
    simple: Sequence[Candidate]
    fixed_upgrades: Mapping[Candidate, Target]
    is_monotone: bool

    @cached_property
    def base(self) -> Evaluation:
        """The evaluation with the fixed upgrades alone."""
        return self.trials.evaluate(self._list_versions(frozenset()))

    @cached_property
    def all_upgraded(self) -> Evaluation:
        return self.trials.evaluate(self._list_versions(frozenset(range(len(self.simple)))))

    @property
    def is_sufficient(self) -> bool:
        return self.all_upgraded.status is Status.APPROVED

    @property
    def rank(self) -> tuple[int, int]:
        """The size of the residue if everything is upgraded, then the number of fixed upgrades."""
        return len(_collect_problems(self.all_upgraded)), len(self.fixed_upgrades)

    def find_fewest(self) -> tuple[Mapping[Candidate, Target], bool]:
        """The fewest sufficient upgrades, and whether it is certain that fewer do not suffice."""
        cover = find_smallest_set(
            len(self.simple),
            self._requirements,
            lambda members: self._is_approved(self._list_versions(members)),
            is_counting=self._is_counting,
        )
        return self._lower(cover.members, self._is_approved), cover.is_minimum

    def clear_most(self) -> Mapping[Candidate, Target]:
        """Upgrades that leave no more than all upgrades together do, none of which can be left out."""
        members = find_irreducible_set(
            len(self.simple),
            self._requirements,
            lambda members: self._is_no_worse(self._list_versions(members)),
            is_counting=self._is_counting,
        )
        return self._lower(members, self._is_no_worse)

    def _list_versions(self, members: frozenset[int]) -> dict[str, str]:
        fixed_versions = {candidate.purl: target.version for candidate, target in self.fixed_upgrades.items()}
        return fixed_versions | {self.simple[index].purl: self.simple[index].choices[0].version for index in members}

    def _is_approved(self, versions: Versions) -> bool:
        return self.trials.can_evaluate(versions) and self.trials.evaluate(versions).status is Status.APPROVED

    def _is_no_worse(self, versions: Versions) -> bool:
        return self.trials.can_evaluate(versions) and _collect_problems(
            self.trials.evaluate(versions)
        ) <= _collect_problems(self.all_upgraded)

    @cached_property
    def _is_counting(self) -> bool:
        """Return whether the numbers of findings alone decide: no upgrade changes what is undetermined."""
        return (
            self.is_monotone
            and set(self.base.undetermined) == set(self.all_upgraded.undetermined)
            and all(violation.findings and violation.allowed is not None for violation in self.base.violations)
        )

    @cached_property
    def _violating_ids(self) -> Sequence[Sequence[Sequence[str]]]:
        """The ids of the findings in each violation, by violation and simple candidate."""
        index_of = {candidate.purl: index for index, candidate in enumerate(self.simple)}
        ids_by_violation: list[list[list[str]]] = [[[] for _ in self.simple] for _ in self.base.violations]
        for violation, ids in zip(self.base.violations, ids_by_violation, strict=True):
            for finding in violation.findings:
                if finding.package.purl in index_of:
                    ids[index_of[finding.package.purl]].append(finding.id)
        return ids_by_violation

    @cached_property
    def _requirements(self) -> Sequence[Requirement]:
        """Return how many findings each violation needs cleared: enough to pass the rule, or all that can be."""
        requirements = []
        for violation, ids in zip(self.base.violations, self._violating_ids, strict=True):
            weights = tuple(
                _count_cleared(candidate_ids, candidate.choices[0])
                for candidate_ids, candidate in zip(ids, self.simple, strict=True)
            )
            excess = 0 if violation.allowed is None else len(violation.findings) - violation.allowed
            requirements.append(Requirement(min(excess, sum(weights)), weights))
        return requirements

    def _lower(self, members: frozenset[int], is_enough: Callable[[Versions], bool]) -> Mapping[Candidate, Target]:
        """Lower each upgrade of the set to the lowest version that is still enough.

        If counting does not decide, TRIAL_LIMIT versions are tried at most, and the other upgrades stay as they are.
        """
        is_enough = is_enough if self._is_counting else LimitedTrials(is_enough)
        lowered_targets: dict[int, Target] = {}
        versions = self._list_versions(members)
        spare = [
            sum(requirement.weights[index] for index in members) - requirement.need
            for requirement in self._requirements
        ]
        for index in sorted(members):
            candidate = self.simple[index]
            for target in candidate.list_targets_below(candidate.choices[0].version):
                spare_after = [
                    room - requirement.weights[index] + _count_cleared(ids[index], target)
                    for room, requirement, ids in zip(spare, self._requirements, self._violating_ids, strict=True)
                ]
                if target.is_clean and any(room < 0 for room in spare_after):
                    continue
                if is_enough({**versions, candidate.purl: target.version}):
                    lowered_targets[index], spare = target, spare_after
                    versions = {**versions, candidate.purl: target.version}
                    break
        chosen_targets = {
            self.simple[index]: lowered_targets.get(index, self.simple[index].choices[0]) for index in sorted(members)
        }
        for candidate, choice in self.fixed_upgrades.items():
            lower = (
                target
                for target in candidate.list_targets_below(choice.version)
                if is_enough({**versions, candidate.purl: target.version})
            )
            chosen_targets[candidate] = next(lower, choice)
            versions = {**versions, candidate.purl: chosen_targets[candidate].version}
        return chosen_targets


def _count_cleared(ids: Sequence[str], target: Target) -> int:
    """Count the findings that the version does not have."""
    return sum(identity in target.cleared_findings for identity in ids)


def _collect_problems(evaluation: Evaluation) -> frozenset[tuple[str | None, ...]]:
    """The violations and undetermined entries, in a form in which two evaluations can be compared."""
    with_findings = {
        (violation.rule, finding.package.purl, finding.package.path, finding.id)
        for violation in evaluation.violations
        for finding in violation.findings
    }
    without_findings = {
        (violation.rule, violation.message) for violation in evaluation.violations if not violation.findings
    }
    undetermined_entries = {("", entry.kind, entry.reason) for entry in evaluation.undetermined}
    return frozenset(with_findings | without_findings | undetermined_entries)
