"""Approvals that wait for people, in the order of their urgency."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Text, false, or_, select, tuple_, type_coerce

from dockgate.delivery.model import ApprovalId, ApprovalState, Approvers
from dockgate.identity.model import Principal
from dockgate.store.identity.principals import PRINCIPAL
from dockgate.store.schema.delivery import approvals, votes
from dockgate.store.schema.identity import principals


@dataclass(frozen=True, slots=True)
class WaitingApproval:
    """What a list shows of an approval that waits for people, and what decides who may vote.

    The fields are those of `Approval`; `voters` have voted.
    """

    id: ApprovalId
    repository: str
    pipeline: str | None
    expires_at: str
    approvers: Approvers
    committers: tuple[str, ...]
    contributors_unknown: str | None
    voters: Sequence[Principal] = ()

    @property
    def unknown_reason(self) -> str | None:
        """Why its contributors were unknown when it was requested, None if they were known or do not matter."""
        is_checked = self.id.action is not None and self.approvers.exclude_committer
        return self.contributors_unknown if is_checked else None


@dataclass(frozen=True, slots=True)
class VoterFilter:
    """What leaves out approvals on which a person cannot vote; not all of them.

    `name` is the person's principal: they have not voted. `approver_names` are that name and their roles: approvers who
    are named include one of these. The repository begins with one of `repository_prefixes`. `token_prefixes` are for a
    limited token: its repository begins with one of the first, or its pipeline with one of the second. None leaves
    nothing out.
    """

    name: str
    approver_names: Sequence[str] | None = None
    repository_prefixes: Sequence[str] | None = None
    token_prefixes: tuple[Sequence[str], Sequence[str]] | None = None


class WaitingPosition(NamedTuple):
    """The place of a waiting approval in the order of urgency."""

    expires_at: str
    seq: int


# The columns of `WaitingApproval`, without its voters.
_WAITING_COLUMNS = [approvals.c[field.name] for field in fields(WaitingApproval) if field.name != "voters"]
_WAITING_WIDTH = len(_WAITING_COLUMNS)
# As `canonical.encode` writes them.
_NO_NAMES = '"principals":[],"roles":[]'


def list_waiting_approvals(
    connection: Connection, voter: VoterFilter, limit: int, after: WaitingPosition | None
) -> tuple[Sequence[WaitingApproval], WaitingPosition | None]:
    """Return what `Approvals.list_waiting_for_people` does."""
    urgent = (
        select(approvals.c.seq)
        .where(*_make_waiting_conditions(voter, after))
        .order_by(approvals.c.expires_at, approvals.c.seq)
        .limit(limit + 1)
        .subquery()
    )
    query = (
        select(approvals.c.seq, *_WAITING_COLUMNS, *PRINCIPAL.selected_columns)
        .select_from(
            approvals.join(urgent, urgent.c.seq == approvals.c.seq)
            .outerjoin(votes, votes.c.approval == approvals.c.id)
            .outerjoin(principals, principals.c.name == votes.c.who)
        )
        .order_by(approvals.c.expires_at, approvals.c.seq, votes.c.seq)
    )
    rows: dict[int, tuple[list[Any], list[Principal]]] = {}
    for seq, *row in connection.execute(query):
        _, voters = rows.setdefault(seq, (row[:_WAITING_WIDTH], []))
        voters += [Principal(*row[_WAITING_WIDTH:])] if row[_WAITING_WIDTH] is not None else []
    waiting = [(seq, WaitingApproval(*[*row, tuple(voters)])) for seq, (row, voters) in list(rows.items())[:limit]]
    last = waiting[-1] if len(rows) > limit else None
    return [approval for _, approval in waiting], WaitingPosition(last[1].expires_at, last[0]) if last else None


def _make_waiting_conditions(voter: VoterFilter, after: WaitingPosition | None) -> Iterator[ColumnElement[bool]]:
    """The conditions that an approval waits for people, may be the filter's, and comes after a position."""
    yield approvals.c.state == ApprovalState.WAITING
    yield approvals.c.approvers.is_not(None)
    if after is not None:
        yield approvals.c.expires_at >= after.expires_at  # the part that an index serves in every database
        yield tuple_(approvals.c.expires_at, approvals.c.seq) > tuple_(*after)
    yield ~select(votes.c.seq).where(votes.c.approval == approvals.c.id, votes.c.who == voter.name).exists()
    if voter.approver_names is not None:
        names = type_coerce(approvals.c.approvers, Text)
        quoted_names = (f'"{name}"' for name in voter.approver_names)
        yield or_(*(names.contains(text, autoescape=True) for text in (_NO_NAMES, *quoted_names)))
    if voter.repository_prefixes is not None:
        yield _has_prefix(approvals.c.repository, voter.repository_prefixes)
    if voter.token_prefixes is not None:
        repositories, pipelines = voter.token_prefixes
        yield _has_prefix(approvals.c.repository, repositories) | _has_prefix(approvals.c.id, pipelines)


def _has_prefix(column: ColumnElement[str], prefixes: Sequence[str]) -> ColumnElement[bool]:
    return or_(false(), *(column.startswith(prefix, autoescape=True) for prefix in prefixes))
