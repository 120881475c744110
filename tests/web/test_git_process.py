"""Slots for git requests: no principal can take all."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import IO, cast
from uuid import uuid4

import pytest
from starlette.types import Message

from dockgate.services.web_services import GitBackend
from dockgate.shared.errors import BusyError, SlowBodyError
from dockgate.web.git_process import (
    MAX_FETCHES,
    MAX_FETCHES_EACH,
    MAX_PUSHES,
    MAX_PUSHES_EACH,
    MAX_RECEIVING,
    MAX_RECEIVING_EACH,
    FetchResponse,
    GitCall,
    GitProcesses,
)

KINDS: list[tuple[Callable[[GitProcesses], Callable[[str], AbstractAsyncContextManager[None]]], int, int]] = [
    (lambda processes: processes.fetches.take, MAX_FETCHES, MAX_FETCHES_EACH),
    (lambda processes: processes.receiving.take, MAX_RECEIVING, MAX_RECEIVING_EACH),
    (lambda processes: lambda principal: processes.take_push_slot(uuid4().hex, principal), MAX_PUSHES, MAX_PUSHES_EACH),
]


@pytest.mark.parametrize(("kind", "maximum", "maximum_each"), KINDS, ids=["fetches", "bodies", "pushes"])
def test_one_principal_cannot_take_all_slots(
    kind: Callable[[GitProcesses], Callable[[str], AbstractAsyncContextManager[None]]], maximum: int, maximum_each: int
) -> None:
    async def play() -> None:
        turn = kind(GitProcesses(wait_seconds=0.01))
        async with AsyncExitStack() as stack:
            for _ in range(maximum_each):
                await stack.enter_async_context(turn("mallory"))
            with pytest.raises(BusyError, match=f"already .* {maximum_each} .* of yours"):
                await stack.enter_async_context(turn("mallory"))
            for number in range(maximum - maximum_each):
                await stack.enter_async_context(turn(f"developer-{number}"))
            with pytest.raises(BusyError, match="too many"):
                await stack.enter_async_context(turn("another principal"))
        async with turn("mallory"):
            pass

    assert maximum_each < maximum
    asyncio.run(play())


def test_pushes_to_one_repository_run_one_by_one() -> None:
    async def play() -> None:
        processes = GitProcesses(wait_seconds=0.01)
        async with processes.take_push_slot("shop", "ada"):
            with pytest.raises(BusyError, match="Another push to shop"):
                async with processes.take_push_slot("shop", "ada"):
                    raise AssertionError("two pushes at once")
            async with processes.take_push_slot("other", "ada"):
                pass

    asyncio.run(play())


async def fetch(processes: GitProcesses, spool_body: Callable[[], Awaitable[IO[bytes]]]) -> None:
    """Answer a fetch with this body, on a server whose git must not be reached."""

    async def receive() -> Message:
        raise AssertionError("the body was read otherwise")

    async def send(_: Message) -> None:
        raise AssertionError("the fetch was answered")

    call = GitCall("shop", "/git-upload-pack", "POST", "", "", "")
    await FetchResponse(cast(GitBackend, None), processes, "mallory", call, spool_body)({}, receive, send)


def test_the_body_of_a_fetch_is_received_only_with_a_slot() -> None:
    reads: list[str] = []

    async def read_body() -> IO[bytes]:
        reads.append("body")
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def play() -> None:
        processes = GitProcesses(wait_seconds=0.01)
        slow = [asyncio.create_task(fetch(processes, read_body)) for _ in range(MAX_FETCHES_EACH)]
        while len(reads) < MAX_FETCHES_EACH:
            await asyncio.sleep(0)
        with pytest.raises(BusyError, match="of yours"):
            await fetch(processes, read_body)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(play())
    assert len(reads) == MAX_FETCHES_EACH


def test_a_fetch_whose_body_takes_too_long_frees_its_slot() -> None:
    async def wait_for_body() -> IO[bytes]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def play() -> None:
        processes = GitProcesses(wait_seconds=0.01, body_seconds=0.01)
        for _ in range(MAX_FETCHES_EACH + 1):
            with pytest.raises(SlowBodyError, match=r"within 0\.01 s"):
                await fetch(processes, wait_for_body)

    asyncio.run(play())
