"""The registry that other machines reach: a proxy that applies the pull policy.

It lies before the server's own registry. The registry checks every token, as without the proxy. A request is not passed
on as it came: the proxy reads which call of the distribution API it is, and makes a new request for exactly that, with
few of its headers. So what is judged is what is fetched, and a path that the registry would read in another way reaches
nothing.

Bodies are streamed. Only a manifest of a repository with a pull policy is read first: its digest is computed, judged,
and exactly these bytes are sent.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import httpx
from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from dockgate.delivery.model import REPOSITORY
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import PUSH
from dockgate.scanner.manifest import INDEXES, MANIFESTS
from dockgate.scanner.registry_reference import TAG
from dockgate.server.connections import compute_max_connections
from dockgate.services.registry.registry_pulls import PulledManifest, RegistryPulls
from dockgate.shared.authorization_header import find_bearer_token
from dockgate.shared.digest import compute_digest, is_digest
from dockgate.shared.errors import BusyError, ConflictError, DockgateError, StoreError
from dockgate.shared.references import ImageReference, RepositoryReference
from dockgate.web.json_responses import AsciiResponse
from dockgate.web.paced_sending import send_in_pieces
from dockgate.web.request_limits import refuse_ambiguous
from dockgate.web.threads import FairSlots

# Bytes of a manifest; the registry stores none that is larger.
MANIFEST_LIMIT = 4 << 20
# Manifests in memory, to be judged or sent: in total, of one caller.
MAX_MANIFESTS, MAX_MANIFESTS_EACH = 64, 16
# Verdicts made at the same time: in total, for one caller. And seconds until one has to be there.
MAX_VERDICTS, MAX_VERDICTS_EACH, VERDICT_SECONDS = 4, 2, 30.0
# Seconds. The registry may assemble a large upload in S3 before it answers.
_TIMEOUTS = {"connect": 5.0, "read": 900.0, "write": 60.0, "pool": 30.0}
_RETRY_SECONDS = 5

# For digests of other algorithms, the registry answers with an internal error that names its files.
_DIGEST = "(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})"
# The calls of the OCI distribution specification 1.1 and their methods, without the list of all repositories.
_CALLS: Mapping[str, tuple[re.Pattern[str], frozenset[str]]] = {
    call: (re.compile(path), frozenset(methods.split()))
    for call, path, methods in (
        ("version", "/v2/?", "GET HEAD"),
        ("manifest", f"/v2/(?P<name>{REPOSITORY})/manifests/(?P<reference>{TAG}|{_DIGEST})", "GET HEAD PUT DELETE"),
        ("blob", f"/v2/(?P<name>{REPOSITORY})/blobs/{_DIGEST}", "GET HEAD DELETE"),
        ("upload", f"/v2/(?P<name>{REPOSITORY})/blobs/uploads/[A-Za-z0-9_.=-]*", "GET HEAD POST PATCH PUT DELETE"),
        ("tags", f"/v2/(?P<name>{REPOSITORY})/tags/list", "GET HEAD"),
        ("referrers", f"/v2/(?P<name>{REPOSITORY})/referrers/{_DIGEST}", "GET HEAD"),
    )
}
_QUERY_CALLS = ("upload", "tags", "referrers")
_NAME_LIMIT = 255
_REQUEST_HEADERS = frozenset(
    b"accept authorization content-length content-range content-type if-none-match if-range range user-agent"
    .split()
)  # fmt: skip
# "Date" is our own; the others are about one connection (RFC 9110, section 7.6.1).
_DROPPED_HEADERS = frozenset(
    b"connection date keep-alive proxy-authenticate proxy-connection te trailer transfer-encoding upgrade".split()
)
_TYPES = ", ".join((*INDEXES, *MANIFESTS)).encode()

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RegistryNames:
    """The registry's address and the URL of its tokens, as it names them and as others reach them.

    The registry is the server's own. `server` is the public URL of the server, for advice.
    """

    address: str
    realm: str
    public_address: str
    public_realm: str
    server: str


class RegistryProxy:
    """An ASGI application. Use in one event loop only."""

    def __init__(self, pulls: RegistryPulls, tokens: RegistryTokens, names: RegistryNames) -> None:
        self._pulls = pulls
        self._tokens = tokens
        self._names = names
        self._registry_url = httpx.URL(f"http://{names.address}")
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=30)
        self._registry = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
        self._questions = CapacityLimiter(16)
        maximum = compute_max_connections() * 3 // 4
        self._requests = FairSlots(maximum, maximum // 2, "answers {} requests", 0)
        self._manifests = FairSlots(MAX_MANIFESTS, MAX_MANIFESTS_EACH, "reads {} manifests", VERDICT_SECONDS)
        self._verdicts = FairSlots(MAX_VERDICTS, MAX_VERDICTS_EACH, "judges {} images", VERDICT_SECONDS)
        self._threads = CapacityLimiter(MAX_VERDICTS)
        self._judging: set[asyncio.Task[str | None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI): pass it to the registry if the policy of pulls allows it."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._registry.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return
        async with AsyncExitStack() as slots:
            await self._respond(Request(scope, receive), slots, send)

    async def _respond(self, request: Request, slots: AsyncExitStack, send: Send) -> None:
        """Answer. `slots` is closed after the response."""
        try:
            if (refusal := refuse_ambiguous(request)) is not None:
                content = {"error": refusal.error, "advice": refusal.advice}
                response: Response = AsciiResponse(content, refusal.status)
            else:
                await slots.enter_async_context(self._requests.take(self._read_caller(request)))
                response = await self._answer(request, slots)
        except ClientDisconnect:
            return
        except ConflictError as error:
            response = _make_error(403, "DENIED", error.full_message)
        except DockgateError as error:
            _log.warning("%s %s: %s", request.method, request.url.path, error)
            message = "the database does not answer" if isinstance(error, StoreError) else str(error)
            response = _make_error(503, "UNAVAILABLE", message)
        except httpx.HTTPError as error:
            _log.warning("%s %s: the registry does not answer: %s", request.method, request.url.path, error)
            response = _make_error(502, "UNAVAILABLE", "the registry does not answer")
        except Exception as error:
            _log.error("%s %s: internal error", request.method, request.url.path, exc_info=error)
            response = _make_error(500, "UNKNOWN", f"internal error: {type(error).__name__}")
        await response(request.scope, request.receive, send_in_pieces(send))

    async def _answer(self, request: Request, slots: AsyncExitStack) -> Response:
        path = _read_path(request)
        call, match = next(
            ((call, path_match) for call, (pattern, _) in _CALLS.items() if (path_match := pattern.fullmatch(path))),
            ("", None),
        )
        if match is None or len(match.groupdict().get("name") or "") > _NAME_LIMIT:
            return _make_error(404, "NAME_INVALID", "no call of the registry API has this path")
        if request.method not in _CALLS[call][1]:
            return _make_error(405, "UNSUPPORTED", f"{request.method[:20]} is not a method of this call")
        if call == "manifest" and request.method in ("GET", "HEAD"):
            is_gated = partial(self._pulls.is_gated, match["name"])
            if await to_thread.run_sync(is_gated, limiter=self._questions):
                await slots.enter_async_context(self._manifests.take(self._read_caller(request)))
                return await self._serve_manifest(request, path, match["name"], match["reference"])
        query = request.scope["query_string"] if call in _QUERY_CALLS else b""
        headers, body = _read_request(request)
        if body is not None and not self._can_push(match["name"], request):
            # The registry refuses it before it has read the body, which would end the connection.
            return self._pass_on(await self._ask(request.method, path, query, []))
        answer = await self._ask(request.method, path, query, headers, body)
        if call == "manifest" and request.method == "GET" and answer.status_code == 200:
            await self._record_pull(match["name"], answer.headers.get("docker-content-digest", ""))
        return self._pass_on(answer)

    async def _serve_manifest(self, request: Request, path: str, name: str, reference: str) -> Response:
        """The manifest, if it may be pulled. What the registry refuses is not judged."""
        authorization = [(key, value) for key, value in request.scope["headers"] if key == b"authorization"]
        answer = await self._ask("GET", path, b"", [(b"accept", _TYPES), *authorization])
        if answer.status_code != 200:
            return self._pass_on(answer, has_body=request.method == "GET")
        data = await _read_body(answer)
        if data is None:
            return _make_error(502, "MANIFEST_INVALID", "the manifest is too large to be judged")
        digest = compute_digest(data)
        if ":" in reference and reference != digest:
            return _make_error(
                403, "DENIED", f"{reference} is not a SHA-256 digest of the manifest: it cannot be judged"
            )
        headers = {
            "Content-Type": answer.headers.get("Content-Type", ""),
            "Docker-Content-Digest": digest,
            "Docker-Distribution-Api-Version": "registry/2.0",
            "ETag": f'"{digest}"',
        }
        if request.method == "HEAD" and self._can_push(name, request):
            # Builders look whether they have pushed it already. They get no content.
            return Response(None, 200, headers | {"Content-Length": str(len(data))})
        manifest = PulledManifest(name, reference, digest, data)
        puller = self._read_caller(request)
        objection = await self._judge(manifest, puller)
        if objection is not None:
            record = partial(self._pulls.record_refusal, manifest, puller, objection)
            await to_thread.run_sync(record, limiter=self._questions)
            return self._deny_pull(name, digest, objection)
        if request.method == "GET":
            await self._record_pull(name, digest)
        return Response(data, 200, headers)

    async def _record_pull(self, name: str, digest: str) -> None:
        if is_digest(digest) and not self._pulls.is_recorded(name, digest):
            await to_thread.run_sync(partial(self._pulls.record, name, digest), limiter=self._questions)

    async def _judge(self, manifest: PulledManifest, puller: str) -> str | None:
        async def judge() -> str | None:
            async with self._verdicts.take(puller):  # until its thread ends, even if the client has gone
                return await to_thread.run_sync(partial(self._pulls.find_objection, manifest), limiter=self._threads)

        task = asyncio.create_task(judge())
        self._judging.add(task)
        task.add_done_callback(self._forget)
        try:
            async with asyncio.timeout(VERDICT_SECONDS):
                return await asyncio.shield(task)
        except TimeoutError:
            raise BusyError(f"{manifest.digest} could not be judged in time", "Retry in a minute.") from None

    def _forget(self, task: asyncio.Task[str | None]) -> None:
        self._judging.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # who waits for it reports it, too
            _log.info("judging for a pull failed: %s", error)

    def _read_caller(self, request: Request) -> str:
        """Return whom the request's token was issued to, "unknown" without one."""
        token = find_bearer_token(request.headers.get("authorization", ""))
        return (self._tokens.read_subject(token) if token else None) or "unknown"

    def _deny_pull(self, name: str, digest: str, objection: str) -> Response:
        image = ImageReference(str(RepositoryReference(name, self._names.public_address)), digest)
        _log.info("refused the pull of %s: %s", image, objection)
        advice = (
            f"Request an approval: `dockgate gate --server {self._names.server} --wait {image}`. "
            "`dockgate approval list` shows approvals."
        )
        return _make_error(
            403, "DENIED", f"Pull refused: {name} serves approved images only. Reason: {objection}. {advice}"
        )

    def _can_push(self, name: str, request: Request) -> bool:
        token = find_bearer_token(request.headers.get("authorization", ""))
        grants = self._tokens.read_token(token) if token else ()
        return any((access.type, access.name) == ("repository", name) and PUSH in access.actions for access in grants)

    async def _ask(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        content: AsyncIterator[bytes] | bytes | None = None,
    ) -> httpx.Response:
        """The registry's answer, whose body is not read yet. Raises httpx.HTTPError."""
        raw_path = path.encode() + (b"?" + query if query else b"")
        url = self._registry_url.copy_with(raw_path=raw_path)
        request = httpx.Request(method, url, headers=headers, content=content, extensions={"timeout": _TIMEOUTS})
        return await self._registry.handle_async_request(request)

    def _pass_on(self, answer: httpx.Response, *, has_body: bool = True) -> Response:
        response = StreamingResponse(_stream(answer, has_body), answer.status_code)
        response.raw_headers = list(self._select_headers(answer))
        return response

    def _select_headers(self, answer: httpx.Response) -> Iterator[tuple[bytes, bytes]]:
        connection_headers = answer.headers.get("connection", "").lower().replace(",", " ").encode().split()
        for raw_name, value in answer.headers.raw:
            name = raw_name.lower()
            if name in _DROPPED_HEADERS or name in connection_headers:
                continue
            if name == b"www-authenticate":
                value = value.replace(self._names.realm.encode(), self._names.public_realm.encode())
            elif name == b"location":
                value = httpx.URL(value.decode()).raw_path  # clients go on where they came in
            yield name, value


