"""Events of pulls that the pull policy refused.

A client that retries every second makes one in an hour.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dockgate.events import dockgate_events
from dockgate.events.model import NewEvent
from dockgate.services.clock import ServerClock
from dockgate.shared.errors import DockgateError
from dockgate.shared.timestamps import format_time

# Seconds in which refusals of an image to a caller make one event. Windows begin at full hours on all servers.
WINDOW_SECONDS = 3600
# How many images and callers are counted at the same time.
_CACHE_SIZE = 10_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RefusedPull:
    """An image that the pull policy did not give out.

    `tag` is None for a pull by digest, `by` is who pulled.
    """

    repository: str
    image: str
    tag: str | None
    by: str
    reason: str


@dataclass(slots=True)
class _RefusalCount:
    """Refusals that are in no event yet, since when, and the window that has its event."""

    since: str
    count: int = 0
    window: int | None = None


class RefusedPulls:
    """Refused pulls, and one event in a window of each repository, image and caller.

    Any thread may call. The event is made at once, and counts what was refused since the event before. Its id has the
    window, so several servers, or one that was restarted, store one event. `record` stores events.
    """

    def __init__(self, record: Callable[[Sequence[NewEvent]], None], clock: ServerClock) -> None:
        self._record = record
        self._clock = clock
        self._counts: OrderedDict[tuple[str, str, str], _RefusalCount] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, pull: RefusedPull) -> None:
        """Count a refused pull, and store its event if this is the first of the window. A failure is logged."""
        key, time = (pull.repository, pull.image, pull.by), self._clock()
        now, window = format_time(time), int(time.timestamp()) // WINDOW_SECONDS
        with self._lock:
            entry = self._counts.setdefault(key, _RefusalCount(now))
            self._counts.move_to_end(key)
            if len(self._counts) > _CACHE_SIZE:
                self._counts.popitem(last=False)
            entry.since = entry.since if entry.count else now
            entry.count += 1
            if entry.window == window:
                return
            previous, count, since = entry.window, entry.count, entry.since
            entry.window, entry.count = window, 0
        try:
            self._record(
                [
                    dockgate_events.make_pull_refused(
                        window=window,
                        repository=pull.repository,
                        image=pull.image,
                        tag=pull.tag,
                        by=pull.by,
                        reason=pull.reason,
                        count=count,
                        since=since,
                        time=now,
                    )
                ]
            )
        except DockgateError as error:
            _log.warning("the refused pull of %s@%s has no event yet: %s", pull.repository, pull.image, error)
            with self._lock:
                entry.window, entry.count, entry.since = previous, entry.count + count, since
