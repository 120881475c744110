"""Calls that wait for something else leave threads and slots to everybody else's calls."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack

import pytest
from starlette.concurrency import run_in_threadpool

from dockgate.shared.errors import BusyError, SlowBodyError, UnknownCallerError
from dockgate.web import threads as limits
from dockgate.web.threads import FairSlots, Threads, limit_body_time, set_caller_check

Run = Callable[[str, Callable[[], bool]], Awaitable[bool]]

KINDS: dict[str, tuple[Callable[[Threads], Run], int, int]] = {
    "calls": (lambda threads: threads.run, limits.MAX_CALLS, limits.MAX_CALLS_EACH),
    "remote calls": (lambda threads: threads.run_remote, limits.MAX_REMOTE, limits.MAX_REMOTE_EACH),
    "checks": (lambda threads: threads.run_check, limits.MAX_CHECKS, limits.MAX_CHECKS_EACH),
    "replays": (lambda threads: threads.run_replay, limits.MAX_REPLAYS, limits.MAX_REPLAYS_EACH),
    "trials": (lambda threads: threads.run_trial, limits.MAX_TRIALS, limits.MAX_TRIALS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_principal_cannot_take_all_slots(kind: str) -> None:
    run_of, maximum, maximum_each = KINDS[kind]

    async def play(end: threading.Event) -> None:
        run = run_of(Threads(wait_seconds=0.01))
        slow = [_start(run("mallory", end.wait)) for _ in range(maximum_each)]
        await _wait_until_queued(slow)
        with pytest.raises(BusyError, match=f"already .* {maximum_each} .* of yours"):
            await run("mallory", lambda: True)
        slow += [_start(run(f"developer-{number}", end.wait)) for number in range(maximum - maximum_each)]
        await _wait_until_queued(slow)
        with pytest.raises(BusyError, match="too many"):
            await run("another principal", lambda: True)
        end.set()
        assert all(await asyncio.gather(*slow))
        assert await run("mallory", lambda: True), "a slot is given back"

    _play(play)


SLOTS = {
    "bodies": (Threads.take_body_slot, limits.MAX_BODIES, limits.MAX_BODIES_EACH),
    "open forms": (Threads.take_form_slot, limits.MAX_OPEN_FORMS, limits.MAX_OPEN_FORMS_EACH),
}


@pytest.mark.parametrize("kind", SLOTS)
def test_one_sender_cannot_take_all_slots_for_bodies(kind: str) -> None:
    slot_of, maximum, maximum_each = SLOTS[kind]

    async def play() -> None:
        threads = Threads(wait_seconds=0.01)
        async with AsyncExitStack() as stack:
            for _ in range(maximum_each):
                await stack.enter_async_context(slot_of(threads, "mallory"))
            with pytest.raises(BusyError, match=f"already receives {maximum_each} .* of yours"):
                await stack.enter_async_context(slot_of(threads, "mallory"))
            for number in range(maximum - maximum_each):
                await stack.enter_async_context(slot_of(threads, f"developer-{number}"))
            with pytest.raises(BusyError, match="too many"):
                await stack.enter_async_context(slot_of(threads, "another"))
        async with slot_of(threads, "mallory"):
            pass

    asyncio.run(play())


@pytest.mark.parametrize(
    ("maximum", "maximum_each"), sorted({(16, 8), *((maximum, slot) for _, maximum, slot in SLOTS.values())})
)
def test_a_few_principals_cannot_take_all_slots(maximum: int, maximum_each: int) -> None:
    async def play() -> None:
        slots = FairSlots(maximum, maximum_each, "answers {} calls", 0)
        async with AsyncExitStack() as stack:

            async def take_all(principal: str) -> None:
                for _ in range(maximum):
                    await stack.enter_async_context(slots.take(principal))

            for principal in ("mallory", "eve", "trudy"):
                with pytest.raises(BusyError, match="of yours"):
                    await take_all(principal)
            async with slots.take("ada"):
                pass

    asyncio.run(play())


def test_a_slot_goes_to_the_next_that_may_have_it() -> None:
    async def play() -> None:
        slots = FairSlots(4, 2, "answers {} calls", 60)
        order: list[str] = []

        async def wait(principal: str) -> None:
            async with slots.take(principal):
                order.append(principal)

        async with AsyncExitStack() as first, AsyncExitStack() as second:
            for _ in range(2):
                await first.enter_async_context(slots.take("mallory"))
            await second.enter_async_context(slots.take("eve"))
            await second.enter_async_context(slots.take("trudy"))
            waiting = [asyncio.create_task(wait(name)) for name in ("mallory", "gone", "ada")]
            await asyncio.sleep(0)
            waiting[1].cancel()
            await second.aclose()
            await waiting[2]
            assert order == ["ada"], "mallory has two already"
            await first.aclose()
            await waiting[0]
        assert order == ["ada", "mallory"]
        async with AsyncExitStack() as stack:  # all have been given back
            for name in "abcd":
                await stack.enter_async_context(slots.take(name))

    asyncio.run(play())


def test_many_requests_of_some_do_not_delay_those_of_others() -> None:
    async def play() -> None:
        slots = FairSlots(1, 1, "tries {} policies", 60)
        order: list[str] = []

        async def wait(principal: str) -> None:
            async with slots.take(principal):
                order.append(principal)
                await asyncio.sleep(0)

        async with slots.take("mallory"):
            names = [*["mallory", "eve"] * 20, "ada"]
            waiting = [asyncio.create_task(wait(name)) for name in names]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert "ada" in order[:3]
        assert len(order) == len(names)

    asyncio.run(play())


def test_a_body_that_takes_too_long_frees_its_slot() -> None:
    async def play() -> None:
        threads = Threads(wait_seconds=0.01, body_seconds=0.01)
        for slot_of, _, maximum_each in SLOTS.values():
            for _ in range(maximum_each + 1):
                with pytest.raises(SlowBodyError, match=r"within 0\.01 s"):
                    async with slot_of(threads, "mallory"):
                        await asyncio.Event().wait()

    asyncio.run(play())


def test_calls_that_wait_for_registries_do_not_block_others() -> None:
    async def play(end: threading.Event) -> None:
        threads = Threads(wait_seconds=0.01)
        slow = [_start(threads.run_remote(f"mallory-{number}", end.wait)) for number in range(limits.MAX_REMOTE)]
        slow.append(_start(threads.run_trial("mallory", end.wait)))
        await _wait_until_queued(slow)
        assert await threads.run("victim", lambda: True)
        assert await threads.run_prompt(lambda: True)
        assert await run_in_threadpool(lambda: True)

    _play(play)


def test_authentication_does_not_use_the_threads_of_calls() -> None:
    async def play(end: threading.Event) -> None:
        threads = Threads()
        slow = [_start(run_in_threadpool(end.wait)) for _ in range(limits.MAX_CALLS)]
        await _wait_until_queued(slow)
        assert await threads.run_prompt(lambda: True)

    _play(play)


def _start(work: Awaitable[bool]) -> asyncio.Task[bool]:
    async def wait_for_work() -> bool:
        return await work

    return asyncio.create_task(wait_for_work())


async def _wait_until_queued(tasks: list[asyncio.Task[bool]]) -> None:
    """Each gets a slot: a task that was refused has ended by now."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


