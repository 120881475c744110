"""Work on many items in turn, a few in each round, when something that they depend on has changed."""

import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from dockgate.shared.errors import DockgateError

# Items of one round; the others follow in the next rounds.
ROUND_LIMIT = 100

Item = TypeVar("Item", bound=tuple[Any, ...])

_log = logging.getLogger(__name__)


class Rounds(Generic[Item]):
    """Remembers what was done, in memory only.

    Each round goes on where the last one ended: otherwise those at the end would wait for ever where many are due, or
    where the first ones always fail.
    """

    def __init__(self) -> None:
        # By item: the state that it was worked on in.
        self._done: dict[Item, str] = {}
        self._last: Item | None = None

    def run(self, items: Iterable[Item], state: Callable[[Item], str], act: Callable[[Item], bool], what: str) -> None:
        """Call `act` with the items whose state is another one than when it returned true, or is "".

        An item that fails is logged, and tried again. `what` says what is done, for the log.
        """
        ordered = sorted(items)
        first = bisect_right(ordered, self._last) if self._last is not None else 0
        done: dict[Item, str] = {}
        remaining = ROUND_LIMIT
        for item in (*ordered[first:], *ordered[:first]):
            try:
                present = state(item)
                if present and self._done.get(item) == present:
                    done[item] = present
                elif remaining > 0:
                    remaining -= 1
                    self._last = item
                    if act(item):
                        done[item] = present
            except DockgateError as error:
                _log.warning("%s of %s failed: %s", what, "@".join(map(str, item)), error.full_message)
            except Exception as error:
                _log.error("%s of %s failed", what, "@".join(map(str, item)), exc_info=error)
        self._done = done
