"""A form that is sent again gets the first answer, or is handled if there will be none."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from anyio import create_task_group
from fastapi import Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from tests.sqlite import open_sqlite

from dockgate.identity.model import LOCAL, Caller
from dockgate.services.clock import ServerClock
from dockgate.services.identity.sent_forms import SentForms
from dockgate.store import Store
from dockgate.web.console.repeated_forms import WAIT_SECONDS, answer_once
from dockgate.web.threads import Threads

# Forms without a key of that name: of a session, of what has another key, of files, and one that changes nothing.
KEYLESS_FORMS = {
    *("/signin", "/signout", "/theme", "/first-admin", "/vex", "/waivers/new"),
    *("/pipelines/{{ pipeline.name }}/start", "/people/{{ principal.name }}/tokens"),
    "/events/rules/{{ rule.name }}/test",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_sqlite(tmp_path)) as store:
        yield store


class Page:
    """A page with a form, which is handled with `response`, and counts how often."""

    def __init__(self, store: Store, wait_seconds: float = WAIT_SECONDS) -> None:
        clock = ServerClock(lambda: datetime(2026, 12, 1, tzinfo=UTC))
        self._services = SimpleNamespace(access=SimpleNamespace(sent_forms=SentForms(store, clock)))
        self.response: Response | Exception = RedirectResponse("/done", 303)
        self.count = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._answer = answer_once(self._handle, wait_seconds)

    async def send(self, body: str = "form_key=1&text=a", **headers: str) -> Response:
        """Send the form, and return its answer."""
        fields = {"content-type": "application/x-www-form-urlencoded", **headers}
        app = SimpleNamespace(state=SimpleNamespace(services=self._services, threads=Threads()))
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/page",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "app": app,
            "dockgate.caller": Caller(LOCAL),
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
            await page.send("text=a" if not headers else "form_key=1&text=a", **headers)
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


def test_a_form_whose_first_copy_gets_no_answer_is_handled(store: Store) -> None:
    async def play() -> None:
        page = Page(store, wait_seconds=0)
        page.may_answer.clear()
        slow_form = asyncio.create_task(page.send())
        while not page.count:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(page.send())
        while page.count < 2:
            await asyncio.sleep(0.01)
        page.may_answer.set()
        assert (await second).headers["location"] == "/done"
        await slow_form

    asyncio.run(play())


def test_every_form_of_the_console_has_a_key() -> None:
    forms = [
        (match[1], match[2])
        for template in (files("dockgate.web.console") / "templates").iterdir()
        for match in re.finditer(r'(?s)<form method="post" action="(.+?)"(.*?)</form>', template.read_text())
    ]
    assert {action for action, body in forms if "{{ render_form_key() }}" not in body} == KEYLESS_FORMS
