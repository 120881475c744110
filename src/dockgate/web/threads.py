"""Thread limits of calls, so that one principal or a slow registry cannot block the others.

Calls wait for a slot in the event loop for a short time, without holding a thread.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Annotated, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from dockgate.shared.errors import BusyError, SlowBodyError
from dockgate.web.paced_sending import send_in_pieces

# Threads for quick work that every call needs: authentication, registry tokens, the audit log.
MAX_PROMPT = 40
# Concurrent calls in threads: in total, per principal.
MAX_CALLS, MAX_CALLS_EACH = 40, 20
# Concurrent calls that may wait for a registry: in total, per principal.
MAX_REMOTE, MAX_REMOTE_EACH = 32, 8
# Concurrent policy trials.
MAX_TRIALS = 1
# Concurrent replays and comparisons of verdicts: in total, per principal.
MAX_REPLAYS, MAX_REPLAYS_EACH = 4, 1
# Concurrent checks of documents that are being typed: in total, per principal.
MAX_CHECKS, MAX_CHECKS_EACH = 4, 1
# Verdicts, inventories and other documents in memory, until they are sent: in total, per principal. A verdict with as
# many findings as it may list has 65 MiB.
MAX_DOCUMENTS, MAX_DOCUMENTS_EACH = 8, 4
# Bodies in memory that clients are sending: in total, per principal.
MAX_BODIES, MAX_BODIES_EACH = 64, 8
# The same for forms that need no session: in total, per address; and seconds that one waits.
MAX_OPEN_FORMS, MAX_OPEN_FORMS_EACH, OPEN_FORM_WAIT_SECONDS = 32, 4, 1.0
# Copies of forms that wait for the answer of the first one, each with its body in memory: in total, per principal.
MAX_FORM_COPIES, MAX_FORM_COPIES_EACH = 32, 8
# Seconds that a call waits for a slot.
WAIT_SECONDS = 10.0
# Seconds that a body in memory may take, however steadily it comes; of a form that needs no session.
BODY_SECONDS, OPEN_FORM_SECONDS = 300.0, 30.0
# Requests of callers at the same time, unless the application has another limit: those that wait for an event or a
# slot, and those whose clients read slowly.
MAX_REQUESTS = 750
# The key, in a request's scope, of what is given back after its response.
_TAKEN_SLOTS = "dockgate.taken"

P = ParamSpec("P")
T = TypeVar("T")


# Checks that the caller of the present request may still make it; None outside a request that needs a right.
_caller_check: ContextVar[Callable[[], Awaitable[None]] | None] = ContextVar("caller_check", default=None)


def set_caller_check(check: Callable[[], Awaitable[None]] | None) -> None:
    """Set what checks the caller of this request again after each wait, and after its body has arrived.

    Both may take minutes, in which a token can be revoked. The check raises what refuses the caller.
    """
    _caller_check.set(check)


async def check_caller_again() -> None:
    """Check that the caller of this request may still make it."""
    if check := _caller_check.get():
        await check()


@asynccontextmanager
async def hold_lock(lock: asyncio.Lock, wait_seconds: float, busy: str) -> AsyncIterator[None]:
    """Hold the lock. Raises BusyError with the message `busy` after `wait_seconds`."""
    try:
        async with asyncio.timeout(wait_seconds):
            await lock.acquire()
    except TimeoutError:
        raise BusyError(busy, "Retry in a minute.") from None
    try:
        await check_caller_again()
        yield
    finally:
        lock.release()


@asynccontextmanager
async def limit_body_time(seconds: float, advice: str = "Retry over a faster connection.") -> AsyncIterator[None]:
    """Receive a body, and check the caller again.

    Raises SlowBodyError with the advice after so many seconds, and what refuses the caller by then.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise SlowBodyError(f"the request body did not arrive within {seconds:g} s", advice) from None
    await check_caller_again()


