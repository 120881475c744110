"""Sign in with a token or by an identity provider, sign out, and the files that every page needs."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response

from dockgate.services.identity.provider_sign_in import (
    RETURN_PATH,
    ProviderSignIn,
    make_other_browser_error,
    read_request,
)
from dockgate.services.identity.sessions import MOST_DAYS, PROVIDER_HOURS
from dockgate.services.web_services import AccessServices
from dockgate.shared.errors import (
    ConflictError,
    DeniedError,
    NotFoundError,
    UnavailableError,
    UnknownCallerError,
    UsageError,
)
from dockgate.web import api
from dockgate.web.authorization import audit_sign_in, describe_call, record_call, require_few
from dockgate.web.browser_sessions import (
    clear_cookie,
    clear_session,
    clear_sign_in,
    read_session_secret,
    read_sign_in_fields,
    set_cookie,
    set_session,
    set_sign_in,
)
from dockgate.web.console.form_fields import read_form
from dockgate.web.console.rendering import KEYS_COOKIE, KEYS_OFF, THEME_COOKIE, THEMES, find_static_file, render_page
from dockgate.web.console.routes import choose_own_path, make_page_router, redirect_to
from dockgate.web.query_parameters import mark_parameters

router = make_page_router()


Form = Annotated[dict[str, str], Depends(read_form)]
_YEAR = 366 * 86_400
# People at the identity provider share the slots of one caller.
_SIGN_IN = "sign-in"
# What the audit entry of a sign-in says.
SESSION_STARTED = "session started"


@router.get("/static/{name}")
@mark_parameters("v")
async def send_static(name: str, request: Request) -> Response:
    """Get a style sheet or a script."""
    file = find_static_file(name, request.headers.get("Accept-Encoding", ""))
    if file is None:
        raise NotFoundError(f"there is no file {name!r}", "Open the overview.")
    return file


@router.get("/signin")
async def show_form(request: Request, access: api.AccessDependency, to: str = "/") -> Response:
    """Show the form to sign in."""
    return _render_form(request, access, choose_own_path(to))


def _render_form(request: Request, access: AccessServices, target_path: str, error: str | None = None) -> Response:
    title = "Error: sign in" if error else "Sign in"
    has_provider = access.provider_sign_in is not None
    code = 422 if error else 200
    return render_page(
        request, None, "signin.html", code, title=title, target_path=target_path, error=error, has_provider=has_provider
    )


@router.post("/signin")
async def sign_in(
    request: Request, fields: Form, access: api.AccessDependency, threads: api.ThreadsDependency
) -> Response:
    """Start a session with a token."""
    target_path = choose_own_path(fields.get("to", "/"))
    try:
        require_few(request, await threads.run_prompt(access.people.authenticate, fields.get("token", "")))
        secret = await threads.run_prompt(access.sessions.start, fields.get("token", ""))
    except UnknownCallerError:
        await threads.run_prompt(audit_sign_in, request, None, "invalid token")
        return _render_form(
            request, access, target_path, "That token is not valid: it may be mistyped, expired or revoked."
        )
    caller = await threads.run_prompt(access.sessions.authenticate, secret)
    await threads.run_prompt(audit_sign_in, request, caller, SESSION_STARTED)
    response = redirect_to(target_path)
    set_session(request, response, secret, MOST_DAYS * 86_400)
    return response


@router.get("/signin/provider")
async def sign_in_at_provider(
    request: Request, access: api.AccessDependency, threads: api.ThreadsDependency, to: str = "/"
) -> Response:
    """Go to the identity provider.

    A link, not a form: `form-action` would refuse to be led to another host.
    """
    url, pending = await threads.run_remote(_SIGN_IN, _require_provider(access).begin)
    response = redirect_to(url)
    response.headers["Cache-Control"] = "no-store"
    set_sign_in(request, response, [pending.state, pending.nonce, pending.verifier, choose_own_path(to)])
    return response


@router.get(RETURN_PATH)
@mark_parameters(is_open=True)
async def return_from_provider(
    request: Request, access: api.AccessDependency, threads: api.ThreadsDependency
) -> Response:
    """Start a session with the identity provider's answer."""
    sign_in, answer = _require_provider(access), request.query_params
    *fields, target_path = read_sign_in_fields(request) or [None]
    pending = read_request(fields)
    try:
        if pending is None:
            raise make_other_browser_error()
        state, code, issuer = answer.get("state", ""), answer.get("code", ""), answer.get("iss")
        if "error" in answer or not code:
            raise DeniedError("you are not signed in: the identity provider sent no code", "Sign in again.")
        secret, caller = await threads.run_remote(_SIGN_IN, sign_in.finish, pending, state, code, issuer)
    except (DeniedError, ConflictError, UnavailableError, UsageError) as error:
        await threads.run_prompt(audit_sign_in, request, None, str(error))
        status = 502 if isinstance(error, UnavailableError) else 403
        page = render_page(request, None, "signin_refused.html", status, title="Error: sign in", error=error)
        clear_sign_in(request, page)
        return page
    await threads.run_prompt(audit_sign_in, request, caller, SESSION_STARTED)
    response = redirect_to(choose_own_path(target_path if isinstance(target_path, str) else "/"))
    response.headers["Cache-Control"] = "no-store"
    clear_sign_in(request, response)
    set_session(request, response, secret, PROVIDER_HOURS * 3600)
    return response


def _require_provider(access: AccessServices) -> ProviderSignIn:
    if access.provider_sign_in is None:
        raise NotFoundError("this server has no identity provider", "Sign in with a token.")
    return access.provider_sign_in


@router.post("/signout")
@api.mark_self_checking
def sign_out(request: Request, caller: api.ReadCaller, access: api.AccessDependency) -> Response:
    """End the session."""
    # With a token in a header, the cookie proves nothing: such calls could fill the audit log.
    if (secret := read_session_secret(request)) and "authorization" not in request.headers:
        record_call(request, caller)
        access.sessions.end(secret)
        describe_call(request, "session ended")
    response = redirect_to("/signin")
    clear_session(request, response)
    return response


@router.post("/theme")
@api.mark_self_checking
def choose_theme(request: Request, caller: api.ReadCaller, fields: Form) -> Response:
    """Keep the choices of light or dark and of shortcuts in this browser; other values are the usual ones."""
    response = redirect_to("/settings")
    theme = fields.get("theme", "")
    if theme in THEMES:
        set_cookie(request, response, THEME_COOKIE, theme, _YEAR)
    else:
        clear_cookie(request, response, THEME_COOKIE)
    if fields.get("keys") == KEYS_OFF:
        set_cookie(request, response, KEYS_COOKIE, KEYS_OFF, _YEAR)
    else:
        clear_cookie(request, response, KEYS_COOKIE)
    return response
