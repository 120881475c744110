"""The outbox: what is still to be sent, written in the transaction that causes it.

Answers and changed verdicts for webhooks, messages to targets, attestations and provenance statements are rows of one
table.
`services/notifications/outbox.py` sends them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    select,
    tuple_,
    update,
)

from dockgate.delivery.model import ApprovalId
from dockgate.shared.references import ImageReference, RepositoryReference
from dockgate.store.engine import Database
from dockgate.store.events.failed_entries import ENTRY, IS_DEAD
from dockgate.store.events.receivers import FAILURES_LIMIT
from dockgate.store.queries import (
    find_sort_column,
    is_one_of,
    make_after_value_conditions,
    make_row,
    make_text_list,
)
from dockgate.store.records import OutboxEntry, OutboxKind
from dockgate.store.schema.events import outbox, outbox_receivers
from dockgate.store.statements import delete_unlocked, insert_all_new, lock_name, lock_rows, update_all

# The receiver of what is attached to images in our own registry.
OWN_REGISTRY = "own registry"


class EntryState(Enum):
    """The states of entries of the outbox: not accepted for good, waiting for an attempt, and accepted."""

    DEAD = auto()
    WAITING = auto()
    DELIVERED = auto()


_IDENTITY = (outbox.c.kind, outbox.c.key, outbox.c.receiver)
_CONDITIONS: Mapping[EntryState, tuple[ColumnElement[bool], ...]] = {
    EntryState.DEAD: IS_DEAD,
    EntryState.WAITING: (outbox.c.next_at.is_not(None),),
    EntryState.DELIVERED: (outbox.c.done_at.is_not(None),),
}
_CLAIMED_KEYS = (
    select(*_IDENTITY).where(outbox.c.kind.in_(OutboxKind), outbox.c.claimed_by.is_not(None)).order_by(*_IDENTITY)
)
_KEYS_CLAIMED_BY_OWNER = lock_rows(_CLAIMED_KEYS.where(outbox.c.claimed_by == bindparam("owner")))
_KEYS_CLAIMED_BY_OTHERS = lock_rows(_CLAIMED_KEYS.where(~is_one_of(outbox.c.claimed_by, "owners")))
_GIVE_BACK = (
    update(outbox)
    .where(*(outbox.c[name] == bindparam(f"of_{name}") for name in ("kind", "key", "receiver")))
    .where(outbox.c.claimed_by.is_not_distinct_from(bindparam("of_owner")), outbox.c.done_at.is_(None))
    .values(claimed_by=None)
)
_COMPLETE = _GIVE_BACK.values(done_at=bindparam("now"), result=bindparam("new_result"), next_at=None, last_error=None)
_FAIL = _GIVE_BACK.where(outbox.c.attempts < bindparam("new_attempts")).values(
    attempts=bindparam("new_attempts"), last_error=bindparam("new_error"), next_at=bindparam("new_next_at")
)
_ANSWER = update(outbox).where(outbox.c.kind == OutboxKind.WEBHOOK, is_one_of(outbox.c.key, "keys"))


def _make_claim_conditions() -> tuple[ColumnElement[bool], ...]:
    """Make the conditions: of the `kind`, due `now`, first of its subject, and of a receiver that does not pause."""
    earlier_entry = outbox.alias()
    is_blocked = exists().where(
        *(earlier_entry.c.kind == outbox.c.kind, earlier_entry.c.receiver == outbox.c.receiver),
        *(earlier_entry.c.subject == outbox.c.subject, earlier_entry.c.position < outbox.c.position),
        earlier_entry.c.next_at.is_not(None),
    )
    is_paused = exists().where(
        *(outbox_receivers.c.kind == outbox.c.kind, outbox_receivers.c.receiver == outbox.c.receiver),
        outbox_receivers.c.paused_until > bindparam("now"),
    )
    is_due = outbox.c.next_at <= bindparam("now")
    return outbox.c.kind == bindparam("kind"), is_due, outbox.c.claimed_by.is_(None), ~is_blocked, ~is_paused


def _select_next_entries() -> Select[Any]:
    """At most `limit` entries to claim, which are locked by this query.

    Those that another transaction changes are left out.
    """
    claimable = _make_claim_conditions()
    rank = func.row_number().over(
        partition_by=outbox.c.receiver, order_by=(outbox.c.next_at, outbox.c.position, outbox.c.key)
    )
    ranked_entries = select(outbox.c.key, outbox.c.receiver, rank.label("rank")).where(*claimable).subquery()
    claimed_count = (
        select(outbox.c.receiver, func.count().label("count"))
        .where(outbox.c.kind == bindparam("kind"), outbox.c.claimed_by.is_not(None))
        .group_by(outbox.c.receiver)
        .subquery()
    )
    is_ranked = and_(outbox.c.key == ranked_entries.c.key, outbox.c.receiver == ranked_entries.c.receiver)
    failures = outbox_receivers.c.kind == bindparam("kind"), outbox_receivers.c.receiver == outbox.c.receiver
    is_probed = exists().where(*failures, outbox_receivers.c.failures >= FAILURES_LIMIT)
    receiver_limit = case((is_probed, 1), else_=bindparam("receiver_limit", type_=Integer))
    return (
        ENTRY.join(ranked_entries, is_ranked)
        .outerjoin(claimed_count, claimed_count.c.receiver == outbox.c.receiver)
        .where(*claimable, ranked_entries.c.rank + func.coalesce(claimed_count.c.count, 0) <= receiver_limit)
        .order_by(ranked_entries.c.rank, outbox.c.next_at)
        .limit(bindparam("limit", type_=Integer))
        .with_for_update(of=outbox, skip_locked=True)
    )


_IS_CLAIMABLE = select(outbox.c.key).where(*_make_claim_conditions()).limit(1)
_NEXT_ENTRIES = _select_next_entries()


class Outbox:
    """Entries to send, at least once each. An entry that is done, or dead-lettered, is never due again.

    A sender claims an entry first, so that no two servers send it at the same time.
    """

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

    def list_entries(
        self, kind: OutboxKind, *, key: str | None = None, image: str | None = None, limit: int | None = 100
    ) -> Sequence[OutboxEntry]:
        """Entries of a kind, of one key or image if given, done or not: the last due first."""
        query = ENTRY.where(outbox.c.kind == kind).order_by(outbox.c.due_since.desc(), outbox.c.key).limit(limit)
        if key is not None:
            query = query.where(outbox.c.key == key)
        if image is not None:
            query = query.where(outbox.c.image == image)
        with self._database.read() as connection:
            return [OutboxEntry(**row) for row in connection.execute(query).mappings()]

    def claim(self, kind: OutboxKind, now: str, owner: str, receiver_limit: int, limit: int) -> Sequence[OutboxEntry]:
        """Claim entries that are due for the worker `owner`, and return them.

        A claim ends with the attempt, or when its worker is marked lost: it has no time, since clocks differ.
        At most `receiver_limit` entries of one receiver are claimed at a time, by all owners together. The first entry
        of every receiver comes before any receiver's second, the longest due first.
        """
        parameters = {"kind": kind, "now": now, "receiver_limit": receiver_limit, "limit": limit}
        with self._database.read() as connection:
            if connection.scalar(_IS_CLAIMABLE, parameters) is None:
                return []
        with self._database.write() as connection:
            lock_name(connection, outbox, kind)  # the claims of all owners are counted together
            entries = [OutboxEntry(**row) for row in connection.execute(_NEXT_ENTRIES, parameters).mappings()]
            rows = [
                {"kind": kind, "key": entry.key, "receiver": entry.receiver, "claimed_by": owner} for entry in entries
            ]
            update_all(connection, outbox, rows)
            return [replace(entry, claimed_by=owner) for entry in entries]

    def complete(self, entry: OutboxEntry, now: str, result: str | None = None) -> None:
        """Record that the receiver has taken the entry, and end its claim. The first time and result stay.

        Does nothing when the entry has been claimed again since: its new owner sends it.
        """
        self._end_claim(entry, _COMPLETE, {"now": now, "new_result": result})

    def fail(self, entry: OutboxEntry, error: str, next_at: str | None) -> None:
        """Record one more failed attempt than the entry has, and end its claim.

        The entry is due again at `next_at`; None gives it up. Does nothing when the entry is done, this attempt is on
        record, or the entry has been claimed again since.
        """
        self._end_claim(entry, _FAIL, {"new_attempts": entry.attempts + 1, "new_error": error, "new_next_at": next_at})

    def give_back(self, entry: OutboxEntry) -> None:
        """End the claim of an entry that was not sent."""
        self._end_claim(entry, _GIVE_BACK, {})

    def _end_claim(self, entry: OutboxEntry, change: Executable, values: Mapping[str, Any]) -> None:
        key = {f"of_{name}": getattr(entry, name) for name in ("kind", "key", "receiver")}
        parameters = {**key, "of_owner": entry.claimed_by, **values}
        self._database.group_commit(lambda connection: connection.execute(change, parameters))

    def release(self, owner: str) -> None:
        """End all claims of a worker that has died: its entries may be claimed at once."""
        self._release(_KEYS_CLAIMED_BY_OWNER, {"owner": owner})

    def release_lost(self, owners: Collection[str]) -> None:
        """End all claims of workers that do not exist any more, that is, of all but these."""
        self._release(_KEYS_CLAIMED_BY_OTHERS, {"owners": make_text_list(sorted(owners))})

    def _release(self, claimed_keys: Select[Any], parameters: Mapping[str, Any]) -> None:
        with self._database.write() as connection:
            rows = connection.execute(claimed_keys, parameters).mappings().all()
            update_all(connection, outbox, [{**row, "claimed_by": None} for row in rows])
        self.wake(*dict.fromkeys(row["kind"] for row in rows))

    def list_in_state(
        self,
        kind: OutboxKind,
        receiver: str,
        state: EntryState,
        limit: int,
        after: tuple[int, str] | None,
        *,
        is_newest_first: bool,
    ) -> Sequence[OutboxEntry]:
        """Entries in a state by position; `after` are position and key of the entry to continue from."""
        query = ENTRY.where(outbox.c.kind == kind, outbox.c.receiver == receiver, *_CONDITIONS[state])
        sort_columns = outbox.c.position, outbox.c.key
        query = query.where(
            *make_after_value_conditions(tuple_(*sort_columns), after and tuple_(*after), is_newest_first)
        )
        query = query.order_by(*(find_sort_column(column, is_newest_first) for column in sort_columns)).limit(limit)
        with self._database.read() as connection:
            return [OutboxEntry(**row) for row in connection.execute(query).mappings()]

    def bring_forward(self, latest_due: str, now: str) -> int:
        """Make entries of all kinds due now that are due after `latest_due`.

        Pauses of receivers until then end, too. They were written while the clock was ahead, and would wait until it is
        that time. Returns how many entries.
        """
        is_ahead = outbox.c.kind.in_(OutboxKind), outbox.c.next_at > latest_due, outbox.c.claimed_by.is_(None)
        is_paused = outbox_receivers.c.kind.in_(OutboxKind), outbox_receivers.c.paused_until > latest_due
        with self._database.write() as connection:
            ahead_keys = lock_rows(select(*_IDENTITY).where(*is_ahead).order_by(*_IDENTITY))
            rows = connection.execute(ahead_keys).mappings().all()
            update_all(connection, outbox, [{**row, "next_at": now, "due_since": now} for row in rows])
            connection.execute(update(outbox_receivers).where(*is_paused).values(paused_until=None))
        self.wake(*dict.fromkeys(row["kind"] for row in rows))
        return len(rows)

    def purge_delivered(self, kind: OutboxKind, before: str) -> int:
        """Delete the entries of a kind that were sent or dismissed before that time. Returns how many."""
        is_old = (outbox.c.done_at < before) | (outbox.c.dismissed_at < before)
        with self._database.write() as connection:
            return delete_unlocked(connection, outbox, outbox.c.kind == kind, is_old)

    def purge(self, kind: OutboxKind, before: str) -> int:
        """Delete the entries of a kind that became due before that time, and that are sent or dead.

        Returns how many.
        """
        is_old = outbox.c.due_since < before, outbox.c.next_at.is_(None)
        with self._database.write() as connection:
            return delete_unlocked(connection, outbox, outbox.c.kind == kind, *is_old)


def add_entries(connection: Connection, entries: Sequence[OutboxEntry]) -> None:
    """Add entries within a transaction. Call `Outbox.wake` after it.

    An entry that exists, by its kind, key and receiver, stays as it is.
    """
    insert_all_new(connection, outbox, [make_row(entry) for entry in entries])


def get_registry_receiver(repository: str) -> str:
    """The receiver of what is attached to an image of this repository: its registry."""
    return RepositoryReference.parse(repository).registry or OWN_REGISTRY


def enqueue_answers(connection: Connection, approval_ids: Sequence[ApprovalId], now: str) -> None:
    """Make the callbacks of approvals due that were settled in this transaction."""
    connection.execute(_ANSWER, {"keys": make_text_list(approval_ids), "due_since": now, "next_at": now})


def enqueue_attestations(
    connection: Connection, approved_images: Mapping[str, Collection[tuple[str, str, str]]], now: str
) -> None:
    """Make the attestations due of what verdicts have approved.

    By verdict: each image, repository and policy once.
    """
    add_entries(
        connection,
        [
            OutboxEntry(
                OutboxKind.ATTESTATION,
                key=f"{verdict}/{ImageReference(repository, image)}",
                receiver=get_registry_receiver(repository),
                payload={"verdict": verdict, "image": image, "repository": repository, "policy": policy},
                image=image,
                due_since=now,
                next_at=now,
            )
            for verdict, images in approved_images.items()
            for image, repository, policy in images
        ],
    )
