"""Wake those who wait for an approval in this process, without a thread for each."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dockgate.delivery.model import ApprovalId


class ApprovalPubSub:
    """The subscribers of approvals. Any thread may call; a subscriber may be in any event loop.

    `announce` tells the other processes of approvals that this one has published.
    """

    def __init__(self, announce: Callable[[Sequence[ApprovalId]], None] = lambda _: None) -> None:
        self._announce = announce
        self._lock = threading.Lock()
        self._subscribers: dict[ApprovalId, set[Callable[[], None]]] = {}

    @contextmanager
    def subscribe(self, approval_id: ApprovalId) -> Iterator[asyncio.Event]:
        """Give an event of the running loop that is set when the approval is published from now on.

        Subscribe before looking at the approval: so no answer is missed in between.
        """
        loop, event = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(event.set)

        with self._lock:
            self._subscribers.setdefault(approval_id, set()).add(wake)
        try:
            yield event
        finally:
            with self._lock:
                subscribers = self._subscribers[approval_id]
                subscribers.discard(wake)
                if not subscribers:
                    del self._subscribers[approval_id]

    def publish(self, approval_ids: Sequence[ApprovalId]) -> None:
        """Wake the subscribers of these approvals, here and in other processes."""
        self.wake(approval_ids)
        self._announce(approval_ids)

    def wake(self, approval_ids: Sequence[ApprovalId]) -> None:
        """Wake the subscribers of these approvals in this process."""
        with self._lock:
            wakes = [wake for approval_id in approval_ids for wake in self._subscribers.get(approval_id, ())]
            for wake in wakes:
                wake()

    def publish_all(self) -> None:
        """Wake every subscriber: the server ends."""
        with self._lock:
            approval_ids = list(self._subscribers)
        self.wake(approval_ids)
