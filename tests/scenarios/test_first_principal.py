"""A server before and after its first principal, and tokens that expire."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_principals import People

from dockgate.identity.model import LOCAL, Caller, Role
from dockgate.shared.errors import NotFoundError, UnknownCallerError
from dockgate.store.identity.audit import AuditFilter
from dockgate.web.api import principals as calls
from dockgate.web.recent_calls import MAX_FAILURES
from dockgate.web.threads import MAX_CALLS_EACH, Threads


def test_a_token_expires(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        people = People(server)
        people.tokens["short"] = people.issue_token("viewer", days=1)
        assert people.ask("short", "GET", "/api/v1/status").status_code == 200
        server.clock.ahead += timedelta(days=1, seconds=1)
        assert people.ask("short", "GET", "/api/v1/status").status_code == 401


def test_without_principals_local_callers_have_all_permissions_and_the_first_is_admin(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        response = server.client.post("/principals", json={"name": "vic", "roles": ["viewer"]})
        assert response.status_code == 400
        assert "--role admin" in response.json()["advice"]
        assert server.get("/caller")["name"] == "local"
        first = server.post("/principals", {"name": "ada", "roles": ["admin"]})
        assert re.fullmatch(r"dgt_[0-9a-f]{12}_[0-9a-f]{64}", first["token"])
        assert server.client.get("/status").status_code == 401
        assert server.client.get("/health").status_code == 200
        headers = {"Authorization": f"Bearer {first['token']}"}
        entries = server.client.get("/audit", headers=headers).json()
        assert [(entry["who"], entry["status"]) for entry in entries] == [("local", 201), ("local", 400)]


def test_too_many_invalid_tokens_get_429_and_valid_ones_pass(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        people = People(server)
        people.tokens["wrong"] = "dgt_000000000000_" + "0" * 64
        answers = [people.ask("wrong", "GET", "/api/v1/status").status_code for _ in range(MAX_FAILURES + 2)]
        assert answers == [401] * MAX_FAILURES + [429] * 2
        assert people.ask("viewer", "GET", "/api/v1/status").status_code == 200
        assert people.ask("", "GET", "/api/v1/status").status_code == 401


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/api/v1/tokens", "application/json", b'{"principal": "ada"}'),
        ("/api/v1/principals", "application/json", b'{"name": "eve", "roles": ["admin"]}'),
        ("/people/ada/tokens", "application/x-www-form-urlencoded", b"days=1"),
        ("/people/ada/tokens", "application/x-www-form-urlencoded", b"days=1&form_key=k"),
        ("/people", "application/x-www-form-urlencoded", b"name=eve&role-admin=yes&form_key=k"),
    ],
)
def test_a_local_request_that_began_before_the_first_principal_does_nothing_after_it(
    tmp_path: Path, path: str, kind: str, body: bytes
) -> None:
    async def play(server: ServerSystem) -> int:
        has_begun, may_go_on = asyncio.Event(), asyncio.Event()

        async def send_slowly() -> AsyncIterator[bytes]:
            yield body[:3]
            has_begun.set()
            await may_go_on.wait()
            yield body[3:]

        transport = ASGITransport(server.app, client=("127.0.0.1", 1))
        headers = {"Content-Type": kind, "Origin": "http://localhost"}
        async with AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            answer = asyncio.create_task(client.post(path, content=send_slowly()))
            await has_begun.wait()
            server.services.access.people.add("ada", [Role.ADMIN], None)
            may_go_on.set()
            return (await answer).status_code

    with ServerSystem(tmp_path) as server:
        assert asyncio.run(play(server)) == 401
        assert [principal.name for principal in server.store.principals.list()] == ["ada"]
        assert len(server.store.tokens.list()) == 1


def test_a_local_request_that_waits_for_a_slot_while_the_first_principal_is_added_does_nothing_after_it(
    tmp_path: Path,
) -> None:
    async def play(server: ServerSystem) -> int:
        transport = ASGITransport(server.app, client=("127.0.0.1", 1))
        async with AsyncClient(transport=transport, base_url="http://localhost") as client, AsyncExitStack() as slots:
            assert (await client.get("/api/v1/status")).status_code == 200
            threads: Threads = server.app.state.threads
            for _ in range(MAX_CALLS_EACH):
                await slots.enter_async_context(threads.calls.take(LOCAL.name))
            answer = asyncio.create_task(client.post("/api/v1/tokens", json={"principal": "ada"}))
            while not server.store.audit.count(AuditFilter(), 1):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.5)  # the call has begun, and comes to its wait
            server.services.access.people.add("ada", [Role.ADMIN], None)
            await slots.aclose()
            return (await answer).status_code

    with ServerSystem(tmp_path) as server:
        assert asyncio.run(play(server)) == 401
        assert len(server.store.tokens.list()) == 1


def test_a_local_caller_adds_the_first_principal_alone_and_makes_no_token(tmp_path: Path) -> None:
    """Between its last check and its change, another caller may add the first principal."""
    with ServerSystem(tmp_path) as server:
        access, caller = server.services.access, Caller(LOCAL)
        _, text = access.people.add("ada", [Role.ADMIN], None, is_local=True)
        assert text is not None
        with pytest.raises(UnknownCallerError, match="authentication required"):
            calls.add_principal_once(calls.NewPrincipal("eve", [Role.ADMIN]), caller, access)
        with pytest.raises(NotFoundError, match="there is no principal 'ada'"):
            calls.create_token(calls.NewToken("ada"), caller, access, "")
        assert [principal.name for principal in server.store.principals.list()] == ["ada"]
        assert len(server.store.tokens.list()) == 1
