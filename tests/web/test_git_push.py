"""The commands of a push, as the server reads them before git does."""

import asyncio
import io
import threading
from contextlib import AsyncExitStack
from typing import cast

import pytest

from dockgate.identity.model import Caller, Principal, Role
from dockgate.services.web_services import Addresses, SourceServices
from dockgate.shared.errors import UsageError
from dockgate.store import Store
from dockgate.web.git_process import MAX_RECEIVING_EACH, GitCall, GitProcesses
from dockgate.web.git_push import MAX_SHALLOW, MAX_UPDATES, Push, read_requested_updates

SHALLOW = b"0034shallow " + b"a" * 40

ADA = Caller(Principal("ada", (Role.DEVELOPER,)))


def update(number: int) -> bytes:
    line = b"%040d %s refs/heads/b%d" % (0, b"b" * 40, number)
    return b"%04x%s" % (len(line) + 4, line)


def test_a_push_from_a_shallow_clone_changes_its_references_only() -> None:
    body = io.BytesIO(SHALLOW * MAX_SHALLOW + update(1) + update(2) + b"0000PACK")
    assert [change.ref for change in asyncio.run(read_requested_updates(body))] == ["refs/heads/b1", "refs/heads/b2"]
    assert body.tell() == 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (SHALLOW * (MAX_SHALLOW + 1), f"shallow clone with more than {MAX_SHALLOW} ends"),
        (b"".join(map(update, range(MAX_UPDATES + 1))), f"more than {MAX_UPDATES} references"),
    ],
    ids=["shallow", "updates"],
)
def test_a_push_of_too_many_lines_is_refused_before_the_rest_is_read(lines: bytes, message: str) -> None:
    body = io.BytesIO(lines + b"nothing that git sends")
    with pytest.raises(UsageError, match=message):
        asyncio.run(read_requested_updates(body))
    assert body.tell() == 0


def test_the_commands_of_a_push_are_read_in_another_thread_than_the_event_loop() -> None:
    readers: set[int] = set()

    class Body(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            readers.add(threading.get_ident())
            return super().read(size)

    assert asyncio.run(read_requested_updates(Body(update(1) + b"0000")))
    assert readers
    assert threading.get_ident() not in readers


def test_a_reference_whose_name_is_not_utf_8_is_refused() -> None:
    body = io.BytesIO(update(1).replace(b"heads/b1", b"heads/\xff1") + b"0000")
    body = io.BytesIO(b"%04x" % len(body.getvalue()[:-4]) + body.getvalue()[4:])
    with pytest.raises(UsageError, match=r"heads/\\xff1' is not UTF-8"):
        asyncio.run(read_requested_updates(body))


def test_a_push_that_waits_for_its_turn_keeps_the_slot_of_its_body() -> None:
    async def play() -> None:
        processes = GitProcesses()
        services = cast(Addresses, None), cast(Store, None), cast(SourceServices, None)
        call = GitCall("shop", "/git-receive-pack", "POST", "", "", "")
        pushes: list[asyncio.Task[None]] = []
        async with processes.take_push_slot("shop", "grace"):
            for _ in range(MAX_RECEIVING_EACH):
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(processes.receiving.take("ada"))
                    push = Push(*services, processes, call, io.BytesIO(), (), ADA, "")
                    pushes.append(asyncio.create_task(push.run(stack.pop_all())))
            next_body = asyncio.create_task(AsyncExitStack().enter_async_context(processes.receiving.take("ada")))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not next_body.done()
        await next_body
        await asyncio.gather(*pushes)

    asyncio.run(play())
