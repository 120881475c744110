"""A push: a task that runs git, records the changed references and emits events."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from dockgate.delivery.contributors import NO_OBJECT
from dockgate.delivery.model import Execution
from dockgate.delivery.source_ports import RefUpdate
from dockgate.events.model import PushEvent
from dockgate.identity.model import Caller, Permission
from dockgate.services.web_services import Addresses, SourceServices
from dockgate.shared.errors import NotFoundError, UnavailableError, UsageError
from dockgate.shared.interfaces import override
from dockgate.store import Store
from dockgate.web.git_messages import END, can_show_messages, encode_packets, format_lines
from dockgate.web.git_process import GitCall, GitProcesses

# References that one push may change.
MAX_UPDATES = 5000
# Lines of one push that name the commits where a shallow clone ends.
MAX_SHALLOW = 5000
# Seconds that the response to a push waits for the executions that it starts, to list them.
START_SECONDS = 3.0
POLL_SECONDS = 0.05
# Branches of one push whose executions are listed.
MAX_EVENTS = 5
# Bytes of git's response to a push: progress, and one line per reference.
MAX_ANSWER = 8 << 20

_COMMAND = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40}) ([^\x00-\x20\x7f]{1,1000})(?:\x00[^\n]*)?\n?")
_SHALLOW = re.compile(rb"shallow [0-9a-f]{40}\n?")
_log = logging.getLogger(__name__)


async def read_requested_updates(body: IO[bytes]) -> tuple[RefUpdate, ...]:
    """The reference updates that a push requests (gitprotocol-pack(5), "Reference Update Request").

    Reads the file in a thread, and rewinds it. Raises UsageError for unknown commands, such as signed pushes, for too
    many, and for names that are not UTF-8.
    """
    return await run_in_threadpool(_read_updates, body)


def _read_updates(body: IO[bytes]) -> tuple[RefUpdate, ...]:
    updates = []
    shallow = 0
    try:
        while (line := _read_packet(body)) is not None:
            if match := _COMMAND.fullmatch(line):
                old, new, ref = map(_decode_text, match.groups())
                updates.append(RefUpdate(ref, old, new))
            elif _SHALLOW.fullmatch(line):
                shallow += 1
            else:
                raise UsageError("the push contains an unknown command", "Push with `git push`.")
            if len(updates) > MAX_UPDATES:
                raise UsageError(f"the push changes more than {MAX_UPDATES} references", "Push in parts.")
            if shallow > MAX_SHALLOW:
                raise UsageError(
                    f"the push comes from a shallow clone with more than {MAX_SHALLOW} ends",
                    "Fetch more history with `git fetch --unshallow`, then push again.",
                )
    finally:
        body.seek(0)
    return tuple(updates)


def _decode_text(part: bytes) -> str:
    """A part of a command. Names that are not UTF-8 would be written, and compared, in several ways."""
    try:
        return part.decode()
    except UnicodeDecodeError:
        raise UsageError(f"the name of the reference {part!r} is not UTF-8", "Rename the branch, then push.") from None


def _read_packet(body: IO[bytes]) -> bytes | None:
    """The next pkt-line (gitprotocol-common(5)), None for a flush packet."""
    length = body.read(4)
    if not re.fullmatch(b"[0-9a-fA-F]{4}", length):
        raise UsageError("the request body is not a git push", "Push with `git push`.")
    size = int(length, 16)
    if size == 0:
        return None
    line = body.read(size - 4) if size > 4 else b""
    if len(line) != size - 4:
        raise UsageError("the push is truncated", "Push again.")
    return line


@dataclass(eq=False)
class Push:
    """One push; run `run` as a task.

    `read_head` and `iterate_chunks` give git's response, for a connected client. `caller` pushes, and `entry` is the
    audit entry's id, or None.
    """

    addresses: Addresses
    store: Store
    sources: SourceServices
    processes: GitProcesses
    call: GitCall
    body: IO[bytes]
    requested_updates: Sequence[RefUpdate]
    caller: Caller
    entry: str | None

    def __post_init__(self) -> None:
        # The name and token of the pusher, unknown without a token.
        self._pusher = (self.caller.name, self.caller.token.id) if self.caller.token else (None, None)
        self._id = self.entry or uuid.uuid4().hex
        self._can_show_messages = can_show_messages(self.body)
        self._events: Sequence[PushEvent] = ()
        self._answer: asyncio.Queue[tuple[int, Mapping[str, str]] | bytes | BaseException | None] = asyncio.Queue()

    async def read_head(self) -> tuple[int, Mapping[str, str]]:
        """Status and headers. Raises the error that kept git from answering."""
        first = await self._answer.get()
        if isinstance(first, tuple):
            return first
        raise first if isinstance(first, BaseException) else UnavailableError("Git gave no response", "Push again.")

    async def iterate_chunks(self) -> AsyncIterator[bytes]:
        """The body of the response. It ends after all effects of the push are stored."""
        while (item := await self._answer.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, bytes) and item:
                yield item

    async def run(self, slot: AbstractAsyncContextManager[object]) -> None:
        """Run git with the body, then record the updates. Never raises: errors are part of the response.

        `slot` is the slot of the body. It is given back when git's turn comes: a body that waits for it counts.
        """
        repository = self.call.repository
        try:
            with self.body:
                async with AsyncExitStack() as turn:
                    async with slot:
                        await turn.enter_async_context(self.processes.take_push_slot(repository, self._pusher[0] or ""))
                    end = await self._receive()
            if self._can_show_messages and end == END:
                self._answer.put_nowait(await self._format_messages())
            self._answer.put_nowait(end)
        except Exception as error:
            _log.warning("push to %s failed: %s: %s", repository, type(error).__name__, error)
            self._answer.put_nowait(error)
        except BaseException:
            self._answer.put_nowait(UnavailableError("the server is stopping", "Push again when it is up."))
            raise
        finally:
            self._answer.put_nowait(None)

    async def _receive(self) -> bytes:
        """Run the push, record it, and return the end of git's response, which reports success."""
        await self._describe("requested:", self.requested_updates)
        record, (by, token) = self.sources.pushes.record_requested, self._pusher
        await run_in_threadpool(record, self._id, self.call.repository, by, token, self.requested_updates)
        former_references = await self._read_references()
        try:
            async with asyncio.timeout(self.processes.git_seconds):
                return await self._run_git()
        except TimeoutError:
            raise UnavailableError(
                f"Git did not finish within {self.processes.git_seconds:g} s", "Push in smaller parts."
            ) from None
        finally:
            # Even after an error or a disconnect, changed references are recorded and events stored.
            await self._record(former_references)

    async def _record(self, former_references: Mapping[str, str]) -> None:
        updates = tuple(self.requested_updates)  # possible changes, in case git cannot list the actual ones
        try:
            updates = _compare_references(former_references, await self._read_references())
            await self._describe("", updates)
        finally:
            finish, (by, token) = self.sources.pushes.finish_push, self._pusher
            self._events = await run_in_threadpool(finish, self.call.repository, by, updates, self._id, token)

    async def _format_messages(self) -> bytes:
        """The messages of the push, as packets. Errors are ignored, because the push is already done."""
        try:
            return encode_packets(list(format_lines(await self._list_started_executions(), self.addresses.console_url)))
        except Exception as error:
            _log.warning("cannot send messages to the client of a push to %s: %s", self.call.repository, error)
            return b""

    async def _list_started_executions(self) -> list[tuple[PushEvent, Sequence[Execution] | None]]:
        """The executions of each event; None for an event that is not handled within START_SECONDS.

        Executions that the caller may not see are left out, and so is an event that has no other ones.
        """
        end = time.monotonic() + START_SECONDS
        handled_events: list[tuple[PushEvent, Sequence[Execution] | None]] = []
        for event in self._events[:MAX_EVENTS]:
            is_handled = await run_in_threadpool(_is_handled, self.store, event.id)
            while not is_handled and time.monotonic() < end:
                await asyncio.sleep(POLL_SECONDS)
                is_handled = await run_in_threadpool(_is_handled, self.store, event.id)
            executions = await run_in_threadpool(self.store.executions.list_caused_by, event.id)
            visible = [
                execution for execution in executions if self.caller.can(Permission.READ, pipeline=execution.pipeline)
            ]
            if visible or not executions:
                handled_events.append((event, visible if is_handled or visible else None))
        return handled_events

    async def _run_git(self) -> bytes:
        """Pass on git's response, except its last bytes, which report success and are returned for later."""
        status, headers, chunks = await self.call.run(self.sources.backend, self.body)
        async with aclosing(chunks):
            self._can_show_messages &= not any(name.lower() == "content-length" for name in headers)
            self._answer.put_nowait((status, headers))
            size, last = 0, b""
            async for chunk in chunks:
                size += len(chunk)
                if size > MAX_ANSWER:
                    raise UnavailableError(
                        f"Git's response to the push exceeds {MAX_ANSWER} bytes", "Push fewer references at a time."
                    )
                last += chunk
                self._answer.put_nowait(last[: -len(END)])
                last = last[-len(END) :]
            return last

    async def _read_references(self) -> Mapping[str, str]:
        return await run_in_threadpool(self.sources.host.list_references, self.call.repository)

    async def _describe(self, title: str, updates: Sequence[RefUpdate]) -> None:
        lines = [f"{update.ref} {update.old} -> {update.new}" for update in updates] or ["no reference"]
        text = "\n".join([title, *lines] if title else lines)
        if self.entry:
            await run_in_threadpool(self.store.audit.describe, self.entry, text)


def _is_handled(store: Store, event_id: str) -> bool:
    """Return whether the event is handled. Handled events are deleted after a while."""
    try:
        return bool(store.push_events.get(event_id).handled_at)
    except NotFoundError:
        return True


def _compare_references(former_references: Mapping[str, str], references: Mapping[str, str]) -> tuple[RefUpdate, ...]:
    return tuple(
        RefUpdate(ref, former_references.get(ref, NO_OBJECT), references.get(ref, NO_OBJECT))
        for ref in sorted({*former_references, *references})
        if former_references.get(ref) != references.get(ref)
    )


class PushResponse(Response):
    """The response to a push. A disconnect ends the response, never the push."""

    def __init__(self, push: Push) -> None:
        super().__init__()
        self._push = push

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers = await self._push.read_head()
        await StreamingResponse(self._push.iterate_chunks(), status, headers)(scope, receive, send)
