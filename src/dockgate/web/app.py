"""The ASGI application. Errors of the core become JSON with their advice; nothing else leaves a trace to a caller."""

import logging
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware

from dockgate import __version__
from dockgate.bootstrap.server import Server
from dockgate.core import errors
from dockgate.web import git, registry
from dockgate.web.api import approvals, asking, deploys, executions, health, images, people, pipelines, registries
from dockgate.web.caller import Audited, Failures
from dockgate.web.limit import BodyLimit

_STATUS: tuple[tuple[type[errors.DockgateError], int], ...] = (
    (errors.NotFoundError, 404),
    (errors.ConflictError, 409),
    (errors.UnknownCallerError, 401),
    (errors.DeniedError, 403),
    (errors.BusyError, 429),
    (errors.UsageError, 400),
    (errors.UnavailableError, 503),
    (errors.DatabaseError, 503),
    (errors.DeployError, 409),
)

_log = logging.getLogger(__name__)


def create_app(server: Server) -> FastAPI:
    """Answers to loopback names only: until people and roles exist, no other page's script may reach the API."""
    app = FastAPI(
        title="Dockgate",
        version=__version__,
        description="From git push to a running container, past the gate. Each command is one of these calls.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    hosts = {"127.0.0.1", "localhost", urlsplit(server.url).hostname or "127.0.0.1"}
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=sorted(hosts))
    app.add_middleware(BaseHTTPMiddleware, dispatch=_refuse_other_origins)
    app.add_middleware(BodyLimit)
    app.add_middleware(Audited)
    app.state.server = server
    app.state.failures = Failures()
    # Paths are tried in this order, and an approval's id is a path of any length: what goes on behind it comes first.
    for part in (health, pipelines, executions, asking, approvals, images, deploys, people, registries):
        app.include_router(part.router, prefix="/api/v1")
    app.include_router(registry.router)
    app.include_router(git.router)
    app.add_exception_handler(errors.DockgateError, _explain)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _fault)
    return app


async def _refuse_other_origins(request: Request, answer: RequestResponseEndpoint) -> Response:
    """A browser names the page that sends a request: none but our own may change anything."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        return JSONResponse({"error": f"requests from {origin} are refused", "advice": "Use `dockgate`."}, 403)
    return await answer(request)


async def _explain(request: Request, error: Exception) -> Response:
    if not isinstance(error, errors.DockgateError):
        raise error
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    answer = JSONResponse({"error": str(error), "advice": error.advice}, status)
    if status == 401:
        kind = "Basic" if request.url.path.startswith("/git/") else "Bearer"
        answer.headers["WWW-Authenticate"] = f'{kind} realm="dockgate"'
    return answer


async def _plain(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail, "advice": "See /api/v1/openapi.json."}, error.status_code)


async def _invalid(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return JSONResponse({"error": f"{where}: {problem['msg']}", "advice": "See /api/v1/openapi.json."}, 422)


async def _fault(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed by a fault of ours", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": f"internal fault: {type(error).__name__}", "advice": "See the server's log."}, 500)
