"""Send the outbox's messages to targets."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from dockgate.events.model import Message
from dockgate.events.notification_texts import describe_event
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.notifications.outbox import OutboxHandler, UndeliverableError
from dockgate.shared.canonical import encode
from dockgate.shared.errors import (
    DockgateError,
    MessageRefusedError,
    NotFoundError,
    ReceiverGoneError,
    StoreError,
)
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import format_time
from dockgate.store import Store
from dockgate.store.events.receivers import OutboxReceivers, ReceiverState
from dockgate.store.records import OutboxEntry, OutboxKind

# How often the time of a target's last message is stored.
SENT_SECONDS = 60


class EventDeliveryHandler(OutboxHandler):
    """The delivery of rules' messages: a few at a time to each target, those of a subject in order."""

    kind = OutboxKind.EVENT
    effect = EffectKind.SEND_EVENT
    receiver_limit = 4

    def __init__(self, store: Store, targets: EventTargets, clock: ServerClock) -> None:
        self._store = store
        self._targets = targets
        self._clock = clock

    @override
    def send(self, entry: OutboxEntry) -> None:
        target = self._targets.find(entry.receiver)
        if target is None or not target.enabled:
            state = "does not exist any more" if target is None else "is disabled"
            raise UndeliverableError(f"the target {entry.receiver} {state}")
        receivers: OutboxReceivers = self._store.event_receivers
        state_before = receivers.list_states().get(entry.receiver)
        if state_before is not None and state_before.gone_at is not None:
            raise UndeliverableError(
                f"the target {entry.receiver} refused further messages (410) at {state_before.gone_at}"
            )
        message = self._make_message(entry)
        try:
            self._targets.send(message, target)
        except StoreError:
            raise
        except ReceiverGoneError as error:
            receivers.record_gone(entry.receiver, error.full_message, self._clock.now())
            raise UndeliverableError(error.full_message) from error
        except MessageRefusedError as error:
            receivers.record_refusal(entry.receiver, error.full_message)
            raise UndeliverableError(error.full_message) from error
        except DockgateError as error:
            receivers.record_failure(entry.receiver, error.full_message, self._clock())
            raise
        self._record_success(entry.receiver, state_before)

    def _record_success(self, receiver: str, state: ReceiverState | None) -> None:
        now = self._clock()
        recent = format_time(now - timedelta(seconds=SENT_SECONDS))
        if state is None or state.failures or state.last_error or (state.last_sent_at or "") < recent:
            self._store.event_receivers.record_success(receiver, format_time(now))

    def _make_message(self, entry: OutboxEntry) -> Message:
        payload = entry.payload
        event: Mapping[str, Any]
        if "body" in payload:
            event = payload["body"]
        else:
            try:
                event = self._store.event_log.get(payload["event"]).body
            except NotFoundError as error:
                raise UndeliverableError(f"the event {payload['event']} is not stored any more") from error
        title, text = describe_event(event)
        return Message(
            key=entry.key,
            rule=str(payload.get("rule", "")),
            event=event,
            data=payload.get("data") or encode(event).decode(),
            title=payload.get("title") or title,
            text=payload.get("text") or text,
            subject=entry.subject,
            is_custom="data" in payload,
        )
