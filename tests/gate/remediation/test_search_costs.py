"""How many sets of upgrades the remediation judges, and that its budget ends the search."""

from collections.abc import Iterator, Mapping

import pytest
from tests.gate.samples import (
    COVERED,
    ECOSYSTEMS,
    IMAGE,
    NOW,
    RULES,
    limit_findings,
    make_advisory,
    make_inventory,
    make_package,
)

from dockgate.gate import evaluate
from dockgate.gate.model import VerdictCase, Violation
from dockgate.gate.remediation.search import find_remediation
from dockgate.gate.remediation.search_budget import WORK_LIMIT, SearchBudget
from dockgate.gate.rule import Evaluation, RuleInput
from dockgate.gate.rules.max_findings import MaxFindings
from dockgate.scanner.model import Inventory, Unread
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import AdvisorySnapshot, Severity, UndeterminedFact

MEDIUM = Severity.MEDIUM


def test_few_sets_are_judged_though_a_file_of_the_image_is_unread() -> None:
    names = [f"p{number:03}" for number in range(100)]
    damaged_inventory = make_inventory(
        *map(make_package, names), unread_paths=(Unread("app/x", "app/x cannot be read."),)
    )
    published = [make_advisory(f"CVE-2024-{name}", name, MEDIUM) for name in names]
    case = VerdictCase(
        IMAGE, limit_findings(MEDIUM=50), NOW, "test", (damaged_inventory,), AdvisorySnapshot(tuple(published), COVERED)
    )
    judged_counts = []

    class Counting(MaxFindings):
        def judge(
            self, rule_input: RuleInput, settings: Mapping[str, object]
        ) -> Iterator[Violation | UndeterminedFact]:
            judged_counts.append(len(rule_input.matches.findings))
            return super().judge(rule_input, settings)

    rules = [Counting() if isinstance(rule, MaxFindings) else rule for rule in RULES]
    (platform,) = evaluate.judge(case, ECOSYSTEMS, rules).platform_verdicts
    assert len(platform.remediation.upgrades) == 50
    assert 1 < len(judged_counts) < 10


def test_few_sets_are_judged_though_what_is_undetermined_vanishes_with_upgrades() -> None:
    """Each package has a version that another rule cannot compare: counting findings does not decide then."""
    names = [f"p{number:03}" for number in range(120)]
    published = [make_advisory(f"CVE-2024-{name}", name, MEDIUM) for name in names]
    judged_counts = []

    class Unsure(MaxFindings):
        def judge(
            self, rule_input: RuleInput, settings: Mapping[str, object]
        ) -> Iterator[Violation | UndeterminedFact]:
            judged_counts.append(len(rule_input.matches.findings))
            yield from super().judge(rule_input, settings)
            for finding in rule_input.matches.findings:
                yield UndeterminedFact(finding.package.purl, f"{finding.package.name} cannot be compared.")

    rules = [Unsure() if isinstance(rule, MaxFindings) else rule for rule in RULES]
    content = make_inventory(*map(make_package, names))
    case = VerdictCase(
        IMAGE, limit_findings(MEDIUM=50), NOW, "test", (content,), AdvisorySnapshot(tuple(published), COVERED)
    )
    (platform,) = evaluate.judge(case, ECOSYSTEMS, rules).platform_verdicts
    assert platform.remediation.is_sufficient
    assert len(platform.remediation.upgrades) == 120
    assert 70 < len(judged_counts) < 360


@pytest.mark.parametrize(("limit", "allowed_count"), [(WORK_LIMIT, 50), (2_000, 50), (0, 50), (0, -1)])
def test_a_search_ends_when_its_budget_is_spent_and_says_so(limit: int, allowed_count: int) -> None:
    """An image with 50,000 findings would be judged hundreds of times."""
    names = [f"p{number:03}" for number in range(100)]
    published = [make_advisory(f"CVE-2024-{name}-{at}", name, fixed=f"2.0.{at}") for name in names for at in range(5)]
    content = make_inventory(*map(make_package, names))
    matcher = Matcher(AdvisorySnapshot(tuple(published), COVERED), ECOSYSTEMS)
    looked_at = []

    def evaluate_findings(upgraded_inventory: Inventory) -> Evaluation:
        """Doubt each finding, so that counting does not decide, and allow so many: fewer than 0 for never."""
        matches = matcher.match(upgraded_inventory.packages)
        looked_at.append(len(upgraded_inventory.packages) + len(matches.findings))
        undetermined_facts = tuple(UndeterminedFact(finding.package.purl, finding.id) for finding in matches.findings)
        count = len(matches.findings)
        violations = (Violation("limit", f"{count}", matches.findings, allowed_count),) if count > allowed_count else ()
        return Evaluation(
            RuleInput(upgraded_inventory, matches, COVERED, NOW),
            matches.findings,
            violations,
            undetermined_facts,
            (),
            (),
            (),
        )

    before = evaluate_findings(content)
    result = find_remediation(content, before, evaluate_findings, matcher, ECOSYSTEMS, SearchBudget(limit))
    assert sum(looked_at[1:]) <= max(limit, 100) + 2 * looked_at[0]
    assert {upgrade.fixed for upgrade in result.upgrades} == {"2.0.4"}
    assert (len(result.upgrades), result.is_sufficient) == (100, allowed_count >= 0)
    assert ("The search for upgrades ended early" in str(result.obstacles)) == (allowed_count < 0)
    assert result.is_minimum == (limit == WORK_LIMIT)
