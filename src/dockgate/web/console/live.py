"""Live pages: a stream for each open page says when something that it shows has changed.

The page then asks again. A stream carries no content, so that one reader of the event log serves everybody. It costs
nothing while nothing happens. Callers who are limited to some repositories get events on these only. Streams end
after a while, and browsers connect again: permissions are checked then.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from dockgate.events.model import StoredEvent
from dockgate.events.subject import EventSubject
from dockgate.identity.model import Caller
from dockgate.shared.errors import BusyError, StoreError
from dockgate.web.threads import Threads

# How often the event log is read while pages are open, and how long a stream lasts, in seconds.
READ_SECONDS = 0.5
STREAM_SECONDS = 50.0
# The pause after a refresh, in which a page asks again and replaces its content. The browser must not pause instead:
# what comes while the content is replaced would be lost.
PAUSE_SECONDS = 2.0
# How often a stream says that it is alive: proxies close silent connections after 30 seconds or more, and a page that
# receives nothing for 40 seconds says that it is not live (console.js).
ALIVE_SECONDS = 15.0
# Open pages: in total, per principal.
MAX_STREAMS, MAX_STREAMS_EACH = 500, 200
# Events that are read at once. With more, every page is refreshed.
MAX_EVENTS = 500
# How many of the latest events are searched for those between a page and its stream.
MISSED_EVENTS = 200

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Stream:
    """A person's open page. `subjects` are those, or the kinds of those, that it shows; none: everything."""

    caller: Caller
    subjects: tuple[EventSubject, ...]
    is_changed: asyncio.Event = field(default_factory=asyncio.Event)

    def is_shown(self, event: StoredEvent) -> bool:
        is_subject = not self.subjects or any(subject.is_match(event.subject) for subject in self.subjects)
        return is_subject and self.caller.can_reach(repository=event.repository, pipeline=event.pipeline)


class LiveChanges:
    """Messages about new events to open pages. Use in one event loop only.

    `newest_seq` and `read` are `EventLog.read_newest_seq` and `EventLog.read`.
    """

    def __init__(
        self,
        newest_seq: Callable[[], int],
        read: Callable[[int, int], Sequence[StoredEvent]],
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._newest_seq = newest_seq
        self._read = read
        self._pause_seconds = pause_seconds
        self._streams: set[_Stream] = set()
        self._reader: asyncio.Task[None] | None = None

    def stream(
        self, caller: Caller, subjects: tuple[EventSubject, ...], threads: Threads, since: str | None = None
    ) -> AsyncGenerator[bytes]:
        """A server-sent event named "refresh" for each change of these subjects, for a while.

        Only changes that `caller` may see count. Changes within the pause after one are followed by one more. `since`
        is the time of the page: what happened between that and its stream refreshes it at once. BusyError when too many
        pages are open: at once, before an answer has begun.
        """
        own_stream_count = sum(stream.caller.name == caller.name for stream in self._streams)
        if own_stream_count >= MAX_STREAMS_EACH or len(self._streams) >= MAX_STREAMS:
            limit = (
                f"{MAX_STREAMS_EACH} live pages of yours"
                if own_stream_count >= MAX_STREAMS_EACH
                else f"{MAX_STREAMS} live pages"
            )
            raise BusyError(f"more than {limit} are open", "Close some pages, or reload this one now and then.")
        return self._iterate_refreshes(caller, subjects, threads, since)

    async def _iterate_refreshes(
        self, caller: Caller, subjects: tuple[EventSubject, ...], threads: Threads, since: str | None
    ) -> AsyncGenerator[bytes]:
        stream = _Stream(caller, subjects)
        self._streams.add(stream)
        end = time.monotonic() + STREAM_SECONDS
        try:
            await self._begin(stream, threads, since)
            yield b"retry: 2000\n\n"
            while (remaining := end - time.monotonic()) > 0:
                try:
                    async with asyncio.timeout(min(remaining, ALIVE_SECONDS)):
                        await stream.is_changed.wait()
                except TimeoutError:
                    yield b"event: alive\ndata: \n\n"
                    continue
                stream.is_changed.clear()
                yield b"event: refresh\ndata: \n\n"
                await asyncio.sleep(self._pause_seconds)
        finally:
            self._streams.discard(stream)

    async def _begin(self, stream: _Stream, threads: Threads, since: str | None) -> None:
        """Have the event log read, and refresh the page if it missed an event before. No event is between the two."""
        try:
            last = await threads.run_prompt(self._newest_seq)
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._follow(threads, last))
            if since is not None:
                events = await threads.run_prompt(self._read, max(last - MISSED_EVENTS, 0), MISSED_EVENTS)
                if any(event.at >= since and stream.is_shown(event) for event in events):
                    stream.is_changed.set()
        except StoreError as error:
            _log.warning("the event log cannot be read: a live page waits for its next stream: %s", error)

    async def _follow(self, threads: Threads, last_seq: int) -> None:
        """Read the events after the one with this number, and those that come, until no page is open."""
        while self._streams:
            await asyncio.sleep(READ_SECONDS)
            try:
                newest_seq = await threads.run_prompt(self._newest_seq)
                events = await threads.run_prompt(self._read, last_seq, MAX_EVENTS) if newest_seq != last_seq else []
            except StoreError as error:
                _log.warning("the event log cannot be read: live pages wait: %s", error)
                continue
            if newest_seq == last_seq:
                continue
            is_too_much = len(events) == MAX_EVENTS
            last_seq = newest_seq if is_too_much else events[-1].seq if events else newest_seq
            for stream in self._streams:
                if is_too_much or any(stream.is_shown(event) for event in events):
                    stream.is_changed.set()
