"""Fetch a feed's file from a folder or over HTTP, unless it is unchanged since the last fetch."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from dockgate.shared.destinations import ConnectionCheck, require_destination
from dockgate.shared.digest import hash_file
from dockgate.shared.errors import DownloadError, NotFoundError, UnavailableError
from dockgate.shared.interfaces import override
from dockgate.shared.open_connections import OpenConnections, start_timer
from dockgate.shared.redaction import redact_url
from dockgate.shared.retry import RetrySchedule
from dockgate.vulnerabilities.feed import ONLY_PART, Feed, FeedFetch, RecordLookup

if TYPE_CHECKING:
    import httpx

RETRIES = RetrySchedule(first_pause=0.3, longest_pause=1, attempts=3)
# Bytes of one file, unless a feed has a lower limit. The largest public export is about a tenth of it.
LIMIT = 4 * 1024**3
# Seconds without a byte.
_TIMEOUT = 60.0
# After so many seconds a request must have brought so many bytes a second: a slow server would block all other feeds.
GRACE, SLOWEST = 120.0, 10_000.0
# Seconds between two looks at the speed of a request, after GRACE. Fewer if that is shorter.
_CHECK_SECONDS = 10.0
_REDIRECTS = 20
_INVALID_URL = "it is not a valid http or https URL"
_ETAG, _LAST_MODIFIED, _CONTENT = "etag ", "modified ", "sha256 "


class FetchedFeed(Feed):
    """The fetching that all feeds share.

    A feed adds `parse`; one with several parts, or more than one file, overrides more.
    """

    name: str
    version: int
    file: str
    url: str | None
    # Seconds.
    period = 6 * 3600.0
    # Bytes of one file.
    limit = LIMIT

    @override
    def list_parts(self, url: str, ecosystems: Sequence[str], ca_bundle: Path | None = None) -> Sequence[str]:
        return (ONLY_PART,)

    @override
    def get_ecosystem(self, part: str) -> str | None:
        return None

    @override
    def fetch(
        self,
        origin: Path | str,
        part: str,
        fingerprint: str | None,
        into: Path,
        ca_bundle: Path | None = None,
        lookup: RecordLookup | None = None,
    ) -> FeedFetch:
        if isinstance(origin, Path):
            return _open_folder(origin, self.file.replace("*", part), fingerprint)
        with Web(self.name, origin, ca_bundle) as web:
            return self.download(web, origin, part, fingerprint, into, lookup)

    def download(
        self, web: "Web", url: str, part: str, fingerprint: str | None, into: Path, lookup: RecordLookup | None
    ) -> FeedFetch:
        """Fetch one part over HTTP; the arguments are those of `fetch`."""
        return web.fetch(url, fingerprint, into, self.limit)


def _open_folder(folder: Path, file: str, fingerprint: str | None) -> FeedFetch:
    """The file in the folder, by the digest of its content. Raises NotFoundError, UnavailableError."""
    path = folder / file
    try:
        new_fingerprint = _digest_content(path)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no {file} in {folder}", "Check the folder that the feed's setting names."
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read: {error.strerror}", "Check the file and its permissions."
        ) from error
    return FeedFetch(new_fingerprint, None if new_fingerprint == fingerprint else path)


class Web:
    """A client for the files of a feed, with persistent connections. Several threads may use it.

    The server at the URL `origin` may send it elsewhere, but not closer to this machine than itself.
    """

    def __init__(
        self,
        feed: str,
        origin: str,
        ca_bundle: Path | None,
        *,
        grace: float = GRACE,
        timeout: float = _TIMEOUT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        import httpx

        from dockgate.shared.tls import create_client_context

        host = _find_host(origin)
        if host is None:
            raise _make_download_error(feed, origin, _INVALID_URL)
        self._host = host
        self._feed = feed
        self._grace = grace
        self._connections = OpenConnections()
        self._monotonic = monotonic
        self._check = ConnectionCheck(f"the feed {feed}", self._host)
        hooks: dict[str, list[Callable[..., Any]]] = {
            "request": [self._check_destination],
            "response": [_refuse_downgrade],
        }
        self._client = httpx.Client(timeout=timeout, verify=create_client_context(ca_bundle), event_hooks=hooks)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _check_destination(self, request: "httpx.Request") -> None:
        """Refuse a request to a nearer host than the feed's: see `destinations`. Also called for each redirect."""
        url = str(request.url)
        require_destination(self._host, url, sender=f"the feed {self._feed}")

        def watch(event: str, info: Mapping[str, Any]) -> None:
            self._check.watch(url, event, info)
            self._connections.watch(event, info)

        request.extensions["trace"] = watch

    def fetch(self, url: str, fingerprint: str | None, into: Path, limit: int = LIMIT) -> FeedFetch:
        """Fetch a file of at most `limit` bytes, unless it is unchanged.

        It is recognised by the ETag or Last-Modified of the last answer, if it had one (RFC 9110, section 13).
        Raises DownloadError after three attempts, or at once for a status from 400 to 499 other than 408 and 429.
        """
        import httpx

        reason, is_unreachable, is_stalled = "", False, False
        for pause in (*RETRIES.compute_pauses(), None):
            try:
                return self._request(url, fingerprint, into, limit)
            except httpx.HTTPStatusError as error:
                status = error.response.status_code
                is_unreachable = is_stalled = False
                reason = f"it answered {status} {error.response.reason_phrase}".rstrip()
                if 400 <= status < 500 and status not in (408, 429):
                    break
            except _TooSlowError as error:
                reason, is_unreachable, is_stalled = str(error), False, True
                break
            except (httpx.UnsupportedProtocol, httpx.InvalidURL):
                reason = _INVALID_URL  # the error may have a part of the password
                break
            except (ValueError, UnavailableError) as error:
                reason = str(error).removesuffix(".")
                break
            except (httpx.TransportError, httpx.TooManyRedirects, httpx.DecodingError) as error:
                reason = str(error) or type(error).__name__
                is_unreachable = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError))
                is_stalled = isinstance(error, (httpx.ReadTimeout, httpx.WriteTimeout))
            if pause is not None:
                time.sleep(pause)
        raise _make_download_error(self._feed, url, reason, is_unreachable=is_unreachable, is_stalled=is_stalled)

    def download(self, url: str, into: Path, limit: int = LIMIT) -> Path:
        """Fetch a file, whether or not it changed. Raises DownloadError."""
        path = self.fetch(url, None, into, limit).path
        assert path is not None  # noqa: S101 - without a fingerprint nothing is unchanged
        return path

    def _request(self, url: str, fingerprint: str | None, into: Path, limit: int) -> FeedFetch:
        condition = _make_condition(fingerprint) if fingerprint else {}
        headers = {"Accept-Encoding": "identity", **condition}
        with self._watch_speed() as speed, self._open(url, headers) as answer:
            if answer.status_code == 304 and fingerprint and condition:
                return FeedFetch(fingerprint)
            if answer.status_code != 200:
                answer.raise_for_status()
                raise ValueError(f"it answered {answer.status_code}, without a file")
            path = into / hashlib.sha256(url.encode()).hexdigest()
            with path.open("wb") as file:
                for chunk in answer.iter_bytes():
                    speed.size += len(chunk)
                    if speed.size > limit:
                        raise ValueError(f"it is larger than {limit} bytes")
                    file.write(chunk)
            speed.require()  # a body without a length also ends where its connection was shut down
            etag, last_modified = answer.headers.get("etag"), answer.headers.get("last-modified")
        new_fingerprint = (
            _ETAG + etag if etag else _LAST_MODIFIED + last_modified if last_modified else _digest_content(path)
        )
        return FeedFetch(new_fingerprint, None if new_fingerprint == fingerprint else path)

    @contextmanager
    def _watch_speed(self) -> "Iterator[_Speed]":
        """Watch the speed of what the block requests. Raises _TooSlowError if that was too slow."""
        speed = _Speed(self._connections.shut_down, self._grace, self._monotonic)
        try:
            yield speed
        except Exception:
            speed.require()
            raise
        finally:
            speed.stop()

    @contextmanager
    def _open(self, url: str, headers: Mapping[str, str]) -> "Iterator[httpx.Response]":
        """Send GET and follow redirects, without their bodies."""
        import httpx

        request = self._client.build_request("GET", url, headers=headers)
        for _ in range(_REDIRECTS + 1):
            answer = self._client.send(request, stream=True)
            if answer.next_request is None:
                break
            answer.close()
            request = answer.next_request
        else:
            raise httpx.TooManyRedirects(f"it redirects more than {_REDIRECTS} times", request=request)
        with closing(answer):
            yield answer


