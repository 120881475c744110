"""The first administrator: the link that `dockgate up` prints leads here."""

from fastapi import Request
from fastapi.responses import Response

from dockgate.services.identity.first_admin import LINK_MINUTES, LINK_PATH
from dockgate.services.identity.sessions import MOST_DAYS
from dockgate.shared.errors import ConflictError, DeniedError, UsageError
from dockgate.web import api
from dockgate.web.authorization import audit_sign_in
from dockgate.web.browser_sessions import clear_link, link_secret, set_link, set_session
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.rendering import render
from dockgate.web.console.routes import page_router, see_other

router = page_router()


@router.get(LINK_PATH)
async def form(
    request: Request, server: api.ServerDependency, threads: api.ThreadsDependency, key: str = ""
) -> Response:
    """Show the form. The secret of the link is exchanged first: it must not stay in the address."""
    try:
        if key:
            secret = await threads.run_prompt(server.first_admin.exchange, key)
            response = see_other(LINK_PATH)
            response.headers["Cache-Control"] = "no-store"
            set_link(request, response, secret, LINK_MINUTES * 60)
            return response
        await threads.run_prompt(server.first_admin.require, link_secret(request))
    except DeniedError as error:
        await threads.run_prompt(audit_sign_in, request, None, str(error))
        return render(request, None, "signin_refused.html", 403, title="Error: first administrator", error=error)
    return _form(request)


@router.post(LINK_PATH)
async def add(request: Request, server: api.ServerDependency, threads: api.ThreadsDependency, fields: Form) -> Response:
    """Add the administrator, show a token once, and sign the browser in."""
    secret, name, email = link_secret(request), fields.get("name", ""), fields.get("email", "")
    try:
        token = await threads.run_prompt(server.first_admin.add, secret, name, email)
    except UsageError as error:
        return _form(request, name, email, error)
    except (DeniedError, ConflictError) as error:
        await threads.run_prompt(audit_sign_in, request, None, str(error))
        return render(request, None, "signin_refused.html", 403, title="Error: first administrator", error=error)
    session = await threads.run_prompt(server.sessions.start, token)
    caller = await threads.run_prompt(server.sessions.authenticate, session)
    await threads.run_prompt(audit_sign_in, request, caller)
    response = render(request, caller, "first_admin_added.html", title="You are the administrator", token=token)
    clear_link(request, response)
    set_session(request, response, session, MOST_DAYS * 86_400)
    return response


def _form(request: Request, name: str = "", email: str = "", error: UsageError | None = None) -> Response:
    title = "Error: first administrator" if error else "First administrator"
    code = 422 if error else 200
    return render(request, None, "first_admin.html", code, title=title, name=name, email=email, error=error)
