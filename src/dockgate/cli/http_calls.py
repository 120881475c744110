"""HTTP calls of the commands, by one of two ways.

`LocalHttp` calls servers on this machine over plain HTTP with the standard library: importing httpx takes longer than
most commands. `RemoteHttp` is httpx, with TLS and the proxies of the environment.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, urlencode

from dockgate.shared.interfaces import override

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 10
# For one response: scaling a service responds when its tasks run.
WAIT_SECONDS = 300

Query = Mapping[str, str | int | list[str]]


class NotConnectedError(Exception):
    """There is no connection to the server. Its cause may be a failed TLS handshake."""


class NoAnswerError(Exception):
    """The connection ended without an answer. The text says why."""


class InvalidAddressError(Exception):
    """The server's URL cannot be called."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read to its end. `link` is the header of that name, None without one."""

    status: int
    reason: str
    content: bytes
    link: str | None

    @property
    def is_success(self) -> bool:
        """Return whether the status is 2xx."""
        return 200 <= self.status < 300

    def parse_json(self) -> Any:
        """The content. Raises ValueError for another one."""
        return json.loads(self.content)


class HttpCalls(Protocol):
    """Requests to one server. They raise NotConnectedError, NoAnswerError and InvalidAddressError."""

    def request(
        self, method: str, path: str, query: Query, content: bytes | None, headers: Mapping[str, str]
    ) -> Response:
        """Send a request, and read the answer."""
        ...

    def close(self) -> None:
        """Close the connection. The next request opens a new one."""
        ...


class LocalHttp(HttpCalls):
    """Requests to `server`, a URL of this machine without TLS. Each has a connection of its own."""

    def __init__(self, server: SplitResult, headers: Mapping[str, str]) -> None:
        self._server = server
        self._headers = headers

    @override
    def request(
        self, method: str, path: str, query: Query, content: bytes | None, headers: Mapping[str, str]
    ) -> Response:
        from http.client import HTTPConnection, HTTPException

        url = self._server.path.rstrip("/") + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        try:
            connection = HTTPConnection(self._server.hostname or "", self._server.port or 80, timeout=CONNECT_SECONDS)
        except (ValueError, HTTPException) as error:
            raise InvalidAddressError(str(error)) from error
        try:
            connection.connect()
        except OSError as error:
            raise NotConnectedError from error
        try:
            connection.sock.settimeout(WAIT_SECONDS)
            connection.request(method, url, content, {**self._headers, **headers})
            answer = connection.getresponse()
            return Response(answer.status, answer.reason, answer.read(), answer.getheader("Link"))
        except (OSError, HTTPException) as error:
            raise NoAnswerError(str(error) or type(error).__name__) from error
        except ValueError:  # its text has the header, such as the token
            raise NoAnswerError("a header has characters that are not allowed") from None
        finally:
            connection.close()

    @override
    def close(self) -> None:
        """Do nothing: every call has closed its connection."""


class RemoteHttp(HttpCalls):
    """Requests to `server` by httpx.

    `verify` is what httpx takes, `has_proxies` whether those of the environment count.
    """

    def __init__(self, server: str, headers: Mapping[str, str], verify: Any, *, has_proxies: bool) -> None:
        self._options: dict[str, Any] = {
            "base_url": server,
            "headers": headers,
            "verify": verify,
            "trust_env": has_proxies,
        }
        self._http: httpx.Client | None = None

    @override
    def request(
        self, method: str, path: str, query: Query, content: bytes | None, headers: Mapping[str, str]
    ) -> Response:
        import httpx

        try:
            if self._http is None:
                timeout = httpx.Timeout(WAIT_SECONDS, connect=CONNECT_SECONDS)
                self._http = httpx.Client(timeout=timeout, **self._options)
            answer = self._http.request(method, path, params=query, content=content, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotConnectedError from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise InvalidAddressError(str(error)) from error
        except httpx.TransportError as error:
            raise NoAnswerError(str(error) or type(error).__name__) from error
        return Response(answer.status_code, answer.reason_phrase, answer.content, answer.headers.get("Link"))

    @override
    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None
