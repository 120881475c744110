"""Deliveries that failed: messages of every kind that their receivers did not take."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from dockgate.delivery.model import ApprovalId
from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.services.clock import ServerClock
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.shared.errors import ConflictError, UsageError
from dockgate.shared.reasons import require_short_reason
from dockgate.store import Store
from dockgate.store.events.failed_entries import FailingPosition
from dockgate.store.records import OutboxEntry, OutboxKind

# Messages of a receiver that one call sends again.
REDELIVERY_LIMIT = 1000


class DeliveryState(StrEnum):
    """The state of a delivery that failed. RETRYING: the next attempt has a time. DISMISSED: by a person."""

    GIVEN_UP = "given-up"
    RETRYING = "retrying"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """A message whose last attempt failed for the reason `error`.

    `receiver` is the host and port of a callback, the name of a target, or an image's registry. `approval`, `image` and
    `event` (its number) are what the message is about, as far as its kind has them. `due_since` is when the first
    attempt was due, `attempts` have failed. `next_at` is when the next is due, None for one that was given up.
    `dismissed_at`, `dismissed_by` and `dismissal_reason` are None for one that was not dismissed.
    """

    kind: OutboxKind
    receiver: str
    key: str
    state: DeliveryState
    approval: ApprovalId | None
    image: str | None
    event: int | None
    due_since: str
    attempts: int
    error: str
    next_at: str | None
    dismissed_at: str | None
    dismissed_by: str | None
    dismissal_reason: str | None


class FailedDeliveries:
    """The deliveries that failed, of all kinds."""

    def __init__(self, store: Store, targets: EventTargets, clock: ServerClock) -> None:
        self._store = store
        self._targets = targets
        self._clock = clock

    def list(
        self,
        limit: int,
        after: FailingPosition | None = None,
        *,
        is_newest_first: bool = True,
        kind: OutboxKind | None = None,
        state: DeliveryState | None = None,
    ) -> Sequence[FailedDelivery]:
        """Deliveries by `due_since`, after the one of this position, optionally of a kind or in a state.

        Without a state, dismissed ones are left out.
        """
        entries = self._store.failed_entries.list(
            limit,
            after,
            is_newest_first=is_newest_first,
            kind=kind,
            is_given_up=None if state is None else state is not DeliveryState.RETRYING,
            is_dismissed=state is DeliveryState.DISMISSED,
        )
        return [_make_delivery(entry) for entry in entries]

    def redeliver(self, kind: OutboxKind, receiver: str, keys: Sequence[str] | None = None) -> int:
        """Send what was given up again, and return how many messages: those with these keys, or all.

        All are those that were not dismissed, at most REDELIVERY_LIMIT, without those that must not be sent any more.
        With keys, ConflictError if one of these messages was not given up, or must not be sent any more, which is then
        true of all.
        """
        entries = self._store.failed_entries.list_given_up(kind, receiver, REDELIVERY_LIMIT, keys)
        objections = {entry.key: self._find_objection(entry) for entry in entries}
        for key in keys or ():
            if key not in objections:
                raise _make_unknown_error(kind, receiver, key)
            if objection := objections[key]:
                raise ConflictError(
                    f"the {kind} {key} to {receiver} is outdated: {objection}",
                    "Leave it out: a receiver that got it now would have the wrong state.",
                )
        sendable_keys = [key for key, objection in objections.items() if objection is None]
        if not sendable_keys:
            return 0
        if kind is OutboxKind.EVENT:
            count = self._targets.redeliver(receiver, sendable_keys)
        else:
            count = self._store.failed_entries.redeliver(kind, receiver, self._clock.now(), sendable_keys)
        if keys and not count:
            raise ConflictError(
                "the messages are being sent already: another call has sent them again",
                "`dockgate delivery list` lists those that fail once more.",
            )
        return count

    def dismiss(self, kind: OutboxKind, receiver: str, by: str, reason: str, keys: Sequence[str] | None = None) -> int:
        """Dismiss what was given up, and return how many messages: those with these keys, or all.

        They no longer count as failed, and stay in the list of dismissed ones until they are purged. UsageError without
        a reason, or for a long one. ConflictError if a message with one of the keys was not given up: none is dismissed
        then.
        """
        if not reason.strip():
            raise UsageError("a dismissal needs a reason", "Say why the message is of no use any more.")
        require_short_reason(reason)
        given_up_keys = [
            entry.key
            for entry in self._store.failed_entries.list_given_up(kind, receiver, REDELIVERY_LIMIT, keys)
            if entry.dismissed_at is None
        ]
        for key in keys or ():
            if key not in given_up_keys:
                raise _make_unknown_error(kind, receiver, key)
        count = self._store.failed_entries.dismiss(kind, receiver, self._clock.now(), by, reason.strip(), given_up_keys)
        if keys and not count:
            raise ConflictError(
                "the messages are not given up any more: another call sent them again, or dismissed them",
                "`dockgate delivery list` lists what failed.",
            )
        return count

    def _find_objection(self, entry: OutboxEntry) -> str | None:
        """Return why a message must not be sent any more, None if it may.

        It would contradict what has happened since: a later message to the callback, or a later verdict.
        """
        if entry.kind is OutboxKind.VERDICT_CHANGE:
            approval, number = entry.payload["approval"], entry.payload["number"]
            if number < self._store.followed_images.count_messages(ApprovalId(approval)):
                return "a later change of the verdict was sent to the callback, or is going to be"
        if entry.kind is OutboxKind.ATTESTATION:
            image, repository = str(entry.image), entry.payload["repository"]
            status = self._store.followed_images.find_status(
                image, repository, PolicyReference(entry.payload["policy"])
            )
            if status not in (None, Status.APPROVED):
                return f"the image is not approved any more in {repository}, but {status}"
        return None


def _make_unknown_error(kind: OutboxKind, receiver: str, key: str) -> ConflictError:
    return ConflictError(
        f"the {kind} {key} to {receiver} was not given up: it was sent, is being sent, was dismissed, or never existed",
        "`dockgate delivery list` lists what failed.",
    )


def _make_delivery(entry: OutboxEntry) -> FailedDelivery:
    approval = entry.key if entry.kind is OutboxKind.WEBHOOK else entry.payload.get("approval")
    return FailedDelivery(
        kind=entry.kind,
        receiver=entry.receiver,
        key=entry.key,
        state=_find_state(entry),
        approval=ApprovalId(approval) if approval else None,
        image=entry.image or (entry.payload.get("image") if entry.kind is OutboxKind.VERDICT_CHANGE else None),
        event=entry.position if entry.kind is OutboxKind.EVENT else None,
        due_since=entry.due_since or "",
        attempts=entry.attempts,
        error=entry.last_error or "",
        next_at=entry.next_at,
        dismissed_at=entry.dismissed_at,
        dismissed_by=entry.dismissed_by,
        dismissal_reason=entry.dismissal_reason,
    )


def _find_state(entry: OutboxEntry) -> DeliveryState:
    if entry.dismissed_at:
        return DeliveryState.DISMISSED
    return DeliveryState.RETRYING if entry.next_at else DeliveryState.GIVEN_UP
