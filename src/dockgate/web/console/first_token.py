"""A form that added the first administrator and was sent again: its sender still gets a token.

The token is shown once, by the answer of the first form. A browser without scripts shows the answer of the last one
instead, which by then comes from an unknown caller. It says which token there is, and has a form that replaces it.
"""

from fastapi import Request
from fastapi.responses import Response

from dockgate.services.identity.first_admin import REPLACEMENT_PATH
from dockgate.services.web_services import AccessServices
from dockgate.web.console.form_fields import is_form, read_form
from dockgate.web.console.rendering import render_page
from dockgate.web.console.repeated_forms import FORM_KEY
from dockgate.web.threads import get_threads


async def render_repetition(request: Request) -> Response | None:
    """The answer to a form that has made the first administrator's token already, None for other forms."""
    key = (await read_form(request)).get(FORM_KEY) if is_form(request) else None
    access: AccessServices = request.app.state.services.access
    token = await (await get_threads(request)).run_prompt(access.first_admin.find_token, key)
    if token is None:
        return None
    return render_page(
        request,
        None,
        "first_admin_repeated.html",
        409,
        title="Error: this form was sent before",
        earlier_token=token,
        earlier_key=key,
        is_replaceable=access.first_admin.is_replaceable(token),
        replacement_path=REPLACEMENT_PATH,
    )
