"""HTTP to a registry: retries, redirects without credentials, and errors with advice."""

import io
import random
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dockgate
from dockgate.scanner.images.chunk_stream import ChunkStream
from dockgate.scanner.images.time_limit import TimeLimit
from dockgate.scanner.registry_reference import is_loopback_registry
from dockgate.shared.destinations import ChangedAddressError, ConnectionCheck, require_destination
from dockgate.shared.errors import UnavailableError, UsageError
from dockgate.shared.host_port import strip_port
from dockgate.shared.interfaces import override
from dockgate.shared.retry import RetrySchedule
from dockgate.shared.tls import create_client_context, find_tls_error

if TYPE_CHECKING:
    import httpx
    from _typeshed import WriteableBuffer

# `compute_retry_delay` adds up to half to each pause.
RETRIES = RetrySchedule(first_pause=0.6, longest_pause=3, attempts=4)
# Seconds; a longer Retry-After is shortened to this.
LONGEST_WAIT = 30.0
REDIRECTS = 5
_REDIRECT_ADVICE = "Check the registry's address, and the proxies before it."
# Minimum bytes of a body for each minute of waiting: 4 KiB a second, the speed of a modem.
PROGRESS_STEP = 2**18
_MINUTE = 60.0
_TIMEOUT = 30.0
_CONNECT_TIMEOUT = 10.0
_RETRIED_STATUSES = frozenset((429, 500, 502, 503, 504))


class _UntrustedError(UnavailableError):
    """The certificate is not trusted; a retry does not help."""


class _NoTlsError(UnavailableError):
    """The server does not speak TLS; a retry does not help."""


