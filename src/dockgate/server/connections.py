"""Limits on connections to the server: their number, how long each may be idle, and what it may send.

uvicorn itself has no timeout for a request's head, for the rest of its body, or for a client that does not read. It
accepts a body with two lengths, as h11 does, and reads on behind it.
"""

import asyncio
import resource
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from dockgate.shared.interfaces import override

# Bytes of a request's line and headers.
MAX_HEAD = 32 << 10
# Chunks of a body that may have any size, and the bytes that further ones must have on average: a chunk of one byte
# takes as long as a large one, and no other connection is served meanwhile.
FREE_CHUNKS, MIN_CHUNK = 1000, 64
MAX_CONNECTIONS = 1000
# How many less than that there may be before those that wait for a request make room: else everyone is refused.
SPARE_CONNECTIONS = 8
# Seconds after which an idle connection is closed. Longer than load balancers keep theirs, 60 with nginx and Amazon's:
# a request that one sends while the server closes the connection fails.
KEEP_ALIVE_SECONDS = 75


@dataclass(frozen=True, slots=True)
class Patience:
    """Timeouts in seconds, modelled on Apache's mod_reqtimeout.

    `head` is for a request's line and headers, `body` for its body, plus one second for each `rate` received bytes,
    `write` for a client that does not read the answer, `linger` for the rest of a refused body.
    """

    head: float = 20
    body: float = 20
    rate: float = 500
    write: float = 60
    linger: float = 5


class StrictConnection(h11.Connection):
    """A connection that refuses large heads, two lengths, and tiny chunks, by h11.RemoteProtocolError."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD)
        self._chunks = 0
        self._body_bytes = 0

    @override
    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request):
            _check_head(event)
            self._chunks = self._body_bytes = 0
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_end
            self._body_bytes += len(event.data)
            if self._body_bytes < (self._chunks - FREE_CHUNKS) * MIN_CHUNK:
                raise h11.RemoteProtocolError("the body has too many small chunks")
        return event


def _check_head(request: h11.Request) -> None:
    """Raise h11.RemoteProtocolError for a head that is too large, or says twice where its body ends.

    h11 itself limits only heads that are incomplete. A proxy that goes by Content-Length would take what follows a
    chunked body for a part of it (RFC 9112, section 6.1): the connection must end.
    """
    if len(request.target) + sum(len(name) + len(value) for name, value in request.headers) > MAX_HEAD:
        raise h11.RemoteProtocolError("the request's head is too large", error_status_hint=431)
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}:
        raise h11.RemoteProtocolError("the body has two lengths")


class PatientProtocol(H11Protocol):
    """uvicorn's h11 protocol that closes connections which exceed `patience` or send what is refused."""

    patience = Patience()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = StrictConnection()
        self._phase: str | None = None
        self._received_bytes = 0
        self._phase_start = 0.0
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._phase_start = self.loop.time()
        self._watch("head")
        self._make_room()

    @override
    def data_received(self, data: bytes) -> None:
        self._received_bytes += len(data)
        super().data_received(data)
        self._watch(self._find_awaited_part())

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._phase_start = self.loop.time()
        self._watch(self._find_awaited_part())

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._watch(None)
        self._forget_writing()
        super().connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._forget_writing()
        self._writing = self.loop.call_later(self.patience.write, self._abort)

    @override
    def resume_writing(self) -> None:
        self._forget_writing()
        super().resume_writing()

    @override
    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None:
            self.cycle.disconnected = True  # what the application answers would end in an error
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:  # the response has begun
            self._abort()

    def _find_awaited_part(self) -> str | None:
        """Return what the client must send next: head, body, the rest of an unread body, or None for nothing."""
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            return "rest" if self.cycle is not None and self.cycle.response_complete else "body"
        is_idle = state is h11.IDLE and self.timeout_keep_alive_task is not None
        return "head" if state is h11.IDLE and not is_idle else None  # uvicorn ends connections that are idle

    def _make_room(self) -> None:
        """Close the connection that has been idle longest, if nearly all are in use.

        So a client that opens many connections and sends nothing blocks only itself.
        """
        if self.limit_concurrency is None or len(self.connections) <= self.limit_concurrency - SPARE_CONNECTIONS:
            return
        other_connections = (
            connection
            for connection in self.connections
            if isinstance(connection, PatientProtocol) and connection is not self
        )
        idle = [connection for connection in other_connections if connection._is_idle()]
        if idle:
            min(idle, key=lambda connection: connection._phase_start)._abort()

    def _is_idle(self) -> bool:
        """Return whether the connection waits for a request, or drains a refused one, and is not closing."""
        is_waiting = self._phase in ("head", "rest") or self.timeout_keep_alive_task is not None
        return is_waiting and not self.transport.is_closing()

    def _watch(self, phase: str | None) -> None:
        """Start the timeout of this phase unless it is running already. None stops the present one."""
        if phase == self._phase:
            return
        self._phase, self._received_bytes = phase, 0
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        seconds = {None: None, "head": self.patience.head, "body": self.patience.body, "rest": self.patience.linger}[
            phase
        ]
        if seconds is not None:
            self._reading = self.loop.call_later(seconds, self._expire, self.loop.time())

    def _expire(self, since: float) -> None:
        if self._phase == "body":
            end = since + self.patience.body + self._received_bytes / self.patience.rate
            if self.flow.read_paused or self.cycle.waiting_for_100_continue:  # the client waits for us
                end = max(end, self.loop.time() + self.patience.body)
            if end > self.loop.time():
                self._reading = self.loop.call_at(end, self._expire, since)
                return
        self._abort()

    def _forget_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _abort(self) -> None:
        """Close without sending the rest: the client does not read it."""
        self.transport.abort()


def make_settings() -> dict[str, Any]:
    """Return the arguments of `uvicorn.Config` that all servers of Dockgate share."""
    return {
        "http": PatientProtocol,
        "ws": "none",
        "limit_concurrency": compute_max_connections(),
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        # A request that is sent before the answer to the last one would inherit that one's caller.
        "reset_contextvars": True,
        "timeout_graceful_shutdown": 5,
    }


def compute_max_connections() -> int:
    """Half of the limit on open files, at most MAX_CONNECTIONS: what a connection starts opens files, too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)
