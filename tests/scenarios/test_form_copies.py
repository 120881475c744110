"""Copies of a form that wait for the first one take nothing from others, on one server and on two."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Event

import pytest
from fastapi import FastAPI
from fastapi.responses import Response
from httpx import ASGITransport, AsyncClient
from sqlalchemy import event
from tests.scenarios.console_site import Site
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.identity.model import Role
from dockgate.web import api
from dockgate.web.app import create_app
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.repeated_forms import LAST_POLL_SECONDS, SENT_AGAIN, SENT_MEANWHILE
from dockgate.web.console.routes import make_page_router, redirect_to
from dockgate.web.recent_calls import MAX_REFUSALS
from dockgate.web.threads import MAX_CALLS_EACH, MAX_FORM_COPIES_EACH

# More than twice as many as may wait.
COPIES = 20
URL = "http://localhost"


class SlowForm:
    """A form of a page whose handling ends when a test says so."""

    def __init__(self) -> None:
        self.may_end = Event()
        self.texts: list[str] = []
        self.router = make_page_router()

        @self.router.post("/slow")
        @api.mark_self_checking
        def handle(caller: api.RunCaller, fields: Form) -> Response:
            self.texts.append(fields["text"])
            assert self.may_end.wait(30)
            return redirect_to(f"/done/{fields['text']}")


@pytest.fixture(scope="module", params=FACTORIES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), database=request.param, sweep_seconds=3600) as server:
        yield Site(server)


def make_app(site: Site, form: SlowForm) -> FastAPI:
    """A server of the site's database with the form."""
    app = create_app(site.server.services)
    app.router.routes += form.router.routes
    return app


@asynccontextmanager
async def open_client(app: FastAPI, token: str) -> AsyncIterator[AsyncClient]:
    headers = {"Authorization": f"Bearer {token}", "Origin": URL, "Accept": "text/html"}
    async with AsyncClient(transport=ASGITransport(app), base_url=URL, headers=headers, timeout=60) as client:
        yield client


async def wait_until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_true():
            await asyncio.sleep(0.01)


@contextmanager
def count_queries(site: Site) -> Iterator[list[str]]:
    """The statements about answers of forms."""
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        if "form_answers" in statement:
            statements.append(statement)

    event.listen(site.server.store.database.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(site.server.store.database.engine, "before_cursor_execute", note)


def send(client: AsyncClient, text: str = "same") -> "asyncio.Task[int]":
    async def post() -> int:
        answer = await client.post("/slow", data={"form_key": "k", "text": text})
        assert answer.status_code != 303 or answer.headers["location"] == f"/done/{text}"
        return answer.status_code

    return asyncio.create_task(post())


@limit_to_sqlite("site")
def test_copies_that_wait_take_no_slot_no_thread_and_no_queries(site: Site) -> None:
    async def play() -> None:
        form = SlowForm()
        async with open_client(make_app(site, form), site.tokens[Role.DEVELOPER]) as client:
            copies = [send(client) for _ in range(COPIES)]
            await wait_until(lambda: sum(copy.done() for copy in copies) == COPIES - 1 - MAX_FORM_COPIES_EACH)
            assert {copy.result() for copy in copies if copy.done()} == {202}
            with count_queries(site) as statements:
                # As many other forms of this person are handled as without the copies, and so are pages.
                other_forms = [send(client, str(number)) for number in range(MAX_CALLS_EACH - 2)]
                await wait_until(lambda: len(form.texts) == MAX_CALLS_EACH - 1)
                assert (await client.get("/settings")).status_code == 200
            assert len(statements) <= 3 * len(other_forms)  # to begin each of them, none for the copies
            form.may_end.set()
            assert sorted(await asyncio.gather(*copies)).count(303) == 1 + MAX_FORM_COPIES_EACH
            assert set(await asyncio.gather(*other_forms)) == {303}
            assert form.texts.count("same") == 1
            assert await send(client) == 303
            assert form.texts.count("same") == 1

    asyncio.run(play())
    details = [entry["detail"] for entry in site.server.get("/audit?call=POST%20/slow&limit=1000")]
    assert details.count(SENT_AGAIN) == MAX_FORM_COPIES_EACH + 1
    assert details.count(SENT_MEANWHILE) == COPIES - 1 - MAX_FORM_COPIES_EACH


@limit_to_sqlite("site")
def test_a_person_who_sends_many_copies_is_not_refused_afterwards_and_neither_are_others(site: Site) -> None:
    async def play() -> None:
        form = SlowForm()
        app = make_app(site, form)
        async with (
            open_client(app, site.tokens[Role.DEVELOPER]) as client,
            open_client(app, site.tokens[Role.ADMIN]) as other_client,
        ):
            first = send(client, "many")
            await wait_until(lambda: len(form.texts) == 1)
            copies = [send(client, "many") for _ in range(MAX_REFUSALS + 2 * MAX_FORM_COPIES_EACH)]
            await wait_until(lambda: sum(copy.done() for copy in copies) == len(copies) - MAX_FORM_COPIES_EACH)
            other_copies = [send(other_client, "of-another") for _ in range(3)]
            await wait_until(lambda: len(form.texts) == 2)
            form.may_end.set()
            assert await first == 303
            assert set(await asyncio.gather(*copies)) == {202, 303}
            assert set(await asyncio.gather(*other_copies)) == {303}
            assert await send(client, "afterwards") == 303

    asyncio.run(play())


def test_copies_on_another_server_ask_for_the_answer_now_and_then_together(site: Site) -> None:
    async def play() -> None:
        form, other_form = SlowForm(), SlowForm()
        token = site.tokens[Role.DEVELOPER]
        async with (
            open_client(make_app(site, form), token) as client,
            open_client(make_app(site, other_form), token) as other_client,
        ):
            first = send(client, "two-servers")
            await wait_until(lambda: len(form.texts) == 1)
            with count_queries(site) as statements:
                copies = [send(other_client, "two-servers") for _ in range(COPIES)]
                await wait_until(lambda: any(copy.done() for copy in copies))
                started_at = time.monotonic()
                await asyncio.sleep(3)
                # At first two, and then fewer and fewer: together not one of each copy.
                assert len(statements) <= 2 + 3 + (time.monotonic() - started_at) * (1 / LAST_POLL_SECONDS + 1)
            form.may_end.set()
            other_form.may_end.set()
            assert await first == 303
            statuses = await asyncio.gather(*copies)
            assert (set(statuses), statuses.count(303)) == ({202, 303}, MAX_FORM_COPIES_EACH)
            assert (form.texts, other_form.texts) == (["two-servers"], [])

    asyncio.run(play())


@limit_to_sqlite("site")
def test_copies_of_a_narrower_token_neither_act_nor_learn_the_answer(site: Site) -> None:
    async def play() -> None:
        form = SlowForm()
        form.may_end.set()
        app = make_app(site, form)
        read_only = site.issue_token("developer", scopes=["read"])
        async with (
            open_client(app, site.tokens[Role.DEVELOPER]) as client,
            open_client(app, read_only) as narrow_client,
        ):
            assert await send(client, "narrow") == 303
            assert await send(narrow_client, "narrow") == 403
            foreign = await client.post(
                "/slow", data={"form_key": "k", "text": "narrow"}, headers={"Origin": "http://evil.example"}
            )
            assert foreign.status_code == 403
        assert form.texts == ["narrow"]

    asyncio.run(play())
