"""Groups of writes that are certain to meet: all of them wait for one that is under way."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from tests.parts import wait_until

from dockgate.store.engine import Database


@contextmanager
def hold_groups(database: Database, pool: ThreadPoolExecutor) -> Iterator[None]:
    """Writes that come inside wait for the group of one that is under way until the end."""
    has_begun, may_end = threading.Event(), threading.Event()

    def wait(_: Connection) -> None:
        has_begun.set()
        may_end.wait()

    first_write = pool.submit(database.group_commit, wait)
    wait_until(lambda: has_begun.is_set() or first_write.done(), every=0.001)
    try:
        yield
    finally:
        may_end.set()
        first_write.result()


def start_group(
    database: Database, pool: ThreadPoolExecutor, writes: Sequence[Callable[[], Any]]
) -> "list[Future[Any]]":
    """Let the writes begin as one group, in this order."""
    futures: list[Future[Any]] = []
    with hold_groups(database, pool):
        for number, write in enumerate(writes, 1):
            futures.append(pool.submit(write))
            wait_until(lambda number=number: database.count_waiting_writes() == number, every=0.001)  # type: ignore[misc]
    return futures


def run_group(database: Database, writes: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run the writes as one group. Return what became of each: its value or its error."""
    with ThreadPoolExecutor(len(writes) + 1) as pool:
        futures = start_group(database, pool, writes)
        return [future.exception() or future.result() for future in futures]
