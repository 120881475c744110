"""What a target was notified about, and which events of a group are news for it. Pure.

- A *topic* is what an event says, without its time. A target that was notified of a topic is not notified of it again
  for 30 days: other events of the topic are *no news*.
- A *state* has a good and a bad *value*, such as the verdict on an image by a policy. All topics of a state begin with
  the same text, and all topics of a value with the same longer text: so a prefix finds them.
- An event of a state *reopens* the topics of the other value: they are news again.
- A state is *unsettled* if its last event was not sent (no news) and differs from the last message. The event
  *contradicts* that message.
- A state *settles* when it has not changed for a while. The event that contradicts the message is then sent after all.

Example, of one image within a day:

    rejected   news: sent
    approved   news, because the rejection reopened it: sent
    rejected   no news, its topic is from today: not sent, the state is unsettled
    approved   agrees with the last message: settled, nothing is sent
    or nothing for 3 hours: settled, the rejection is sent
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# A target and a topic, or a target and a state.
TopicKey = tuple[str, str]
StateKey = tuple[str, str]

# Kinds of which several events may say the same, of which a target is notified once. Others happen once for each event.
_REPEATED_KINDS = (
    *("Inspector2 Scan", "approval.", "feed.", "finding.", "fix.", "image.", "pull.", "service.", "verdict."),
    *("waiver.", "watch."),
)
# What these say: these fields of the detail, without times.
_TOPIC_FIELDS = (
    *("service", "image", "image-digest", "repository", "repository-name", "tag", "policy", "status", "scan-status"),
    *("vulnerabilities", "waiver", "feed", "approval", "execution", "task", "summary", "fix", "part"),
    *("parts", "finding-severity-counts"),
)
# Kinds that are repeated while something lasts, and have no event for its end.
EPISODIC_KINDS = ("service.unhealthy",)
# Kinds that are not repeated anyway: when it began, or ends, makes it another thing.
_PERIODIC, _MOVED_DEADLINE = "feed.", "service.deadline_moved"


class _StateKind(NamedTuple):
    """A kind of events about a state that comes and goes. `names` are the fields that identify what has the state.

    The state is good if the event's `status` is `good_status`; without a good status, if `is_good`.
    """

    names: tuple[str, ...]
    good_status: str | None = None
    is_good: bool = False


_STATES: Mapping[str, _StateKind] = {
    "verdict.changed": _StateKind(("image", "repository", "policy"), good_status="Approved"),
    "service.at_risk": _StateKind(("service",)),
    "service.risk_increased": _StateKind(("service",)),
    "service.deadline_moved": _StateKind(("service",)),
    "service.deadline_near": _StateKind(("service",)),
    "service.deadline_passed": _StateKind(("service",)),
    "service.recovered": _StateKind(("service",), is_good=True),
    "waiver.expired": _StateKind(("waiver",)),
    "waiver.restored": _StateKind(("waiver",), is_good=True),
}
# The end of topics of good states.
_GOOD = "0" * 16


@dataclass(frozen=True, slots=True)
class StateTopics:
    """Topic prefixes for a `state` with a good and a bad value; topics of one `value` mean the same.

    Targets are notified again of those that begin with `reopened_prefix`: that an image is approved after it was
    rejected, and the other way round.
    """

    state: str
    value: str
    reopened_prefix: str
    is_good: bool


@dataclass(frozen=True, slots=True)
class Reopening:
    """Topics that are news again: those that begin with `start`, unless they occurred at or after `since`.

    `state` is the prefix of all topics of the state, `value` that of the topics with the event's value. `start` is
    `state` if the event says that something is good, otherwise the topic of the good value.
    """

    state: str
    value: str
    start: str
    since: str | None = None

    def has_topic(self, topic: str, at: str) -> bool:
        """Return whether a topic that occurred last `at` this time is news again."""
        return topic.startswith(self.start) and (self.since is None or at < self.since)


@dataclass(frozen=True, slots=True)
class GroupedEvent:
    """An event that waits to become one message with others. `position` is its number in the log.

    `topic` identifies what the target would be notified about: it is not notified about a topic again, unless the topic
    occurred last before `episode_since`. `reopens` are topics of which it is notified again after this event.
    """

    target: str
    rule: str
    position: int
    at: str
    pause_seconds: int
    topic: str
    reopens: Reopening | None = None
    episode_since: str = ""


@dataclass(frozen=True, slots=True)
class TopicSelection:
    """The events that are news, and what is known of topics and states after them.

    `reopenings` are the topics of each target to forget. `last_topics` has the topic of the last message about each
    state, `unsettled_events` the event that contradicts it, None if none does. `repeated_topics` were known before and
    are not reopened; `new_topics` are the others, with the time at which they occurred last.
    """

    new_events: list[GroupedEvent] = field(default_factory=list)
    reopenings: list[tuple[str, Reopening]] = field(default_factory=list)
    last_topics: dict[StateKey, str] = field(default_factory=dict)
    unsettled_events: dict[StateKey, GroupedEvent | None] = field(default_factory=dict)
    repeated_topics: set[TopicKey] = field(default_factory=set)
    new_topics: dict[TopicKey, str] = field(default_factory=dict)


def select_new_events(
    events: Sequence[GroupedEvent],
    known_topics: Mapping[TopicKey, str],
    last_topics: Mapping[StateKey, str],
    since: str,
) -> TopicSelection:
    """Select the events whose target was not notified of their topic since then.

    `known_topics` says when each topic of the events occurred last, `last_topics` of what each target was last notified
    about each of their states.
    """
    selection = TopicSelection(last_topics=dict(last_topics), repeated_topics=set(known_topics))
    times = dict(known_topics)
    for event in events:
        key = event.target, event.topic
        is_new = times.get(key, "") < max(since, event.episode_since)
        if event.reopens is not None:
            _note_state(selection, event, event.reopens, is_new=is_new)
        if is_new:
            selection.new_events.append(event)
            if event.reopens is not None:
                _reopen(selection, times, event.target, event.reopens)
        times[key] = max(event.at, times.get(key, ""))
    for event in events:
        key = event.target, event.topic
        if key in times and key not in selection.repeated_topics:
            selection.new_topics[key] = times[key]
    return selection


def _note_state(selection: TopicSelection, event: GroupedEvent, reopening: Reopening, *, is_new: bool) -> None:
    """Note whether the event contradicts the last message about its state: one that is news is that message."""
    state = event.target, reopening.state
    last_topic = event.topic if is_new else selection.last_topics.get(state, event.topic)
    selection.last_topics[state] = last_topic
    selection.unsettled_events[state] = None if last_topic.startswith(reopening.value) else event


def _reopen(selection: TopicSelection, times: dict[TopicKey, str], target: str, reopening: Reopening) -> None:
    """Forget the topics that are news again, stored ones and those of earlier events."""
    selection.reopenings.append((target, reopening))
    for key in [key for key, at in times.items() if key[0] == target and reopening.has_topic(key[1], at)]:
        del times[key]
        selection.repeated_topics.discard(key)


def make_topic(event: Mapping[str, Any]) -> str:
    """Return the topic of the event: the same for events that say the same at another time.

    All topics of one state begin alike, and so do those that say the same of it (`make_state_topics`).
    """
    topics = make_state_topics(event)
    if topics is not None and topics.is_good:
        return f"{topics.state}{_GOOD}"
    detail = event.get("detail")
    kind = str(event.get("detail-type"))
    time = ("since",) if kind.startswith(_PERIODIC) else ("deadline",) if kind == _MOVED_DEADLINE else ()
    names = (*_TOPIC_FIELDS, *time)
    fields = {}
    if isinstance(detail, Mapping) and kind.startswith(_REPEATED_KINDS):
        fields = {name: detail[name] for name in names if name in detail}
    content = json.dumps(fields, sort_keys=True, default=str) if fields else str(event.get("id"))
    text = f"{event.get('source')}/{event.get('detail-type')}/{content}"
    start = topics.value if topics is not None else ""
    return f"{start}{_hash(text)[: 32 - len(start)]}"


def make_state_topics(event: Mapping[str, Any]) -> StateTopics | None:
    """Return the prefixes of the topics of the state that an event is about. None if it is about none."""
    kind, detail = event.get("detail-type"), event.get("detail")
    if not isinstance(detail, Mapping) or not isinstance(kind, str) or kind not in _STATES:
        return None
    state_kind = _STATES[kind]
    names = state_kind.names
    if not any(name in detail for name in names):
        return None
    state = _hash(json.dumps([kind.partition(".")[0], [detail.get(name) for name in names]], default=str))[:16]
    good_status = state_kind.good_status
    if state_kind.is_good if good_status is None else detail.get("status") == good_status:
        return StateTopics(state, f"{state}{_GOOD}", state, is_good=True)
    status = _hash(json.dumps(detail.get("status"), default=str))[:4]
    return StateTopics(state, f"{state}{status}", f"{state}{_GOOD}", is_good=False)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
