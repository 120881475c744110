"""The rules of a policy with their settings, and their answers to the facts about an image. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from dockgate.gate import cve_enrichment
from dockgate.gate.model import NonBlockingViolation, Policy, RuleAction, Settings, Violation
from dockgate.gate.policy import get_action
from dockgate.gate.rule import Rule, RuleInput
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.matching import TOO_MANY_FINDINGS
from dockgate.vulnerabilities.model import UndeterminedFact


@dataclass(frozen=True, slots=True)
class ActiveRule:
    """A rule with the settings that the policy gives it, and what a violation leads to."""

    rule: Rule
    settings: Settings
    action: RuleAction


def list_active_rules(policy: Policy, rules: Sequence[Rule]) -> list[ActiveRule]:
    """The rules that the policy names, once for each use, and the mandatory ones. Sorted by name.

    Raises DefinitionError if the policy names a rule that is not in `rules`.
    """
    unknown = sorted(policy.rules.keys() - {rule.name for rule in rules})
    if unknown:
        raise DefinitionError(
            f"the policy {policy.name} names rules that do not exist: {', '.join(unknown)}",
            f"Rules that exist: {', '.join(sorted(rule.name for rule in rules))}.",
        )
    active_rules: list[ActiveRule] = []
    for rule in sorted(rules, key=lambda rule: rule.name):
        uses = policy.rules.get(rule.name, ())
        if not uses and rule.mandatory_settings is not None:
            uses = (rule.parse_settings(rule.mandatory_settings),)
        for settings in uses:
            action = RuleAction.REJECT if rule.mandatory_settings is not None else get_action(settings)
            active_rules.append(ActiveRule(rule, settings, action))
    return active_rules


def list_required_catalogues(active_rules: Sequence[ActiveRule]) -> tuple[str, ...]:
    """The catalogues (KEV, EPSS) that a rejecting rule needs."""
    return list_catalogues([active for active in active_rules if active.action is RuleAction.REJECT])


def list_catalogues(active_rules: Sequence[ActiveRule]) -> tuple[str, ...]:
    """The catalogues (KEV, EPSS) that a rule reads."""
    fields = (name for active in active_rules for name in active.rule.required_fields)
    return cve_enrichment.select_catalogues(fields, (str(active.settings.get("when", "")) for active in active_rules))


@dataclass
class OutcomesByAction:
    """What the rules found, by the action of each rule.

    `not_waivable_by_message` are violations of expressions over findings: a new finding breaks them without changing
    the message, so no waiver may accept them by that message.
    """

    violations: dict[RuleAction, list[Violation]] = field(default_factory=lambda: {action: [] for action in RuleAction})
    undetermined: dict[UndeterminedFact, None] = field(default_factory=dict)
    not_waivable_by_message: list[Violation] = field(default_factory=list)


def judge_by_rules(
    rule_input: RuleInput, active_rules: Sequence[ActiveRule], *, is_scanned_too: bool = False
) -> OutcomesByAction:
    """Ask each rule about the facts.

    `is_scanned_too`: the facts are another scanner's report, and our own scan decides what it leaves undetermined,
    unless it was cut off at the limit of findings.
    """
    outcomes = OutcomesByAction()
    for active_rule in active_rules:
        for entry in _judge_by_rule(active_rule, rule_input):
            if isinstance(entry, NonBlockingViolation):
                outcomes.violations[entry.action].append(entry.violation)
            elif isinstance(entry, Violation):
                outcomes.violations[active_rule.action].append(entry)
                if not entry.findings and "findings" in str(active_rule.settings.get("when", "")):
                    outcomes.not_waivable_by_message.append(entry)
            elif is_scanned_too and entry != TOO_MANY_FINDINGS:
                outcomes.violations[RuleAction.NOTE].append(Violation(active_rule.rule.name, entry.reason))
            elif active_rule.action is RuleAction.REJECT:
                outcomes.undetermined[_add_advice(entry, active_rule.rule, rule_input)] = None
            else:
                outcomes.violations[active_rule.action].append(Violation(active_rule.rule.name, entry.reason))
    return outcomes


def _judge_by_rule(
    active: ActiveRule, rule_input: RuleInput
) -> Iterator[Violation | UndeterminedFact | NonBlockingViolation]:
    """The rule's own answers, and whether another scanner's report lacks what the rule needs."""
    rule = active.rule
    yield from rule.judge(rule_input, active.settings)
    problems = []
    if missing_fields := [
        name for name in rule.required_fields if name in rule_input.missing_fields and rule_input.matches.findings
    ]:
        problems.append(f"does not report {', '.join(missing_fields)}")
    if (unlisted_count := sum(rule_input.unlisted_counts.values())) and rule.required_fields:
        problems.append(f"counted {unlisted_count} finding{'s' if unlisted_count != 1 else ''} without listing them")
    yield from (
        UndeterminedFact("/", f"{rule_input.source} {problem}: {rule.name} cannot be judged.") for problem in problems
    )


def _add_advice(entry: UndeterminedFact, rule: Rule, rule_input: RuleInput) -> UndeterminedFact:
    """The entry with a next step, unless the rule or the kind of the entry has one."""
    if entry.kind or entry.advice:
        return entry
    advice = f"Fix what the reason names, or change the rule `{rule.name}` of the policy."
    if rule_input.is_external:
        advice = f"Scan the image again with {rule_input.source}, and upload the complete report."
    return replace(entry, advice=advice)
