"""Send the outbox's messages to targets, and start the pipelines that rules name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dockgate.events.message import Message
from dockgate.events.notification_texts import describe
from dockgate.services.clock import ServerClock
from dockgate.services.effects import EffectKind, Starter
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.notifications.outbox import OutboxHandler, UndeliverableError
from dockgate.shared.canonical import encode
from dockgate.shared.errors import DeniedError, DockgateError, NotFoundError, StoreError, UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import format_time
from dockgate.store import Store
from dockgate.store.events.receivers import OutboxReceivers, ReceiverState
from dockgate.store.records import OutboxEntry, OutboxKind

# Rules that start pipelines whose events start pipelines: at most so many in a row.
CHAIN_LIMIT = 5
# How often the time of a target's last message is stored.
SENT_SECONDS = 60
VARIABLE_PREFIX = "variable."


class EventDeliveryHandler(OutboxHandler):
    """Sends the messages of rules: a few at a time to each target, those of a subject in order."""

    kind = OutboxKind.EVENT
    step = EffectKind.SEND_EVENT
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
        before = receivers.state(entry.receiver)
        if before is not None and before.gone_at is not None:
            raise UndeliverableError(f"the target {entry.receiver} wants no more messages since {before.gone_at}")
        message = self._message(entry)
        try:
            self._targets.send(message, target)
        except StoreError:
            raise
        except DeniedError as error:
            receivers.record_gone(entry.receiver, error.full_message, self._clock.now())
            raise UndeliverableError(error.full_message) from error
        except UsageError as error:
            receivers.record_refusal(entry.receiver, error.full_message)
            raise UndeliverableError(error.full_message) from error
        except DockgateError as error:
            receivers.record_failure(entry.receiver, error.full_message, self._clock())
            raise
        self._record_success(entry.receiver, before)

    def _record_success(self, receiver: str, state: ReceiverState | None) -> None:
        now = self._clock()
        recent = format_time(now - timedelta(seconds=SENT_SECONDS))
        if state is None or state.failures or state.last_error or (state.last_sent_at or "") < recent:
            self._store.event_receivers.record_success(receiver, format_time(now))

    def _message(self, entry: OutboxEntry) -> Message:
        payload = entry.payload
        event: Mapping[str, Any]
        if "body" in payload:
            event = payload["body"]
        else:
            try:
                event = self._store.event_log.get(payload["event"]).body
            except NotFoundError as error:
                raise UndeliverableError(f"the event {payload['event']} is not stored any more") from error
        title, text = describe(event)
        return Message(
            key=entry.key,
            rule=str(payload.get("rule", "")),
            event=event,
            data=payload.get("data") or encode(event).decode(),
            title=payload.get("title") or title,
            text=payload.get("text") or text,
            subject=entry.subject or "",
            is_custom="data" in payload,
        )


@dataclass(frozen=True, slots=True)
class RuleExecutions:
    """Starts pipelines for rules, and stops rules that start each other or themselves."""

    store: Store
    starter: Starter
    clock: ServerClock

    def start(self, pipeline: str, message: Message, variables: Mapping[str, str], limit: int) -> None:
        """Start a pipeline at the heads of its branches, once for each message.

        UsageError where the event comes of an execution that the same rule has started, or a chain of rules is too
        long, or the rule has started the pipeline `limit` times within an hour.
        """
        chain = [*self._chain_of(message.event), message.rule]
        cause = f"rule/{message.key}"
        if message.rule in chain[:-1]:
            raise UsageError(
                f"the rule {message.rule} has started the execution that this event comes of: it is not started again",
                f"Change the rule's pattern so that events of the pipeline {pipeline} do not match it.",
            )
        if len(chain) > CHAIN_LIMIT:
            raise UsageError(
                f"the rules {', '.join(chain)} start pipelines in a chain: at most {CHAIN_LIMIT} do so in a row",
                "Change the pattern of one of these rules.",
            )
        since, now = format_time(self.clock() - timedelta(hours=1)), self.clock.now()
        if not self.store.pipeline_starts.allow(cause, message.rule, pipeline, now, since, limit):
            raise UsageError(
                f"the rule {message.rule} has started the pipeline {pipeline} {limit} times within an hour",
                "Does the pipeline cause the events? Change the pattern, or set `perHour` of the target.",
            )
        author = next((each.changed_by for each in self.store.event_rules.list() if each.rule.name == message.rule), "")
        trigger = {
            **{f"{VARIABLE_PREFIX}{name}": value for name, value in variables.items()},
            "cause": f"the rule {message.rule}",
            "event": str(message.event.get("id", "")),
            "rules": ",".join(chain),
            **({"started_by": author} if author else {}),
        }
        execution = self.store.executions.start(pipeline, cause, trigger, now)
        self.starter.continue_execution(execution.id)

    def _chain_of(self, event: Mapping[str, Any]) -> list[str]:
        """The rules that led to the execution which an event is about."""
        detail = event.get("detail")
        if not isinstance(detail, Mapping):
            return []
        execution = detail.get("execution-id") or detail.get("execution")
        if not isinstance(execution, str):
            return []
        try:
            trigger = self.store.executions.get(execution).trigger
        except NotFoundError:
            return []
        return [name for name in trigger.get("rules", "").split(",") if name]
