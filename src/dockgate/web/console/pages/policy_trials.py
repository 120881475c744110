"""A candidate of a policy, tried on past verdicts or on what runs before it is saved."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from dockgate.gate.replay.policy_diff import PolicyComparison
from dockgate.gate.rule_descriptions import RuleDescription
from dockgate.identity.model import Caller
from dockgate.services.verdicts.policy_dry_run import PART_LIMIT
from dockgate.services.web_services import PolicyServices
from dockgate.shared.errors import DockgateError
from dockgate.shared.references import TagReference
from dockgate.store import Store


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate that was tried against `history` or what is `running`.

    `tags` are the newest visible ones of the images that it lists, by digest.
    """

    against: Literal["history", "running"]
    comparison: PolicyComparison
    tags: Mapping[str, TagReference]


def run_trial(
    store: Store,
    policies: PolicyServices,
    caller: Caller,
    text: str,
    name: str,
    action: Literal["history", "running"],
    cursor: str | None,
) -> Trial:
    """Try a candidate; `cursor` is where the part begins, None for the first one.

    Raises DefinitionError for an invalid text, and BusyError while another part is tried.
    """
    comparison = policies.dry_run.run(text, name, action, None, PART_LIMIT, cursor)
    digests = {change.image for change in comparison.changes}
    periods = sorted(store.tag_history.list_periods(digests), key=lambda period: period.until is None)
    tags = {
        period.digest: TagReference(period.repository, period.tag)
        for period in periods
        if period.tag and caller.can_reach(repository=period.repository)
    }
    return Trial(action, comparison, tags)


def describe_candidate(policies: PolicyServices, text: str | None, name: str) -> tuple[RuleDescription, ...] | None:
    """Describe the rules that a person writes; None if there are none, or not valid ones."""
    if text is not None:
        with suppress(DockgateError):
            return policies.policies.describe_text(text + "\n", name)
    return None
