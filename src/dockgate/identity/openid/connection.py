"""Requests to an identity provider, bounded in time and size. Redirects are not followed."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from dockgate.shared.addresses import is_loopback
from dockgate.shared.errors import UnavailableError
from dockgate.shared.open_connections import OpenConnections, start_timer
from dockgate.shared.strict_json import parse_json
from dockgate.shared.tls import create_client_context

CONNECT_SECONDS = 5.0
# For the whole exchange, whatever the provider does.
WHOLE_SECONDS = 10.0
# Bytes of an answer.
MAX_ANSWER = 512 << 10
_ADVICE = "Retry in a minute. If it persists, check DOCKGATE_OIDC_ISSUER on the server."


class ProviderConnection:
    """A client of one identity provider. `transport` replaces the network."""

    def __init__(
        self,
        ca_bundle: Path | None = None,
        transport: httpx.BaseTransport | None = None,
        whole_seconds: float = WHOLE_SECONDS,
    ) -> None:
        self._whole_seconds = whole_seconds
        timeout = httpx.Timeout(WHOLE_SECONDS, connect=CONNECT_SECONDS)
        limits = httpx.Limits(max_keepalive_connections=0)  # people sign in rarely
        self._client = httpx.Client(
            verify=create_client_context(ca_bundle),
            timeout=timeout,
            limits=limits,
            follow_redirects=False,
            transport=transport,
        )

    def get_json(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Get a JSON object. Raises UnavailableError for any other answer."""
        response = self.send("GET", url, {"Accept": "application/json", **(headers or {})})
        try:
            value = parse_json(response.content) if response.status_code == httpx.codes.OK else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            problem = f"{url} answered {response.status_code} without a JSON object"
            raise UnavailableError(f"the identity provider does not answer as expected: {problem}", _ADVICE)
        return value

    def send(self, method: str, url: str, headers: Mapping[str, str], content: str = "") -> httpx.Response:
        """Send a request. Raises UnavailableError without a whole answer in time."""
        end = time.monotonic() + self._whole_seconds
        connections = OpenConnections()
        # A head that comes a byte at a time would never end.
        cancel = start_timer(self._whole_seconds, connections.shut_down)
        try:
            with self._client.stream(
                method, url, headers=dict(headers), content=content, extensions={"trace": connections.watch}
            ) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER or time.monotonic() > end:
                        break
            # A body without a length also ends where its connection was shut down.
            if len(body) > MAX_ANSWER or time.monotonic() > end:
                raise UnavailableError(
                    f"the answer of the identity provider at {urlsplit(url).netloc} is too large or slow", _ADVICE
                )
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = str(error) or type(error).__name__
            raise UnavailableError(
                f"the identity provider at {urlsplit(url).netloc} does not answer: {reason}", _ADVICE
            ) from error
        finally:
            cancel()
        return httpx.Response(response.status_code, content=bytes(body), request=response.request)

    # --- what Authlib calls ----------------------------------------------------------------------------------------

    def post(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: Any) -> httpx.Response:
        """Send a form, with the client's credentials as `auth` adds them."""
        form = str(httpx.QueryParams(dict(data)))
        url, prepared_headers, body = auth.prepare("POST", url, dict(headers), form)
        return self.send("POST", url, prepared_headers, body)


def is_safe_url(url: object, *, can_be_plain: bool) -> bool:
    """Return whether it is an absolute URL over TLS. `can_be_plain`: or over plain HTTP, on this machine."""
    if not isinstance(url, str) or not url.isascii() or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    is_plain = can_be_plain and parts.scheme == "http" and is_loopback(host or "")
    return bool(host) and parts.username is None and not parts.fragment and (parts.scheme == "https" or is_plain)


def format_error_code(value: object) -> str:
    """Return a provider's error code, for a message: other text is not shown."""
    text = value if isinstance(value, str) else ""
    return text if 0 < len(text) <= 60 and text.replace("_", "").isalnum() and text.isascii() else "no reason"
