"""From the event log to the outbox: what each rule sends to each target, exactly once for each event."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dockgate.events.envelope import SOURCE
from dockgate.events.grouping import GROUP_TYPE, group_events
from dockgate.events.input_template import OutputTooLargeError
from dockgate.events.model import OWNERS, NewEvent, StoredEvent, Target
from dockgate.events.pattern import PatternSet
from dockgate.events.subject import EventSubject, SubjectKind
from dockgate.events.topics import EPISODIC_KINDS, GroupedEvent, Reopening, make_state_topics, make_topic
from dockgate.services.clock import ServerClock
from dockgate.services.error_isolation import run_for_each
from dockgate.services.notifications.event_rules import CompiledRule, CompiledTarget, EventRules
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.notifications.owners import Owners
from dockgate.services.notifications.summary import NotificationSummary
from dockgate.shared.timestamps import CLOCK_DIFFERENCE, format_time, parse_time
from dockgate.store import Store
from dockgate.store.events.cursor import Group
from dockgate.store.events.rules import TargetRecord
from dockgate.store.records import OutboxEntry, OutboxKind

# Events that are matched in one transaction, and batches in one run.
BATCH = 500
BATCHES_LIMIT = 100
# A group is sent after this many pauses, even if events still come, or when it has this many events.
LONGEST_PAUSES = 30
GROUP_LIMIT = 10_000
# A target is not notified of the same thing again until it has not happened for so long.
TOPIC_DAYS = 30
# A target is notified again of an image that is rejected for the same reason as before it was approved, unless that was
# less than a day ago: an advisory that comes and goes is not announced each time.
REOPEN_AFTER = timedelta(days=1)
# A target is notified again of a task that was not unhealthy for so long.
EPISODE_ENDS_AFTER = timedelta(days=1)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Batch:
    """The consequences of some events."""

    now: datetime
    entries: list[OutboxEntry] = field(default_factory=list)
    grouped_events: list[GroupedEvent] = field(default_factory=list)


class EventMatcher:
    """The matching of stored events with rules. One process at a time matches; a second changes nothing."""

    def __init__(
        self,
        store: Store,
        rules: EventRules,
        targets: EventTargets,
        summary: NotificationSummary,
        clock: ServerClock,
        registry: str,
        public_url: str,
    ) -> None:
        self._store = store
        self._rules = rules
        self._targets = targets
        self._summary = summary
        self._clock = clock
        self._registry = registry
        self._public_url = public_url
        self._unknown: set[str] = set()

    def run(self) -> None:
        """Send what new events, complete groups and the time of day ask for."""
        for _ in range(BATCHES_LIMIT):
            if not self.advance():
                break
        run_for_each(
            (self.settle, self.send_groups, self.send_summaries), lambda send: send(), lambda send: send.__name__
        )

    def advance(self) -> bool:
        """Match the next events. Returns whether there were any."""
        after = self._store.event_cursor.read_position()
        events = self._store.event_log.read(after, BATCH)
        if not events:
            return False
        rules = {rule.rule.name: rule for rule in self._rules.list_enabled_rules()}
        batch = _Batch(self._clock())
        patterns = PatternSet({name: rule.pattern for name, rule in rules.items()})
        targets = {record.target.name: record.target for record in self._targets.list_records()}
        owners = Owners.load(self._store, list(targets.values()), self._registry)
        for event in events:
            for name in sorted(patterns.find_matches(event.body)):
                self._collect(batch, rules[name], event, targets, owners)
        since = format_time(batch.now - timedelta(days=TOPIC_DAYS))
        if not self._store.event_cursor.advance(after, events[-1].seq, batch.entries, batch.grouped_events, since):
            return False
        if batch.entries:
            self._targets.trim()
            self._store.outbox.wake(OutboxKind.EVENT)
        return True

    def _collect(
        self, batch: _Batch, rule: CompiledRule, event: StoredEvent, targets: Mapping[str, Target], owners: Owners
    ) -> None:
        """Add what one rule makes of an event. A target that is both named and an owner's gets it once."""
        targets_by_name: dict[str, CompiledTarget] = {}
        for compiled_target in rule.targets:
            name = compiled_target.target.name
            for target_name in owners.find_targets(event.body) if name == OWNERS else (name,):
                targets_by_name.setdefault(target_name, compiled_target)
        for name, compiled_target in targets_by_name.items():
            target = targets.get(name)
            if target is None:
                self._warn(name, rule.rule.name)
            elif target.enabled and compiled_target.target.group_seconds is not None:
                batch.grouped_events.append(
                    GroupedEvent(
                        target=name,
                        rule=rule.rule.name,
                        position=event.seq,
                        at=format_time(batch.now),
                        pause_seconds=compiled_target.target.group_seconds,
                        topic=make_topic(event.body),
                        reopens=_make_reopening(event.body, batch.now),
                        episode_since=(
                            format_time(batch.now - EPISODE_ENDS_AFTER) if event.detail_type in EPISODIC_KINDS else ""
                        ),
                    )
                )
            elif target.enabled:
                batch.entries.append(_make_entry(rule.rule.name, compiled_target, target, event, batch))

    def _warn(self, target: str, rule: str) -> None:
        """Log once that a rule names a target which does not exist."""
        if target not in self._unknown:
            self._unknown.add(target)
            _log.warning("the rule %s names the target %s, which does not exist: apply it", rule, target)

    def settle(self) -> None:
        """Send the states that have not changed for a while and differ from what people were last notified of."""
        self._store.event_cursor.settle(*self._clock.compute_settling_times())

    # --- groups ---------------------------------------------------------------------------------------------------

    def send_groups(self) -> None:
        """Make one message of each group that is complete, unless its target has quiet hours now."""
        now = self._clock()

        def send(group: Group) -> None:
            target = self._targets.find(group.target)
            if target is None or not target.enabled:
                self._store.event_cursor.delete_group(group.target, group.rule)
            elif target.quiet_hours is not None and target.quiet_hours.find_end(now) is not None:
                self._store.event_cursor.trim_group(group.target, group.rule, GROUP_LIMIT)
            elif _is_complete(group, now):
                self._send_group(group, now)

        try:
            run_for_each(self._store.event_cursor.list_groups(), send, lambda group: f"{group.rule} for {group.target}")
        finally:
            self._store.outbox.wake(OutboxKind.EVENT)

    def _send_group(self, group: Group, now: datetime) -> None:
        store = self._store
        positions = store.event_cursor.list_grouped_positions(group.target, group.rule, GROUP_LIMIT)
        if not positions:
            return  # it was sent since the groups were listed
        link = f"{self._public_url}/events?before={positions[-1] + 1}"
        if len(positions) == 1 and (event := next(iter(store.event_log.read_by_seq(positions)), None)):
            body = next(self._read_bodies(positions))
            entry = _make_rule_entry(group, body, event.seq, now, event.id)
        else:
            message = group_events(self._read_bodies(positions), link)
            subject = EventSubject(SubjectKind.RULE, group.rule)
            key = f"{GROUP_TYPE}/{group.rule}/{positions[-1]}"
            body = NewEvent(key, SOURCE, GROUP_TYPE, subject, format_time(now), message.detail).make_envelope()
            entry = _make_rule_entry(group, body, positions[-1], now, key, (message.title, message.text))
        store.event_cursor.move_group_to_outbox(group.target, group.rule, positions[-1], entry)

    def _read_bodies(self, positions: Sequence[int]) -> Iterator[Mapping[str, Any]]:
        return (event.body for event in self._store.event_log.read_by_seq(positions))

    # --- daily summaries ------------------------------------------------------------------------------------------

    def send_summaries(self) -> None:
        """Send the daily summaries that are due. A target with quiet hours gets its summary after them.

        A new target's first one is due at the next time of day.
        """
        now = self._clock()
        run_for_each(
            self._targets.list_records(),
            lambda record: self._send_summary(record, now),
            lambda record: record.target.name,
        )

    def _send_summary(self, record: TargetRecord, now: datetime) -> None:
        target = record.target
        if target.summary is None or not target.enabled:
            return
        if target.quiet_hours is not None and target.quiet_hours.find_end(now) is not None:
            return
        due_at, latest_due = format_time(target.summary.compute_due_time(now)), format_time(now + CLOCK_DIFFERENCE)
        before = self._store.event_cursor.find_last_summary_time(target.name)
        if before is None and record.changed_at is not None and due_at < record.changed_at <= latest_due:
            return
        if before is not None and before > latest_due:
            # The clock was ahead, and a summary was sent: the next one is due at the next time of day.
            self._store.event_cursor.send_summary(target.name, due_at, latest_due, [])
        elif before is None or before < due_at:
            targets = [record.target for record in self._targets.list_records()]
            owners = Owners.load(self._store, targets, self._registry)
            title, text, detail = self._summary.describe(target, owners, now)
            subject = EventSubject(SubjectKind.TARGET, target.name)
            event = NewEvent(f"summary/{target.name}/{due_at}", SOURCE, "summary.daily", subject, due_at, detail)
            payload = {"body": event.make_envelope(), "title": title, "text": text}
            entry = _make_message_entry(target.name, payload, 0, now, event.id, subject)
            self._store.event_cursor.send_summary(target.name, due_at, latest_due, [entry])
            self._store.outbox.wake(OutboxKind.EVENT)


