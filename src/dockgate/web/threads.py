"""Thread limits of calls, so that one principal or a slow registry cannot block the others.

Calls wait for a slot in the event loop for a short time, without holding a thread.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Annotated, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

from dockgate.shared.errors import BusyError

# Threads for quick work that every call needs: authentication, registry tokens, the audit log.
MAX_PROMPT = 40
# Concurrent calls in threads: in total, per principal.
MAX_CALLS, MAX_CALLS_EACH = 40, 20
# Concurrent calls that may wait for a registry: in total, per principal.
MAX_REMOTE, MAX_REMOTE_EACH = 32, 8
# Concurrent policy trials.
MAX_TRIALS = 1
# Bodies in memory that clients are sending: in total, per principal.
MAX_BODIES, MAX_BODIES_EACH = 64, 8
# The same for forms that need no session: in total, per address; and seconds that one waits.
MAX_OPEN_FORMS, MAX_OPEN_FORMS_EACH, OPEN_FORM_WAIT_SECONDS = 32, 4, 1.0
# Seconds that a call waits for a slot.
WAIT_SECONDS = 10.0

P = ParamSpec("P")
T = TypeVar("T")


@asynccontextmanager
async def turn(lock: asyncio.Lock | asyncio.Semaphore, wait_seconds: float, busy: str) -> AsyncIterator[None]:
    """Hold the lock. Raises BusyError with the message `busy` after `wait_seconds`."""
    try:
        async with asyncio.timeout(wait_seconds):
            await lock.acquire()
    except TimeoutError:
        raise BusyError(busy, "Retry in a minute.") from None
    try:
        yield
    finally:
        lock.release()


class Turns:
    """Slots for concurrent work, in total and per principal. `work`: such as "answers {} fetches"."""

    def __init__(self, most: int, most_each: int, work: str, wait_seconds: float) -> None:
        self._all = asyncio.Semaphore(most)
        self._each: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(most_each))
        self._users: Counter[str] = Counter()
        self._work = work
        self._most_each = most_each
        self._wait_seconds = wait_seconds

    @asynccontextmanager
    async def of(self, principal: str) -> AsyncIterator[None]:
        """Take a slot for this principal. Raises BusyError."""
        own = f"The server already {self._work.format(self._most_each)} of yours."
        self._users[principal] += 1
        try:
            async with (
                turn(self._each[principal], self._wait_seconds, own),
                turn(self._all, self._wait_seconds, f"The server {self._work.format('too many')} at once."),
            ):
                yield
        finally:
            self._users[principal] -= 1
            if not self._users[principal]:  # else names that clients choose would add up
                del self._users[principal], self._each[principal]


class Threads:
    """The threads of an application's calls. Use in one event loop only."""

    def __init__(self, wait_seconds: float = WAIT_SECONDS) -> None:
        self._prompt = CapacityLimiter(MAX_PROMPT)
        self._remote = CapacityLimiter(MAX_REMOTE + MAX_TRIALS)
        self._calls = Turns(MAX_CALLS, MAX_CALLS_EACH, "answers {} calls", wait_seconds)
        self._remote_calls = Turns(MAX_REMOTE, MAX_REMOTE_EACH, "asks registries for {} calls", wait_seconds)
        self._trials = Turns(MAX_TRIALS, MAX_TRIALS, "tries {} policies", wait_seconds)
        self._bodies = Turns(MAX_BODIES, MAX_BODIES_EACH, "receives {} requests", wait_seconds)
        self._open_forms = Turns(
            MAX_OPEN_FORMS, MAX_OPEN_FORMS_EACH, "receives {} forms", min(wait_seconds, OPEN_FORM_WAIT_SECONDS)
        )

    async def run_prompt(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run quick work, without a limit per principal."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._prompt)

    def calling(self, principal: str) -> AbstractAsyncContextManager[None]:
        """Take a slot of the shared threads. Raises BusyError."""
        return self._calls.of(principal)

    def receiving(self, principal: str) -> AbstractAsyncContextManager[None]:
        """Take a slot for a body that is read into memory. Raises BusyError."""
        return self._bodies.of(principal)

    def receiving_open_form(self, address: str) -> AbstractAsyncContextManager[None]:
        """Take a slot for a form that needs no session, of a client at this address. Raises BusyError."""
        return self._open_forms.of(address)

    async def run(self, principal: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work that needs only the processor or the store. Raises BusyError."""
        async with self._calls.of(principal):
            return await to_thread.run_sync(partial(work, *args, **kwargs))

    async def run_remote(self, principal: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work that may wait for a registry. Raises BusyError."""
        async with self._remote_calls.of(principal):
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._remote)

    async def run_trial(self, principal: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a trial of a policy. Raises BusyError."""
        async with self._trials.of(principal):
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._remote)


async def threads_of(request: Request) -> Threads:
    """The threads of the request's application."""
    threads: Threads = request.app.state.threads
    return threads


ThreadsDependency = Annotated[Threads, Depends(threads_of)]
