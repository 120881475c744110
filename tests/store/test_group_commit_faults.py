"""Group commits while locks, connections, disks and threads are in their way."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, text
from tests.parts import wait_until
from tests.postgres import get_cluster
from tests.store.factories import FACTORIES, NOW, make_approval, open_store_of_kind
from tests.store.group_writes import hold_groups, run_group, start_group

from dockgate.delivery.model import Answer, ApprovalId, ApprovalState
from dockgate.events.model import PushEvent, PushKind
from dockgate.shared.errors import StoreError
from dockgate.store import Store
from dockgate.store.engine import Database
from dockgate.store.group_commit import RETRIES
from dockgate.store.images.images import Images
from dockgate.store.records import ScanState
from dockgate.store.schema.delivery import approvals

ANSWER = Answer(ApprovalState.APPROVED, "fine")
IDS = [ApprovalId(f"external/{number}") for number in range(3)]


@contextmanager
def open_with_table(kind: str, folder: Path) -> Iterator[Store]:
    with open_store_of_kind(kind, folder) as store:
        with store.database.write() as connection:
            connection.execute(text("CREATE TABLE written (number INTEGER PRIMARY KEY)"))
        try:
            yield store
        finally:
            if kind == "postgres":  # the database is used again
                with store.database.write() as connection:
                    connection.execute(text("DROP TABLE written"))


@pytest.fixture(params=FACTORIES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with open_with_table(request.param, tmp_path) as store:
        yield store.database


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Database]:
    with open_with_table("postgres", tmp_path) as store:
        yield store.database


def insert(number: int, connection: Connection) -> int:
    connection.execute(text("INSERT INTO written VALUES (:number)"), {"number": number})
    return number


def run_writes(database: Database, *writes: Callable[[Connection], Any]) -> list[Any]:
    """Run the writes as one group. Return what became of each: its value or its error."""
    return run_group(database, [partial(database.group_commit, write) for write in writes])


def list_numbers(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.scalars(text("SELECT number FROM written ORDER BY number")))


def count_blocked(database: Database) -> int:
    """How many transactions of this database's connections wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = :process AND wait_event_type = 'Lock'"
    with database.read() as connection:
        return int(connection.scalar(text(waiting), {"process": database.process}) or 0)


@pytest.mark.parametrize("is_group", [False, True])
def test_a_write_that_waits_for_a_lock_lets_others_pass(tmp_path: Path, is_group: bool) -> None:
    with open_store_of_kind("postgres", tmp_path) as store, ThreadPoolExecutor(len(IDS) + 1) as pool:
        for approval_id in IDS:
            store.approvals.add(make_approval(approval_id))
        settle = store.approvals.settle
        with store.database.write() as connection:
            connection.execute(select(approvals.c.id).where(approvals.c.id == IDS[0]).with_for_update())
            if is_group:
                writes = [partial(settle, approval_id, ANSWER, NOW) for approval_id in IDS]
                blocked_write, *other_writes = start_group(store.database, pool, writes)
            else:
                blocked_write = pool.submit(settle, IDS[0], ANSWER, NOW)
                wait_until(lambda: count_blocked(store.database))
                other_writes = [pool.submit(settle, approval_id, ANSWER, NOW) for approval_id in IDS[1:]]
            wait_until(lambda: all(future.done() for future in other_writes), every=0.01)
            assert not blocked_write.done()
        assert [future.result() for future in (blocked_write, *other_writes)] == [True] * len(IDS)


@pytest.mark.parametrize("code", ["40001", "40P01"])
@pytest.mark.parametrize("size", [1, 3])
def test_a_write_is_repeated_after_conflicts_and_others_are_written_once(
    postgres: Database, code: str, size: int
) -> None:
    """A serialization failure or a deadlock, as often as a write is repeated; the first one is that of the group."""
    remaining_conflicts = [RETRIES]

    def fail_sometimes(connection: Connection) -> int:
        insert(0, connection)
        if remaining_conflicts[0]:
            remaining_conflicts[0] -= 1
            connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '{code}'; END $$"))
        return 0

    other_writes = [partial(insert, number) for number in range(1, size)]
    assert run_writes(postgres, fail_sometimes, *other_writes) == list(range(size))
    assert list_numbers(postgres) == list(range(size))


