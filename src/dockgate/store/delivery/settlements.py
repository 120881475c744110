"""Write the decisions on approvals that wait, several in one transaction."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from dockgate.delivery.approval_request import get_pipeline_name
from dockgate.delivery.model import ActionKey, Answer, Approval, ApprovalId, ApprovalState, Approvers, RunState
from dockgate.events import dockgate_events
from dockgate.events.model import NewEvent
from dockgate.gate.model import Verdict
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.canonical import to_plain
from dockgate.store.delivery.executions import append_ends, finish_runs
from dockgate.store.delivery.followed_images import follow_images
from dockgate.store.events.log import append_events
from dockgate.store.events.outbox import enqueue_answers, enqueue_attestations
from dockgate.store.gate.unstored_verdicts import UnstoredVerdict, find_first_verdicts, insert_verdicts
from dockgate.store.queries import is_one_of, make_text_list, select_as
from dockgate.store.schema.delivery import approvals
from dockgate.store.statements import lock_rows

_APPROVALS = select_as(Approval, approvals).where(is_one_of(approvals.c.id, "ids")).order_by(approvals.c.seq)
# Without a condition on the state: SQLite would then use the index of the state, and read all approvals that wait.
_LOCK = lock_rows(
    select(approvals.c.id, approvals.c.image, approvals.c.repository, approvals.c.policy, approvals.c.state)
    .where(is_one_of(approvals.c.id, "ids"))
    .order_by(approvals.c.id)
)
_CHANGE = update(approvals).where(is_one_of(approvals.c.id, "ids"))


class LockedApproval(NamedTuple):
    """An approval that waits, and is locked."""

    id: ApprovalId
    image: str
    repository: str
    policy: PolicyReference


@dataclass(frozen=True, slots=True)
class Settlement:
    """Approvals to settle by a verdict that is not stored yet.

    `make_answer` makes the answer from a verdict and its digest. The cause of the verdict belongs to one of the
    approvals.
    """

    approval_ids: Sequence[ApprovalId]
    unstored_verdict: UnstoredVerdict
    make_answer: Callable[[tuple[Verdict, str]], Answer]
    now: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to approvals that wait and are locked.

    `new_verdict` is to be stored with it. If its state is WAITING, they go on waiting, for people.
    """

    waiting: Sequence[LockedApproval]
    answer: Answer
    now: str
    new_verdict: UnstoredVerdict | None = None

    @property
    def is_final(self) -> bool:
        """Return whether it settles the approvals."""
        return self.answer.state is not ApprovalState.WAITING

    @property
    def ids(self) -> Sequence[ApprovalId]:
        """The ids of the approvals."""
        return [approval.id for approval in self.waiting]

    @property
    def action_state(self) -> RunState:
        """The state in which the actions of settled approvals end."""
        return RunState.SUCCEEDED if self.answer.state is ApprovalState.APPROVED else RunState.FAILED


def lock_waiting(connection: Connection, approval_ids: Sequence[ApprovalId]) -> Sequence[LockedApproval]:
    """Lock the approvals, and return those that wait."""
    rows = connection.execute(_LOCK, {"ids": make_text_list(approval_ids)})
    return [LockedApproval(*row[:4]) for row in rows if row.state is ApprovalState.WAITING]


def write_settlements(
    connection: Connection, settlements: Sequence[Settlement]
) -> Sequence[tuple[Answer | None, Sequence[ApprovalId]]]:
    """Settle approvals as if one settlement came after the other. See `Approvals.settle_by_verdict`.

    Returns each answer with the ids of the approvals that it has settled.
    """
    parts = _split_by_approvals(settlements)
    return [result for part in parts for result in _settle_distinct_approvals(connection, part)]


def _split_by_approvals(settlements: Sequence[Settlement]) -> Iterator[Sequence[Settlement]]:
    """Split settlements so that no part has two of the same approval."""
    part: list[Settlement] = []
    ids: set[ApprovalId] = set()
    for settlement in settlements:
        if not ids.isdisjoint(settlement.approval_ids):
            yield part
            part, ids = [], set()
        part.append(settlement)
        ids.update(settlement.approval_ids)
    yield part


def _settle_distinct_approvals(
    connection: Connection, settlements: Sequence[Settlement]
) -> Sequence[tuple[Answer | None, Sequence[ApprovalId]]]:
    ids = [approval_id for settlement in settlements for approval_id in settlement.approval_ids]
    waiting_by_id = {approval.id: approval for approval in lock_waiting(connection, ids)}
    causes = [settlement.unstored_verdict.cause for settlement in settlements]
    first_verdicts = find_first_verdicts(connection, causes) if waiting_by_id else {}
    decisions = [_decide(settlement, waiting_by_id, first_verdicts) for settlement in settlements]
    write_decisions(connection, [decision for decision in decisions if decision])
    return [
        (decision.answer, decision.ids if decision.is_final else ()) if decision else (None, ())
        for decision in decisions
    ]


