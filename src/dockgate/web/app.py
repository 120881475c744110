"""The ASGI application. Errors of the core become JSON with their advice; nothing else leaves a trace to a caller."""

import errno
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from dockgate import __version__
from dockgate.services.server import Server
from dockgate.shared import errors
from dockgate.shared.addresses import LOOPBACK_NAMES, is_loopback
from dockgate.web import git, registry
from dockgate.web.api import (
    approvals,
    asking,
    attestations,
    deploys,
    document,
    executions,
    health,
    images,
    people,
    pipelines,
    policies,
    registries,
    waivers,
)
from dockgate.web.caller import Audited, Failures
from dockgate.web.git_process import GitProcesses
from dockgate.web.limit import BodyLimit, refuse_ambiguous
from dockgate.web.threads import Threads

CLIENT_LEFT = 499
ADVICE = "The API's reference lists calls and parameters: docs/reference/api.md."

_STATUS: tuple[tuple[type[errors.DockgateError], int], ...] = (
    (errors.NotFoundError, 404),
    (errors.ChangedError, 412),
    (errors.ConflictError, 409),
    (errors.UnknownCallerError, 401),
    (errors.DeniedError, 403),
    (errors.BusyError, 429),
    (errors.TooLargeError, 413),
    (errors.UsageError, 400),
    (errors.DiskFullError, 507),
    (errors.StoreError, 503),
    (errors.UnavailableError, 502),
    (errors.TooSlowError, 502),
    (errors.DatabaseError, 503),
    (errors.DeployError, 409),
)


@dataclass(frozen=True, slots=True)
class Error:
    """What every refusal says: what happened, and the next step to take ("" if there is none)."""

    error: str
    advice: str


# What any call may answer besides its own.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": description}
    for status, description in {
        400: "The request makes no sense, or names something that cannot be.",
        401: "There is no valid token.",
        403: "The caller lacks the permission, or the token is not for this.",
        404: "There is no such thing.",
        409: "The present state does not allow it.",
        412: "It has changed since it was read.",
        413: "The body is too large.",
        415: "The body is compressed.",
        422: "A parameter or the body has the wrong form.",
        429: "Asked too often.",
        500: "A defect of the server.",
        502: "Something that the server needs does not answer.",
        503: "The tables or the advisory database cannot be used.",
        507: "A disk is full.",
    }.items()
}

_log = logging.getLogger(__name__)


def create_app(server: Server, beyond: bool = False) -> FastAPI:
    """Answers to loopback names and to the public URL's, and to no other page's script. `beyond`: others than this
    machine may reach it, over TLS only."""
    app = FastAPI(
        title="Dockgate",
        version=__version__,
        description="From git push to a running container, past the gate. Each command is one of these calls.",
        openapi_url=None,  # api/document.py serves it, to callers who may read
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # one path per call
    )
    app.add_middleware(
        TrustedHostMiddleware,
        allowed_hosts=sorted({*LOOPBACK_NAMES, urlsplit(server.url).hostname or LOOPBACK_NAMES[0]}),
    )
    app.add_middleware(_Refusing, refused=_other_origins)
    app.add_middleware(_Refusing, refused=refuse_ambiguous)
    if beyond:
        app.add_middleware(_Refusing, refused=_plain_http)
    app.add_middleware(BodyLimit)
    app.add_middleware(Audited)
    app.state.server = server
    app.state.failures = Failures()
    app.state.threads = Threads()
    app.state.git_processes = GitProcesses()
    app.router.routes += _routes()
    _handle_errors(app)
    return app


@cache
def _routes() -> Sequence[BaseRoute]:
    """The same for every app of a process: to read all signatures takes half a second."""
    router = APIRouter()
    # Paths are tried in this order, and an approval's id is a path of any length: what goes on behind it comes first.
    first = (health, document, pipelines, executions, asking, approvals)
    for part in (*first, images, waivers, attestations, deploys, people, policies, registries):
        router.include_router(part.router, prefix="/api/v1", responses=ERRORS)
    router.include_router(registry.router)
    router.include_router(git.router)
    return router.routes


