"""Copies of a store between SQLite and Postgres: complete, compared, or not made at all."""

import hashlib
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from tests.postgres import drop_database, make_database_url
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES, IMAGE, NOW, make_approval, open_store_of_kind, start_execution

from dockgate.identity.model import AuditEntry, Principal, Role
from dockgate.shared.errors import ConflictError, NotFoundError, StoreError, UsageError
from dockgate.store import Store, migrate, open_store
from dockgate.store.copy import copy_store, open_source, open_target
from dockgate.store.engine import Database
from dockgate.store.records import Worker
from dockgate.store.schema.base import metadata
from dockgate.store.schema.delivery import repositories
from dockgate.store.schema.store import documents, workers

OTHER_KIND = {"sqlite": "postgres", "postgres": "sqlite"}


@contextmanager
def empty(kind: str, folder: Path) -> Iterator[Database]:
    """A new database; `reopen` opens the store of a copy in it."""
    folder.mkdir()
    try:
        with open_target(make_url(kind, folder)) as database:
            yield database
    finally:
        drop_database(folder)


def make_url(kind: str, folder: Path) -> str:
    return make_database_url(folder) if kind == "postgres" else f"sqlite:///{folder}/dockgate.db"


def fill(store: Store) -> None:
    """Rows of many kinds, with text that databases sort and store differently."""
    execution = start_execution(store)
    for name in ("Zoë", "a", "B", "_", "é", "10", "9"):
        store.repositories.put(name, NOW)
    store.approvals.add(make_approval("web-1/Gate/Approve/1"))
    store.images.request_scan(IMAGE, "components/web", NOW)
    store.principals.add(Principal("ann", (Role.ADMIN,), "ann@example.org", NOW))
    for number in range(3):
        store.audit.begin(AuditEntry(f"entry-{number}", NOW, "ann", None, "POST /x", execution))
    store.push_events.record_heads("shop", {"main": "c0ffee", "a\0b \udce4 ü": "c0ffee"}, NOW)


def read_rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.read() as connection:
        return {
            table.name: sorted(tuple(row) for row in connection.execute(text(f'SELECT * FROM "{table.name}"')))  # noqa: S608
            for table in metadata.sorted_tables
            if table is not workers
        }


@pytest.mark.parametrize("kind", FACTORIES)
def test_a_copy_is_the_same_store_and_goes_on_counting(kind: str, tmp_path: Path) -> None:
    with open_store_of_kind(kind, tmp_path / "source") as store, empty(OTHER_KIND[kind], tmp_path / "target") as target:
        fill(store)
        result = copy_store(store.database, target, watch_seconds=0)
        assert read_rows(target) == read_rows(store.database)
        assert result.store == store.id
        assert result.tables["audit"] == 3
        assert result.tables["repositories"] == 7
        with closing(open_store(tmp_path / "target", make_url(OTHER_KIND[kind], tmp_path / "target"))) as copied_store:
            assert copied_store.id == store.id
            copied_store.audit.begin(AuditEntry("entry-4", NOW, "ann", None, "POST /x", "web"))
            assert [entry.id for entry in copied_store.audit.list()] == ["entry-4", "entry-2", "entry-1", "entry-0"]


def test_tables_of_a_server_survive_copies_in_both_directions(tmp_path: Path) -> None:
    with ServerSystem(tmp_path / "a") as system:
        system.deploy_image(system.plan_image("shop", PlannedFindings()))
    source = tmp_path / "a" / "dockgate.db"
    before = hashlib.sha256(source.read_bytes()).digest()
    with (
        open_source(tmp_path / "a", None) as first,
        empty("postgres", tmp_path / "b") as second,
        empty("sqlite", tmp_path / "c") as third,
    ):
        copy_store(first, second, watch_seconds=0)
        copy_store(second, third, watch_seconds=0)
        assert read_rows(first) == read_rows(second) == read_rows(third)
    assert hashlib.sha256(source.read_bytes()).digest() == before
    assert (tmp_path / "c" / "dockgate.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", FACTORIES)
def test_a_target_with_rows_is_refused(kind: str, tmp_path: Path) -> None:
    with (
        open_store_of_kind(OTHER_KIND[kind], tmp_path / "source") as store,
        open_store_of_kind(kind, tmp_path / "target") as target,
    ):
        with pytest.raises(ConflictError, match="is not empty: identity has rows") as error:
            copy_store(store.database, target.database, watch_seconds=0)
        assert "new database" in str(error.value.advice)
        assert target.id != store.id


@pytest.mark.parametrize("kind", FACTORIES)
def test_old_workflows_in_the_target_are_refused(kind: str, tmp_path: Path) -> None:
    table = "dbos.workflow_status" if kind == "postgres" else "workflow_status"
    with open_store_of_kind(OTHER_KIND[kind], tmp_path / "source") as store, empty(kind, tmp_path / "target") as target:
        with target.write() as connection:
            if kind == "postgres":
                connection.exec_driver_sql("DROP SCHEMA IF EXISTS dbos CASCADE")
                connection.exec_driver_sql("CREATE SCHEMA dbos")
            connection.exec_driver_sql(f"CREATE TABLE {table} AS SELECT 1")
        with pytest.raises(ConflictError, match="workflow_status has rows"):
            copy_store(store.database, target, watch_seconds=0)


