"""Live pages: which are refreshed by a new event, that streams are silent while nothing happens, and that they end."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from dockgate.events.model import StoredEvent
from dockgate.events.subject import EventSubject
from dockgate.identity.model import Caller, Permission, Principal, ProjectRole, RepositoryScope, Role, Token
from dockgate.shared.errors import BusyError, StoreError
from dockgate.web.console import live
from dockgate.web.console.live import LiveChanges
from dockgate.web.threads import Threads

EVERYWHERE = Caller(Principal("ann", (Role.VIEWER,)))
AT = "2026-11-28T12:00:00.000Z"


class Log:
    """An event log in memory."""

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self.reads = 0
        self.is_down = False

    def add(self, subject: str, repository: str | None = None) -> None:
        seq = len(self.events) + 1
        self.events.append(
            StoredEvent(seq, f"e{seq}", "dockgate", "x", EventSubject.parse(subject), AT, repository, None, {})
        )

    def read_newest(self) -> int:
        if self.is_down:
            raise StoreError("the database does not answer")
        return len(self.events)

    def read(self, after: int, limit: int) -> Sequence[StoredEvent]:
        self.reads += 1
        return self.events[after : after + limit]


class Page:
    """An open page that counts its refreshes."""

    def __init__(
        self,
        changes: LiveChanges,
        threads: Threads,
        *subjects: str,
        caller: Caller = EVERYWHERE,
        since: str | None = None,
    ) -> None:
        self.refreshes = 0
        self.task = asyncio.create_task(
            self._read(changes.stream(caller, tuple(map(EventSubject.parse, subjects)), threads, since))
        )

    async def _read(self, stream: AsyncIterator[bytes]) -> None:
        async for part in stream:
            self.refreshes += part.startswith(b"event: refresh")

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def _wait() -> None:
    await asyncio.sleep(live.READ_SECONDS * 3)


def test_a_page_is_refreshed_by_its_own_subjects_only() -> None:
    async def run() -> None:
        log, threads = Log(), Threads()
        log.add("execution web-1")
        changes = LiveChanges(log.read_newest, log.read)
        pages = (
            Page(changes, threads),
            Page(changes, threads, "execution"),
            Page(changes, threads, "execution web-1"),
            Page(changes, threads, "execution web-10", "service"),
        )
        await _wait()
        assert [page.refreshes for page in pages] == [0, 0, 0, 0]
        log.add("execution web-10")
        await _wait()
        assert [page.refreshes for page in pages] == [1, 1, 0, 1]
        assert log.reads == 1
        for page in pages:
            await page.close()

    asyncio.run(run())


def test_events_during_the_pause_after_a_refresh_cause_one_more() -> None:
    async def run() -> None:
        log, threads = Log(), Threads()
        page = Page(LiveChanges(log.read_newest, log.read, pause_seconds=live.READ_SECONDS * 4), threads)
        await _wait()
        log.add("service web")
        while not page.refreshes:
            await asyncio.sleep(0.01)
        for _ in range(3):
            log.add("service web")
            await asyncio.sleep(live.READ_SECONDS)
        while page.refreshes < 2:
            await asyncio.sleep(0.01)
        await _wait()
        assert page.refreshes <= 3  # a busy machine may be late with the last change
        await page.close()

    asyncio.run(asyncio.wait_for(run(), 60))


@pytest.mark.parametrize(
    ("since", "expected"), [(AT, 1), ("2026-11-28T12:00:00.001Z", 0), (None, 0)], ids=["missed", "seen", "unknown"]
)
def test_an_event_between_a_page_and_its_stream_refreshes_the_page(since: str | None, expected: int) -> None:
    async def run() -> None:
        log, threads = Log(), Threads()
        log.add("execution web-1")
        changes = LiveChanges(log.read_newest, log.read)
        shown_page = Page(changes, threads, "execution", since=since)
        unrelated_page = Page(changes, threads, "service", since=since)
        await _wait()
        assert (shown_page.refreshes, unrelated_page.refreshes) == (expected, 0)
        for page in (shown_page, unrelated_page):
            await page.close()

    asyncio.run(run())


def test_an_event_that_comes_while_a_stream_begins_is_not_missed() -> None:
    async def run() -> None:
        log, threads = Log(), Threads()

        def read(after: int, limit: int) -> Sequence[StoredEvent]:
            if not log.events:
                log.add("execution web-1")  # after the end of the log was looked up
                return []
            return log.read(after, limit)

        page = Page(LiveChanges(log.read_newest, read), threads, since=AT)
        await _wait()
        assert page.refreshes == 1
        await page.close()

    asyncio.run(run())


LIMITED = Principal("ben", (), project_roles=(ProjectRole(Role.VIEWER, "team/*"),))


@pytest.mark.parametrize(
    "caller",
    [
        Caller(LIMITED, projects={Permission.READ: RepositoryScope(("team/*",))}),
        Caller(EVERYWHERE.principal, Token("t", "ann", "", AT, AT, repositories=("team/*",))),
    ],
    ids=["roles", "token"],
)
def test_a_limited_caller_gets_events_of_own_repositories_only(caller: Caller) -> None:
    async def run() -> None:
        log, threads = Log(), Threads()
        changes = LiveChanges(log.read_newest, log.read)
        page = Page(changes, threads, caller=caller)
        await _wait()
        for repository in ("other/app", None):
            log.add("image x", repository)
        await _wait()
        assert page.refreshes == 0
        log.add("image x", "team/app")
        await _wait()
        assert page.refreshes == 1
        await page.close()

    asyncio.run(run())


def test_nothing_is_read_while_no_page_is_open() -> None:
    async def run() -> None:
        log, threads = Log(), Threads()
        changes = LiveChanges(log.read_newest, log.read)
        page = Page(changes, threads)
        await _wait()
        await page.close()
        await _wait()
        log.add("service web")
        await _wait()
        assert log.reads == 0
        later = Page(changes, threads)
        await _wait()
        log.add("service web")
        await _wait()
        assert later.refreshes == 1
        await later.close()

    asyncio.run(run())


def test_a_database_that_fails_does_not_end_the_reader() -> None:
    async def run() -> None:
        log, threads = Log(), Threads()
        changes = LiveChanges(log.read_newest, log.read)
        page = Page(changes, threads)
        await _wait()
        log.is_down = True
        await _wait()
        log.is_down = False
        log.add("service web")
        await _wait()
        assert page.refreshes == 1
        await page.close()

    asyncio.run(run())


def test_there_is_a_limit_of_open_pages() -> None:
    async def run() -> None:
        log, threads = Log(), Threads()
        changes = LiveChanges(log.read_newest, log.read)
        people = [Caller(Principal(name, (Role.VIEWER,))) for name in ("ada", "ben", "eve")]
        limit = live.MAX_STREAMS_EACH
        streams = [changes.stream(who, (), threads) for who in people[:2] for _ in range(limit)]
        streams += [changes.stream(people[2], (), threads) for _ in range(live.MAX_STREAMS - 2 * limit)]
        for stream in streams[:limit]:
            await anext(stream)
        with pytest.raises(BusyError, match=f"more than {limit} live pages of yours"):
            changes.stream(people[0], (), threads)
        for stream in streams[limit:]:
            await anext(stream)
        with pytest.raises(BusyError, match=f"more than {live.MAX_STREAMS} live pages"):
            changes.stream(people[2], (), threads)
        for stream in streams:
            await stream.aclose()

    asyncio.run(run())
