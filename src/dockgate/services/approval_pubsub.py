"""Those who wait for an approval's answer in this process, and the bell that wakes them: a wait costs no thread."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


class ApprovalPubSub:
    """`ring` may be called in any thread, and wakes whoever listens for one of the ids, in whatever loop that is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listening: dict[str, set[Callable[[], None]]] = {}

    @contextmanager
    def listening(self, approval_id: str) -> Iterator[asyncio.Event]:
        """An event of the running loop that is set when the bell rings from now on. Whoever waits listens first and
        looks then: so no answer falls in between."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(event.set)

        with self._lock:
            self._listening.setdefault(approval_id, set()).add(wake)
        try:
            yield event
        finally:
            with self._lock:
                those = self._listening[approval_id]
                those.discard(wake)
                if not those:
                    del self._listening[approval_id]

    def ring(self, approval_ids: Sequence[str]) -> None:
        with self._lock:
            wakes = [wake for one in approval_ids for wake in self._listening.get(one, ())]
            for wake in wakes:
                wake()

    def ring_all(self) -> None:
        """At the end: nobody has anything to wait for any more."""
        with self._lock:
            everyone = list(self._listening)
        self.ring(everyone)
