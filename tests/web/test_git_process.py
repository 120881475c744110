"""Slots for git requests: no principal can take all."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from uuid import uuid4

import pytest

from dockgate.shared.errors import BusyError
from dockgate.web.git_process import (
    MAX_FETCHES,
    MAX_FETCHES_EACH,
    MAX_PUSHES,
    MAX_PUSHES_EACH,
    MAX_RECEIVING,
    MAX_RECEIVING_EACH,
    GitProcesses,
)

KINDS: list[tuple[Callable[[GitProcesses], Callable[[str], AbstractAsyncContextManager[None]]], int, int]] = [
    (lambda processes: processes.fetching, MAX_FETCHES, MAX_FETCHES_EACH),
    (lambda processes: processes.receiving, MAX_RECEIVING, MAX_RECEIVING_EACH),
    (lambda processes: lambda principal: processes.pushing(uuid4().hex, principal), MAX_PUSHES, MAX_PUSHES_EACH),
]


@pytest.mark.parametrize(("kind", "most", "most_each"), KINDS, ids=["fetches", "bodies", "pushes"])
def test_one_principal_cannot_take_all_slots(
    kind: Callable[[GitProcesses], Callable[[str], AbstractAsyncContextManager[None]]], most: int, most_each: int
) -> None:
    async def play() -> None:
        turn = kind(GitProcesses(wait_seconds=0.01))
        async with AsyncExitStack() as taken:
            for _ in range(most_each):
                await taken.enter_async_context(turn("mallory"))
            with pytest.raises(BusyError, match=f"already .* {most_each} .* of yours"):
                await taken.enter_async_context(turn("mallory"))
            for number in range(most - most_each):
                await taken.enter_async_context(turn(f"developer-{number}"))
            with pytest.raises(BusyError, match="too many"):
                await taken.enter_async_context(turn("another principal"))
        async with turn("mallory"):
            pass

    assert most_each < most
    asyncio.run(play())


def test_pushes_to_one_repository_run_one_by_one() -> None:
    async def play() -> None:
        processes = GitProcesses(wait_seconds=0.01)
        async with processes.pushing("shop", "ada"):
            with pytest.raises(BusyError, match="Another push to shop"):
                async with processes.pushing("shop", "ada"):
                    raise AssertionError("two pushes at once")
            async with processes.pushing("other", "ada"):
                pass

    asyncio.run(play())
