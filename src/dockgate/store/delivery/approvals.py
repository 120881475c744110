"""Approvals, which wait as rows. Settling an approval and finishing its action are one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select

from dockgate.delivery.approvals import make_rejection
from dockgate.delivery.model import Answer, Approval, ApprovalId, ApprovalState, ExecutionId, Vote
from dockgate.delivery.webhook_delivery import Callback
from dockgate.gate.model import Verdict
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Principal
from dockgate.shared.errors import ConflictError, NotFoundError
from dockgate.store.delivery.callbacks import CallbackBox
from dockgate.store.delivery.executions import OPEN
from dockgate.store.delivery.settlements import Decision, Settlement, lock_waiting, write_decisions, write_settlements
from dockgate.store.delivery.waiting_approvals import (
    VoterFilter,
    WaitingApproval,
    WaitingPosition,
    list_waiting_approvals,
)
from dockgate.store.engine import Database
from dockgate.store.events.outbox import Outbox, add_entries
from dockgate.store.gate.unstored_verdicts import UnstoredVerdict
from dockgate.store.identity.principals import require_principal
from dockgate.store.queries import is_one_of, make_row, make_text_list, select_as, split_into_batches
from dockgate.store.records import OutboxKind, ScanState
from dockgate.store.schema.delivery import action_runs, approvals, executions, votes
from dockgate.store.schema.events import events, outbox
from dockgate.store.schema.images import scans
from dockgate.store.statements import delete_unlocked, insert_if_new, lock_rows

_APPROVAL = select_as(Approval, approvals)
_APPROVAL_BY_ID = _APPROVAL.where(approvals.c.id == bindparam("id"))
_LOCKED_APPROVAL = lock_rows(_APPROVAL_BY_ID)
_VOTE = select_as(Vote, votes)
_IS_ACTION = action_runs.c.key == bindparam("key")
_STATE_OF_ACTION = select(action_runs.c.state).where(_IS_ACTION)
_LOCK_EXECUTION_OF_ACTION = lock_rows(
    select(executions.c.id).where(
        executions.c.id == select(action_runs.c.execution).where(_IS_ACTION).scalar_subquery()
    )
)
# What waits on an image. Made once, because making a statement costs more than running it.
_WAITING = (approvals.c.image == bindparam("image"), approvals.c.state == ApprovalState.WAITING)
_UNJUDGED_ID = select(approvals.c.id).where(*_WAITING, approvals.c.verdict.is_(None)).limit(1)
_WAITING_REQUESTS = (
    select(
        approvals.c.id, approvals.c.policy, approvals.c.repository, approvals.c.service, approvals.c.approvers.is_(None)
    )
    .where(*_WAITING)
    .order_by(approvals.c.seq)
)
_APPROVALS_BY_ID = _APPROVAL.where(is_one_of(approvals.c.id, "ids")).order_by(approvals.c.seq)
_OPEN_EXECUTIONS = (
    select(executions.c.id)
    .join(action_runs, action_runs.c.execution == executions.c.id)
    .join(approvals, approvals.c.id == action_runs.c.key)
    .where(approvals.c.image == bindparam("image"), executions.c.state.in_(OPEN))
    .group_by(executions.c.id)
    .order_by(func.min(approvals.c.seq))
)
_POLICIES_OF_EXECUTION = (
    select(approvals.c.policy)
    .join(action_runs, action_runs.c.key == approvals.c.id)
    .where(action_runs.c.execution == bindparam("execution"), approvals.c.image == bindparam("image"))
    .order_by(action_runs.c.seq)
)


class Approvals:
    """Approvals and votes. The approvals table."""

    def __init__(self, database: Database, outbox: Outbox, callbacks: CallbackBox) -> None:
        self._database = database
        self._outbox = outbox
        self._callbacks = callbacks
        self._watchers: list[Callable[[Sequence[ApprovalId]], None]] = []

    def add(self, approval: Approval, callback: Callback | None = None) -> Approval:
        """Store an approval and return it; if the id exists, return the stored one unchanged.

        With a callback, the answer is sent there once the approval is settled. An approval whose action has ended
        meanwhile, because it was stopped, is stored as cancelled.
        """
        entries = [self._callbacks.make_entry(approval.id, callback)] if callback is not None else []
        with self._database.write() as connection:
            _lock_execution(connection, approval.id)
            state = connection.scalar(_STATE_OF_ACTION, {"key": approval.id})
            if state is not None and state.is_final:
                approval = replace(
                    approval,
                    state=ApprovalState.CANCELLED,
                    summary="the action ended before the approval was requested",
                    settled_at=approval.created_at,
                )
            if insert_if_new(connection, approvals, make_row(approval)):
                add_entries(connection, entries)
            return _get(connection, approval.id)

    def watch(self, watcher: Callable[[Sequence[ApprovalId]], None]) -> None:
        """Call `watcher` with the ids of approvals that this process has settled, right after the commit."""
        self._watchers.append(watcher)

    def get(self, approval_id: ApprovalId) -> Approval:
        """The approval with this id. Raises NotFoundError."""
        with self._database.read() as connection:
            return _get(connection, approval_id)

    def find_callback(self, approval_id: ApprovalId) -> Callback | None:
        """Return the receiver of the answer of an approval. None for an approval without a callback."""
        payloads = [entry.payload for entry in self._outbox.list_entries(OutboxKind.WEBHOOK, key=approval_id)]
        return self._callbacks.decrypt(payloads[0]["callback"]) if payloads else None

    def list_for_image(self, image: str) -> Sequence[Approval]:
        """All approvals on an image, settled or not, oldest first."""
        return self._select(approvals.c.image == image)

    def has_unjudged(self, image: str) -> bool:
        """Return whether an approval that waits on an image has no verdict yet."""
        with self._database.read() as connection:
            return connection.execute(_UNJUDGED_ID, {"image": image}).first() is not None

    def list_waiting_groups(self, image: str) -> Sequence[tuple[Approval, Sequence[ApprovalId]]]:
        """Group the approvals that wait on an image by policy, repository and service. Oldest first.

        A group is its oldest approval with the ids of all. An approval that needs people is a group of its own.
        """
        alike: dict[tuple[str, ...], list[ApprovalId]] = {}
        with self._database.read() as connection:
            for name, policy, repository, service, is_automatic in connection.execute(
                _WAITING_REQUESTS, {"image": image}
            ):
                key = (policy, repository, service) if is_automatic else (name,)
                alike.setdefault(key, []).append(name)
            groups = {names[0]: names for names in alike.values()}
            oldest_approvals = connection.execute(_APPROVALS_BY_ID, {"ids": make_text_list(list(groups))}).mappings()
            return [(Approval(**row), groups[row["id"]]) for row in oldest_approvals]

    def _select(self, *conditions: ColumnElement[bool]) -> Sequence[Approval]:
        query = _APPROVAL.where(*conditions).order_by(approvals.c.seq)
        with self._database.read() as connection:
            return [Approval(**row) for row in connection.execute(query).mappings()]

    def list_page(
        self, state: ApprovalState | None = None, limit: int = 100, after: int | None = None
    ) -> Sequence[tuple[int, Approval]]:
        """At most `limit` approvals with their positions, the newest first, in one state if given.

        They are those behind the position `after`: None for the newest.
        """
        query = _APPROVAL.add_columns(approvals.c.seq).order_by(approvals.c.seq.desc()).limit(limit)
        if state is not None:
            query = query.where(approvals.c.state == state)
        if after is not None:
            query = query.where(approvals.c.seq < after)
        with self._database.read() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [(row.pop("seq"), Approval(**row)) for row in rows]

    def list_waiting_for_people(
        self, voter: VoterFilter, limit: int, after: WaitingPosition | None = None
    ) -> tuple[Sequence[WaitingApproval], WaitingPosition | None]:
        """Approvals that wait for people, without those that the filter leaves out; what ends first first.

        Return at most `limit` of them, those behind the position `after`, and the position of the last one: None if
        there are no more.
        """
        with self._database.read() as connection:
            return list_waiting_approvals(connection, voter, limit, after)

    def settle(self, approval_id: ApprovalId, answer: Answer, now: str) -> bool:
        """Settle a waiting approval, and finish its action. False when it does not wait any more.

        Its action succeeds when the answer is APPROVED, and fails otherwise; the summary becomes its reason.
        """

        def write(connection: Connection) -> Sequence[ApprovalId]:
            return _settle(connection, approval_id, answer, now)

        settled_ids = self._database.group_commit(write)
        self._announce(settled_ids)
        return len(settled_ids) == 1

    def settle_by_verdict(
        self,
        approval_ids: Sequence[ApprovalId],
        unstored_verdict: UnstoredVerdict,
        make_answer: Callable[[tuple[Verdict, str]], Answer],
        now: str,
    ) -> Answer | None:
        """Store a verdict, and settle by it those of the approvals that still wait, in one transaction.

        `make_answer` makes the answer from a verdict and its digest. It gets the verdict that is already stored under
        the cause, if there is one, otherwise the new one. It may be called twice, as the transaction may be repeated.

        If the answer approves or rejects, the approvals are settled as by `settle`. If its state is WAITING, because
        people must vote too, the approvals go on waiting: the verdict and the summary are recorded on them, with an
        event for each that it needs people.

        The cause belongs to one of the approvals. All are locked, so that no other transaction can store a verdict
        under it. Returns the answer; None, and nothing is stored, if none of the approvals waits any more.
        """
        settlement = Settlement(approval_ids, unstored_verdict, make_answer, now)
        answer, settled_ids = self._database.write_in_batch(write_settlements, settlement)
        self._announce(settled_ids)
        return answer

    def vote(self, vote: Vote) -> Vote:
        """Store a person's vote and return it; a second vote returns the first.

        A no settles the approval as rejected, and finishes its action, in the same transaction. ConflictError when the
        approval does not wait any more, or its time is over, and there is no vote of this person.
        """
        settled_ids: Sequence[ApprovalId] = ()
        with self._database.write() as connection:
            approval = _get(connection, vote.approval, should_lock=True)
            present_vote = _VOTE.where(votes.c.approval == vote.approval, votes.c.who == vote.who)
            if (row := connection.execute(present_vote).mappings().first()) is not None:
                return Vote(**row)
            if approval.state is not ApprovalState.WAITING:
                raise ConflictError(
                    f"{vote.approval} is already settled", f"`dockgate approval show {vote.approval}` shows the answer."
                )
            if approval.expires_at <= vote.at:
                raise ConflictError(
                    f"the time limit of {vote.approval} has passed", "Start the pipeline again, or retry it."
                )
            insert_if_new(connection, votes, asdict(vote))
            if not vote.is_yes:
                settled_ids = _settle(connection, vote.approval, make_rejection(vote.who, vote.reason), vote.at)
        self._announce(settled_ids)
        return vote

    def list_votes(self, approval_id: ApprovalId) -> Sequence[tuple[Vote, Principal]]:
        """The votes on an approval with the people who cast them, oldest first."""
        query = _VOTE.where(votes.c.approval == approval_id).order_by(votes.c.seq)
        with self._database.read() as connection:
            cast = [Vote(**row) for row in connection.execute(query).mappings()]
            return [(vote, require_principal(connection, vote.who)) for vote in cast]

    def _announce(self, settled_ids: Sequence[ApprovalId]) -> None:
        if settled_ids:
            self._outbox.wake(OutboxKind.WEBHOOK, OutboxKind.ATTESTATION)
            for watcher in self._watchers:
                watcher(settled_ids)

    def list_open_executions(self, image: str) -> Sequence[ExecutionId]:
        """The unfinished executions that have an approval on this image, settled or not, oldest first."""
        with self._database.read() as connection:
            return connection.scalars(_OPEN_EXECUTIONS, {"image": image}).all()

    def list_policies(self, execution: ExecutionId, image: str) -> Sequence[PolicyReference]:
        """The policies of an execution's approvals of an image, in the order of its actions."""
        with self._database.read() as connection:
            return connection.scalars(_POLICIES_OF_EXECUTION, {"execution": execution, "image": image}).all()

    def list_answerable_images(self) -> Sequence[str]:
        """The images whose scan is over while approvals still wait on them."""
        query = (
            select(approvals.c.image)
            .join(scans, scans.c.image == approvals.c.image)
            .where(approvals.c.state == ApprovalState.WAITING, scans.c.state != ScanState.REQUESTED)
            .distinct()
        )
        with self._database.read() as connection:
            return connection.scalars(query.order_by(approvals.c.image)).all()

    def list_unscanned(self) -> Sequence[Approval]:
        """The oldest waiting approval of each image for which no scan was requested."""
        query = (
            select(func.min(approvals.c.seq))
            .select_from(approvals.outerjoin(scans, scans.c.image == approvals.c.image))
            .where(approvals.c.state == ApprovalState.WAITING, scans.c.image.is_(None))
            .group_by(approvals.c.image)
        )
        with self._database.read() as connection:
            oldest_approvals = _APPROVAL.where(approvals.c.seq.in_(query)).order_by(approvals.c.seq)
            return [Approval(**row) for row in connection.execute(oldest_approvals).mappings()]

    def list_expired(self, now: str) -> Sequence[Approval]:
        """The approvals that still wait after their time limit, the longest overdue first."""
        query = _APPROVAL.where(approvals.c.state == ApprovalState.WAITING, approvals.c.expires_at <= now)
        with self._database.read() as connection:
            return [Approval(**row) for row in connection.execute(query.order_by(approvals.c.expires_at)).mappings()]

    def purge(self, before: str) -> int:
        """Delete approvals settled, and events handled, before that time. Returns how many rows.

        An approval whose answer is still to be sent is kept. Executions, verdicts and documents are kept: waiting
        approvals need nothing of what is deleted.
        """
        is_webhook = outbox.c.kind == OutboxKind.WEBHOOK
        undelivered_keys = select(outbox.c.key).where(is_webhook, outbox.c.next_at.is_not(None))
        old = (
            approvals.c.state != ApprovalState.WAITING,
            approvals.c.settled_at < before,
            approvals.c.id.not_in(undelivered_keys),
        )
        unlocked_approvals = select(approvals.c.seq).where(*old).with_for_update(skip_locked=True)
        with self._database.write() as connection:
            delete_approvals = (
                delete(approvals).where(approvals.c.seq.in_(unlocked_approvals)).returning(approvals.c.id)
            )
            ids = connection.scalars(delete_approvals).all()
            for batch in split_into_batches(ids):
                connection.execute(delete(outbox).where(is_webhook, outbox.c.key.in_(batch)))
            return len(ids) + delete_unlocked(connection, events, events.c.handled_at < before)