def _decide(
    settlement: Settlement,
    waiting_by_id: dict[ApprovalId, LockedApproval],
    first_verdicts: dict[str, tuple[Verdict, str]],
) -> Decision | None:
    """Return the decision by the verdict that is stored under the cause, otherwise by the new one.

    None if no approval waits any more.
    """
    waiting = [waiting_by_id[approval_id] for approval_id in settlement.approval_ids if approval_id in waiting_by_id]
    if not waiting:
        return None
    unstored_verdict = settlement.unstored_verdict
    first_verdict = first_verdicts.get(unstored_verdict.cause)
    answer = settlement.make_answer(first_verdict or (unstored_verdict.verdict, unstored_verdict.digest))
    return Decision(waiting, answer, settlement.now, None if first_verdict else unstored_verdict)


def write_decisions(connection: Connection, decisions: Sequence[Decision]) -> None:
    """Record decisions on different approvals.

    Settled approvals end their actions, and fill the outbox. Approvals that go on waiting get an event that people are
    needed. New verdicts are stored.
    """
    ended_actions = [_change_approvals(connection, decision) for decision in decisions]
    new_verdicts = [decision.new_verdict for decision in decisions if decision.new_verdict]
    verdict_events = insert_verdicts(connection, new_verdicts) if new_verdicts else []
    _fill_outbox(connection, [decision for decision in decisions if decision.is_final])
    append_events(connection, [*verdict_events, *_make_needed_events(connection, decisions)])
    for decision, actions in zip(decisions, ended_actions, strict=True):
        if actions:
            append_ends(connection, actions, decision.action_state, decision.now, reason=decision.answer.summary)


def _change_approvals(connection: Connection, decision: Decision) -> Sequence[ActionKey]:
    """Change the rows of the approvals, and end the actions of settled ones. Returns the actions that have ended."""
    ids, answer = decision.ids, decision.answer
    values = {**asdict(answer), "settled_at": decision.now}
    if not decision.is_final:
        values = {"verdict": answer.verdict, "summary": answer.summary}
    elif answer.verdict is None:  # a person or the time limit decides: the verdict that was computed before is kept
        del values["verdict"]
    connection.execute(_CHANGE, {"ids": make_text_list(ids), **values})
    actions = [name for name in ids if not name.is_external] if decision.is_final else []
    if not actions:
        return ()
    return finish_runs(connection, actions, decision.action_state, decision.now, reason=answer.summary)


def _fill_outbox(connection: Connection, decisions: Sequence[Decision]) -> None:
    """Make callbacks and attestations due, and follow what was approved by verdicts."""
    if not decisions:
        return
    now = max(decision.now for decision in decisions)
    enqueue_answers(connection, [name for decision in decisions for name in decision.ids], now)
    approvals_by_verdict: dict[str, list[LockedApproval]] = {}
    for decision in decisions:
        if decision.answer.state is ApprovalState.APPROVED and decision.answer.verdict:
            approvals_by_verdict.setdefault(decision.answer.verdict, []).extend(decision.waiting)
    if approvals_by_verdict:
        images = {verdict: {approval[1:] for approval in waiting} for verdict, waiting in approvals_by_verdict.items()}
        enqueue_attestations(connection, images, now)
        follow_images(connection, approvals_by_verdict, now)


def _make_needed_events(connection: Connection, decisions: Sequence[Decision]) -> Sequence[NewEvent]:
    times = {name: decision.now for decision in decisions if not decision.is_final for name in decision.ids}
    if not times:
        return ()
    rows = connection.execute(_APPROVALS, {"ids": make_text_list(list(times))}).mappings()
    needed_approvals = {row["id"]: Approval(**row) for row in rows}
    return [_make_needed_event(needed_approvals[name], now) for name, now in times.items()]


def _make_needed_event(approval: Approval, now: str) -> NewEvent:
    return dockgate_events.make_approval_needed(
        approval=approval.id,
        repository=approval.repository,
        image=approval.image,
        pipeline=get_pipeline_name(approval),
        execution=approval.action.execution if approval.action else None,
        service=approval.service,
        summary=approval.summary or "",
        expires=approval.expires_at,
        approvers=to_plain(approval.approvers or Approvers()),
        time=now,
    )