class Transport:
    """A client for one registry. After the first request, `is_secure` tells whether it uses TLS."""

    def __init__(
        self,
        registry: str,
        ca_bundle: Path | None,
        is_insecure: bool,
        sleep: Callable[[float], None] = time.sleep,
        *,
        timeout: float = _TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        limit: TimeLimit | None = None,
    ) -> None:
        """`timeout`: seconds without data after which a connection fails.

        `limit`: for all calls together; after that, they raise TooSlowError.
        """
        import httpx

        from dockgate.shared.addresses import LOOPBACK_NAMES  # loading ipaddress takes longer than opening a layout

        is_local = is_loopback_registry(registry)
        unproxied_hosts = {*LOOPBACK_NAMES, strip_port(registry)} if is_local else {*LOOPBACK_NAMES}
        try:
            self._client = httpx.Client(
                verify=create_client_context(ca_bundle, "--ca-bundle or DOCKGATE_CA_BUNDLE"),
                timeout=httpx.Timeout(timeout, connect=_CONNECT_TIMEOUT),
                headers={"User-Agent": f"dockgate/{dockgate.__version__}", "Accept-Encoding": "identity"},
                mounts={f"all://{host}": None for host in unproxied_hosts},
            )
        except (ImportError, ValueError) as error:
            raise UsageError(f"the proxy settings do not work: {error}", "See HTTPS_PROXY and NO_PROXY.") from error
        self._registry = registry
        self._host = "registry-1.docker.io" if registry == "docker.io" else registry
        self._connection_check = ConnectionCheck(f"the registry {registry}", self._host)
        self._clock = clock
        self._limit = limit
        self.sleep = sleep
        self._is_http_allowed = is_local or is_insecure
        self.is_secure = True

    def close(self) -> None:
        """Close all connections, and cancel the time limit."""
        if self._limit is not None:
            self._limit.cancel()
        self._client.close()

    def _make_extensions(self, url: str) -> dict[str, Any]:
        def watch(event: str, info: Mapping[str, Any]) -> None:
            self._connection_check.watch(url, event, info)
            if self._limit is not None:
                self._limit.watch(event, info)

        return {"trace": watch}

    def get(
        self, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None, *, should_retry: bool = True
    ) -> "httpx.Response":
        """Send GET, or POST of a form. Returns the response with its body unread; the caller closes it.

        `url` may be a path on the registry. Redirects are not followed. With `should_retry`, connection errors, 429 and
        5xx are retried. Raises UnavailableError.
        """
        for wait in RETRIES.compute_pauses() if should_retry else ():
            retry_after = None
            try:
                response = self._send(url, headers, form)
            except (_UntrustedError, _NoTlsError, ChangedAddressError):
                raise
            except UnavailableError:
                pass
            else:
                if response.status_code not in _RETRIED_STATUSES:
                    return response
                retry_after = response.headers.get("Retry-After")
                response.close()
            self.sleep(compute_retry_delay(wait, retry_after))
        return self._send(url, headers, form)

    def open_body(self, response: "httpx.Response") -> "Body":
        """Return the body of a response as a stream."""
        return Body(response, self._registry, self._clock, self._limit)

    def fetch(self, ask: Callable[[], "httpx.Response"], limit: int) -> tuple["httpx.Response", bytes]:
        """Return a response and at most `limit` bytes of its body. Requests it again if the connection breaks.

        Raises UnavailableError, and errors of `ask`.
        """
        for wait in RETRIES.compute_pauses():
            response = ask()
            with suppress(UnavailableError), self.open_body(response) as body:
                return response, body.take(limit)
            self.sleep(compute_retry_delay(wait))
        response = ask()
        with self.open_body(response) as body:
            return response, body.take(limit)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: "bytes | Iterable[bytes]" = b"",
        answer_seconds: float | None = None,
    ) -> "httpx.Response":
        """Send a request that changes something, once. Returns the response with its body unread.

        Call `get` first: it detects TLS. `url` may be a path on the registry. The answer may take `answer_seconds`, by
        default as long as any. Raises UnavailableError.
        """
        import httpx

        timeout = self._client.timeout
        if answer_seconds is not None:
            timeout = httpx.Timeout(**{**timeout.as_dict(), "read": answer_seconds})
        with enforce_limit(self._limit), translate_errors(self._registry):
            target = f"{self._base}{url}" if url.startswith("/") else url
            request = self._client.build_request(
                method,
                target,
                headers=dict(headers),
                content=content,
                timeout=timeout,
                extensions=self._make_extensions(target),
            )
            return self._client.send(request, stream=True)

    def follow(
        self, response: "httpx.Response", headers: Mapping[str, str], proof: Mapping[str, str]
    ) -> "httpx.Response":
        """Follow redirects, never from TLS to plain HTTP, and return the answer.

        `proof`, headers with credentials, is sent to the same host and port only.
        """
        import httpx

        for _ in range(REDIRECTS):
            location = response.headers.get("Location")
            if response.status_code not in (301, 302, 303, 307, 308) or not location:
                return response
            response.close()
            request_url = response.request.url
            try:
                target_url = request_url.join(location)
            except httpx.InvalidURL as error:
                raise UnavailableError(
                    f"{self._registry} redirects to an invalid URL: {error}", _REDIRECT_ADVICE
                ) from error
            if target_url.scheme != "https" and (target_url.scheme != "http" or request_url.scheme == "https"):
                raise UnavailableError(
                    f"{self._registry} redirects to {target_url.scheme}://{target_url.host}, which is not HTTPS",
                    _REDIRECT_ADVICE,
                )
            is_same_host = (target_url.scheme, target_url.host, target_url.port) == (
                request_url.scheme,
                request_url.host,
                request_url.port,
            )
            if not is_same_host:
                require_destination(self._registry, str(target_url))
            response = self.get(str(target_url), {**headers, **proof} if is_same_host else headers)
        response.close()
        raise UnavailableError(f"{self._registry} redirects more than {REDIRECTS} times", _REDIRECT_ADVICE)

    def _send(self, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> "httpx.Response":
        if not url.startswith("/"):
            return self._send_once(url, headers, form)
        try:
            response = self._send_once(f"{self._base}{url}", headers, form)
        except _NoTlsError:
            if not self._is_http_allowed:
                raise
            self.is_secure = False
            response = self._send_once(f"{self._base}{url}", headers, form)
        self._is_http_allowed = False  # never fall back from TLS to plain HTTP later
        return response

    @property
    def _base(self) -> str:
        return f"{'https' if self.is_secure else 'http'}://{self._host}"

    def _send_once(self, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> "httpx.Response":
        method = "GET" if form is None else "POST"
        with enforce_limit(self._limit), translate_errors(self._registry):
            request = self._client.build_request(
                method, url, headers=dict(headers), data=form, extensions=self._make_extensions(url)
            )
            return self._client.send(request, stream=True)


@contextmanager
def enforce_limit(limit: TimeLimit | None) -> Iterator[None]:
    """Raise TooSlowError if the time is over before or after the block.

    TimeLimit then broke the connection.
    """
    try:
        if limit is not None:
            limit.require()
        yield
    except UnavailableError:
        if limit is not None:
            limit.require()
        raise


@contextmanager
def translate_errors(registry: str) -> Iterator[None]:
    """Turn errors of httpx into UnavailableError."""
    import httpx

    try:
        yield
    except (httpx.TransportError, httpx.InvalidURL) as error:
        fault = find_tls_error(error)
        kind: type[UnavailableError] = UnavailableError
        if isinstance(fault, ssl.SSLCertVerificationError):
            kind, reason = _UntrustedError, f"its certificate is not trusted ({fault.verify_message})"
            advice = "Set --ca-bundle or DOCKGATE_CA_BUNDLE to the file with its CA certificate."
        elif isinstance(fault, ssl.SSLError) and not isinstance(fault, ssl.SSLEOFError):
            kind, reason = _NoTlsError, f"it does not speak TLS as it should ({fault.reason})"
            advice = "If the registry has no TLS, use --insecure."
        elif isinstance(error, httpx.TimeoutException):
            reason, advice = "it took too long to answer", "Try again later."
        else:
            reason, advice = str(error) or type(error).__name__, "Check its name, that it runs, and the proxy settings."
        host_text = f"{registry}{_describe_other_host(error, registry)}"
        raise kind(f"the registry {host_text} cannot be reached: {reason}", advice) from error


class Body(io.RawIOBase):
    """The body of a response as a stream, not decoded.

    Raises UnavailableError if the connection breaks or is slower than PROGRESS_STEP a minute.
    """

    def __init__(
        self,
        response: "httpx.Response",
        registry: str,
        clock: Callable[[], float] = time.monotonic,
        limit: TimeLimit | None = None,
    ) -> None:
        self._response = response
        self._limit = limit
        self._registry = registry
        self._clock = clock
        self._chunks = ChunkStream(response.iter_raw())
        self._seconds_waited = 0.0
        self._bytes_received = 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        begun_at = self._clock()
        with enforce_limit(self._limit), translate_errors(self._registry):
            count = self._chunks.readinto(buffer)
        if not count and self._limit is not None:
            self._limit.require()  # the limit may have ended a body without a length
        self._seconds_waited += self._clock() - begun_at
        self._bytes_received += count
        if self._seconds_waited >= _MINUTE:
            if count and self._bytes_received < PROGRESS_STEP:
                progress = f"{self._bytes_received} bytes in {self._seconds_waited:.0f} seconds"
                raise UnavailableError(f"the registry {self._registry} sent {progress}", "Try again later.")
            self._seconds_waited, self._bytes_received = 0.0, 0
        return count

    def take(self, limit: int) -> bytes:
        """Return the body, at most `limit` bytes."""
        data = bytearray()
        while len(data) < limit and (chunk := self.read(limit - len(data))):
            data += chunk
        return bytes(data)

    @override
    def close(self) -> None:
        self._response.close()
        super().close()


def _describe_other_host(error: Exception, registry: str) -> str:
    """Return " (at HOST)" if the host is not the registry but a token server or the target of a redirect."""
    import httpx

    try:
        host = error.request.url.host if isinstance(error, httpx.RequestError) else ""
    except RuntimeError:
        host = ""
    return f" (at {host})" if host and host != strip_port(registry).strip("[]") else ""


def compute_retry_delay(wait: float, retry_after: str | None = None) -> float:
    """Return the seconds to wait: about `wait`, or Retry-After (RFC 9110, 10.2.3: seconds or a date)."""
    wait *= 1 + random.random() / 2  # noqa: S311 - spreads load, guards nothing
    if retry_after and retry_after.strip().isdigit():
        wait = max(wait, float(retry_after))
    elif retry_after:
        with suppress(ValueError):
            wait = max(wait, parsedate_to_datetime(retry_after).timestamp() - time.time())
    return min(wait, LONGEST_WAIT)
