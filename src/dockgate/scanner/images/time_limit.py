"""A time limit for all requests to a registry.

Without it, a slow trickle of bytes could block a scan forever.
"""

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from dockgate.shared.errors import TooSlowError

# (seconds, work) -> function that cancels the work.
Schedule = Callable[[float, Callable[[], None]], Callable[[], None]]


def start_timer(seconds: float, work: Callable[[], None]) -> Callable[[], None]:
    """Do the work after some seconds in a thread. Returns the function that cancels it."""
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()
    return timer.cancel


class TimeLimit:
    """Shut down all connections of a client after some seconds, whatever they wait for."""

    def __init__(self, registry: str, seconds: float, schedule: Schedule = start_timer) -> None:
        self._registry = registry
        self._seconds = seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_over = False
        self.cancel = schedule(seconds, self._end)

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Note each new connection (httpcore's request extension "trace")."""
        if not event.endswith(("connect_tcp.complete", "start_tls.complete")):
            return
        connection = info["return_value"].get_extra_info("socket")
        with self._lock:
            # A TLS connection takes the place of its TCP connection; closed ones have no descriptor.
            self._sockets = [known_socket for known_socket in self._sockets if known_socket.fileno() >= 0] + [
                connection
            ]
            if self._is_over:
                _shut_down(connection)

    def require(self) -> None:
        """Raise TooSlowError if the time is over."""
        if self._is_over:
            raise TooSlowError(
                f"The registry {self._registry} did not answer within {self._seconds:g} seconds.",
                "Check the network, then try again: complete layers are not downloaded again.",
            )

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            for connection in self._sockets:
                _shut_down(connection)


def _shut_down(connection: socket.socket) -> None:
    """Shut a connection down. Unlike `close`, this wakes a thread that reads from it."""
    with suppress(OSError):
        # The method of ssl.SSLSocket would forget the TLS state under the reading thread's feet.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
