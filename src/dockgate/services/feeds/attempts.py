"""Store what became of an attempt to fetch feeds, beside the advisory database."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from dockgate.shared.errors import ConflictError, DockgateError
from dockgate.shared.timestamps import format_seconds, format_time
from dockgate.vulnerabilities.database.feed_states import FeedStates, change_states
from dockgate.vulnerabilities.database.parts import Failure, Result
from dockgate.vulnerabilities.feed_schedule import PartFailure, apply_attempt

_NO_FEEDS = PartFailure("all", "The feeds cover no ecosystem: no database was built.", "Check DOCKGATE_FEED_OSV.")


class FeedAttempt:
    """An attempt to fetch these feeds.

    Set its `result` within the `with` block; an error there is a failure of all. It is stored when it begins, too: one
    that ends this process is not repeated at once. A ConflictError says that another process fetches, and stores
    nothing. `is_whole`: of all feeds, so that an installed database is no longer one that was built from a folder or
    imported.
    """

    def __init__(self, database: Path, feeds: Sequence[str], now: datetime, *, is_whole: bool) -> None:
        self.result: Result | None = None
        self._database = database
        self._feeds = feeds
        self._begin_time = now
        self._is_whole = is_whole
        self._states_before = FeedStates()

    def __enter__(self) -> Self:
        time = format_time(self._begin_time)

        def begin(states: FeedStates) -> FeedStates:
            self._states_before = states
            attempted_states = {
                name: replace(states.get_state(name), attempted_at=time, next_at=None) for name in self._feeds
            }
            return states.replace_feeds(attempted_states)

        change_states(self._database, begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ConflictError):
            before = {name: self._states_before.get_state(name) for name in self._feeds}
            change_states(self._database, lambda states: states.replace_feeds(before))
            return
        if error is not None and not isinstance(error, Exception):
            return
        failures: Sequence[Failure] = self.result.failures if self.result else ()
        general_failure: PartFailure | None = None
        if error is not None:
            advice = error.advice if isinstance(error, DockgateError) else None
            general_failure = PartFailure("all", str(error) or type(error).__name__, advice)
        elif self.result and not self.result.digest and not failures:
            general_failure = _NO_FEEDS

        def end(states: FeedStates) -> FeedStates:
            ended_states = {}
            for name in self._feeds:
                own_failures = [failure for failure in failures if failure.feed == name]
                parts = [PartFailure(failure.title, failure.reason, failure.advice) for failure in own_failures]
                if (general_failure or parts) and states.get_state(name).off is not None:
                    # The server does not fetch it: only the command that failed says so.
                    ended_states[name] = self._states_before.get_state(name)
                    continue
                is_unreachable = all(failure.is_unreachable for failure in own_failures)
                ended_states[name] = apply_attempt(
                    states.get_state(name),
                    self._begin_time,
                    [general_failure] if general_failure else parts,
                    is_unreachable=is_unreachable,
                    is_partial=general_failure is None and self._has_updated(name),
                )
            origin = "update" if self._is_whole and self.result and self.result.digest else states.origin
            return replace(states.replace_feeds(ended_states), origin=origin)

        change_states(self._database, end)

    def _has_updated(self, feed: str) -> bool:
        """Return whether some part of the feed was checked with success in this attempt."""
        time = format_seconds(self._begin_time)
        return self.result is not None and any(
            part.feed == feed and part.checked_at == time for part in self.result.parts
        )


def record_origin(database: Path, origin: str) -> None:
    """Store that the database was made by "build" or "import": the server then fetches no feeds by itself."""
    change_states(database, lambda states: replace(states, origin=origin))
