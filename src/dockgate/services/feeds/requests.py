"""Requests to fetch the advisory feeds before their time, and what to do where a server fetches none."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from dockgate.config import Settings
from dockgate.shared.errors import ConflictError
from dockgate.shared.timestamps import format_time
from dockgate.shared.wording import join_words
from dockgate.vulnerabilities.database.feed_states import FeedStates, change_states, read_states
from dockgate.vulnerabilities.feed_schedule import is_due

# The commands that replace a database, by how it was made last.
_COMMANDS = {
    "import": "`dockgate db import` with a newer export",
    "build": "`dockgate db build` with newer files",
    "update": "`dockgate db update`",
}


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


def advise_refresh(settings: Settings | None, feeds: Collection[str]) -> str:
    """Return the way to newer data of these feeds, or of any without a name.

    `settings` are those of this server, None if it fetches no feed. The states beside the database say what it
    fetches; before its first round there are none.
    """
    states = read_states(settings.advisories) if settings else FeedStates()
    known_states = [state for name, state in states.feeds.items() if not feeds or name in feeds]
    if settings and (not known_states or any(state.off is None for state in known_states)):
        return "Have the server fetch its feeds: `dockgate db refresh`."
    names = f"the feed{'s' if len(feeds) > 1 else ''} {join_words(sorted(feeds), 'and')}" if feeds else "any feed"
    command = _COMMANDS.get(states.origin or "", "`dockgate db import` or `dockgate db update`")
    return f"This server does not fetch {names}: run {command} where its database is."
