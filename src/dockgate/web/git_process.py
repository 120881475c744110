"""Git's processes as the server runs them: how many at a time, for how long, and answers to fetches."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from dockgate.services.server import Server
from dockgate.web.threads import Turns, turn

# Processes that answer fetches at a time: of everybody, of one principal.
MAX_FETCHES, MAX_FETCHES_EACH = 16, 8
# Pushes whose bodies are received at a time: of everybody, of one principal.
MAX_RECEIVING, MAX_RECEIVING_EACH = 8, 2
# Pushes that git works on at a time, each with limits of memory (`sources.git_run`): of everybody, of one
# principal.
MAX_PUSHES, MAX_PUSHES_EACH = 8, 4
# How long a request waits for its turn.
WAIT_SECONDS = 60.0
# How long one git process may run.
GIT_SECONDS = 1800.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GitCall:
    """A call of `git http-backend`, made by a route; nothing in it is taken from a request without a check."""

    repository: str
    path: str
    method: str
    query: str
    content_type: str
    protocol: str

    def headers(self) -> dict[str, str]:
        return {"content-type": self.content_type, "git-protocol": self.protocol}


class GitProcesses:
    """Turns of an application's git requests. Used in one event loop.

    Work on a push is a task of its own: it ends whatever becomes of the connection that it came by.
    """

    def __init__(self, wait_seconds: float = WAIT_SECONDS, git_seconds: float = GIT_SECONDS) -> None:
        self.git_seconds = git_seconds
        self._wait_seconds = wait_seconds
        self._fetches = Turns(MAX_FETCHES, MAX_FETCHES_EACH, "answers {} fetches", wait_seconds)
        self._receiving = Turns(MAX_RECEIVING, MAX_RECEIVING_EACH, "receives {} pushes", wait_seconds)
        self._pushes = Turns(MAX_PUSHES, MAX_PUSHES_EACH, "works on {} pushes", wait_seconds)
        self._repositories: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def fetching(self, principal: str) -> AbstractAsyncContextManager[None]:
        """A turn to answer a fetch of this principal, who cannot take all turns. Raises BusyError."""
        return self._fetches.of(principal)

    def receiving(self, principal: str) -> AbstractAsyncContextManager[None]:
        """A turn to receive the body of a push of this principal, who cannot take all turns. Raises BusyError."""
        return self._receiving.of(principal)

    @asynccontextmanager
    async def pushing(self, repository: str, principal: str) -> AsyncIterator[None]:
        """The turn to push into a repository: one push at a time, so that each has its own reference updates. No
        principal can take the turns of all repositories. Raises BusyError."""
        lock = self._repositories.setdefault(repository, asyncio.Lock())
        busy = f"another push into {repository} is under way"
        async with self._pushes.of(principal), turn(lock, self._wait_seconds, busy):
            yield

    def keep_running(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it as a task that no request can cancel."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class FetchResponse(Response):
    """Runs git when the answer is sent, and ends it when the answer ends, also by a client that goes away."""

    def __init__(
        self, server: Server, processes: GitProcesses, principal: str, call: GitCall, body: IO[bytes] | None
    ) -> None:
        super().__init__()
        self._server = server
        self._processes = processes
        self._principal = principal
        self._call = call
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self._call
        try:
            async with self._processes.fetching(self._principal), asyncio.timeout(self._processes.git_seconds):
                status, headers, chunks = await self._server.git_backend(
                    call.repository, call.path, call.method, call.query, call.headers(), self._body
                )
                async with aclosing(chunks):
                    await StreamingResponse(chunks, status, headers)(scope, receive, send)
        except TimeoutError:
            _log.warning("%s %s: git was ended after %g s", call.repository, call.path, self._processes.git_seconds)
            raise
        finally:
            if self._body is not None:
                self._body.close()
