"""Git processes of the server: limits of concurrency and time, and responses to fetches."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from dockgate.services.web_services import GitBackend
from dockgate.shared.interfaces import override
from dockgate.web.threads import FairSlots, hold_lock, limit_body_time

# Concurrent fetches: in total, per principal.
MAX_FETCHES, MAX_FETCHES_EACH = 16, 8
# Pushes whose bodies are received at the same time: in total, per principal.
MAX_RECEIVING, MAX_RECEIVING_EACH = 8, 2
# Pushes that git processes at the same time, each with memory limits (`sources.git_run`): in total, per
# principal.
MAX_PUSHES, MAX_PUSHES_EACH = 8, 4
# Seconds that a request waits for a slot.
WAIT_SECONDS = 60.0
# Seconds that the body of a fetch may take, usually some kilobytes: it has a slot meanwhile. And that of a push.
BODY_SECONDS, PUSH_BODY_SECONDS = 60.0, 3600.0
# Seconds that a git process may run.
GIT_SECONDS = 1800.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GitCall:
    """A call of `git http-backend`, built by a route from checked values only."""

    repository: str
    path: str
    method: str
    query: str
    content_type: str
    protocol: str | None

    async def run(
        self, backend: GitBackend, body: IO[bytes] | None
    ) -> tuple[int, Mapping[str, str], AsyncGenerator[bytes, None]]:
        """Run git: the status, headers and body of its response."""
        headers = {"content-type": self.content_type, "git-protocol": self.protocol or ""}
        return await backend(self.repository, self.path, self.method, self.query, headers, body)


class GitProcesses:
    """Slots for an application's git requests, in one event loop. A client that disconnects ends no push."""

    def __init__(
        self,
        wait_seconds: float = WAIT_SECONDS,
        git_seconds: float = GIT_SECONDS,
        body_seconds: float = BODY_SECONDS,
        push_body_seconds: float = PUSH_BODY_SECONDS,
    ) -> None:
        self.git_seconds = git_seconds
        self.body_seconds = body_seconds
        self.push_body_seconds = push_body_seconds
        self._wait_seconds = wait_seconds
        self.fetches = FairSlots(MAX_FETCHES, MAX_FETCHES_EACH, "answers {} fetches", wait_seconds)
        self.receiving = FairSlots(MAX_RECEIVING, MAX_RECEIVING_EACH, "receives {} pushes", wait_seconds)
        self._pushes = FairSlots(MAX_PUSHES, MAX_PUSHES_EACH, "works on {} pushes", wait_seconds)
        self._repositories: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def take_push_slot(self, repository: str, principal: str) -> AsyncIterator[None]:
        """Take the only slot to push to a repository: the updates of each push must be known.

        Raises BusyError.
        """
        lock = self._repositories.setdefault(repository, asyncio.Lock())
        busy = f"Another push to {repository} is in progress."
        async with self._pushes.take(principal), hold_lock(lock, self._wait_seconds, busy):
            yield

    def keep_running(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work as a task that no request can cancel."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class FetchResponse(Response):
    """A response that runs git. Git ends with it, even if the client disconnects.

    `spool_body` receives the body, or None. It is called with a slot, so slots limit the files, too.
    """

    def __init__(
        self,
        backend: GitBackend,
        processes: GitProcesses,
        principal: str,
        call: GitCall,
        spool_body: Callable[[], Awaitable[IO[bytes]]] | None,
    ) -> None:
        super().__init__()
        self._backend = backend
        self._processes = processes
        self._principal = principal
        self._call = call
        self._spool_body = spool_body

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._processes.fetches.take(self._principal):
            if self._spool_body is None:
                await self._answer(None, scope, receive, send)
                return
            advice = "Retry over a faster connection, or fetch fewer references at a time."
            async with limit_body_time(self._processes.body_seconds, advice):
                body = await self._spool_body()
            with body:
                await self._answer(body, scope, receive, send)

    async def _answer(self, body: IO[bytes] | None, scope: Scope, receive: Receive, send: Send) -> None:
        call = self._call
        try:
            async with asyncio.timeout(self._processes.git_seconds):
                status, headers, chunks = await call.run(self._backend, body)
                async with aclosing(chunks):
                    await StreamingResponse(chunks, status, headers)(scope, receive, send)
        except TimeoutError:
            _log.warning("%s %s: git stopped after %g s", call.repository, call.path, self._processes.git_seconds)
            raise