def _read_path(request: Request) -> str:
    """The path as it came. Some clients escape the colon of a digest; anything else escaped is part of no call."""
    raw: bytes = request.scope.get("raw_path", b"")
    return raw.decode("latin-1").replace("%3A", ":").replace("%3a", ":")


def _read_request(request: Request) -> tuple[list[tuple[bytes, bytes]], AsyncIterator[bytes] | bytes | None]:
    """The headers that are passed on, and the body: None for calls without one."""
    names = {name for name, _ in request.scope["headers"]}
    can_have_body = request.method in ("POST", "PATCH", "PUT")
    headers = [
        (name, value)
        for name, value in request.scope["headers"]
        if name in _REQUEST_HEADERS and (can_have_body or name != b"content-length")
    ]
    if not can_have_body:
        return headers, None
    has_body = b"content-length" in names or b"transfer-encoding" in names
    return headers, request.stream() if has_body else b""


async def _stream(answer: httpx.Response, has_body: bool) -> AsyncIterator[bytes]:
    """The body as it comes. A failure ends the client's connection, so that it sees that the rest is missing."""
    try:
        if has_body:
            async for chunk in answer.aiter_raw():
                yield chunk
    finally:
        await answer.aclose()


async def _read_body(answer: httpx.Response) -> bytes | None:
    """The whole body, None if it exceeds MANIFEST_LIMIT."""
    data = bytearray()
    try:
        async for chunk in answer.aiter_raw():
            data += chunk
            if len(data) > MANIFEST_LIMIT:
                return None
    finally:
        await answer.aclose()
    return bytes(data)


def _make_error(status: int, code: str, message: str) -> Response:
    """An error as the distribution specification has it."""
    headers = {"Retry-After": str(_RETRY_SECONDS)} if status == 503 else {}
    body = {"errors": [{"code": code, "message": message, "detail": None}]}
    return AsciiResponse(body, status, {"Docker-Distribution-Api-Version": "registry/2.0", **headers})
