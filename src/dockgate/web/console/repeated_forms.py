"""A form that is sent twice acts once: the second one gets the answer of the first.

Each page gives its forms a key of their own (`render_form_key`). A second press, a reload and a browser that sends a
request again repeat the key with the same fields. The same key with other fields is another form: what a person changed
after going back is never taken for what was sent before. A script (`static/console.js`) also changes the keys of forms
on a page to which a person went back, except where the form names the version that it changes.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any

from anyio import CancelScope
from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from dockgate.services.identity.sent_forms import SentForms
from dockgate.services.web_services import AccessServices
from dockgate.web.authorization import describe_call, get_authorized_caller
from dockgate.web.console.form_fields import is_form, is_part, read_body, read_form
from dockgate.web.threads import get_threads

# The field that has the key of a form.
FORM_KEY = "form_key"
# How long a form waits for the answer of the same one. After that, the server that had it has probably ended, and one
# of those that wait is handled.
WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.05
# What the audit log says of a form that was sent again.
SENT_AGAIN = "sent again: the answer of the first form"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def render_form_key() -> Markup:
    """A field with a new key, for a form of a page."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FORM_KEY, uuid.uuid4().hex)


def answer_once(handle: Handler, wait_seconds: float = WAIT_SECONDS) -> Handler:
    """Give the answer of a form with a key to each repetition of it.

    Only redirects are kept: they say that the form was accepted. A refused form is handled again, and so is one whose
    answer is a page. A form waits for `wait_seconds` for the answer of the same one that is being handled.
    """

    async def handle_form(request: Request) -> Response:
        digest = await _compute_digest(request)
        if digest is None:
            return await handle(request)
        access: AccessServices = request.app.state.services.access
        threads, deadline = await get_threads(request), time.monotonic() + wait_seconds
        while True:
            first_answer = await threads.run_prompt(access.sent_forms.begin, digest)
            if first_answer is None:
                return await _handle_first(request, handle, digest, access.sent_forms)
            if first_answer.location is not None:
                await threads.run_prompt(describe_call, request, SENT_AGAIN)
                return RedirectResponse(first_answer.location, 303)
            if time.monotonic() > deadline:
                if await threads.run_prompt(access.sent_forms.take_over, digest, first_answer):
                    return await _handle_first(request, handle, digest, access.sent_forms)
                deadline = time.monotonic() + wait_seconds
            await asyncio.sleep(_POLL_SECONDS)

    return handle_form


async def _compute_digest(request: Request) -> str | None:
    """What tells a form with a key from others: who sends it, where to and all its fields. None without a key."""
    caller = get_authorized_caller(request)
    if caller is None or is_part(request) or not is_form(request) or not (await read_form(request)).get(FORM_KEY):
        return None
    parts = caller.name.encode(), request.url.path.encode(), await read_body(request)
    return sha256(b"\0".join(parts)).hexdigest()


async def _handle_first(request: Request, handle: Handler, digest: str, sent_forms: SentForms) -> Response:
    """Handle a form, and store its answer, even if the browser has gone on to send it again."""
    threads, location = await get_threads(request), None
    with CancelScope(shield=True):
        try:
            response = await handle(request)
            # An answer that sets a cookie is more than a redirect, and changes nothing on the server.
            is_kept = response.status_code == 303 and "set-cookie" not in response.headers
            location = response.headers.get("location") if is_kept else None
        finally:
            await threads.run_prompt(sent_forms.finish, digest, location)
    return response
