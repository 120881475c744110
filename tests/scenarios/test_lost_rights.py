"""A call that waits ends when its caller loses the right to it, before it answers or acts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.delivery.model import ApprovalId
from dockgate.web.threads import MAX_CALLS_EACH, Threads


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerSystem]:
    with ServerSystem(tmp_path) as server:
        admin = server.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]
        server.client.headers["Authorization"] = f"Bearer {admin}"
        server.post("/principals", {"name": "ben", "roles": ["developer"]})
        yield server


def issue_token(server: ServerSystem) -> tuple[str, str]:
    """A token of ben: its id and its text."""
    answer = server.post("/tokens", {"principal": "ben"})
    return answer["token"]["id"], answer["text"]


def disable(server: ServerSystem, token: str) -> None:
    server.post("/principals/ben/disable", {})


def revoke(server: ServerSystem, token: str) -> None:
    server.post(f"/tokens/{token}/revoke", {})


def limit(server: ServerSystem, token: str) -> None:
    roles = [{"role": "viewer", "repositories": "other/*"}]
    server.post("/principals/ben/roles", {"roles": [], "project_roles": roles})


LOSSES = [(disable, 401), (revoke, 401)]


def make_client(server: ServerSystem, token: str) -> AsyncClient:
    transport = ASGITransport(server.app, client=("127.0.0.1", 1))
    headers = {"Authorization": f"Bearer {token}"}
    return AsyncClient(transport=transport, base_url="http://localhost", headers=headers)


@pytest.mark.parametrize(("lose", "status"), [*LOSSES, (limit, 404)])
def test_a_call_that_waits_for_a_decision(
    server: ServerSystem, lose: Callable[[ServerSystem, str], None], status: int
) -> None:
    execution = server.request_approval(server.plan_image("web", PlannedFindings({})))
    approval = f"{execution}/ContainerVulnerabilityAssessment/Approval/1"
    wait_until(lambda: server.get(f"/approvals/{approval}")["state"] == "Waiting")
    token, text = issue_token(server)
    pubsub = server.services.approvals.pubsub

    async def play() -> int:
        async with make_client(server, text) as client:
            answer = asyncio.create_task(client.get(f"/api/v1/approvals/{approval}/answer?wait=60"))
            while ApprovalId(approval) not in pubsub._subscribers:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(lose, server, token)
            pubsub.wake([ApprovalId(approval)])
            return (await answer).status_code

    assert asyncio.run(play()) == status


@pytest.mark.parametrize(("lose", "status"), LOSSES)
def test_a_call_that_waits_for_events(
    server: ServerSystem, lose: Callable[[ServerSystem, str], None], status: int
) -> None:
    token, text = issue_token(server)
    last = server.get("/events?limit=1")["after"]

    async def play() -> int:
        async with make_client(server, text) as client:
            path = '/api/v1/events?wait=60&pattern={"source":["none"]}&after='
            answer = asyncio.create_task(client.get(f"{path}{last}"))
            await asyncio.sleep(0.1)  # it was authorized, and waits
            await asyncio.to_thread(lose, server, token)
            return (await answer).status_code

    assert asyncio.run(play()) == status


@pytest.mark.parametrize(("lose", "status"), LOSSES)
def test_a_call_that_waits_for_a_slot(
    server: ServerSystem, lose: Callable[[ServerSystem, str], None], status: int
) -> None:
    token, text = issue_token(server)

    async def play() -> int:
        async with make_client(server, text) as client, AsyncExitStack() as slots:
            assert (await client.get("/api/v1/pipelines")).status_code == 200
            threads: Threads = server.app.state.threads
            for _ in range(MAX_CALLS_EACH):
                await slots.enter_async_context(threads.calls.take("ben"))
            answer = asyncio.create_task(client.get("/api/v1/pipelines"))
            while not threads.calls.is_waiting("ben"):
                await asyncio.sleep(0.01)
            await asyncio.to_thread(lose, server, token)
            await slots.aclose()
            return (await answer).status_code

    assert asyncio.run(play()) == status


@pytest.mark.parametrize(("lose", "status"), [*LOSSES, (limit, 403)])
def test_a_call_whose_body_comes_slowly(
    server: ServerSystem, lose: Callable[[ServerSystem, str], None], status: int
) -> None:
    token, text = issue_token(server)
    body = b'{"digest": "sha256:0", "repository": "web/app", "pipeline": "p", "stage": "s", "execution": "1"}'

    async def play() -> int:
        has_begun, may_go_on = asyncio.Event(), asyncio.Event()

        async def send_slowly() -> AsyncIterator[bytes]:
            yield body[:3]
            has_begun.set()
            await may_go_on.wait()
            yield body[3:]

        async with make_client(server, text) as client:
            headers = {"Content-Type": "application/json"}
            answer = asyncio.create_task(client.post("/api/v1/approvals", content=send_slowly(), headers=headers))
            await has_begun.wait()
            await asyncio.to_thread(lose, server, token)
            may_go_on.set()
            return (await answer).status_code

    assert asyncio.run(play()) == status
