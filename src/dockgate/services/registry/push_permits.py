"""Permission to issue tokens that can push to our registry.

None is issued while a collection removes images.
"""

import time
from collections.abc import Callable

from dockgate.delivery.registry_access import PERMIT_SECONDS, PUSH
from dockgate.services.clock import ServerClock
from dockgate.shared.errors import BusyError
from dockgate.store.retention.collections import PushBarrier

# How long the server's own pushes wait for a collection.
PATIENCE_SECONDS = 900.0
_PAUSE_SECONDS = 1.0


class PushPermits:
    """Permits to issue tokens that can push. They are refused while a collection removes images.

    `sleep` waits for seconds.
    """

    def __init__(
        self,
        barrier: PushBarrier,
        clock: ServerClock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._barrier = barrier
        self._clock = clock
        self._sleep = sleep

    def require(self) -> None:
        """Record that a token which can push is about to be issued. BusyError while images are removed."""
        until = self._clock.compute_time_after(PERMIT_SECONDS)
        if not self._barrier.enter(self._clock.now(), until):
            raise BusyError(
                "the registry takes no pushes while unused images are removed", "Push again in a few minutes."
            )

    def make_issuer(self, issue: Callable[[str, str], str]) -> Callable[[str, str], str]:
        """Return the issuer of the server's own tokens: for a push, it waits until images may be pushed.

        BusyError after PATIENCE_SECONDS.
        """

        def issue_permitted(repository: str, actions: str) -> str:
            if PUSH in actions.split(","):
                self._wait()
            return issue(repository, actions)

        return issue_permitted

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.require()
            except BusyError:
                if time.monotonic() > end:
                    raise
            self._sleep(_PAUSE_SECONDS)
