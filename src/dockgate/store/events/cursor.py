"""The position up to which rules matched the event log, and its consequences, changed together.

A crash between two of these would lose a message or send it twice. `events/topics.py` decides which events of a group
are sent; this module reads and stores the topics and states that it decides by.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, delete, func, insert, or_, select, update

from dockgate.events.topics import GroupedEvent, Reopening, StateKey, TopicSelection, select_new_events
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store.engine import Database
from dockgate.store.events.outbox import add_entries
from dockgate.store.queries import BATCH
from dockgate.store.records import OutboxEntry
from dockgate.store.schema.events import (
    event_cursors,
    grouped_events,
    notified_states,
    notified_topics,
    sent_summaries,
    unsettled_states,
)
from dockgate.store.statements import delete_unlocked, insert_all_new, lock_name

CURSOR = "rules"
_POSITION = select(event_cursors.c.position).where(event_cursors.c.name == CURSOR)
_DELETE_POSITION = delete(event_cursors).where(event_cursors.c.name == CURSOR)
_INSERT_POSITION = insert(event_cursors)
_DUE_STATES = select(unsettled_states).where(
    or_(unsettled_states.c.at <= bindparam("before"), unsettled_states.c.at > bindparam("after"))
)
_DUE_STATE = _DUE_STATES.limit(1)
_GROUPS = select(
    grouped_events.c.target,
    grouped_events.c.rule,
    func.count().label("count"),
    func.max(grouped_events.c.position).label("last_position"),
    func.min(grouped_events.c.at).label("first_at"),
    func.max(grouped_events.c.at).label("last_at"),
    func.max(grouped_events.c.pause_seconds).label("pause_seconds"),
).group_by(grouped_events.c.target, grouped_events.c.rule)


@dataclass(frozen=True, slots=True)
class Group:
    """The events that wait for one target by one rule.

    `last_position` is the number of the last one. They came from `first_at` to `last_at`.
    """

    target: str
    rule: str
    count: int
    last_position: int
    first_at: str
    last_at: str
    pause_seconds: int


class EventCursor:
    """The progress of the rules through the event log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read_position(self) -> int:
        """The number of the last event that rules have matched, 0 before the first."""
        with self._database.read() as connection:
            return connection.scalar(_POSITION) or 0

    def advance(
        self,
        after: int,
        position: int,
        entries: Sequence[OutboxEntry],
        new_events: Sequence[GroupedEvent],
        topics_since: str,
    ) -> bool:
        """Move from `after` to `position` and store what follows from the events in between.

        Events of a topic that the target was notified about since `topics_since` are dropped. False, and nothing has
        changed, when the position is no longer `after`: another process was faster.
        """
        with self._database.write() as connection:
            lock_name(connection, event_cursors, CURSOR)
            if (connection.scalar(_POSITION) or 0) != after:
                return False
            connection.execute(_DELETE_POSITION)
            connection.execute(_INSERT_POSITION, {"name": CURSOR, "position": position})
            insert_all_new(
                connection,
                grouped_events,
                [_make_row(event) for event in _select_new_events(connection, new_events, topics_since)],
            )
            add_entries(connection, entries)
            return True

    def settle(self, before: str, after: str, now: str) -> None:
        """Put into groups the events that contradict what was sent, if their states have settled.

        They have not changed since `before`. Those that came `after` a time in the future are due, too.
        """
        parameters = {"before": before, "after": after}
        with self._database.read() as connection:
            if connection.execute(_DUE_STATE, parameters).first() is None:
                return
        with self._database.write() as connection:
            lock_name(connection, event_cursors, CURSOR)
            for row in connection.execute(_DUE_STATES, parameters).mappings().all():
                _group_contradiction(connection, row, now)
                _forget_contradictions(connection, [(row["target"], row["state"])])

    def list_groups(self) -> Sequence[Group]:
        """Return what waits to become messages."""
        with self._database.read() as connection:
            return [Group(**row) for row in connection.execute(_GROUPS).mappings()]

    def list_grouped_positions(self, target: str, rule: str, limit: int) -> Sequence[int]:
        """The numbers of the events of a group, in order."""
        query = select(grouped_events.c.position).where(*_is_group(target, rule))
        with self._database.read() as connection:
            return connection.scalars(query.order_by(grouped_events.c.position).limit(limit)).all()

    def trim_group(self, target: str, rule: str, limit: int) -> int:
        """Delete the oldest events of a group beyond `limit`. Returns how many."""
        with self._database.write() as connection:
            newest_positions = select(grouped_events.c.position).where(*_is_group(target, rule))
            last = connection.scalar(newest_positions.order_by(grouped_events.c.position.desc()).offset(limit).limit(1))
            if last is None:
                return 0
            return connection.execute(
                delete(grouped_events).where(*_is_group(target, rule), grouped_events.c.position <= last)
            ).rowcount

    def move_group_to_outbox(self, target: str, rule: str, last: int, entry: OutboxEntry) -> None:
        """Replace the events of a group up to the number `last` by an outbox entry, unless they are gone."""
        with self._database.write() as connection:
            lock_name(connection, event_cursors, CURSOR)
            conditions = (*_is_group(target, rule), grouped_events.c.position <= last)
            if connection.execute(delete(grouped_events).where(*conditions)).rowcount:
                add_entries(connection, [entry])

    def delete_group(self, target: str, rule: str) -> None:
        """Delete the events of a group, without a message."""
        with self._database.write() as connection:
            lock_name(connection, event_cursors, CURSOR)
            connection.execute(delete(grouped_events).where(*_is_group(target, rule)))

    def find_last_summary_time(self, target: str) -> str | None:
        """Return when the last summary of a target was due that was sent. None before the first."""
        with self._database.read() as connection:
            return connection.scalar(select(sent_summaries.c.due_at).where(sent_summaries.c.target == target))

    def send_summary(self, target: str, due_at: str, latest_due: str, entries: Sequence[OutboxEntry]) -> None:
        """Send a summary, once for each time at which it was due.

        One that was due after `latest_due` does not count.
        """
        with self._database.write() as connection:
            lock_name(connection, sent_summaries, target)
            before = connection.scalar(select(sent_summaries.c.due_at).where(sent_summaries.c.target == target))
            if before is not None and due_at <= before <= latest_due:
                return
            connection.execute(delete(sent_summaries).where(sent_summaries.c.target == target))
            connection.execute(insert(sent_summaries).values(target=target, due_at=due_at))
            add_entries(connection, entries)

    def purge_topics(self, before: str, after: str) -> int:
        """Forget topics that did not occur since that time, or after another one in the future.

        Returns how many.
        """
        old_states, old_topics = (
            or_(table.c.at < before, table.c.at > after) for table in (notified_states, notified_topics)
        )
        with self._database.write() as connection:
            delete_unlocked(connection, unsettled_states, unsettled_states.c.at < before)
            delete_unlocked(connection, notified_states, old_states)
            return delete_unlocked(connection, notified_topics, old_topics)