class FairSlots:
    """Slots for concurrent work, in total and per principal. `work`: such as "answers {} fetches".

    A principal gets a further slot only while more are free than it has: each next one gets half of what the others
    left, so that a few principals cannot take all. Of those who wait, the one with the fewest slots comes first, then
    the one whose last slot is longest ago: many requests of one do not delay those of others.
    """

    def __init__(self, maximum: int, maximum_each: int, work: str, wait_seconds: float) -> None:
        self._free = maximum
        self._used_counts: Counter[str] = Counter()
        # The principals that wait, in the order of their arrival.
        self._waiting: dict[asyncio.Future[None], str] = {}
        # The number of the last slot that each principal got, of those who have one or wait.
        self._last_slots: dict[str, int] = {}
        self._count = 0
        self._work = work
        self._maximum_each = maximum_each
        self._wait_seconds = wait_seconds

    @asynccontextmanager
    async def take(self, principal: str) -> AsyncIterator[None]:
        """Take a slot for this principal. Raises BusyError, and after a wait what refuses the caller by then."""
        should_check = not self._can_take(principal)
        if should_check:
            await self._wait(principal)
        else:
            self._take(principal)
        try:
            if should_check:
                await check_caller_again()
            yield
        finally:
            self._give_back(principal)

    def is_waiting(self, principal: str) -> bool:
        """Return whether a request of this principal waits for a slot."""
        return principal in self._waiting.values()

    async def _wait(self, principal: str) -> None:
        slot = asyncio.get_running_loop().create_future()
        self._waiting[slot] = principal
        try:
            async with asyncio.timeout(self._wait_seconds):
                await slot
        except BaseException as error:
            if slot.done() and not slot.cancelled():  # it got the slot in the same moment
                self._give_back(principal)
            if isinstance(error, TimeoutError):
                raise self._make_refusal(principal) from None
            raise
        finally:
            del self._waiting[slot]
            self._forget(principal)

    def _can_take(self, principal: str) -> bool:
        return self._used_counts[principal] < min(self._maximum_each, self._free)

    def _take(self, principal: str) -> None:
        self._used_counts[principal] += 1
        self._free -= 1
        self._count += 1
        self._last_slots[principal] = self._count

    def _give_back(self, principal: str) -> None:
        self._free += 1
        self._used_counts[principal] -= 1
        while ready := [slot for slot, name in self._waiting.items() if not slot.done() and self._can_take(name)]:
            slot = min(ready, key=self._rank)
            self._take(self._waiting[slot])
            slot.set_result(None)
        self._forget(principal)

    def _rank(self, slot: "asyncio.Future[None]") -> tuple[int, int]:
        name = self._waiting[slot]
        return self._used_counts[name], self._last_slots.get(name, 0)

    def _forget(self, principal: str) -> None:
        """Drop what is known of a principal without slots, who does not wait: clients choose some of the names."""
        if not self._used_counts[principal] and not self.is_waiting(principal):
            self._used_counts.pop(principal, None)
            self._last_slots.pop(principal, None)

    def _make_refusal(self, principal: str) -> BusyError:
        if used_count := self._used_counts[principal]:
            return BusyError(f"the server already {self._work.format(used_count)} of yours", "Retry in a minute.")
        return BusyError(f"the server {self._work.format('too many')} at once", "Retry in a minute.")


