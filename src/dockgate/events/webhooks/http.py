"""Callbacks over HTTP, only to allowed addresses: the requester of an approval chooses the URL.

The address is looked at when the connection is made, not before: a name cannot resolve to another one by then. A proxy
of the environment is not used, for it would look names up itself.
"""

import fnmatch
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import dockgate
from dockgate.events.ports import Webhooks
from dockgate.shared.errors import MessageRefusedError, ReceiverGoneError, UnavailableError, UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.tls import create_client_context

if TYPE_CHECKING:
    import httpcore

CONNECT_SECONDS = 5.0
# From the connection on, whatever the receiver does.
WHOLE_SECONDS = 15.0
# Bytes of an answer that are read.
ANSWER_LIMIT = 64 << 10
# The receiver wants no more (Standard Webhooks, "Responses").
HTTP_GONE = 410
# Host, port -> addresses.
Resolve = Callable[[str, int], Sequence[str]]


def resolve_addresses(host: str, port: int) -> Sequence[str]:
    """Resolve the name of the host with the system's resolver."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class HttpWebhooks(Webhooks):
    """`hosts` are patterns such as "*.example.org"; empty, every host may be called.

    `is_loopback_allowed`: this machine, too.
    """

    def __init__(
        self,
        hosts: Sequence[str] = (),
        *,
        is_loopback_allowed: bool,
        ca_bundle: Path | None = None,
        resolve: Resolve = resolve_addresses,
        whole_seconds: float = WHOLE_SECONDS,
    ) -> None:
        import httpcore

        from dockgate.events.webhooks.guarded_network import GuardedBackend

        self._hosts = tuple(host.lower() for host in hosts)
        # A connection is used once: another name on the same address must be looked at, too.
        self._pool = httpcore.ConnectionPool(
            ssl_context=create_client_context(ca_bundle),
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=GuardedBackend(resolve, is_loopback_allowed, whole_seconds),
        )

    @override
    def check(self, url: str) -> None:
        advice = "Give an absolute URL such as https://ci.example.org/answers, without user or password."
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise UsageError(f"the callback {url!r} is not a URL: {error}", advice) from None
        plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= 2000
        if parts.username is not None:
            raise UsageError("the callback's URL has a user or a password", advice)
        if parts.scheme not in ("http", "https") or not host or not plain:
            raise UsageError(f"the callback {url[:200]!r} is not a URL to call", advice)
        if self._hosts and not any(fnmatch.fnmatchcase(host, pattern) for pattern in self._hosts):
            raise UsageError(
                f"callbacks to {host} are not allowed", "DOCKGATE_CALLBACK_HOSTS on the server lists those that are."
            )

    @override
    def call(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        try:
            self.check(url)
        except UsageError as error:
            raise MessageRefusedError(str(error), error.advice) from None
        from dockgate.events.webhooks.guarded_network import RefusedAddressError

        own_headers = {"user-agent": f"dockgate/{dockgate.__version__}", "host": urlsplit(url).netloc}
        all_headers: list[tuple[bytes | str, bytes | str]] = [*own_headers.items(), *headers.items()]
        try:
            with self._pool.stream(
                "POST", url, headers=all_headers, content=body, extensions={"timeout": {"connect": CONNECT_SECONDS}}
            ) as answer:
                status = answer.status
                _read(answer)
        except _list_failures() as error:
            reason = str(error) or type(error).__name__
            is_refused = isinstance(error, RefusedAddressError)
            raise UnavailableError(
                f"{urlsplit(url).netloc} did not accept the message: {reason}",
                "This address is not allowed: give a URL of another host." if is_refused else None,
            ) from error
        if status == HTTP_GONE:
            raise ReceiverGoneError(
                f"{urlsplit(url).netloc} refused further messages (410)",
                "Give another URL, or test it once it accepts messages again.",
            )
        if not 200 <= status < 300:
            is_redirect = 300 <= status < 400
            advice = "Redirects are not followed: name the final URL." if is_redirect else "See the receiver's log."
            raise UnavailableError(f"{urlsplit(url).netloc} answered {status}", advice)


def _list_failures() -> tuple[type[Exception], ...]:
    import httpcore

    return (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.TimeoutException,
        httpcore.UnsupportedProtocol,
        OSError,
        ValueError,
    )


def _read(answer: "httpcore.Response") -> None:
    """Read the answer to its end, up to ANSWER_LIMIT, so that the receiver can complete its work."""
    size = 0
    for piece in answer.iter_stream():
        size += len(piece)
        if size > ANSWER_LIMIT:
            return
