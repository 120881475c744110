"""The first administrator: the link that `dockgate up` prints leads here."""

from fastapi import Request
from fastapi.responses import Response

from dockgate.services.identity.first_admin import LINK_PATH, REPLACEMENT_PATH
from dockgate.services.identity.sessions import MOST_DAYS
from dockgate.services.web_services import AccessServices
from dockgate.shared.errors import ConflictError, DeniedError, TokenIssuedError, UsageError
from dockgate.web import api
from dockgate.web.authorization import audit_sign_in
from dockgate.web.browser_sessions import set_session
from dockgate.web.console.first_token import render_repetition
from dockgate.web.console.pages.signing_in import SESSION_STARTED, Form
from dockgate.web.console.rendering import render_page
from dockgate.web.console.repeated_forms import FORM_KEY
from dockgate.web.console.routes import make_page_router
from dockgate.web.threads import Threads

router = make_page_router()


@router.get(LINK_PATH)
async def show_form(
    request: Request, access: api.AccessDependency, threads: api.ThreadsDependency, key: str = ""
) -> Response:
    """Show the form, which has the secret of the link.

    The link stays valid: previews and scanners open it, too.
    """
    try:
        await threads.run_prompt(access.first_admin.require, key)
    except DeniedError as error:
        return await _render_refusal(request, threads, error)
    return _render_form(request, key)


@router.post(LINK_PATH)
async def add_first_admin(
    request: Request, access: api.AccessDependency, threads: api.ThreadsDependency, fields: Form
) -> Response:
    """Add the administrator, which ends the link, show a token once, and sign the browser in."""
    key, name, email = fields.get("key", ""), fields.get("name", ""), fields.get("email", "")
    try:
        token = await threads.run_prompt(access.first_admin.add, key, name, email, fields.get(FORM_KEY))
    except UsageError as error:
        return _render_form(request, key, name, email, error)
    except (DeniedError, ConflictError) as error:
        return await render_repetition(request) or await _render_refusal(request, threads, error)
    return await _sign_in(request, access, threads, token)


@router.post(REPLACEMENT_PATH)
async def replace_token(
    request: Request, access: api.AccessDependency, threads: api.ThreadsDependency, fields: Form
) -> Response:
    """Replace the administrator's token for the browser that sent the form which made it, and sign it in."""
    try:
        keys = fields.get("earlier"), fields.get(FORM_KEY)
        token = await threads.run_prompt(access.first_admin.replace_token, *keys)
    except TokenIssuedError as error:
        return await render_repetition(request) or await _render_refusal(request, threads, error)
    except DeniedError as error:
        return await _render_refusal(request, threads, error)
    return await _sign_in(request, access, threads, token)


async def _sign_in(request: Request, access: AccessServices, threads: Threads, token: str) -> Response:
    """Sign the browser in by the token, and show it once."""
    session = await threads.run_prompt(access.sessions.start, token)
    caller = await threads.run_prompt(access.sessions.authenticate, session)
    await threads.run_prompt(audit_sign_in, request, caller, f"{caller.name}: administrator, {SESSION_STARTED}")
    response = render_page(request, caller, "first_admin_added.html", title="You are the administrator", token=token)
    set_session(request, response, session, MOST_DAYS * 86_400)
    return response


async def _render_refusal(request: Request, threads: Threads, error: DeniedError | ConflictError) -> Response:
    await threads.run_prompt(audit_sign_in, request, None, str(error))
    return render_page(request, None, "signin_refused.html", 403, title="Error: first administrator", error=error)


def _render_form(
    request: Request, key: str, name: str = "", email: str = "", error: UsageError | None = None
) -> Response:
    title = "Error: first administrator" if error else "First administrator"
    code = 422 if error else 200
    return render_page(
        request, None, "first_admin.html", code, title=title, key=key, name=name, email=email, error=error
    )