class Threads:
    """The threads of an application's calls, and other slots. Use in one event loop only.

    Callers together have `max_requests` requests at the same time, half of them one caller.
    """

    def __init__(
        self,
        wait_seconds: float = WAIT_SECONDS,
        body_seconds: float = BODY_SECONDS,
        max_requests: int = MAX_REQUESTS,
    ) -> None:
        self._body_seconds = body_seconds
        self._prompt = CapacityLimiter(MAX_PROMPT)
        self._remote = CapacityLimiter(MAX_REMOTE + MAX_TRIALS + MAX_CHECKS + MAX_REPLAYS)
        self.calls = FairSlots(MAX_CALLS, MAX_CALLS_EACH, "answers {} calls", wait_seconds)
        self._remote_calls = FairSlots(MAX_REMOTE, MAX_REMOTE_EACH, "asks registries for {} calls", wait_seconds)
        self._checks = FairSlots(MAX_CHECKS, MAX_CHECKS_EACH, "checks {} documents", wait_seconds)
        self._trials = FairSlots(MAX_TRIALS, MAX_TRIALS, "tries {} policies", wait_seconds)
        self._replays = FairSlots(MAX_REPLAYS, MAX_REPLAYS_EACH, "replays {} verdicts", wait_seconds)
        self._documents = FairSlots(MAX_DOCUMENTS, MAX_DOCUMENTS_EACH, "sends {} documents", wait_seconds)
        self._bodies = FairSlots(MAX_BODIES, MAX_BODIES_EACH, "receives {} requests", wait_seconds)
        self._open_forms = FairSlots(
            MAX_OPEN_FORMS, MAX_OPEN_FORMS_EACH, "receives {} forms", min(wait_seconds, OPEN_FORM_WAIT_SECONDS)
        )
        self.form_copies = FairSlots(MAX_FORM_COPIES, MAX_FORM_COPIES_EACH, "keeps {} copies of forms waiting", 0)
        self._requests = FairSlots(max_requests, max_requests // 2, "answers {} requests", 0)

    async def run_prompt(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run quick work, without a limit per principal."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._prompt)

    @asynccontextmanager
    async def take_body_slot(self, principal: str) -> AsyncIterator[None]:
        """Take a slot for a body that is read into memory. Raises BusyError, SlowBodyError."""
        async with self._bodies.take(principal), limit_body_time(self._body_seconds):
            yield

    @asynccontextmanager
    async def take_form_slot(self, address: str) -> AsyncIterator[None]:
        """Take a slot for a form that needs no session, by the client's address.

        Raises BusyError, SlowBodyError.
        """
        async with self._open_forms.take(address), limit_body_time(min(self._body_seconds, OPEN_FORM_SECONDS)):
            yield

    async def begin(self, request: Request, principal: str) -> None:
        """Count a request of this principal until its response is complete.

        Raises BusyError if there are too many.
        """
        slots: AsyncExitStack = request.scope[_TAKEN_SLOTS]
        await slots.enter_async_context(self._requests.take(principal))

    async def begin_document(self, request: Request, principal: str) -> None:
        """Take a slot for a document that this principal gets, until it is sent. Raises BusyError."""
        slots: AsyncExitStack = request.scope[_TAKEN_SLOTS]
        await slots.enter_async_context(self._documents.take(principal))

    async def run(self, principal: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work that needs only the processor or the store. Raises BusyError."""
        async with self.calls.take(principal):
            return await to_thread.run_sync(partial(work, *args, **kwargs))

    async def run_remote(self, principal: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work that may wait for a registry. Raises BusyError."""
        async with self._remote_calls.take(principal):
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._remote)

    async def run_check(self, principal: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Check a document. Raises BusyError."""
        async with self._checks.take(principal):
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._remote)

    async def run_replay(self, principal: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Judge recorded verdicts again. Raises BusyError."""
        async with self._replays.take(principal):
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._remote)

    async def run_trial(self, principal: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a trial of a policy. Raises BusyError."""
        async with self._trials.take(principal):
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._remote)


class TakenSlots:
    """Middleware that gives back what a request has taken (`Threads.begin`), after its response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        async with AsyncExitStack() as slots:
            scope[_TAKEN_SLOTS] = slots
            await self._app(scope, receive, send_in_pieces(send))


async def get_threads(request: Request) -> Threads:
    """The threads of the request's application."""
    threads: Threads = request.app.state.threads
    return threads


ThreadsDependency = Annotated[Threads, Depends(get_threads)]
