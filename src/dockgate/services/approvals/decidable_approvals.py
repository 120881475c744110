"""The waiting approvals on which a caller may vote."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dockgate.delivery.approval_request import make_image_scope
from dockgate.delivery.approvals import find_decision_objection
from dockgate.identity.model import LOCAL, Caller, Permission
from dockgate.store import Store
from dockgate.store.delivery.waiting_approvals import VoterFilter, WaitingApproval

# Approvals that are listed.
MAX_LISTED = 200
# Approvals that are read for a list, in the order of their urgency: of each query, as long as too few were found.
BATCHES = (MAX_LISTED, 600, 1200)
# Prefixes in one query. With more, the query leaves out no repositories.
MAX_PREFIXES = 100
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class DecidableApprovals:
    """Waiting approvals on which a caller may vote, what ends first before the others.

    With `is_complete` these are all.
    """

    approvals: Sequence[WaitingApproval] = ()
    is_complete: bool = True


def list_decidable_approvals(store: Store, caller: Caller) -> DecidableApprovals:
    """Return the approvals on which the caller may vote, as far as known without git.

    The query leaves out what it can, and the other rules are applied to what it returns. At most MAX_LISTED are
    returned, and as many as BATCHES says are read.
    """
    if not caller.can_somewhere(Permission.DECIDE):
        return DecidableApprovals()
    voter, approvals, position = _make_filter(caller), list[WaitingApproval](), None
    for size in BATCHES:
        waiting, position = store.approvals.list_waiting_for_people(voter, size, position)
        approvals += [approval for approval in waiting if _can_decide(caller, approval)]
        if position is None or len(approvals) >= MAX_LISTED:
            break
    return DecidableApprovals(approvals[:MAX_LISTED], position is None and len(approvals) <= MAX_LISTED)


def _can_decide(caller: Caller, approval: WaitingApproval) -> bool:
    scope = make_image_scope(approval.repository, approval.id, approval.pipeline)
    if not caller.can(Permission.DECIDE, **scope):
        return False
    return not find_decision_objection(
        approval.approvers, caller, approval.committers, approval.repository, approval.voters
    )


def _make_filter(caller: Caller) -> VoterFilter:
    """What the store can leave out: only approvals that `_can_decide` refuses."""
    principal, token = caller.principal, caller.token
    if principal is LOCAL:
        return VoterFilter(principal.name)
    roles = (*principal.roles, *(entry.role for entry in principal.project_roles))
    repositories = None if principal.can(Permission.DECIDE) else caller.get_limits(Permission.DECIDE).roles
    return VoterFilter(
        principal.name,
        [principal.name, *sorted(set(roles))],
        None if repositories is None else _make_prefixes(repositories),
        _make_token_prefixes(token.repositories, token.pipelines) if token else None,
    )


def _make_token_prefixes(
    repositories: Sequence[str], pipelines: Sequence[str]
) -> tuple[Sequence[str], Sequence[str]] | None:
    if not repositories and not pipelines:
        return None
    prefixes = _make_prefixes(repositories), _make_prefixes(pipelines)
    return None if prefixes[0] is None or prefixes[1] is None else (prefixes[0], prefixes[1])


def _make_prefixes(patterns: Iterable[str]) -> Sequence[str] | None:
    """What the names begin with that match a pattern; None for too many.

    A project role for `team-a/*` covers `team-a`, too.
    """
    prefixes = {_WILDCARD.split(pattern.removesuffix("/*"), maxsplit=1)[0] for pattern in patterns}
    return sorted(prefixes) if len(prefixes) <= MAX_PREFIXES else None