def _play(play: Callable[[threading.Event], Coroutine[None, None, None]]) -> None:
    end = threading.Event()

    async def play_until_end() -> None:
        try:
            async with asyncio.timeout(20):
                await play(end)
        finally:
            end.set()

    asyncio.run(play_until_end())


def test_a_caller_is_checked_again_after_a_wait_and_gives_the_slot_back() -> None:
    checks: list[str] = []

    async def refuse() -> None:
        checks.append("asked")
        raise UnknownCallerError("that token is not valid", "")

    async def play() -> None:
        slots = FairSlots(2, 2, "answers {} calls", 60)
        set_caller_check(refuse)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(slots.take("ada"))  # without a wait
            await stack.enter_async_context(slots.take("mallory"))
            assert checks == []
            waiting = asyncio.create_task(_take(slots, "ben"))
            await asyncio.sleep(0)
            assert not waiting.done()
        with pytest.raises(UnknownCallerError):
            await waiting
        assert checks == ["asked"]
        set_caller_check(None)
        async with slots.take("ada"), slots.take("ben"):
            pass  # both slots are free again

    asyncio.run(play())


async def _take(slots: FairSlots, principal: str) -> None:
    async with slots.take(principal):
        pass


def test_a_caller_is_checked_again_after_the_body() -> None:
    async def refuse() -> None:
        raise UnknownCallerError("that token is not valid", "")

    async def play() -> None:
        set_caller_check(refuse)
        async with limit_body_time(60):
            pass

    with pytest.raises(UnknownCallerError):
        asyncio.run(play())
