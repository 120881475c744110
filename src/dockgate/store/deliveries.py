"""Deliveries: the outbox of answers by callback, filled in the transaction that settles an approval."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select, update

from dockgate.delivery.model import Approval
from dockgate.delivery.webhook_delivery import Delivery, event
from dockgate.store.engine import Database
from dockgate.store.queries import select_as
from dockgate.store.schema import approvals, deliveries

_DELIVERY = select_as(Delivery, deliveries)
_APPROVAL = select_as(Approval, approvals)


class Deliveries:
    """Answers on their way to whoever gave a callback. Each is made with its approval, and due once that is settled."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, approval_id: str) -> Delivery | None:
        """None for an approval without a callback."""
        with self._database.read() as connection:
            row = connection.execute(_DELIVERY.where(deliveries.c.approval == approval_id)).mappings().first()
        return None if row is None else Delivery(**row)

    def due(self, now: str, each: int, limit: int) -> Sequence[Delivery]:
        """At most `each` to one receiver, the longest due; the first of every receiver come before any second."""
        turn = func.row_number().over(partition_by=deliveries.c.receiver, order_by=deliveries.c.next_at)
        ranked = (
            select(deliveries.c.id, turn.label("turn"))
            .where(deliveries.c.next_at != "", deliveries.c.next_at <= now)
            .subquery()
        )
        query = _DELIVERY.join(ranked, ranked.c.id == deliveries.c.id).where(ranked.c.turn <= each)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(ranked.c.turn, deliveries.c.next_at).limit(limit)).mappings()
            return [Delivery(**row) for row in rows]

    def delivered(self, delivery_id: str, now: str) -> None:
        """Nothing is due any more. The first time stands."""
        open_ = deliveries.c.id == delivery_id, deliveries.c.delivered_at == ""
        change = update(deliveries).where(*open_).values(delivered_at=now, next_at="", last_error="")
        with self._database.write() as connection:
            connection.execute(change)

    def failed(self, delivery_id: str, attempts: int, error: str, next_at: str) -> None:
        """Failed for the `attempts`th time; due again at `next_at`, never again when that is "". Does nothing when it
        was delivered, or has failed as often already.
        """
        open_ = (
            deliveries.c.id == delivery_id,
            deliveries.c.delivered_at == "",
            deliveries.c.attempts < attempts,
        )
        change = update(deliveries).where(*open_).values(attempts=attempts, last_error=error, next_at=next_at)
        with self._database.write() as connection:
            connection.execute(change)


def release(connection: Connection, approval_ids: Sequence[str], now: str) -> None:
    """What was settled just now becomes due, with the answer as its body."""
    query = (
        _APPROVAL.add_columns(deliveries.c.id.label("delivery"))
        .join(deliveries, deliveries.c.approval == approvals.c.id)
        .where(approvals.c.id.in_(approval_ids))
    )
    for row in connection.execute(query).mappings().all():
        values = dict(row)
        this = deliveries.c.id == values.pop("delivery")
        body = event(Approval(**values))
        connection.execute(update(deliveries).where(this).values(body=body, since=now, next_at=now))
