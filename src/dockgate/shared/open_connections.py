"""The open connections of an HTTP client, so that another thread can end what waits for them.

A timeout of a client counts from each byte: an answer that comes a byte at a time never ends by it.
"""

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

# (seconds, work) -> function that cancels the work.
Schedule = Callable[[float, Callable[[], None]], Callable[[], None]]


def start_timer(seconds: float, work: Callable[[], None]) -> Callable[[], None]:
    """Do the work after some seconds in a thread. Returns the function that cancels it."""
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()
    return timer.cancel


class OpenConnections:
    """The sockets of a client. Several threads may use them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

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

    def shut_down(self) -> None:
        """Shut down all connections. Unlike `close`, this wakes the threads that read from them."""
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):
                    # The method of ssl.SSLSocket would forget the TLS state under the reading thread's feet.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
