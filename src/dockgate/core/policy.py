"""Policies in canonical form: the bytes that are hashed, and how one policy is made stricter by another."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dockgate.core import canonical
from dockgate.core.verdict import Policy, RuleAction, Settings

COUNTING_RULE = "max_findings"
"""the rule whose settings say how findings are counted"""
VEX_RULE = "vex"
"""the rule whose settings say whose VEX statements are believed"""


def of_rules(name: str, rules: Mapping[str, Sequence[Mapping[str, object]]]) -> Policy:
    """A policy of settings that are in full already, with its digest."""
    settings = {rule: tuple(dict(one) for one in rules[rule]) for rule in sorted(rules)}
    unnamed = Policy(name, settings, "")
    return replace(unnamed, digest=canonical.digest(policy_bytes(unnamed)))


def policy_bytes(policy: Policy) -> bytes:
    """The canonical bytes of a policy, those its digest is of: its name and rules."""
    return canonical.encode({"name": policy.name, "rules": policy.rules})


def of_bytes(data: bytes) -> Policy:
    """The policy whose `policy_bytes` these are."""
    policy: Policy = canonical.build(Policy, {**json.loads(data), "digest": canonical.digest(data)})
    return policy


def action_of(settings: Settings) -> RuleAction:
    """What follows when the rule is broken under these settings; rejection where they do not say."""
    return RuleAction(str(settings.get("action", RuleAction.REJECT)))


def stricter(policy: Policy, asked: Policy) -> Policy:
    """The policy with what a repository asks of itself on top: every rule of either is judged, so that nothing is
    approved that `policy` would not approve. Whom to believe (VEX) is for `policy` alone to say."""
    merged = dict(policy.rules)
    for name, uses in asked.rules.items():
        if name != VEX_RULE:
            held = merged.get(name, ())
            merged[name] = (*held, *(use for use in uses if use not in held))
    return of_rules(f"{policy.name}+{asked.name}", merged)
