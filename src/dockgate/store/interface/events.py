"""What happened, and where commits come from.

What all of them promise is told in the package.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from dockgate.delivery.contributors import Pusher, PushRecord
from dockgate.events.model import Event


class Events(Protocol):
    def observe(self, repository: str, heads: Mapping[str, str], now: str, by: str = "") -> Sequence[Event]:
        """Compares a repository's branches with what was last seen, remembers them, and adds a push event per move.
        `by` is who pushed."""
        ...

    def of_heads(self, repository: str, heads: Mapping[str, str]) -> Sequence[Event]:
        """The push events of these branches (branch -> commit), as far as they are at these commits now and the event
        is still kept."""
        ...

    def get(self, event_id: str) -> Event: ...

    def unhandled(self) -> Sequence[Event]:
        """Oldest first."""
        ...

    def handled(self, event_id: str, now: str) -> None: ...


class Repositories(Protocol):
    def put(self, name: str, now: str) -> None: ...

    def names(self) -> Sequence[str]: ...


class Pushes(Protocol):
    """Who pushed what into our repositories. Rows are kept for good: approvals long after ask for them."""

    def request(self, records: Sequence[PushRecord]) -> None:
        """Keeps what a push asks for, before git knows of it. Does nothing for what is known of the same push."""
        ...

    def accept(self, push: str, records: Sequence[PushRecord], commits: Sequence[str]) -> None:
        """Keeps which references the push moved, and the commits that it brought. What it asked for beyond these was
        refused, and is forgotten."""
        ...

    def of_ref(self, repository: str, ref: str) -> Sequence[PushRecord]:
        """Oldest first."""
        ...

    def unfinished(self, repository: str) -> Sequence[PushRecord]:
        """What was asked for and is neither known as done nor as refused: the server ended in between."""
        ...

    def pushers(self, repository: str, commits: Sequence[str]) -> Mapping[str, Sequence[Pusher]]:
        """Who brought each of these commits; a commit of which nobody is known has no entry."""
        ...