def test_a_row_that_differs_is_named_and_nothing_is_copied(tmp_path: Path) -> None:
    with open_store_of_kind("sqlite", tmp_path / "source") as store, empty("sqlite", tmp_path / "target") as target:
        fill(store)
        migrate(target)
        with target.write() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER spoil AFTER INSERT ON repositories WHEN new.name = 'B' "
                "BEGIN UPDATE repositories SET created_at = 'never' WHERE name = 'B'; END"
            )
        with pytest.raises(StoreError, match=r"table repositories differs at \{'name': 'B'\}"):
            copy_store(store.database, target)
        assert not any(read_rows(target).values())
        with target.write() as connection:
            connection.exec_driver_sql("DROP TRIGGER spoil")
        copy_store(store.database, target)
        assert read_rows(target) == read_rows(store.database)


def test_a_row_that_is_missing_is_named(tmp_path: Path) -> None:
    with open_store_of_kind("sqlite", tmp_path / "source") as store, empty("sqlite", tmp_path / "target") as target:
        fill(store)
        migrate(target)
        with target.write() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER lose AFTER INSERT ON repositories WHEN new.name = 'é' "
                "BEGIN DELETE FROM repositories WHERE name = 'é'; END"
            )
        with pytest.raises(StoreError, match=r"table repositories differs at \{'name': 'é'\}"):
            copy_store(store.database, target)


def test_a_worker_that_beats_stops_the_copy_and_one_that_died_does_not(
    tmp_path: Path,
) -> None:
    with open_store_of_kind("postgres", tmp_path / "source") as store, empty("sqlite", tmp_path / "target") as target:
        store.workers.add(Worker("one", "host-7", "1", ("build",), {}, started_at=NOW, seen_at=NOW))
        is_over = threading.Event()

        def beat() -> None:
            while not is_over.wait(0.1):
                store.workers.record_heartbeat("one", NOW)

        with ThreadPoolExecutor(1) as pool:
            beats = pool.submit(beat)
            with pytest.raises(ConflictError, match=r"still works on .*host-7$") as error:
                copy_store(store.database, target, watch_seconds=1)
            is_over.set()
            beats.result()
        assert "dockgate down" in str(error.value.advice)
        assert copy_store(store.database, target, watch_seconds=0).tables["identity"] == 1


def test_tables_of_another_version_are_refused_and_stay_as_they_are(tmp_path: Path) -> None:
    with open_store_of_kind("sqlite", tmp_path / "source") as store, empty("sqlite", tmp_path / "target") as target:
        with store.database.write() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
        with pytest.raises(ConflictError, match="not from this version") as error:
            copy_store(store.database, target)
        assert "dockgate up" in str(error.value.advice)


def test_a_source_without_tables_is_not_found(tmp_path: Path) -> None:
    """Such as the new database, if the environment already names it."""
    with empty("sqlite", tmp_path / "source") as source, empty("sqlite", tmp_path / "target") as target:
        with pytest.raises(NotFoundError, match="no server has stored data") as error:
            copy_store(source, target)
        assert "unset DOCKGATE_DATABASE_URL" in str(error.value.advice)


@pytest.mark.parametrize("kind", FACTORIES)
def test_a_database_is_not_copied_to_itself(kind: str, tmp_path: Path) -> None:
    with (
        open_store_of_kind(kind, tmp_path) as store,
        pytest.raises(ConflictError, match="is not empty: identity has rows"),
    ):
        copy_store(store.database, store.database, watch_seconds=0)


def test_large_documents_are_copied_within_little_memory(tmp_path: Path) -> None:
    size, count = 200_000, 150
    with open_store_of_kind("sqlite", tmp_path / "source") as store, empty("postgres", tmp_path / "target") as target:
        with store.database.write() as connection:
            for number in range(count):
                body = hashlib.shake_256(str(number).encode()).digest(size)
                connection.execute(insert(documents).values(digest=f"sha256:{number}", kind="Inventory", body=body))
        migrate(target)
        tracemalloc.start()
        try:
            copy_store(store.database, target, watch_seconds=0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < size * count / 2
        with target.read() as connection:
            assert connection.execute(select(documents.c.digest)).rowcount == count


def test_the_source_has_to_exist_and_the_target_to_be_a_database(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no server has stored data") as error, open_source(tmp_path, None):
        pass
    assert "DOCKGATE_DATA" in str(error.value.advice)
    for url in ("sqlite://", "sqlite:///:memory:", "mysql://host/name"):
        with pytest.raises(UsageError), open_target(url):
            pass


def test_the_source_is_only_read(tmp_path: Path) -> None:
    with (
        open_store_of_kind("sqlite", tmp_path),
        open_source(tmp_path / "data", None) as source,
        pytest.raises(StoreError, match="readonly"),
        source.write() as connection,
    ):
        connection.execute(insert(repositories).values(name="new", created_at=NOW))
