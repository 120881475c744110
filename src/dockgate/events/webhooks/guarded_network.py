"""Connections of httpcore to allowed addresses only, for a limited time."""

import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

from dockgate.shared.addresses import explain_refusal
from dockgate.shared.interfaces import override


class RefusedAddressError(httpcore.ConnectError):
    """The host has an address that may not be called."""


class BoundedStream(httpcore.NetworkStream):
    """A connection that ends `seconds` after it was made, whatever the receiver does."""

    def __init__(self, inner: httpcore.NetworkStream, seconds: float, end: float | None = None) -> None:
        self._inner, self._seconds = inner, seconds
        self._end = time.monotonic() + seconds if end is None else end

    def _compute_remaining_seconds(self) -> float:
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise httpcore.ReadTimeout(f"no whole answer within {self._seconds:.0f} s")
        return seconds

    @override
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._compute_remaining_seconds())

    @override
    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._compute_remaining_seconds())

    @override
    def close(self) -> None:
        self._inner.close()

    @override
    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        tls_stream = self._inner.start_tls(ssl_context, server_hostname, self._compute_remaining_seconds())
        return BoundedStream(tls_stream, self._seconds, self._end)

    @override
    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class GuardedBackend(httpcore.NetworkBackend):
    """A network that connects to the first address that answers, of those that may be called."""

    def __init__(
        self, resolve: Callable[[str, int], Sequence[str]], is_loopback_allowed: bool, whole_seconds: float
    ) -> None:
        self._resolve, self._is_loopback_allowed, self._whole_seconds = resolve, is_loopback_allowed, whole_seconds
        self._inner = httpcore.SyncBackend()

    @override
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = self._resolve(host.strip("[]"), port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} is not found: {error}") from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            if reason := explain_refusal(address, self._is_loopback_allowed):
                failure = RefusedAddressError(f"{address}, the address of {host}, {reason}: it is not called")
                continue
            try:
                stream = self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return BoundedStream(stream, self._whole_seconds)
        raise failure
