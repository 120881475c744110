"""Work of the reconciler in rounds.

On what was left behind, and on many items in turn, a few in each round.
"""

import logging
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from dockgate.shared.errors import StoreError, describe_error, find_unexpected_error
from dockgate.shared.retry import RetrySchedule
from dockgate.shared.timestamps import compute_latest_time, format_time, shift_time, to_datetime

# Items of one round; the others follow in the next rounds.
ROUND_LIMIT = 100
# An item that fails is tried again after these pauses, or when its state changes.
FAILURE_PAUSES = RetrySchedule(first_pause=10, longest_pause=600)

Item = TypeVar("Item", bound=tuple[Any, ...])

Key = TypeVar("Key", bound=Hashable)

_log = logging.getLogger(__name__)


class Completion(NamedTuple):
    """The completion of an item at `now`. Time alone makes it due again at `next_at`, None for never.

    `state` is the item's state from now on, None if the work has changed nothing that its state is made from. `error`
    is why the work failed, though something is recorded: the item is tried again as one that raised the error.
    """

    now: str
    next_at: str | None = None
    state: str | None = None
    error: Exception | None = None

    def is_over(self, now: str, latest_time: str) -> bool:
        """Return whether the item is due again.

        Also if it was worked on by a clock that was ahead: after `latest_time`.
        """
        return self.now > latest_time or (self.next_at is not None and self.next_at <= now)


class _Failures(NamedTuple):
    """How often an item failed in a row, and the last error in words."""

    times: int = 0
    cause: str | None = None


class RoundRobin(Generic[Item]):
    """What was done in earlier rounds, remembered in memory only.

    Each round goes on where the last one ended: otherwise those at the end would wait for ever where many are due, or
    where the first ones always fail.
    """

    def __init__(self) -> None:
        # By item: the state that it was worked on in, and when.
        self._handled_items: dict[Item, tuple[str | None, Completion]] = {}
        self._last_item: Item | None = None
        self._failures: dict[Item, _Failures] = {}
        # The revision after which nothing was left to do.
        self._finished_revision: str | None = None
        self._revision_ends_at: str | None = None

    def is_finished(self, revision: str, now: str) -> bool:
        """Return whether a round of this revision left nothing to do, and time has made nothing due since."""
        latest_time = compute_latest_time(now)
        return (
            revision == self._finished_revision
            and (self._revision_ends_at is None or now < self._revision_ends_at)
            and not any(completion.is_over(now, latest_time) for _, completion in self._handled_items.values())
        )

    def end_revision_at(self, time: str | None) -> None:
        """Say when the states of the last round may change though the revision stays the same; None for never."""
        self._revision_ends_at = time

    def run(
        self,
        items: Iterable[Item],
        state: Callable[[Item], str | None],
        act: Callable[[Item], Completion | None],
        task: str,
        now: str,
        revision: str | None = None,
    ) -> None:
        """Call `act` with the items whose state is another one than when it was completed, or is None.

        Also with those whose completion is over, and again with one for which `act` returns None. An item that fails is
        tried again when its state changes or after FAILURE_PAUSES, at once if the database failed. An error is logged
        when it differs from the item's last one. `task` says what is done, for the log. `revision` changes whenever the
        items or their states may have: see `is_finished`.
        """
        ordered_items = sorted(items)
        first = bisect_right(ordered_items, self._last_item) if self._last_item is not None else 0
        handled_items: dict[Item, tuple[str | None, Completion]] = {}
        failures: dict[Item, _Failures] = {}
        remaining, latest_time = ROUND_LIMIT, compute_latest_time(now)
        for item in (*ordered_items[first:], *ordered_items[:first]):
            former_state, completion = self._handled_items.get(item, (None, None))
            former_failures = self._failures.get(item, _Failures())
            present_state, error = None, None
            try:
                present_state = state(item)
                is_current = former_state == present_state and (present_state is not None or former_failures.times > 0)
                if is_current and completion and not completion.is_over(now, latest_time):
                    handled_items[item] = present_state, completion
                elif remaining > 0:
                    remaining -= 1
                    self._last_item = item
                    if completion := act(item):
                        handled_items[item] = completion.state or present_state, completion
                        former_failures, error = former_failures if completion.error else _Failures(), completion.error
            except Exception as raised_error:
                error = raised_error
            failures[item] = former_failures
            if error is not None:
                failures[item] = self._record_failure(task, item, error, former_failures)
                if not isinstance(error, StoreError):
                    pause = timedelta(seconds=FAILURE_PAUSES.compute_pause(failures[item].times))
                    next_attempt = format_time(shift_time(to_datetime(now), pause))
                    state_now, _ = handled_items.get(item, (present_state, None))
                    handled_items[item] = state_now, Completion(now, next_attempt)
        self._handled_items = handled_items
        self._failures = {item: entry for item, entry in failures.items() if entry.times > 0}
        is_finished = len(handled_items) == len(ordered_items) and all(state for state, _ in handled_items.values())
        self._finished_revision = revision if is_finished else None

    @staticmethod
    def _record_failure(task: str, item: Item, error: Exception, former_failures: _Failures) -> _Failures:
        """Log an error unless it is the item's last one, and return the item's failures with it."""
        cause = describe_error(error)
        if cause != former_failures.cause:
            name, unexpected_error = "@".join(map(str, item)), find_unexpected_error(error)
            level = logging.WARNING if unexpected_error is None else logging.ERROR
            _log.log(level, "%s of %s failed: %s", task, name, cause, exc_info=unexpected_error)
        return _Failures(former_failures.times + 1, cause)


class OverdueItems(Generic[Key]):
    """The items that were due in the previous round already, and are due still.

    In the first round of a process all due items are overdue: an earlier process has left them.
    """

    def __init__(self) -> None:
        self._due: set[Key] | None = None

    def select_overdue(self, due: Sequence[Key]) -> Sequence[Key]:
        """Return the overdue items of `due`, in the same order. Call this once in a round."""
        previous, self._due = self._due, set(due)
        return [item for item in due if previous is None or item in previous]