def _documented_calls(app: FastAPI) -> list[tuple[int, str, re.Pattern[str]]]:
    """How many fixed segments the path of each documented call has, its method, and its path.

    The document takes a second of the processor, so it is made for the first request that needs it.
    """
    if not hasattr(app.state, "documented_calls"):
        app.state.documented_calls = _read_calls(app.openapi())
    calls: list[tuple[int, str, re.Pattern[str]]] = app.state.documented_calls
    return calls


def _read_calls(document: Mapping[str, Any]) -> list[tuple[int, str, re.Pattern[str]]]:
    return [
        (
            sum(not segment.startswith("{") for segment in path.split("/")),
            method.upper(),
            re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace("{approval_id}", ".+"))),
        )
        for path, methods in document["paths"].items()
        for method in methods
    ]


def create_inside(server: Server) -> FastAPI:
    """What the local registry and the programs that use it need of the server: its notifications and its tokens."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK_NAMES))
    app.add_middleware(BodyLimit)
    app.add_middleware(Audited)
    app.state.server = server
    app.state.failures = Failures()
    app.state.threads = Threads()
    app.include_router(registry.router)
    _handle_errors(app)
    return app


def _handle_errors(app: FastAPI) -> None:
    app.add_exception_handler(errors.DockgateError, _explain)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(Exception, _fault)


class _Refusing:
    """Gives a request the answer of `refused`, if there is one, and else lets it through."""

    def __init__(self, app: ASGIApp, refused: Callable[[Request], Response | None]) -> None:
        self._app = app
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._refused(Request(scope)) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)


def _other_origins(request: Request) -> Response | None:
    """A browser names the page that sends a request: none but our own may change anything."""
    origin = request.headers.get("origin")
    ours = (request.app.state.server.url, f"{request.url.scheme}://{request.headers.get('host')}")
    if origin is None or origin in ours:
        return None
    return JSONResponse({"error": f"requests from {origin} are refused", "advice": "Use `dockgate`."}, 403)


def _plain_http(request: Request) -> Response | None:
    """Whoever comes from elsewhere has come over TLS, to us or to a proxy that we trust."""
    if request.url.scheme == "https" or is_loopback(request.client.host if request.client else ""):
        return None
    return JSONResponse({"error": "this server is asked over TLS only", "advice": "Use https://."}, 403)


async def _explain(request: Request, error: Exception) -> Response:
    if not isinstance(error, errors.DockgateError):
        raise error
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    is_git = request.url.path.startswith("/git/")
    answer: Response = JSONResponse({"error": str(error), "advice": error.advice}, status)
    if is_git:  # git shows its user plain text alone
        answer = PlainTextResponse(f"{error.whole}\n", status)
    if status == 401:
        takes_basic = is_git or request.url.path == "/registry/token"
        answer.headers["WWW-Authenticate"] = f'{"Basic" if takes_basic else "Bearer"} realm="dockgate"'
    return answer


async def _client_left(_: Request, error: Exception) -> Response:
    """Nobody receives this answer; its status is for the audit trail (nginx's "client closed request")."""
    return Response(status_code=CLIENT_LEFT)


async def _plain(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 405:  # the router names the methods of the first route of this path alone
        calls = await run_in_threadpool(_documented_calls, request.app)
        found = [(fixed, method) for fixed, method, path in calls if path.fullmatch(request.url.path)]
        allowed = sorted({method for fixed, method in found if fixed == max(found)[0]})
        error.headers = {"Allow": ", ".join(allowed)} if allowed else error.headers
    return JSONResponse({"error": error.detail, "advice": ADVICE}, error.status_code, error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return JSONResponse({"error": f"{where}: {problem['msg']}", "advice": ADVICE}, 422)


async def _fault(request: Request, error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _log.error("%s %s: %s", request.method, request.url.path, error)
        return JSONResponse({"error": "the server's disk is full", "advice": "Make room in DOCKGATE_DATA."}, 507)
    _log.error("%s %s failed by a fault of ours", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": f"internal fault: {type(error).__name__}", "advice": "See the server's log."}, 500)
