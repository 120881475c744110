"""Work of the reconciler in rounds.

On what was left behind, and on many items in turn, a few in each round.
"""

import logging
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from dockgate.shared.errors import DockgateError

# Items of one round; the others follow in the next rounds.
ROUND_LIMIT = 100

Item = TypeVar("Item", bound=tuple[Any, ...])

Key = TypeVar("Key", bound=Hashable)

_log = logging.getLogger(__name__)


class RoundRobin(Generic[Item]):
    """What was done in earlier rounds, remembered in memory only.

    Each round goes on where the last one ended: otherwise those at the end would wait for ever where many are due, or
    where the first ones always fail.
    """

    def __init__(self) -> None:
        # By item: the state that it was worked on in.
        self._handled_items: dict[Item, str | None] = {}
        self._last_item: Item | None = None
        # The revision after which nothing was left to do.
        self._finished_revision: str | None = None

    def is_finished(self, revision: str) -> bool:
        """Return whether a round of this revision left nothing to do."""
        return revision == self._finished_revision

    def run(
        self,
        items: Iterable[Item],
        state: Callable[[Item], str | None],
        act: Callable[[Item], bool],
        task: str,
        revision: str | None = None,
    ) -> None:
        """Call `act` with the items whose state is another one than when it returned true, or is None.

        An item that fails is logged, and tried again. `task` says what is done, for the log. `revision` changes
        whenever the items or their states may have: see `is_finished`.
        """
        ordered_items = sorted(items)
        first = bisect_right(ordered_items, self._last_item) if self._last_item is not None else 0
        handled_items: dict[Item, str | None] = {}
        remaining = ROUND_LIMIT
        for item in (*ordered_items[first:], *ordered_items[:first]):
            try:
                present_state = state(item)
                if present_state and self._handled_items.get(item) == present_state:
                    handled_items[item] = present_state
                elif remaining > 0:
                    remaining -= 1
                    self._last_item = item
                    if act(item):
                        handled_items[item] = present_state
            except DockgateError as error:
                _log.warning("%s of %s failed: %s", task, "@".join(map(str, item)), error.full_message)
            except Exception as error:
                _log.error("%s of %s failed", task, "@".join(map(str, item)), exc_info=error)
        self._handled_items = handled_items
        is_finished = len(handled_items) == len(ordered_items) and all(handled_items.values())
        self._finished_revision = revision if is_finished else None


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
