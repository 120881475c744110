"""A form that is sent again gets the first answer, or is handled if there will be none."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from anyio import create_task_group
from fastapi import Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from tests.store.factories import FACTORIES, open_store_of_kind

from dockgate.identity.model import LOCAL, Caller, Token
from dockgate.services.clock import ServerClock
from dockgate.services.identity.sent_forms import SentForms
from dockgate.shared.errors import DeniedError
from dockgate.store import Store
from dockgate.web.console.repeated_forms import RENEWAL_SECONDS, WAIT_SECONDS, FormHandler, RunningForms
from dockgate.web.threads import MAX_FORM_COPIES_EACH, Threads, set_caller_check

# Forms without a key: of a session, and one that changes nothing.
KEYLESS_FORMS = {
    *("/signin", "/signout", "/theme", "/events/rules/{{ rule.name }}/test"),
}


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


LOCAL_CALLER = Caller(LOCAL)
NO_HEADERS: Mapping[str, str] = {}


class Page:
    """A page of a server with a form, which is handled with `response`, and counts how often."""

    def __init__(
        self, store: Store, wait_seconds: float = WAIT_SECONDS, renewal_seconds: float = RENEWAL_SECONDS
    ) -> None:
        seconds = count()
        clock = ServerClock(lambda: datetime(2026, 12, 1, tzinfo=UTC) + timedelta(seconds=next(seconds)))
        self.sent_forms = SentForms(store, clock)
        services = SimpleNamespace(access=SimpleNamespace(sent_forms=self.sent_forms))
        state = SimpleNamespace(services=services, threads=Threads(), running_forms=RunningForms())
        self._app = SimpleNamespace(state=state)
        self.response: Response | Exception = RedirectResponse("/done", 303)
        self.count = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._answer = FormHandler(self._handle, _render_waiting, wait_seconds, renewal_seconds)

    async def send(
        self, body: str = "form_key=1&text=a", caller: Caller = LOCAL_CALLER, headers: Mapping[str, str] = NO_HEADERS
    ) -> Response:
        """Send the form, and return its answer."""
        fields = {"content-type": "application/x-www-form-urlencoded", **headers}
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/page",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "app": self._app,
            "dockgate.caller": caller,
        }

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body.encode(), "more_body": False}

        return await self._answer(Request(scope, receive))

    async def _handle(self, _: Request) -> Response:
        self.count += 1
        await self.may_answer.wait()
        if isinstance(self.response, Exception):
            raise self.response
        return self.response


def _render_waiting(_: Request) -> Response:
    return PlainTextResponse("it is still being handled", 202)


async def _send_again(page: Page) -> None:
    for _ in range(3):
        assert (await page.send()).headers["location"] == "/done"
    assert page.count == 1


async def _send_others(page: Page) -> None:
    for body in ("form_key=1&text=a", "form_key=2&text=a", "form_key=1&text=b"):
        await page.send(body)
    assert page.count == 3


async def _send_without_key(page: Page) -> None:
    for headers in ({}, {"hx-request": "true"}):
        for _ in range(2):
            await page.send("text=a" if not headers else "form_key=1&text=a", headers=headers)
    assert page.count == 4


async def _send_refused(page: Page) -> None:
    page.response = PlainTextResponse("no", 422)
    assert [(await page.send()).status_code for _ in range(2)] == [422, 422]
    page.response = ValueError("broken")
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            await page.send()
    page.response = RedirectResponse("/done", 303)
    assert (await page.send()).status_code == 303
    assert page.count == 5


async def _send_during_the_first(page: Page) -> None:
    page.may_answer.clear()
    first, second = asyncio.create_task(page.send()), asyncio.create_task(page.send())
    while not page.count:
        await asyncio.sleep(0.01)
    page.may_answer.set()
    assert {(await task).headers["location"] for task in (first, second)} == {"/done"}
    assert page.count == 1


async def _send_and_leave(page: Page) -> None:
    page.may_answer.clear()
    async with create_task_group() as tasks:
        tasks.start_soon(page.send)
        while not page.count:
            await asyncio.sleep(0.01)
        tasks.cancel_scope.cancel()
        page.may_answer.set()
    assert (await page.send()).headers["location"] == "/done"
    assert page.count == 1


@pytest.mark.parametrize(
    "story",
    [
        _send_again,
        _send_others,
        _send_without_key,
        _send_refused,
        _send_during_the_first,
        _send_and_leave,
    ],
)
def test_a_form_acts_once(store: Store, story: Callable[[Page], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        await story(Page(store))

    asyncio.run(play())


async def _wait_until(is_true: Callable[[], bool]) -> None:
    while not is_true():
        await asyncio.sleep(0.01)


def test_a_copy_that_waited_long_enough_does_nothing_while_the_first_is_handled(store: Store) -> None:
    async def play() -> None:
        page = Page(store, wait_seconds=0)
        page.may_answer.clear()
        slow_form = asyncio.create_task(page.send())
        await _wait_until(lambda: page.count > 0)
        assert (await page.send()).status_code == 202
        page.may_answer.set()
        assert (await slow_form).headers["location"] == "/done"
        assert page.count == 1

    asyncio.run(play())


def test_copies_that_waited_for_a_refused_form_are_handled_one_after_the_other(store: Store) -> None:
    async def play() -> None:
        page = Page(store)
        page.response = PlainTextResponse("no", 422)
        page.may_answer.clear()
        copies = [asyncio.create_task(page.send()) for _ in range(1 + MAX_FORM_COPIES_EACH)]
        await _wait_until(lambda: page.count > 0)
        assert page.count == 1
        page.may_answer.set()
        assert {answer.status_code for answer in await asyncio.gather(*copies)} == {422}
        assert page.count == len(copies)

    asyncio.run(play())


@pytest.mark.parametrize("is_other_server", [False, True])
def test_a_copy_whose_caller_lost_the_right_while_it_waited_is_not_handled(store: Store, is_other_server: bool) -> None:
    page = Page(store)

    async def check() -> None:
        if page.may_answer.is_set():
            raise DeniedError("the token is revoked", "Sign in again.")

    async def send_checked(page: Page) -> Response:
        set_caller_check(check)
        return await page.send()

    async def play() -> None:
        page.response = PlainTextResponse("no", 422)
        page.may_answer.clear()
        first = asyncio.create_task(page.send())
        await _wait_until(lambda: page.count > 0)
        other_page = Page(store) if is_other_server else page
        copy = asyncio.create_task(send_checked(other_page))
        await asyncio.sleep(0.1)  # the copy waits by now; if not, it is refused all the same
        page.may_answer.set()
        assert (await first).status_code == 422
        with pytest.raises(DeniedError):
            await copy
        assert other_page.count == (0 if is_other_server else 1)
        assert (await other_page.send()).status_code in (303, 422)  # it keeps no place

    asyncio.run(play())


def test_more_copies_than_may_wait_do_nothing(store: Store) -> None:
    async def play() -> None:
        page = Page(store)
        page.may_answer.clear()
        copies = [asyncio.create_task(page.send()) for _ in range(50)]
        await _wait_until(lambda: sum(copy.done() for copy in copies) == 49 - MAX_FORM_COPIES_EACH)
        page.may_answer.set()
        statuses = [answer.status_code for answer in await asyncio.gather(*copies)]
        assert (page.count, statuses.count(303), statuses.count(202)) == (1, 1 + MAX_FORM_COPIES_EACH, 41)
        assert (await page.send()).status_code == 303  # none of them keeps a place

    asyncio.run(play())


def test_a_form_that_another_server_handles_acts_once(store: Store) -> None:
    async def play() -> None:
        page, other_page = Page(store), Page(store)
        page.may_answer.clear()
        first = asyncio.create_task(page.send())
        await _wait_until(lambda: page.count > 0)
        copies = [asyncio.create_task(other_page.send()) for _ in range(5)]
        await asyncio.sleep(0)
        page.may_answer.set()
        answers = await asyncio.gather(first, *copies)
        assert {answer.headers.get("location") for answer in answers} == {"/done"}
        assert (page.count, other_page.count) == (1, 0)

    asyncio.run(play())


def test_a_form_that_another_server_refused_is_handled(store: Store) -> None:
    async def play() -> None:
        page, other_page = Page(store), Page(store)
        page.response = PlainTextResponse("no", 422)
        page.may_answer.clear()
        first = asyncio.create_task(page.send())
        await _wait_until(lambda: page.count > 0)
        copy = asyncio.create_task(other_page.send())
        page.may_answer.set()
        assert ((await first).status_code, (await copy).status_code) == (422, 303)
        assert other_page.count == 1

    asyncio.run(play())


def test_one_server_handles_a_form_whose_server_does_not_answer(store: Store) -> None:
    async def play() -> None:
        # Each page waits long enough that all have asked, and the one that handles the form has answered.
        silent_page, pages = Page(store), [Page(store, wait_seconds=1) for _ in range(4)]
        silent_page.may_answer.clear()
        first = asyncio.create_task(silent_page.send())
        await _wait_until(lambda: silent_page.count > 0)
        answers = await asyncio.gather(*(page.send() for page in pages))
        assert sum(page.count for page in pages) == 1
        assert {answer.status_code for answer in answers} <= {202, 303}
        assert (await pages[0].send()).headers["location"] == "/done"
        silent_page.may_answer.set()
        await first

    asyncio.run(play())


def test_a_form_that_a_server_still_handles_is_left_to_it(store: Store) -> None:
    async def play() -> None:
        page, other_page = Page(store, renewal_seconds=0.01), Page(store, wait_seconds=0.5)
        page.may_answer.clear()
        first = asyncio.create_task(page.send())
        await _wait_until(lambda: page.count > 0)
        assert (await other_page.send()).status_code == 202
        page.may_answer.set()
        assert (await first).headers["location"] == "/done"
        assert (await other_page.send()).headers["location"] == "/done"
        assert (page.count, other_page.count) == (1, 0)

    asyncio.run(play())


def make_upload(boundary: str, key: str = "1", name: str = "a.json", data: str = "{}") -> tuple[str, str]:
    """The body and the type of a form with a file."""
    lines = (
        *(f"--{boundary}", 'Content-Disposition: form-data; name="form_key"', "", key),
        *(f"--{boundary}", f'Content-Disposition: form-data; name="file"; filename="{name}"', "", data),
        *(f"--{boundary}--", ""),
    )
    return "\r\n".join(lines), f"multipart/form-data; boundary={boundary}"


def test_a_form_with_a_file_acts_once(store: Store) -> None:
    async def play() -> None:
        page = Page(store)

        async def send(*args: str, **fields: str) -> None:
            body, content_type = make_upload(*args, **fields)
            assert (await page.send(body, headers={"content-type": content_type})).headers["location"] == "/done"

        await send("b1")
        await send("b2")  # a browser chooses another one each time
        assert page.count == 1
        for fields in ({"key": "2"}, {"name": "b.json"}, {"data": "{1}"}):
            await send("b3", **fields)
        assert page.count == 4
        for _ in range(2):
            await send("b4", key="")
        assert page.count == 6
        headers = {"content-type": "multipart/form-data; boundary=b1"}
        for _ in range(2):
            await page.send("--b1\r\nform_key", headers=headers)
        assert page.count == 8

    asyncio.run(play())


def test_a_token_with_other_limits_does_not_get_the_answer(store: Store) -> None:
    async def play() -> None:
        page, token = Page(store), Token("t", "local", "", "", "")
        narrow_token = replace(token, id="u", repositories=("web",))
        for caller in (Caller(LOCAL, token), Caller(LOCAL, narrow_token), Caller(LOCAL, replace(token, id="v"))):
            await page.send(caller=caller)
        assert page.count == 2

    asyncio.run(play())


def test_every_form_of_the_console_has_a_key() -> None:
    forms = [
        (match[1], match[2])
        for template in (files("dockgate.web.console") / "templates").iterdir()
        for match in re.finditer(r'(?s)<form method="post" action="(.+?)"(.*?)</form>', template.read_text())
    ]
    assert {action for action, body in forms if "{{ render_form_key() }}" not in body} == KEYLESS_FORMS
