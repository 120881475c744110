"""Threads and turns of calls: no principal, and no slow registry, takes what others need.

Calls wait for a turn in the event loop, for a short time, and hold no thread while they wait.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Annotated, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

from dockgate.shared.errors import BusyError

# Threads for what takes no time and no call can do without: authentication, registry tokens, the audit record.
MAX_PROMPT = 40
# Other calls in threads at a time: of everybody, of one principal.
MAX_CALLS, MAX_CALLS_EACH = 40, 20
# Calls that may ask a registry at a time: of everybody, of one principal.
MAX_REMOTE, MAX_REMOTE_EACH = 32, 8
# Policies that are tried at a time.
MAX_TRIALS = 1
# How long a call waits for its turn.
WAIT_SECONDS = 10.0

P = ParamSpec("P")
T = TypeVar("T")


@asynccontextmanager
async def turn(lock: asyncio.Lock | asyncio.Semaphore, wait_seconds: float, busy: str) -> AsyncIterator[None]:
    """Hold the lock. Raises BusyError with the text `busy` when it is not free in time."""
    try:
        async with asyncio.timeout(wait_seconds):
            await lock.acquire()
    except TimeoutError:
        raise BusyError(busy, "Try again in a minute.") from None
    try:
        yield
    finally:
        lock.release()


class Turns:
    """Turns of everybody, of which one principal can take a part. `work` is such as "answers {} fetches"."""

    def __init__(self, most: int, most_each: int, work: str, wait_seconds: float) -> None:
        self._all = asyncio.Semaphore(most)
        self._each: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(most_each))
        self._work = work
        self._most_each = most_each
        self._wait_seconds = wait_seconds

    @asynccontextmanager
    async def of(self, principal: str) -> AsyncIterator[None]:
        """A turn of this principal. Raises BusyError."""
        own = f"this server {self._work.format(self._most_each)} of yours already"
        async with (
            turn(self._each[principal], self._wait_seconds, own),
            turn(self._all, self._wait_seconds, f"this server {self._work.format('too many')} at once"),
        ):
            yield


class Threads:
    """Where an application's calls run. Used in one event loop."""

    def __init__(self, wait_seconds: float = WAIT_SECONDS) -> None:
        self._prompt = CapacityLimiter(MAX_PROMPT)
        self._remote = CapacityLimiter(MAX_REMOTE + MAX_TRIALS)
        self._calls = Turns(MAX_CALLS, MAX_CALLS_EACH, "answers {} calls", wait_seconds)
        self._remote_calls = Turns(MAX_REMOTE, MAX_REMOTE_EACH, "asks registries for {} calls", wait_seconds)
        self._trials = Turns(MAX_TRIALS, MAX_TRIALS, "tries {} policies", wait_seconds)

    async def run_prompt(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what is always quick, whoever asks."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._prompt)

    def calling(self, principal: str) -> AbstractAsyncContextManager[None]:
        """A turn for work in the threads that most calls share. Raises BusyError."""
        return self._calls.of(principal)

    async def run(self, principal: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what needs the processor or the store alone. Raises BusyError."""
        async with self._calls.of(principal):
            return await to_thread.run_sync(partial(work, *args, **kwargs))

    async def run_remote(self, principal: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what may wait for a registry. Raises BusyError."""
        async with self._remote_calls.of(principal):
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._remote)

    async def run_trial(self, principal: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a trial of a policy. Raises BusyError."""
        async with self._trials.of(principal):
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._remote)


async def threads_of(request: Request) -> Threads:
    """The threads of the application that a request came to."""
    threads: Threads = request.app.state.threads
    return threads


TheThreads = Annotated[Threads, Depends(threads_of)]