def _is_group(target: str, rule: str) -> tuple[ColumnElement[bool], ...]:
    return grouped_events.c.target == target, grouped_events.c.rule == rule


def _make_row(event: GroupedEvent) -> dict[str, object]:
    return {column.name: getattr(event, column.name) for column in grouped_events.c}


def _group_contradiction(connection: Connection, row: RowMapping, now: str) -> None:
    """Put the event of an unsettled state into its group, as the last message about the state."""
    group_row = {column.name: row[column.name] for column in grouped_events.c} | {"at": now}
    insert_all_new(connection, grouped_events, [group_row])
    target, topic = row["target"], row["topic"]
    is_topic = notified_topics.c.topic.in_((topic, row["reopened"]))
    connection.execute(delete(notified_topics).where(notified_topics.c.target == target, is_topic))
    connection.execute(insert(notified_topics).values(target=target, topic=topic, at=now))
    _record_states(connection, {(target, row["state"]): topic}, now)


def _forget_contradictions(connection: Connection, states: Iterable[tuple[str, str]]) -> None:
    """Forget that these states (of a target) contradict what was sent."""
    for target, state in states:
        is_state = unsettled_states.c.target == target, unsettled_states.c.state == state
        connection.execute(delete(unsettled_states).where(*is_state))


def _select_new_events(connection: Connection, events: Sequence[GroupedEvent], since: str) -> Sequence[GroupedEvent]:
    """Return the events that are news, and record topics and states (`events.topics.select_new_events`)."""
    if not events:
        return ()
    last_time = max(event.at for event in events)
    _forget_future(connection, compute_latest_time(last_time))
    states = {(event.target, event.reopens.state) for event in events if event.reopens is not None}
    selection = select_new_events(
        events,
        _list_topic_times(connection, {(event.target, event.topic) for event in events}),
        _list_last_topics(connection, states, since),
        since,
    )
    for target, reopening in selection.reopenings:
        _forget_topics(connection, target, reopening)
    _record_states(connection, selection.last_topics, last_time)
    _record_unsettled(connection, selection.unsettled_events)
    _record_topics(connection, selection, events)
    return selection.new_events