class _TooSlowError(ValueError):
    """A request has brought fewer bytes than it should."""


class _Speed:
    """The speed of a request, from the first byte of its head to the last of its body. Ends a slow one.

    A timeout counts from each byte, and a head or a chunk is given to us whole: who sends one byte a minute would never
    be noticed. A large file may take long, if it comes at SLOWEST.
    """

    def __init__(self, end: Callable[[], None], grace: float, monotonic: Callable[[], float]) -> None:
        """`end` ends what waits for the server. `grace`: seconds without a look."""
        # Bytes of the body so far.
        self.size = 0
        self._end = end
        self._monotonic = monotonic
        self._start = monotonic()
        self._pause = min(_CHECK_SECONDS, grace)
        self._is_over = False
        self._lock = threading.Lock()
        self._cancel: Callable[[], None] | None = start_timer(grace, self._check)

    def require(self) -> None:
        """Raise _TooSlowError if the request was ended."""
        if self._is_over:
            raise _TooSlowError(f"it sends less than {SLOWEST / 1000:.0f} kB a second, which is too slow")

    def stop(self) -> None:
        """Look no more."""
        with self._lock:
            if self._cancel is not None:
                self._cancel()
            self._cancel = None

    def _check(self) -> None:
        with self._lock:
            if self._cancel is None:
                return
            if self.size < (self._monotonic() - self._start) * SLOWEST:
                self._is_over = True
                self._end()
            self._cancel = start_timer(self._pause, self._check)


def _make_download_error(
    feed: str, url: str, reason: str, *, is_unreachable: bool = False, is_stalled: bool = False
) -> DownloadError:
    shown_url = redact_url(url)
    host = urlsplit(shown_url).netloc
    return DownloadError(feed, shown_url, host, reason, is_unreachable=is_unreachable, is_stalled=is_stalled)


def _find_host(url: str) -> str | None:
    """Return the host of a URL as it is written in one, None for an invalid URL."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return None
    return f"[{host}]" if host and ":" in host else host or None


def _make_condition(fingerprint: str) -> dict[str, str]:
    """Return the header that asks for the file only if it changed since this fingerprint."""
    if fingerprint.startswith(_ETAG):
        return {"If-None-Match": fingerprint.removeprefix(_ETAG)}
    if fingerprint.startswith(_LAST_MODIFIED):
        return {"If-Modified-Since": fingerprint.removeprefix(_LAST_MODIFIED)}
    return {}


def _refuse_downgrade(answer: "httpx.Response") -> None:
    """Refuse a redirect from https to http, where the network could change the advisories."""
    if (
        answer.has_redirect_location
        and answer.url.scheme == "https" != answer.url.join(answer.headers["location"]).scheme
    ):
        raise ValueError("it redirects from https to http")


def _digest_content(path: Path) -> str:
    return _CONTENT + hash_file(path)
