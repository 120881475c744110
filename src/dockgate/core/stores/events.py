"""What happened, and where commits come from.

What all of them promise is told in the package.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from dockgate.core.events import Event


class Events(Protocol):
    def observe(self, repository: str, heads: Mapping[str, str], now: str, by: str = "") -> Sequence[Event]:
        """Compares a repository's branches with what was last seen, remembers them, and adds a push event per move.
        `by` is who pushed."""
        ...

    def get(self, event_id: str) -> Event: ...

    def unhandled(self) -> Sequence[Event]:
        """Oldest first."""
        ...

    def handled(self, event_id: str, now: str) -> None: ...


class Repositories(Protocol):
    def put(self, name: str, now: str) -> None: ...

    def names(self) -> Sequence[str]: ...
