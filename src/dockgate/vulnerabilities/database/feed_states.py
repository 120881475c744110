"""The results of the attempts to fetch each feed: a small file beside the advisory database.

The commands and the server write it, one process at a time. It is not evidence: a lost or broken file costs a few
requests, and verdicts never read it.
"""

import fcntl
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dockgate.shared import canonical
from dockgate.vulnerabilities.feed_schedule import FeedState

SUFFIX = ".feeds.json"
_SIZE_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FeedStates:
    """`feeds` by name.

    `origin` is how the database was made last: "update", "build" or "import"; None: not known.
    """

    feeds: dict[str, FeedState] = field(default_factory=dict)
    origin: str | None = None

    def get_state(self, feed: str) -> FeedState:
        """The state of a feed that may never have been fetched."""
        return self.feeds.get(feed) or FeedState(feed)

    def replace_feeds(self, changed_states: Mapping[str, FeedState]) -> "FeedStates":
        """The states with some of them replaced."""
        return replace(self, feeds={**self.feeds, **changed_states})


def read_states(database: Path) -> FeedStates:
    """The states beside the database at this path; no states if there are none, or they cannot be read."""
    try:
        with _locate_file(database).open("rb") as file:
            data = file.read(_SIZE_LIMIT + 1)
        return canonical.decode(FeedStates, data) if len(data) <= _SIZE_LIMIT else FeedStates()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return FeedStates()


def change_states(database: Path, change: Callable[[FeedStates], FeedStates]) -> FeedStates:
    """Replace the states atomically by what `change` makes of them, and return that. Raises OSError."""
    path = _locate_file(database)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = read_states(database)
        after = change(before)
        if after != before:
            new = path.with_name(path.name + ".new")
            new.write_bytes(canonical.encode(after))
            os.replace(new, path)
    return after


def _locate_file(database: Path) -> Path:
    return database.with_name(database.name + SUFFIX)
