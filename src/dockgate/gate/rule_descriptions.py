"""The rules of a policy in words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dockgate.gate.active_rules import list_active_rules
from dockgate.gate.model import Policy, RuleAction
from dockgate.gate.policy import get_action
from dockgate.gate.rule import Rule


@dataclass(frozen=True, slots=True)
class RuleDescription:
    """One use of a rule in words: what an image must satisfy, and what follows if it does not."""

    rule: str
    action: RuleAction
    sentences: tuple[str, ...]


def describe_rules(policy: Policy, rules: Sequence[Rule]) -> tuple[RuleDescription, ...]:
    """Describe the rules of a policy and the mandatory ones, sorted by name.

    A rule that is not in `rules` is described as unknown: no verdict is possible with it.
    """
    names = {rule.name for rule in rules}
    known_part = replace(policy, rules={name: uses for name, uses in policy.rules.items() if name in names})
    descriptions = [
        RuleDescription(active.rule.name, active.action, tuple(active.rule.describe(active.settings)))
        for active in list_active_rules(known_part, rules)
    ]
    descriptions += [
        RuleDescription(name, get_action(settings), ("This rule does not exist here: no verdict is possible.",))
        for name, uses in policy.rules.items()
        if name not in names
        for settings in uses
    ]
    return tuple(sorted(descriptions, key=lambda description: description.rule))
