"""A form that is sent twice acts once: the second one gets the answer of the first.

Each page gives its forms a key of their own (`render_form_key`). A second press, a reload and a browser that sends a
request again repeat the key with the same fields. The same key with other fields is another form: what a person changed
after going back is never taken for what was sent before. A script (`static/console.js`) also changes the keys of forms
on a page to which a person went back, except where the form names the version that it changes.

A copy that comes while the first one is handled waits in the event loop, without a thread and without a slot of calls.
On the server that handles the first one, its end wakes the copies. On another server, one of them asks the database now
and then, and wakes the others.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from anyio import CancelScope
from fastapi import Request
from fastapi.responses import Response
from markupsafe import Markup

from dockgate.identity.model import Caller
from dockgate.services.identity.sent_forms import SentForms
from dockgate.services.web_services import AccessServices
from dockgate.shared.canonical import encode
from dockgate.shared.errors import BusyError, DockgateError, UsageError
from dockgate.store.identity.form_answers import FormAnswer
from dockgate.web.authorization import Handler, describe_call, get_authorized_caller
from dockgate.web.browser_sessions import SAFE_METHODS
from dockgate.web.console.flash import record_redirect, repeat_redirect
from dockgate.web.console.form_fields import is_form, is_part, read_body, read_form
from dockgate.web.console.multipart import find_boundary, read_parts
from dockgate.web.threads import Threads, check_caller_again, get_threads

# The field that has the key of a form.
FORM_KEY = "form_key"
# How long a copy waits for the answer of the first one. If no server has recorded in this time that it handles the
# form, that server has probably ended, and one of the copies is handled.
WAIT_SECONDS = 10.0
# How often a server records that it still handles a form.
RENEWAL_SECONDS = 3.0
# How long a copy waits before it asks the database for the answer of another server: at first, and at most.
FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.2, 2.0
# What the audit log says of a form that was sent again: with the first answer, and while there was none.
SENT_AGAIN = "sent again: the answer of the first form"
SENT_MEANWHILE = "sent again while the first form was being handled"

_log = logging.getLogger(__name__)


def render_form_key() -> Markup:
    """A field with a new key, for a form of a page."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FORM_KEY, uuid.uuid4().hex)


def make_request_key(fields: Mapping[str, str]) -> str:
    """The idempotency key of a form: its key with all its fields. Nothing for a form without key."""
    return sha256(encode(dict(fields))).hexdigest() if fields.get(FORM_KEY) else ""


class RunningForms:
    """The forms that this server handles, or whose answer it gets from another one.

    Use in one event loop only.
    """

    def __init__(self) -> None:
        self._ends: dict[str, asyncio.Future[str | None]] = {}

    def begin(self, digest: str) -> "asyncio.Future[str | None] | None":
        """Begin to handle a form: `finish` it.

        Return the end of its first copy instead if that is being handled.
        """
        if (end := self._ends.get(digest)) is not None:
            return end
        self._ends[digest] = asyncio.get_running_loop().create_future()
        return None

    def finish(self, digest: str, location: str | None) -> None:
        """Wake the copies of a form, with where its answer leads to. None if it was not accepted."""
        self._ends.pop(digest).set_result(location)


class _Answer(NamedTuple):
    """The answer of a form, and where it leads to, with what it tells, if copies get it, too."""

    response: Response
    location: str | None = None


