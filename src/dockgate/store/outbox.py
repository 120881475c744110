"""The outbox: what is still to be sent, written in the transaction that causes it.

Webhook deliveries, notifications, attestations and provenance statements are rows of one table. `services/outbox.py`
sends them.
"""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, func, select, update

from dockgate.delivery.model import ApprovalState
from dockgate.delivery.webhook_delivery import Callback
from dockgate.shared.references import RepositoryReference
from dockgate.store.engine import Database, insert_all_new
from dockgate.store.queries import row_of, select_as
from dockgate.store.records import OutboxEntry, OutboxKind
from dockgate.store.schema import approvals, outbox

# The receiver of what is attached to images in our own registry.
OWN_REGISTRY = "own registry"

_ENTRY = select_as(OutboxEntry, outbox)
_IDENTITY = (outbox.c.kind, outbox.c.key, outbox.c.receiver)


class Outbox:
    """Entries to send, at least once each. An entry that is done, or was given up, is never due again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: list[Callable[[OutboxKind], None]] = []

    def watch(self, watcher: Callable[[OutboxKind], None]) -> None:
        """Call `watcher` with the kind whenever this process has committed entries that are due."""
        self._watchers.append(watcher)

    def wake(self, *kinds: OutboxKind) -> None:
        """Tell the watchers that entries of these kinds are due. For those who write entries in a transaction."""
        for kind in kinds:
            for watcher in self._watchers:
                watcher(kind)

    def put(self, entries: Sequence[OutboxEntry]) -> None:
        """Add the entries. One that exists, by its kind, key and receiver, stays as it is."""
        with self._database.write() as connection:
            add_entries(connection, entries)
        self.wake(*dict.fromkeys(entry.kind for entry in entries))

    def entries(
        self, kind: OutboxKind, *, key: str | None = None, image: str | None = None, limit: int = 100
    ) -> Sequence[OutboxEntry]:
        """Entries of a kind, of one key or image if given, done or not: the last due first."""
        query = _ENTRY.where(outbox.c.kind == kind).order_by(outbox.c.due_since.desc(), outbox.c.key).limit(limit)
        if key is not None:
            query = query.where(outbox.c.key == key)
        if image is not None:
            query = query.where(outbox.c.image == image)
        with self._database.read() as connection:
            return [OutboxEntry(**row) for row in connection.execute(query).mappings()]

    def due(self, kind: OutboxKind, now: str, receiver_limit: int, limit: int) -> Sequence[OutboxEntry]:
        """The entries to send now: at most `receiver_limit` to one receiver, the longest due first.

        The first entry of every receiver comes before any receiver's second.
        """
        rank = func.row_number().over(partition_by=outbox.c.receiver, order_by=outbox.c.next_at)
        ranked = (
            select(outbox.c.key, outbox.c.receiver, rank.label("rank"))
            .where(outbox.c.kind == kind, outbox.c.next_at <= now)
            .subquery()
        )
        query = _ENTRY.join(
            ranked,
            (outbox.c.kind == kind) & (outbox.c.key == ranked.c.key) & (outbox.c.receiver == ranked.c.receiver),
        ).where(ranked.c.rank <= receiver_limit)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(ranked.c.rank, outbox.c.next_at).limit(limit)).mappings()
            return [OutboxEntry(**row) for row in rows]

    def complete(self, entry: OutboxEntry, now: str, result: str | None = None) -> None:
        """Record that the receiver has taken the entry. The first time and result stay."""
        self._change(
            entry, outbox.c.done_at.is_(None), {"done_at": now, "result": result, "next_at": None, "last_error": None}
        )

    def fail(self, entry: OutboxEntry, error: str, next_at: str | None) -> None:
        """Record one more failed attempt than the entry has. It is due again at `next_at`; None gives it up.

        Does nothing when the entry is done, or this attempt is on record.
        """
        is_open = outbox.c.done_at.is_(None) & (outbox.c.attempts <= entry.attempts)
        self._change(entry, is_open, {"attempts": entry.attempts + 1, "last_error": error, "next_at": next_at})

    def _change(self, entry: OutboxEntry, condition: ColumnElement[bool], values: dict[str, Any]) -> None:
        identity = outbox.c.kind == entry.kind, outbox.c.key == entry.key, outbox.c.receiver == entry.receiver
        self._database.group_commit(
            lambda connection: connection.execute(update(outbox).where(*identity, condition).values(**values))
        )

    def purge(self, kind: OutboxKind, before: str) -> int:
        """Delete the entries of a kind that became due before that time, sent or not. Returns how many."""
        with self._database.write() as connection:
            return connection.execute(delete(outbox).where(outbox.c.kind == kind, outbox.c.due_since < before)).rowcount


def add_entries(connection: Connection, entries: Sequence[OutboxEntry]) -> None:
    """Add entries within a transaction. Call `Outbox.wake` after it."""
    insert_all_new(connection, outbox, [row_of(entry) for entry in entries])


def webhook_entry(approval_id: str, callback: Callback) -> OutboxEntry:
    """The entry of an answer by callback. It is not due before the approval is settled."""
    payload = {"url": callback.url, "secret": callback.secret}
    return OutboxEntry(OutboxKind.WEBHOOK, approval_id, urlsplit(callback.url).netloc, payload)


def registry_receiver(repository: str) -> str:
    """The receiver of what is attached to an image of this repository: its registry."""
    return RepositoryReference.parse(repository).registry or OWN_REGISTRY


def enqueue_answers(connection: Connection, approval_ids: Sequence[str], now: str) -> None:
    """Make due what follows from approvals that were settled in this transaction: callbacks, and attestations.

    Approvals of one image and repository by one verdict share an attestation.
    """
    webhooks = outbox.c.kind == OutboxKind.WEBHOOK, outbox.c.key.in_(approval_ids)
    connection.execute(update(outbox).where(*webhooks).values(due_since=now, next_at=now))
    names = ("verdict", "image", "repository", "policy")
    approved = (
        select(*(approvals.c[name] for name in names))
        .where(approvals.c.id.in_(approval_ids), approvals.c.state == ApprovalState.APPROVED, approvals.c.verdict != "")
        .order_by(approvals.c.seq)
    )
    add_entries(connection, [_attestation_entry(row, now) for row in connection.execute(approved).mappings()])


def _attestation_entry(row: RowMapping, now: str) -> OutboxEntry:
    return OutboxEntry(
        OutboxKind.ATTESTATION,
        key=f"{row['verdict']}/{row['repository']}@{row['image']}",
        receiver=registry_receiver(row["repository"]),
        payload=dict(row),
        image=row["image"],
        due_since=now,
        next_at=now,
    )
