"""A client of the server's API. httpx is imported with the first request."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import parse_qs, quote, urlsplit

from dockgate.config import Settings, from_environment
from dockgate.shared import canonical
from dockgate.shared.errors import (
    BusyError,
    ChangedError,
    ConflictError,
    DeniedError,
    DockgateError,
    NotFoundError,
    UnavailableError,
    UsageError,
)

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

# For one response: scaling a service responds when its tasks run.
WAIT_SECONDS = 300
# Entries of one response, where all of a list are fetched.
PAGE = 1000
# With an error body: the server cannot reach something that it needs (a registry, an engine). Without one: a proxy
# cannot reach the server.
BAD_GATEWAY = 502


class ServerUnreachableError(UnavailableError):
    """The server, or the server behind a proxy, does not answer. It may come back."""


# What a command that waits tries again: the server is away, or has too many requests of this principal.
TRANSIENT_ERRORS = (ServerUnreachableError, BusyError)


_ERRORS: Mapping[int, type[DockgateError]] = {
    **dict.fromkeys((400, 413, 415, 422), UsageError),
    **dict.fromkeys((401, 403), DeniedError),
    404: NotFoundError,
    409: ConflictError,
    412: ChangedError,
    429: BusyError,
    **dict.fromkeys((502, 503, 504), ServerUnreachableError),
}


class Client:
    """Calls of the server's API.

    Raises the error class of the response's status; UnavailableError when the server cannot reach what it needs, or its
    certificate is not trusted; ServerUnreachableError when the server does not answer.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or from_environment()
        self._http: httpx.Client | None = None

    def get(self, *path: str, **query: str | int | list[str]) -> Any:
        """Get JSON of the API."""
        return self._request("GET", path, params=query)

    def get_all(self, *path: str, most: int | None = None, **query: str | int | list[str]) -> list[Any]:
        """Get the entries of all pages of a list, or of the first ones."""
        entries: list[Any] = []
        after: Mapping[str, str] = {}
        while True:
            limit = PAGE if most is None else min(PAGE, most - len(entries))
            response = self._send("GET", self._url(path), params={"limit": limit, **query, **after})
            entries += response.json()
            following = parse_qs(urlsplit(response.links.get("next", {}).get("url", "")).query).get("after")
            if not following or len(entries) == most:
                return entries
            after = {"after": following[0]}

    def post(
        self,
        *path: str,
        body: object = None,
        text: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send `body` as JSON, or `text` unchanged."""
        sent = dict(headers or {})
        if text is not None:
            sent = {"Content-Type": "application/yaml", **sent}
            return self._request("POST", path, params=query, content=text, headers=sent)
        return self._request("POST", path, params=query, json=body, headers=sent)

    def put(self, *path: str, text: bytes, query: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        """Send `text` unchanged."""
        return self._request(
            "PUT", path, params=query, content=text, headers={"Content-Type": "application/yaml", **headers}
        )

    def delete(self, *path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        """Delete an object of the API."""
        return self._request("DELETE", path, params=query, headers=headers)

    def close(self) -> None:
        """Close the connection. The next call opens a new one."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _request(self, method: str, path: tuple[str, ...], **request: Any) -> Any:
        response = self._send(method, self._url(path), **request)
        try:
            return response.json() if response.content else None
        except ValueError:
            return None

    def _url(self, path: tuple[str, ...]) -> str:
        return "/api/v1/" + "/".join(quote(part, safe="/:@") for part in path)

    def _send(self, method: str, url: str, **request: Any) -> "httpx.Response":
        """The response of a call that has succeeded."""
        import httpx

        server = self._settings.server
        try:
            response = self._http_client().request(method, url, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if fault := _tls_fault(server, error):
                raise fault from error
            raise ServerUnreachableError(
                f"No server answers at {server}.", "Start it with `dockgate up`, or set DOCKGATE_SERVER."
            ) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise UsageError(
                f"DOCKGATE_SERVER is not a URL: {server!r} ({error}).", "Set it to http://HOST:PORT."
            ) from error
        except httpx.TransportError as error:
            if self._needs_tls():
                raise _tls_needed(server) from error
            raise ServerUnreachableError(
                f"{server} did not answer: {error or type(error).__name__}", "Try again."
            ) from error
        if response.is_success:
            return response
        try:
            value = response.json() if response.content else None
        except ValueError:
            value = None
        error_body = value if isinstance(value, dict) else {}
        message, advice = str(error_body.get("error") or ""), str(error_body.get("advice") or "")
        if response.status_code == BAD_GATEWAY and message:
            raise UnavailableError(f"{server}: {message}", advice)
        if response.status_code == 400 and not message and self._needs_tls():
            raise _tls_needed(server)
        if not message:
            message = f"{server}{url} answered {response.status_code} {response.reason_phrase}."
        raise _ERRORS.get(response.status_code, DockgateError)(message, advice)

    def _needs_tls(self) -> bool:
        """Whether the server was called without TLS and accepts only TLS."""
        from dockgate.shared.tls import speaks_tls

        url = urlsplit(self._settings.server)
        return url.scheme == "http" and speaks_tls(url.hostname or "", url.port or 80)

    def _http_client(self) -> "httpx.Client":
        """The HTTP client. Proxies of the environment are not used for servers on loopback."""
        import httpx

        from dockgate.shared.addresses import is_loopback
        from dockgate.shared.tls import trusted, trusts_nobody

        if self._http is None:
            settings = self._settings
            server = urlsplit(settings.server)
            is_local = is_loopback(server.hostname or "")
            if settings.token and server.scheme == "http" and not is_local:
                raise UsageError(
                    f"DOCKGATE_TOKEN is not sent over plain HTTP to {settings.server}.",
                    "Set DOCKGATE_SERVER to a URL that begins with https://.",
                )
            verify: Any = True
            if server.scheme == "http":
                verify = trusts_nobody()
            elif settings.ca_bundle:
                verify = trusted(settings.ca_bundle)
            self._http = httpx.Client(
                base_url=settings.server,
                headers={"Authorization": f"Bearer {settings.token}"} if settings.token else {},
                timeout=httpx.Timeout(WAIT_SECONDS, connect=10),
                trust_env=not is_local,
                verify=verify,
            )
        return self._http


def _tls_fault(server: str, error: Exception) -> DockgateError | None:
    """The error of a failed TLS handshake; None for other failures."""
    import ssl

    from dockgate.shared.tls import tls_fault

    fault = tls_fault(error)
    if fault is None:
        return None
    if isinstance(fault, ssl.SSLCertVerificationError):
        return UnavailableError(
            f"The certificate of {server} is not trusted: {fault.verify_message}.",
            "Set DOCKGATE_CA_BUNDLE to a PEM file of the certificate authority.",
        )
    plain = f"http://{urlsplit(server).netloc}"
    return UsageError(
        f"{server} does not use TLS: {fault.reason}.",
        f"If the server has no certificate, set DOCKGATE_SERVER to {plain}.",
    )


def _tls_needed(server: str) -> UsageError:
    return UsageError(f"{server} accepts only TLS.", f"Set DOCKGATE_SERVER to https://{urlsplit(server).netloc}.")


def parse_answer(kind: type[T], value: Any) -> T:
    """Parse plain JSON as a dataclass. Raises DockgateError if the server has another version."""
    try:
        return cast(T, canonical.build(kind, value))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DockgateError(
            f"The server's answer cannot be read as {kind.__name__}: {error}.",
            "Use the same version of Dockgate for the command and the server.",
        ) from error
