"""Requests to fetch the advisory feeds before their time."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from dockgate.shared.errors import ConflictError
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities.database.feed_states import FeedStates, change_states
from dockgate.vulnerabilities.feed_schedule import is_due


def request_update(database: Path, now: datetime) -> Sequence[str]:
    """Make every feed due that the server fetches, and return their names.

    `services.feeds.updates` fetches them. Raises ConflictError if it fetches none.
    """

    def make_due(states: FeedStates) -> FeedStates:
        waiting = {
            name: replace(state, next_at=format_time(now))
            for name, state in states.feeds.items()
            if state.off is None and state.next_at is not None and not is_due(state, now)
        }
        return states.replace_feeds(waiting)

    states = change_states(database, make_due)
    names = sorted(name for name, state in states.feeds.items() if state.off is None)
    if not names:
        raise ConflictError("this server fetches no feed", "See why: `dockgate db status`, or the page Advisories.")
    return names