def test_a_write_with_a_conflict_each_time_fails_alone(postgres: Database) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$"))

    outcomes = run_writes(postgres, partial(insert, 1), fail, partial(insert, 2))
    assert [type(outcome) for outcome in outcomes] == [int, StoreError, int]
    assert list_numbers(postgres) == [1, 2]


def test_two_groups_that_would_deadlock_are_both_written(postgres: Database) -> None:
    """Each has one number, and then waits for that of the other: both groups give way, and their writes run alone."""
    with closing(Database.from_url(postgres.url)) as peer:
        have_begun = threading.Barrier(2)
        groups: list[list[Callable[[Connection], Any]]] = []
        for numbers in ((1, 2), (2, 1)):
            is_first = [True]

            def insert_and_wait(
                connection: Connection, is_first: list[bool] = is_first, number: int = numbers[0]
            ) -> None:
                connection.execute(text("INSERT INTO written VALUES (:n) ON CONFLICT DO NOTHING"), {"n": number})
                if is_first.pop() if is_first else False:
                    have_begun.wait()

            def insert_second(connection: Connection, number: int = numbers[1]) -> None:
                connection.execute(text("INSERT INTO written VALUES (:n) ON CONFLICT DO NOTHING"), {"n": number})

            groups.append([insert_and_wait, insert_second])
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda database, group: run_writes(database, *group), (postgres, peer), groups))
    assert outcomes == [[None, None]] * 2
    assert list_numbers(postgres) == [1, 2]


def test_an_ended_connection_fails_the_whole_group_and_no_later_write(postgres: Database) -> None:
    def end_connection(connection: Connection) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    errors = run_writes(postgres, partial(insert, 1), end_connection, partial(insert, 2))
    assert [type(error) for error in errors] == [StoreError] * 3
    assert len(set(map(id, errors))) == 3, "a caller may add notes to its own"
    assert all(error.advice for error in errors)
    assert list_numbers(postgres) == []
    assert postgres.group_commit(partial(insert, 1)) == 1