def _settle(connection: Connection, approval_id: ApprovalId, answer: Answer, now: str) -> Sequence[ApprovalId]:
    """Settle an approval if it waits. Returns its id, nothing if it does not wait any more."""
    waiting = lock_waiting(connection, [approval_id])
    if waiting:
        write_decisions(connection, [Decision(waiting, answer, now)])
    return [approval.id for approval in waiting]


def _get(connection: Connection, approval_id: ApprovalId, *, should_lock: bool = False) -> Approval:
    query = _LOCKED_APPROVAL if should_lock else _APPROVAL_BY_ID
    row = connection.execute(query, {"id": approval_id}).mappings().first()
    if row is None:
        raise make_unknown_approval_error(approval_id)
    return Approval(**row)


def make_unknown_approval_error(approval_id: ApprovalId) -> NotFoundError:
    """The error for an approval that does not exist, or of which a caller may not know."""
    return NotFoundError(
        f"there is no approval {approval_id!r}",
        "`dockgate approval list` lists them. Settled ones are deleted after DOCKGATE_KEEP_DAYS.",
    )


def _lock_execution(connection: Connection, approval_id: ApprovalId) -> None:
    """Lock the execution of the action that requests the approval.

    Either a stop of the execution then finds the approval, or the approval finds the execution stopped.
    """
    connection.execute(_LOCK_EXECUTION_OF_ACTION, {"key": approval_id})