def _record_unsettled(connection: Connection, unsettled_events: Mapping[StateKey, GroupedEvent | None]) -> None:
    """Store the last event of each unsettled state, and forget that of the settled ones (None)."""
    _forget_contradictions(connection, unsettled_events)
    insert_all_new(
        connection,
        unsettled_states,
        [
            {**_make_row(event), "state": state, "topic": event.topic, "reopened": event.reopens.start}
            for (_, state), event in unsettled_events.items()
            if event is not None and event.reopens is not None
        ],
    )


def _record_topics(connection: Connection, selection: TopicSelection, events: Sequence[GroupedEvent]) -> None:
    """Store when each topic of the events occurred last: for known ones the time of the target's last event will do."""
    for target in dict.fromkeys(event.target for event in events):
        at = max(event.at for event in events if event.target == target)
        topics = sorted(topic for name, topic in selection.repeated_topics if name == target)
        for start in range(0, len(topics), BATCH // 2):
            is_topic = notified_topics.c.topic.in_(topics[start : start + BATCH // 2])
            connection.execute(
                update(notified_topics).where(notified_topics.c.target == target, is_topic).values(at=at)
            )
    rows = [
        {"target": target, "topic": topic, "at": at} for (target, topic), at in sorted(selection.new_topics.items())
    ]
    insert_all_new(connection, notified_topics, rows)


def _list_last_topics(
    connection: Connection, states: Collection[tuple[str, str]], since: str
) -> dict[tuple[str, str], str]:
    """Return the topic of the last message to each target about a state that occurred since then."""
    topics: dict[tuple[str, str], str] = {}
    for target in sorted({target for target, _ in states}):
        target_states = sorted(state for name, state in states if name == target)
        for start in range(0, len(target_states), BATCH // 2):
            conditions = (
                notified_states.c.target == target,
                notified_states.c.state.in_(target_states[start : start + BATCH // 2]),
                notified_states.c.at >= since,
            )
            query = select(notified_states.c.state, notified_states.c.topic).where(*conditions)
            topics |= {(target, row.state): row.topic for row in connection.execute(query)}
    return topics


def _record_states(connection: Connection, topics: Mapping[tuple[str, str], str], at: str) -> None:
    """Record of what each target was last notified about each state, which occurred then."""
    for target in sorted({target for target, _ in topics}):
        target_states = sorted(state for name, state in topics if name == target)
        for start in range(0, len(target_states), BATCH // 2):
            is_state = notified_states.c.state.in_(target_states[start : start + BATCH // 2])
            connection.execute(delete(notified_states).where(notified_states.c.target == target, is_state))
    rows = [{"target": target, "state": state, "topic": topic, "at": at} for (target, state), topic in topics.items()]
    insert_all_new(connection, notified_states, rows)


def _forget_future(connection: Connection, latest_time: str) -> None:
    """Forget what a clock recorded that was ahead: targets are notified of what happens now."""
    for table in (notified_topics, notified_states):
        connection.execute(delete(table).where(table.c.at > latest_time))


def _list_topic_times(connection: Connection, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return when each target was notified of a topic, or would have been.

    Pairs of which it was not notified are left out.
    """
    times: dict[tuple[str, str], str] = {}
    for target in sorted({pair[0] for pair in pairs}):
        topics = sorted(topic for name, topic in pairs if name == target)
        for start in range(0, len(topics), BATCH // 2):
            conditions = (
                notified_topics.c.target == target,
                notified_topics.c.topic.in_(topics[start : start + BATCH // 2]),
            )
            query = select(notified_topics.c.topic, notified_topics.c.at).where(*conditions)
            times |= {(target, row.topic): row.at for row in connection.execute(query)}
    return times


def _forget_topics(connection: Connection, target: str, reopening: Reopening) -> None:
    """Forget the topics that an event reopens."""
    column = notified_topics.c.topic
    # Topics are hexadecimal digits, so all that begin alike lie before the same beginning with a "g".
    conditions = [notified_topics.c.target == target, column.between(reopening.start, f"{reopening.start}g")]
    if reopening.since is not None:
        conditions.append(notified_topics.c.at < reopening.since)
    connection.execute(delete(notified_topics).where(*conditions))