def _make_reopening(event: Mapping[str, Any], now: datetime) -> Reopening | None:
    """Return the topics of which people are notified again after this event."""
    if (topics := make_state_topics(event)) is None:
        return None
    since = format_time(now - REOPEN_AFTER) if topics.is_good else None
    return Reopening(topics.state, topics.value, topics.reopened_prefix, since)


def _is_complete(waiting: Group, now: datetime) -> bool:
    first, last = parse_time(waiting.first_at) or now, parse_time(waiting.last_at) or now
    pause = timedelta(seconds=waiting.pause_seconds)
    if last > now + pause + CLOCK_DIFFERENCE:
        return True  # the clock was ahead when they came
    return last + pause <= now or first + pause * LONGEST_PAUSES <= now or waiting.count >= GROUP_LIMIT


def _make_entry(
    rule: str, compiled_target: CompiledTarget, target: Target, event: StoredEvent, batch: _Batch
) -> OutboxEntry:
    """Return what one target gets of an event, at once or after its quiet hours."""
    now = batch.now
    quiet_end = target.quiet_hours.find_end(now) if target.quiet_hours else None
    due_at: str | None = format_time(quiet_end or now)
    payload: dict[str, Any] = {"rule": rule, "event": event.id}
    error = None
    try:
        if compiled_target.render is not None:
            payload["data"] = compiled_target.render(event.body, rule)
    except OutputTooLargeError as problem:
        error, due_at = problem.full_message, None
    return OutboxEntry(
        OutboxKind.EVENT,
        key=f"{rule}/{event.id}",
        receiver=target.name,
        payload=payload,
        due_since=due_at or format_time(now),
        next_at=due_at,
        last_error=error,
        subject=event.subject,
        position=event.seq,
    )


def _make_rule_entry(
    waiting_group: Group,
    body: Mapping[str, Any],
    position: int,
    now: datetime,
    key: str,
    words: tuple[str, str] | None = None,
) -> OutboxEntry:
    """Return the message of a group, with a title and a text (`words`) if it has several events."""
    payload: dict[str, Any] = {"rule": waiting_group.rule, "body": dict(body)}
    if words is not None:
        payload |= {"title": words[0], "text": words[1]}
    subject = EventSubject(SubjectKind.RULE, waiting_group.rule)
    return _make_message_entry(waiting_group.target, payload, position, now, f"{waiting_group.rule}/{key}", subject)


def _make_message_entry(
    target: str, payload: Mapping[str, Any], position: int, now: datetime, key: str, subject: EventSubject
) -> OutboxEntry:
    """Return an entry with its whole message, for an event that is not in the log or was grouped."""
    at = format_time(now)
    return OutboxEntry(
        OutboxKind.EVENT,
        key=key,
        receiver=target,
        payload=dict(payload),
        due_since=at,
        next_at=at,
        subject=subject,
        position=position,
    )
