"""A time limit for all requests to a registry.

Without it, a slow trickle of bytes could block a scan forever.
"""

import threading
from collections.abc import Mapping
from typing import Any

from dockgate.shared.errors import TooSlowError
from dockgate.shared.open_connections import OpenConnections, Schedule, start_timer


class TimeLimit:
    """A limit after which all connections of a client are shut down, whatever they wait for."""

    def __init__(self, registry: str, seconds: float, schedule: Schedule = start_timer) -> None:
        self._registry = registry
        self._seconds = seconds
        self._lock = threading.Lock()
        self._connections = OpenConnections()
        self._is_over = False
        self.cancel = schedule(seconds, self._end)

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Note each new connection (httpcore's request extension "trace")."""
        with self._lock:
            self._connections.watch(event, info)
            if self._is_over:
                self._connections.shut_down()

    def require(self) -> None:
        """Raise TooSlowError if the time is over."""
        if self._is_over:
            raise TooSlowError(
                f"the registry {self._registry} did not answer within {self._seconds:g} seconds",
                "Check the network, then try again: complete layers are not downloaded again.",
            )

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            self._connections.shut_down()
