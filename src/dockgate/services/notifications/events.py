"""The event log for readers: pages of events that a caller may see and that a pattern matches."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dockgate.events.pattern import Pattern
from dockgate.identity.model import Caller
from dockgate.store.events.log import CanSee, EventLog

# Events that one call looks at. A pattern that matches few of them needs several calls.
MAX_READ = 5000
BATCH = 500


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, the oldest first: each is its envelope with `seq`.

    `after` is where the next page begins. `has_more`: there are events after it now.
    """

    events: Sequence[Mapping[str, Any]]
    after: int
    has_more: bool


def make_event_filter(caller: Caller) -> CanSee | None:
    """Return what decides whether the caller may see an event, None for a caller without limits."""
    if not caller.is_limited:
        return None
    return lambda repository, pipeline: caller.can_reach(repository=repository, pipeline=pipeline)


@dataclass(frozen=True, slots=True)
class EventReader:
    """A reader of the event log."""

    log: EventLog

    def read_page(self, caller: Caller, pattern: Pattern | None, after: int | None, limit: int) -> EventPage:
        """Return at most `limit` events after the `seq` `after`; without `after`, the newest ones.

        At most `MAX_READ` events are looked at: a page may be empty while there are more. A token that is limited to
        repositories and pipelines gets the events that are about one of these.
        """
        newest_seq = self.log.read_newest_seq()
        position = max(newest_seq - MAX_READ, 0) if after is None else after
        last = min(position + MAX_READ, newest_seq)
        matching: deque[Mapping[str, Any]] = deque(maxlen=limit if after is None else None)
        while position < last and (after is None or len(matching) < limit):
            events = self.log.read(position, min(BATCH, last - position))
            if not events:
                break
            for event in events:
                position = event.seq
                is_visible = caller.can_reach(repository=event.repository, pipeline=event.pipeline)
                if is_visible and (pattern is None or pattern.is_match(event.body)):
                    matching.append({"seq": event.seq, **event.body})
                    if after is not None and len(matching) == limit:
                        break
        return EventPage(list(matching), max(position, after or 0), position < newest_seq)
