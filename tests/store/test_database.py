"""The SQLite database of the store: migrations, settings, indices and folder."""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, text
from tests.engines import sync_sqlite
from tests.store.factories import IMAGE, NOW, make_approval

from dockgate.delivery.model import Answer, ApprovalId, ApprovalState
from dockgate.shared.errors import ConflictError, DockgateError, UnavailableError, UsageError
from dockgate.store import Store, migrate, migrations, open_store
from dockgate.store.schema.base import metadata


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(tmp_path / "data")) as store:
        yield store


def test_the_migrations_create_the_tables_of_the_schema(store: Store) -> None:
    with store.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://ada:s3cret@127.0.0.1:1/gate",
        "postgresql+psycopg://ada@127.0.0.1:1/gate?password=s3cret",
        "postgresql+psycopg://ada:s3cret@127.0.0.1:port/gate",
    ],
)
def test_a_password_in_the_databases_url_is_in_no_message(tmp_path: Path, url: str) -> None:
    with pytest.raises(DockgateError) as error:
        open_store(tmp_path / "data", url)
    assert "s3cret" not in error.value.full_message


def test_the_first_revision_is_frozen_before_there_is_a_second() -> None:
    revisions = list((Path(migrations.__file__).parent / "versions").glob("revision_*.py"))
    assert len(revisions) == 1 or not any("metadata" in revision.read_text() for revision in revisions)


def test_the_last_file_has_the_last_revision(store: Store) -> None:
    assert migrations.is_current(store.database)
    with store.database.read() as connection:
        revisions = MigrationContext.configure(connection).get_current_heads()
    assert revisions == (ScriptDirectory(str(Path(migrations.__file__).parent)).get_current_head(),)


def test_opening_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    store.approvals.add(make_approval("a"))
    migrate(store.database)
    with closing(open_store(tmp_path / "data")) as second_store:
        assert second_store.approvals.get(ApprovalId("a")) == make_approval("a")


@pytest.mark.parametrize("revision", ["9999", "0001", "0001_00000000"])
def test_tables_of_another_version_are_refused_and_left_alone(store: Store, tmp_path: Path, revision: str) -> None:
    """Of a newer one, or of an earlier state before the first release."""
    with store.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    with pytest.raises(ConflictError, match="another version") as error_info:
        open_store(tmp_path / "data")
    assert "Install that version" in str(error_info.value.advice)
    with store.database.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == revision


def test_a_failed_migration_changes_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "dockgate.db")) as connection:
        connection.execute("CREATE TABLE services (name TEXT)")
    with pytest.raises(UnavailableError, match="services already exists"):
        open_store(tmp_path)
    with closing(sqlite3.connect(tmp_path / "dockgate.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("services",)]


def test_every_connection_is_durable_and_checks_references(tmp_path: Path) -> None:
    with (
        sync_sqlite(),
        closing(open_store(tmp_path)) as store,
        store.database.read() as first,
        store.database.read() as second,
    ):
        for connection in (first, second):
            values = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
            assert values == ["wal", 2, 1, 30_000]


def test_only_the_owner_can_read_the_folder(store: Store, tmp_path: Path) -> None:
    store.blobs.put(lambda path: path.touch())
    folders = [path for path in (tmp_path / "data", *(tmp_path / "data").rglob("*")) if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_tokens_are_private_in_a_folder_that_is_not(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with closing(open_store(tmp_path)) as store:
        store.approvals.add(make_approval("a"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("dockgate.db*")}
    assert set(modes.values()) == {0o600}
    assert "dockgate.db-wal" in modes


def test_an_unusable_folder_is_reported_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=str(tmp_path / "file")):
        open_store(tmp_path / "file")
    (tmp_path / "dockgate.db").write_bytes(b"no database" * 500)
    with pytest.raises(UnavailableError, match=f"{tmp_path}/dockgate.db failed: file is not a database"):
        open_store(tmp_path)


def test_an_unsupported_database_url_is_rejected_and_passwords_are_hidden(tmp_path: Path) -> None:
    for url in ("nonsense", "mysql://host/name", "postgresql+nothing://host/name"):
        with pytest.raises(UsageError, match="database URL"):
            open_store(tmp_path, url)
    with pytest.raises(UnavailableError) as error_info:
        open_store(tmp_path, "postgresql+psycopg://ann:secret@127.0.0.1:1/name")
    assert "secret" not in error_info.value.full_message


def test_a_url_of_a_sqlite_file_is_used_instead_of_the_folders(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "data", f"sqlite:///{tmp_path}/elsewhere.db")) as store:
        store.approvals.add(make_approval("a"))
    assert (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "data" / "dockgate.db").exists()


def test_unfinished_blobs_of_a_killed_process_are_deleted_after_a_day(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    old, young = tmp_path / "blobs" / "incoming" / "old", tmp_path / "blobs" / "incoming" / "young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "blob").touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    open_store(tmp_path).close()
    assert (old.exists(), young.exists()) == (False, True)


def test_neither_waiting_nor_settling_reads_a_whole_table_or_all_that_waits(store: Store) -> None:
    statements: list[tuple[str, Any]] = []

    @event.listens_for(store.database.engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    store.approvals.add(make_approval("web-1/Gate/Approve/1"))
    assert [ids for _, ids in store.approvals.list_waiting_groups(IMAGE)] == [["web-1/Gate/Approve/1"]]
    store.approvals.settle(ApprovalId("web-1/Gate/Approve/1"), Answer(ApprovalState.APPROVED, ""), NOW)
    store.approvals.list_open_executions(IMAGE)
    store.approvals.list_expired(NOW)
    store.push_events.list_unhandled()
    queries = [(text, values) for text, values in statements if text.startswith(("SELECT", "UPDATE"))]
    assert len(queries) >= 7
    with store.database.read() as connection:
        for text, values in queries:
            steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
            scans = [step for step in steps if step.startswith("SCAN") and "SCALAR" not in step]
            assert not [step for step in scans if not step.startswith("SCAN json_each")], text  # the ids given
            assert not [step for step in steps if step.endswith("(state=?)")], text