@dataclass(frozen=True, slots=True)
class FormHandler:
    """A handler that gives the answer of a form with a key to each repetition of it.

    Only redirects are kept: they say that the form was accepted. A refused form is handled again, and so is one whose
    answer is a page. A copy waits for `wait_seconds` for the answer of the form that is being handled; without one, or
    if too many wait, it gets the page `render_waiting`, and does nothing.
    """

    handle: Handler
    render_waiting: Callable[[Request], Response]
    wait_seconds: float = WAIT_SECONDS
    renewal_seconds: float = RENEWAL_SECONDS

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        caller, digest = get_authorized_caller(request), await _compute_digest(request)
        if digest is None or caller is None:
            return await self.handle(request)
        forms: RunningForms = request.app.state.running_forms
        first = forms.begin(digest)
        if first is not None:
            threads = await get_threads(request)
            try:
                async with threads.form_copies.take(caller.name), asyncio.timeout(self.wait_seconds):
                    while first is not None:
                        location = await asyncio.shield(first)
                        if location is not None:
                            return (await _repeat_answer(request, location)).response
                        await check_caller_again()
                        first = forms.begin(digest)
            except (BusyError, TimeoutError):
                return (await self._answer_meanwhile(request)).response
        with CancelScope(shield=True):  # even if the browser has gone on to send it again
            location = None
            try:
                response, location = await self._handle_alone(request, caller, digest)
            finally:
                forms.finish(digest, location)
        return response

    async def _handle_alone(self, request: Request, caller: Caller, digest: str) -> _Answer:
        """Handle a form of which no copy is handled here, unless another server has or handles one."""
        access: AccessServices = request.app.state.services.access
        threads = await get_threads(request)
        answer = await threads.run_prompt(access.sent_forms.begin, digest)
        handle = self.handle
        if not answer.is_new and answer.location is None:
            handle = self._handle_checked
            try:
                async with threads.form_copies.take(caller.name):
                    answer = await self._wait_for_server(request, digest, answer, access.sent_forms)
            except BusyError:
                return await self._answer_meanwhile(request)
        if answer.location is not None:
            return await _repeat_answer(request, answer.location)
        if not answer.is_new:
            return await self._answer_meanwhile(request)
        return await self._handle_first(request, handle, digest, answer.at, access.sent_forms)

    async def _handle_checked(self, request: Request) -> Response:
        """Handle a form that has waited for another server, unless its caller has lost the right to it."""
        await check_caller_again()
        return await self.handle(request)

    async def _wait_for_server(
        self, request: Request, digest: str, first_answer: FormAnswer, sent_forms: SentForms
    ) -> FormAnswer:
        """Wait until another server has handled a form.

        Return its answer, or a new one if this server is to handle the form. One that is not new and leads nowhere: the
        other server still handles it.
        """
        threads, deadline, pause = await get_threads(request), time.monotonic() + self.wait_seconds, FIRST_POLL_SECONDS
        while (seconds_left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(pause, seconds_left))
            pause = min(2 * pause, LAST_POLL_SECONDS)
            answer = await threads.run_prompt(sent_forms.begin, digest)
            if answer.is_new or answer.location is not None:
                return answer
        last_answer = await threads.run_prompt(sent_forms.begin, digest)
        if last_answer.at != first_answer.at:  # it was renewed, or another copy is handled
            return last_answer
        return await threads.run_prompt(sent_forms.renew, digest, first_answer.at) or last_answer

    async def _handle_first(
        self, request: Request, handle: Handler, digest: str, begun_at: str, sent_forms: SentForms
    ) -> _Answer:
        """Handle a form, and store its answer."""
        threads, location, is_over = await get_threads(request), None, asyncio.Event()
        renewals = asyncio.create_task(self._renew(threads, digest, begun_at, sent_forms, is_over))
        try:
            response = await handle(request)
            # An answer that sets a session is more than a redirect, and changes nothing on the server.
            location = record_redirect(response)
        finally:
            is_over.set()
            try:
                await threads.run_prompt(sent_forms.finish, digest, await renewals, location)
            except DockgateError as error:  # what the form did, or why it was refused, is more than this
                _log.warning("cannot record the answer of a form: %s", error)
        return _Answer(response, location)

    async def _renew(
        self, threads: Threads, digest: str, begun_at: str, sent_forms: SentForms, is_over: asyncio.Event
    ) -> str:
        """Record now and then that a form is still handled, until it is over. Return the time of the last record."""
        recorded_at = begun_at
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.renewal_seconds):
                    await is_over.wait()
                    return recorded_at
            try:
                answer = await threads.run_prompt(sent_forms.renew, digest, recorded_at)
            except DockgateError as error:
                _log.warning("cannot record that a form is still handled: %s", error)
                continue
            if answer is None:  # a copy is handled by now, because this server was silent
                return recorded_at
            recorded_at = answer.at

    async def _answer_meanwhile(self, request: Request) -> _Answer:
        """Answer a copy of a form that is still being handled, without acting."""
        threads = await get_threads(request)
        await threads.run_prompt(describe_call, request, SENT_MEANWHILE)
        return _Answer(await threads.run_prompt(self.render_waiting, request))


async def _repeat_answer(request: Request, location: str) -> _Answer:
    await (await get_threads(request)).run_prompt(describe_call, request, SENT_AGAIN)
    return _Answer(repeat_redirect(request, location), location)


async def _compute_digest(request: Request) -> str | None:
    """What tells a form with a key from others: who sends it by which rights, where to and all its fields.

    None without a key.
    """
    caller = get_authorized_caller(request)
    if caller is None or is_part(request) or request.method in SAFE_METHODS:
        return None
    if is_form(request):
        fields = await read_body(request) if (await read_form(request)).get(FORM_KEY) else None
    elif boundary := find_boundary(request.headers.get("content-type", "")):
        body = await read_body(request)
        fields = await (await get_threads(request)).run_prompt(_encode_parts, body, boundary)
    else:
        fields = None
    if fields is None:
        return None
    # A token with other limits must not learn what another one of the same person did.
    token = caller.token
    limits = encode([token.scopes, token.repositories, token.pipelines] if token else None)
    return sha256(b"\0".join((caller.name.encode(), limits, request.url.path.encode(), fields))).hexdigest()


def _encode_parts(body: bytes, boundary: bytes) -> bytes | None:
    """The fields of a form with files. Its bytes differ each time, because the browser chooses another boundary.

    None without a key, and for a malformed body, which is refused when it is handled.
    """
    try:
        parts = read_parts(body, boundary)
    except UsageError:
        return None
    if FORM_KEY not in parts or not parts[FORM_KEY].data.strip():
        return None
    return encode({name: [part.file_name, sha256(part.data).hexdigest()] for name, part in parts.items()})
