"""Sign in with a token, sign out, and the files that every page needs."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response

from dockgate.services.sessions import MOST_DAYS
from dockgate.shared.errors import NotFoundError, UnknownCallerError
from dockgate.web import api
from dockgate.web.authorization import FailedAuthentications, audit_sign_in
from dockgate.web.browser_sessions import clear_session, session_secret, set_session
from dockgate.web.console.rendering import THEME_COOKIE, THEMES, render, static_file
from dockgate.web.console.routes import form_of, own_path, page_router, see_other

router = page_router()

Form = Annotated[dict[str, str], Depends(form_of)]
_YEAR = 366 * 86_400


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Get a style sheet or a script."""
    file = static_file(name)
    if file is None:
        raise NotFoundError(f"There is no file {name!r}.", "Open the overview.")
    return file


@router.get("/signin")
async def form(request: Request, to: str = "/") -> Response:
    """Show the form to sign in."""
    return render(request, None, "signin.html", title="Sign in", to=own_path(to), error="")


@router.post("/signin")
async def sign_in(
    request: Request, fields: Form, server: api.ServerDependency, threads: api.ThreadsDependency
) -> Response:
    """Start a session with a token."""
    to = own_path(fields.get("to", "/"))
    try:
        secret = await threads.run_prompt(server.sessions.start, fields.get("token", ""))
    except UnknownCallerError:
        failed: FailedAuthentications = request.app.state.failed_authentications
        failed.count(request.client.host if request.client else "")
        error = "That token is not valid: it may be mistyped, expired or revoked."
        return render(request, None, "signin.html", 422, title="Error: sign in", to=to, error=error)
    who = await threads.run_prompt(server.sessions.caller, secret)
    await threads.run_prompt(audit_sign_in, request, who)
    response = see_other(to)
    set_session(request, response, secret, MOST_DAYS * 86_400)
    return response


@router.post("/signout")
@api.checks_token_limits
def sign_out(request: Request, who: api.Reader, server: api.ServerDependency) -> Response:
    """End the session."""
    server.sessions.end(session_secret(request))
    response = see_other("/signin")
    clear_session(request, response)
    return response


@router.post("/theme")
@api.checks_token_limits
def choose_theme(request: Request, who: api.Reader, fields: Form) -> Response:
    """Keep the choice of light or dark in this browser; another value follows the system."""
    response = see_other("/settings")
    theme = fields.get("theme", "")
    if theme in THEMES:
        response.set_cookie(THEME_COOKIE, theme, max_age=_YEAR, httponly=True, samesite="lax")
    else:
        response.delete_cookie(THEME_COOKIE, httponly=True)
    return response
