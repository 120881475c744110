"""Approvals: waits as rows. Settling one and finishing the action that waits are one transaction."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from sqlalchemy import Connection, delete, func, select, update

from dockgate.core.approvals import Answer, Approval, ApprovalState
from dockgate.core.errors import NotFoundError
from dockgate.core.pipeline import State
from dockgate.core.stores import ScanState
from dockgate.store.engine import Database, insert_new
from dockgate.store.executions import OPEN, finish_run
from dockgate.store.queries import select_as
from dockgate.store.schema import action_runs, approvals, events, executions, scans

_APPROVAL = select_as(Approval, approvals)


class SqlApprovals:
    """`core.stores.Approvals`, which is also `core.approvals.ApprovalTable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, approval: Approval) -> Approval:
        """An approval whose action is over already, stopped in between, is stored as cancelled: nobody waits on it."""
        with self._database.write() as connection:
            if _action_over(connection, approval.id):
                approval = replace(
                    approval,
                    state=ApprovalState.CANCELLED,
                    summary="the action was over before it asked",
                    settled_at=approval.created_at,
                )
            insert_new(connection, approvals, asdict(approval))
            return _get(connection, approval.id)

    def get(self, approval_id: str) -> Approval:
        with self._database.read() as connection:
            return _get(connection, approval_id)

    def waiting(self, image: str) -> Sequence[Approval]:
        query = _APPROVAL.where(approvals.c.image == image, approvals.c.state == ApprovalState.WAITING)
        with self._database.read() as connection:
            return [Approval(**row) for row in connection.execute(query.order_by(approvals.c.seq)).mappings()]

    def list(self, state: ApprovalState | None = None, limit: int = 100) -> Sequence[Approval]:
        query = _APPROVAL.order_by(approvals.c.seq.desc()).limit(limit)
        if state is not None:
            query = query.where(approvals.c.state == state)
        with self._database.read() as connection:
            return [Approval(**row) for row in connection.execute(query).mappings()]

    def settle(self, approval_id: str, answer: Answer, now: str) -> bool:
        """Approved lets the action of this key succeed, every other answer fails it. The summary is its reason."""
        change = (
            update(approvals)
            .where(approvals.c.id == approval_id, approvals.c.state == ApprovalState.WAITING)
            .values(**asdict(answer), settled_at=now)
        )
        state = State.SUCCEEDED if answer.state is ApprovalState.APPROVED else State.FAILED
        with self._database.write() as connection:
            if connection.execute(change).rowcount == 0:
                return False
            finish_run(connection, approval_id, state, now, reason=answer.summary)
            return True

    def executions(self, image: str) -> Sequence[str]:
        """Oldest first."""
        query = (
            select(executions.c.id)
            .join(action_runs, action_runs.c.execution == executions.c.id)
            .join(approvals, approvals.c.id == action_runs.c.key)
            .where(approvals.c.image == image, executions.c.state.in_(OPEN))
            .group_by(executions.c.id)
            .order_by(func.min(approvals.c.seq))
        )
        with self._database.read() as connection:
            return connection.scalars(query).all()

    def answerable(self) -> Sequence[str]:
        query = (
            select(approvals.c.image)
            .join(scans, scans.c.image == approvals.c.image)
            .where(approvals.c.state == ApprovalState.WAITING, scans.c.state != ScanState.REQUESTED)
            .distinct()
        )
        with self._database.read() as connection:
            return connection.scalars(query.order_by(approvals.c.image)).all()

    def due(self, now: str) -> Sequence[Approval]:
        """The longest overdue first."""
        query = _APPROVAL.where(approvals.c.state == ApprovalState.WAITING, approvals.c.expires_at <= now)
        with self._database.read() as connection:
            return [Approval(**row) for row in connection.execute(query.order_by(approvals.c.expires_at)).mappings()]

    def purge(self, before: str) -> int:
        """Executions, verdicts and documents stay: an approval that waits needs nothing of what goes."""
        old_approvals = delete(approvals).where(
            approvals.c.state != ApprovalState.WAITING, approvals.c.settled_at < before
        )
        old_events = delete(events).where(events.c.handled_at != "", events.c.handled_at < before)
        with self._database.write() as connection:
            return connection.execute(old_approvals).rowcount + connection.execute(old_events).rowcount


def _get(connection: Connection, approval_id: str) -> Approval:
    row = connection.execute(_APPROVAL.where(approvals.c.id == approval_id)).mappings().first()
    if row is None:
        raise NotFoundError(
            f"there is no approval {approval_id!r}",
            "`dockgate approval list` names those that wait; settled ones are deleted after a while.",
        )
    return Approval(**row)


def _action_over(connection: Connection, approval_id: str) -> bool:
    state = connection.scalar(select(action_runs.c.state).where(action_runs.c.key == approval_id))
    return state is not None and State(state).over