class LossyProxy:
    """A way to Postgres. The answer to one of the next commits is lost: the connection ends instead."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        # How many commits are left until the one whose answer is lost; 0 for none.
        self.commits_until_loss = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        for end in (self._listener, *self._sockets):
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            self._sockets += [client, server]
            is_lossy = threading.Event()
            threading.Thread(target=self._send_questions, args=(client, server, is_lossy), daemon=True).start()
            threading.Thread(target=self._send_answers, args=(server, client, is_lossy), daemon=True).start()

    def _send_questions(self, client: socket.socket, server: socket.socket, is_lossy: threading.Event) -> None:
        with suppress(OSError):  # an end that is closed
            while data := client.recv(65536):
                if b"COMMIT\0" in data and self.commits_until_loss:
                    self.commits_until_loss -= 1
                    if not self.commits_until_loss:
                        is_lossy.set()
                server.sendall(data)
        server.close()

    def _send_answers(self, server: socket.socket, client: socket.socket, is_lossy: threading.Event) -> None:
        with suppress(OSError):  # an end that is closed
            while data := server.recv(65536):
                if is_lossy.is_set():
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)


def test_a_group_whose_commit_is_not_answered_is_stored_once_when_its_writes_are_repeated(tmp_path: Path) -> None:
    pushes = [
        PushEvent(f"push-{number}", PushKind.IMAGE_PUSH, {"repository": "web", "tag": "1", "digest": digest}, NOW)
        for number, digest in enumerate(("sha256:a", "sha256:b", "sha256:c"))
    ]
    with open_store_of_kind("postgres", tmp_path) as store, closing(LossyProxy(get_cluster().port)) as proxy:
        url = store.database.url.replace(f":{get_cluster().port}/", f":{proxy.port}/")
        with closing(Database.from_url(url)) as database:
            images = Images(database)
            proxy.commits_until_loss = 2  # the first is of the write that the group waits for
            errors = run_group(database, [partial(images.record_push, push) for push in pushes])
            assert [type(error) for error in errors] == [StoreError] * 3
            assert [images.record_push(push) for push in pushes] == [None] * 3
        assert [scan.state for scan in store.images.list_requested_scans()] == [ScanState.REQUESTED] * 3
        assert len(store.event_log.read()) == 5, "three pushes, two moves of the tag"


def test_a_full_disk_fails_the_whole_group_and_no_later_write(tmp_path: Path) -> None:
    with open_with_table("sqlite", tmp_path) as store:
        database = store.database

        def fill_disk(connection: Connection) -> None:
            pages = connection.scalar(text("PRAGMA page_count"))
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))
            try:
                connection.execute(text("CREATE TABLE large AS SELECT zeroblob(1000000) AS content"))
            finally:
                connection.connection.cursor().execute("PRAGMA max_page_count = 1000000000")

        errors = run_writes(database, partial(insert, 1), fill_disk, partial(insert, 2))
        assert [type(error) for error in errors] == [StoreError] * 3
        assert all("full" in str(error) for error in errors)
        assert list_numbers(database) == []
        assert run_writes(database, partial(insert, 1), partial(insert, 2)) == [1, 2]


def test_writes_that_wait_when_the_database_is_closed_end(tmp_path: Path) -> None:
    for kind in FACTORIES:
        with open_with_table(kind, tmp_path / kind) as store, ThreadPoolExecutor(4) as pool:
            database = store.database
            with hold_groups(database, pool):
                futures = [pool.submit(database.group_commit, partial(insert, number)) for number in range(3)]
                wait_until(lambda database=database: database.count_waiting_writes() == 3)  # type: ignore[misc]
                database.close()
            assert [future.result() for future in futures] == [0, 1, 2]
            assert list_numbers(database) == [0, 1, 2]


class _Interruption(BaseException):
    """What a signal raises in the main thread."""


@contextmanager
def stop_main_thread(condition: Callable[[], object]) -> Iterator[None]:
    """Interrupt the main thread by a signal as soon as the condition is true.

    A signal that comes just before the thread begins to wait does not end that wait. So signals follow until one does.
    """
    is_interrupted = False

    def raise_interruption(*_: object) -> None:
        nonlocal is_interrupted
        if not is_interrupted:
            is_interrupted = True
            raise _Interruption

    def send() -> None:
        wait_until(condition, every=0.001)
        while not is_interrupted:
            os.kill(os.getpid(), signal.SIGUSR2)
            time.sleep(0.01)

    handler = signal.signal(signal.SIGUSR2, raise_interruption)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        signal.signal(signal.SIGUSR2, handler)


def test_an_interrupted_write_that_waits_is_not_written(database: Database) -> None:
    with ThreadPoolExecutor(2) as pool:
        with hold_groups(database, pool):
            other_write = pool.submit(database.group_commit, partial(insert, 1))
            wait_until(lambda: database.count_waiting_writes() == 1)
            with pytest.raises(_Interruption), stop_main_thread(lambda: database.count_waiting_writes() == 2):
                database.group_commit(partial(insert, 2))
            assert database.count_waiting_writes() == 1
        assert other_write.result() == 1
    assert list_numbers(database) == [1]


def test_an_interruption_of_the_thread_that_writes_a_group_leaves_the_others(database: Database) -> None:
    """The thread of the first write is interrupted while the group runs.

    Which of the two threads runs the group is the system's choice. If it is the other one, both writes are kept.
    """
    has_begun, may_go_on = threading.Event(), threading.Event()
    leaders: list[threading.Thread] = []

    def insert_and_wait(connection: Connection) -> int:
        insert(2, connection)
        leaders.append(threading.current_thread())
        has_begun.set()
        may_go_on.wait()
        return 2

    def start_write() -> "Future[int]":
        wait_until(lambda: database.count_waiting_writes() == 1, every=0.001)
        second = pool.submit(database.group_commit, insert_and_wait)
        wait_until(lambda: database.count_waiting_writes() == 2, every=0.001)
        waiting_groups.close()
        return second

    with ThreadPoolExecutor(3) as pool, ExitStack() as waiting_groups:
        waiting_groups.enter_context(hold_groups(database, pool))
        submission = pool.submit(start_write)
        with pytest.raises(_Interruption), stop_main_thread(has_begun.is_set):
            database.group_commit(partial(insert, 1))
        may_go_on.set()
        assert submission.result().result() == 2
    assert list_numbers(database) == ([2] if leaders[0] is threading.main_thread() else [1, 2])
