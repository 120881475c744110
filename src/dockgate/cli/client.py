"""The server's API, as the commands use it. httpx is imported with the first request."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote, urlsplit

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

# For an answer: scaling a service answers when its tasks run.
WAIT_SECONDS = 300
# What the server answers, in its own words, when something that it needs does not answer it (a registry, an
# engine); without its words a proxy says that it does not reach the server.
BEHIND = 502


class AwayError(UnavailableError):
    """The server does not answer, or only who stands before it does: it may be back in a while."""


_ERRORS: Mapping[int, type[DockgateError]] = {
    400: UsageError,
    401: DeniedError,
    403: DeniedError,
    404: NotFoundError,
    409: ConflictError,
    412: ChangedError,
    413: UsageError,
    415: UsageError,
    429: BusyError,
    422: UsageError,
    502: AwayError,
    503: AwayError,
    504: AwayError,
}


class Client:
    """Raises the error that the server tells of, UnavailableError when something that it needs does not answer it or
    when its certificate is not trusted, and AwayError when it does not answer."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or from_environment()
        self._http: httpx.Client | None = None

    def get(self, *path: str, **query: str | int) -> Any:
        return self._ask("GET", path, params=query)

    def post(
        self,
        *path: str,
        body: object = None,
        text: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """`body` is sent as JSON, `text` as it is."""
        sent = dict(headers or {})
        if text is not None:
            sent = {"Content-Type": "application/yaml", **sent}
            return self._ask("POST", path, params=query, content=text, headers=sent)
        return self._ask("POST", path, params=query, json=body, headers=sent)

    def put(self, *path: str, text: bytes, query: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        """`text` is sent as it is."""
        return self._ask(
            "PUT", path, params=query, content=text, headers={"Content-Type": "application/yaml", **headers}
        )

    def delete(self, *path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        return self._ask("DELETE", path, params=query, headers=headers)

    def close(self) -> None:
        """It may ask again afterwards."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _ask(self, method: str, path: tuple[str, ...], **request: Any) -> Any:
        import httpx

        url = "/api/v1/" + "/".join(quote(part, safe="/:@") for part in path)
        server = self._settings.server
        try:
            answer = self._connected().request(method, url, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if fault := _tls_fault(server, error):
                raise fault from error
            raise AwayError(f"no server answers at {server}", "Start it with `dockgate up`.") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise UsageError(f"DOCKGATE_SERVER is {server!r}: {error}", "Set it to http://HOST:PORT.") from error
        except httpx.TransportError as error:
            if self._needs_tls():
                raise _tls_needed(server) from error
            raise AwayError(f"{server} did not answer: {error or type(error).__name__}", "Try again.") from error
        try:
            value = answer.json() if answer.content else None
        except ValueError:
            value = None
        if answer.is_success:
            return value
        said = value if isinstance(value, dict) else {}
        message, advice = str(said.get("error") or ""), str(said.get("advice") or "")
        if answer.status_code == BEHIND and message:
            raise UnavailableError(f"{server} says: {message}", advice)
        if answer.status_code == 400 and not message and self._needs_tls():
            raise _tls_needed(server)
        if not message:
            message = f"{server}{url} answered {answer.status_code} {answer.reason_phrase}"
        raise _ERRORS.get(answer.status_code, DockgateError)(message, advice)

    def _needs_tls(self) -> bool:
        """Whether the server was asked without TLS and speaks nothing else."""
        from dockgate.shared.tls import speaks_tls

        url = urlsplit(self._settings.server)
        return url.scheme == "http" and speaks_tls(url.hostname or "", url.port or 80)

    def _connected(self) -> "httpx.Client":
        """Proxies of the environment are for servers elsewhere: nothing on loopback is reached through one."""
        import httpx

        from dockgate.shared.addresses import is_loopback

        if self._http is None:
            settings = self._settings
            server = urlsplit(settings.server)
            here = is_loopback(server.hostname or "")
            if settings.token and server.scheme == "http" and not here:
                raise UsageError(
                    f"DOCKGATE_TOKEN is not sent to {settings.server} in the clear",
                    "Set DOCKGATE_SERVER to a URL that begins with https://.",
                )
            verify: Any = True
            if settings.ca_bundle:
                from dockgate.shared.tls import trusted

                verify = trusted(settings.ca_bundle)
            self._http = httpx.Client(
                base_url=settings.server,
                headers={"Authorization": f"Bearer {settings.token}"} if settings.token else {},
                timeout=httpx.Timeout(WAIT_SECONDS, connect=10),
                trust_env=not here,
                verify=verify,
            )
        return self._http


def _tls_fault(server: str, error: Exception) -> DockgateError | None:
    """What is wrong where a connection failed while TLS was set up, None where it failed otherwise."""
    import ssl

    from dockgate.shared.tls import tls_fault

    fault = tls_fault(error)
    if fault is None:
        return None
    if isinstance(fault, ssl.SSLCertVerificationError):
        return UnavailableError(
            f"the certificate of {server} is not trusted: {fault.verify_message}",
            "Set DOCKGATE_CA_BUNDLE to the authorities' PEM file.",
        )
    plain = f"http://{urlsplit(server).netloc}"
    return UsageError(
        f"{server} does not answer with TLS: {fault.reason}",
        f"If the server has no certificate, set DOCKGATE_SERVER to {plain}.",
    )


def _tls_needed(server: str) -> UsageError:
    return UsageError(f"{server} answers with TLS only", f"Set DOCKGATE_SERVER to https://{urlsplit(server).netloc}.")


def understand(kind: type[T], value: Any) -> T:
    """Plain JSON as a value of the core. Raises DockgateError when the server speaks otherwise than this command."""
    try:
        return cast(T, canonical.build(kind, value))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DockgateError(
            f"the server's answer is not understood as {kind.__name__}: {error}",
            "Use the same version of Dockgate on both sides.",
        ) from error
