"""A client of the server's API."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from dockgate.cli.http_calls import (
    HttpCalls,
    InvalidAddressError,
    LocalHttp,
    NoAnswerError,
    NotConnectedError,
    Query,
    RemoteHttp,
    Response,
)
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
from dockgate.shared.redaction import redact_url

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")

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
        self._calls: HttpCalls | None = None

    def get(self, *path: str, **query: str | int | list[str]) -> Any:
        """Get JSON of the API."""
        return self._request("GET", path, query)

    def get_all(self, *path: str, maximum: int | None = None, **query: str | int | list[str]) -> list[Any]:
        """Get the entries of all pages of a list, or of the first ones."""
        entries: list[Any] = []
        cursor: Mapping[str, str] = {}
        while True:
            limit = PAGE if maximum is None else min(PAGE, maximum - len(entries))
            response = self._send("GET", self._make_url(path), {"limit": limit, **query, **cursor})
            entries += response.parse_json()
            next_cursor = _find_next_cursor(response.link)
            if next_cursor is None or len(entries) == maximum:
                return entries
            cursor = {"after": next_cursor}

    def post(
        self,
        *path: str,
        body: object = None,
        text: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send `body` as JSON, or `text` unchanged."""
        all_headers = dict(headers or {})
        if text is not None:
            all_headers = {"Content-Type": "application/yaml", **all_headers}
        elif body is not None:
            all_headers, text = {"Content-Type": "application/json", **all_headers}, json.dumps(body).encode()
        return self._request("POST", path, query, text, all_headers)

    def put(self, *path: str, text: bytes, query: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        """Send `text` unchanged."""
        return self._request("PUT", path, query, text, {"Content-Type": "application/yaml", **headers})

    def delete(self, *path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        """Delete an object of the API."""
        return self._request("DELETE", path, query, None, headers)

    def close(self) -> None:
        """Close the connection. The next call opens a new one."""
        if self._calls is not None:
            self._calls.close()

    def _request(
        self,
        method: str,
        path: tuple[str, ...],
        query: Query | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        response = self._send(method, self._make_url(path), query, content, headers)
        try:
            return response.parse_json() if response.content else None
        except ValueError:
            return None

    def _make_url(self, path: tuple[str, ...]) -> str:
        return "/api/v1/" + "/".join(quote(part, safe="/:@") for part in path)

    def _send(
        self,
        method: str,
        url: str,
        query: Query | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The response of a call that has succeeded."""
        server = redact_url(self._settings.server)
        try:
            response = self._get_http_calls().request(method, url, query or {}, content, headers or {})
        except NotConnectedError as error:
            if isinstance(error.__cause__, Exception) and (fault := _explain_tls_fault(server, error.__cause__)):
                raise fault from error
            raise ServerUnreachableError(
                f"no server answers at {server}", "Start it with `dockgate up`, or set DOCKGATE_SERVER."
            ) from error
        except InvalidAddressError as error:
            raise UsageError(
                f"DOCKGATE_SERVER is not a URL: {server!r} ({error})", "Set it to http://HOST:PORT."
            ) from error
        except NoAnswerError as error:
            if self._is_tls_needed():
                raise _make_tls_error(server) from error
            raise ServerUnreachableError(f"{server} did not answer: {error}", "Try again.") from error
        if response.is_success:
            return response
        try:
            value = response.parse_json() if response.content else None
        except ValueError:
            value = None
        error_body = value if isinstance(value, dict) else {}
        message, advice = str(error_body.get("error") or ""), str(error_body.get("advice") or "")
        if response.status == BAD_GATEWAY and message:
            raise UnavailableError(f"{server}: {message}", advice)
        if response.status == 400 and not message and self._is_tls_needed():
            raise _make_tls_error(server)
        if not message:
            message = f"{server}{url} answered {response.status} {response.reason}."
            advice = "Check that DOCKGATE_SERVER is the URL of a Dockgate server."
        raise _ERRORS.get(response.status, DockgateError)(message, advice)

    def _is_tls_needed(self) -> bool:
        """Return whether the server was called without TLS and accepts only TLS."""
        from dockgate.shared.tls import can_speak_tls

        url = urlsplit(self._settings.server)
        return url.scheme == "http" and can_speak_tls(url.hostname or "", url.port or 80)

    def _get_http_calls(self) -> HttpCalls:
        """Make the HTTP calls. Proxies of the environment are not used for servers on loopback."""
        from dockgate.shared.addresses import is_loopback

        if self._calls is None:
            settings = self._settings
            server = _split_url(settings.server)
            is_local = is_loopback(server.hostname or "")
            if settings.token and server.scheme == "http" and not is_local:
                raise UsageError(
                    f"DOCKGATE_TOKEN is not sent over plain HTTP to {redact_url(settings.server)}",
                    "Set DOCKGATE_SERVER to a URL that begins with https://.",
                )
            headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
            if server.scheme == "http" and is_local and server.username is None:
                self._calls = LocalHttp(server, headers)
            else:
                self._calls = RemoteHttp(
                    settings.server, headers, _make_tls_context(settings, server.scheme), has_proxies=not is_local
                )
        return self._calls


def _split_url(server: str) -> SplitResult:
    try:
        return urlsplit(server)
    except ValueError as error:
        raise UsageError(
            f"DOCKGATE_SERVER is not a URL: {redact_url(server)!r} ({error})", "Set it to http://HOST:PORT."
        ) from error


def _make_tls_context(settings: Settings, scheme: str) -> "ssl.SSLContext":
    """The authorities that a server's certificate is checked by."""
    from dockgate.shared.tls import create_client_context, create_plain_http_context

    if scheme == "http":
        return create_plain_http_context()
    return create_client_context(settings.ca_bundle)


def _find_next_cursor(link: str | None) -> str | None:
    """The cursor of the next page in a Link header, None without one."""
    match = re.search(r'<([^>]*)>\s*;\s*rel="?next"?', link or "")
    values = parse_qs(urlsplit(match[1]).query).get("after") if match else None
    return values[0] if values else None


def _explain_tls_fault(server: str, error: Exception) -> DockgateError | None:
    """The error of a failed TLS handshake; None for other failures."""
    import ssl

    from dockgate.shared.tls import find_tls_error

    fault = find_tls_error(error)
    if fault is None:
        return None
    if isinstance(fault, ssl.SSLCertVerificationError):
        return UnavailableError(
            f"the certificate of {server} is not trusted: {fault.verify_message}",
            "Set DOCKGATE_CA_BUNDLE to a PEM file of the certificate authority.",
        )
    plain = f"http://{urlsplit(server).netloc}"
    return UsageError(
        f"{server} does not use TLS: {fault.reason}",
        f"If the server has no certificate, set DOCKGATE_SERVER to {plain}.",
    )


def _make_tls_error(server: str) -> UsageError:
    return UsageError(f"{server} accepts only TLS", f"Set DOCKGATE_SERVER to https://{urlsplit(server).netloc}.")


def parse_answer(kind: type[T], value: Any) -> T:
    """Parse plain JSON as a dataclass. Raises DockgateError if the server has another version."""
    try:
        return cast(T, canonical.build(kind, value))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DockgateError(
            f"the server's answer cannot be read as {kind.__name__}: {error}",
            "Use the same version of Dockgate for the command and the server.",
        ) from error
