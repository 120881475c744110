"""Copy a store's tables to another database, and compare them row by row.

It is from SQLite to Postgres, or back. Workflows are not copied: dbos's tables stay behind. What was written but has
not ended in our own tables is started again by the reconciler (`services.recovery`), and nothing that has ended runs
twice:

- An action is started only while its run is IN_PROGRESS (`ExecutionTable.advance` returns no others), and a run never
  returns to that state: a retry is a run of its own, with a key of its own. A run that waits for its approval is
  finished by the answer.
- An event is started until it is handled, a rollout while it is in progress, a scan while it is requested, an entry of
  the outbox until it is done.
- Work that was interrupted repeats the step that it was in and those before: steps are keyed, as after any crash.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Select,
    Table,
    TableClause,
    Text,
    column,
    func,
    insert,
    inspect,
    select,
    table,
    text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from dockgate.shared.errors import ConflictError, NotFoundError, StoreError
from dockgate.store.engine import Database
from dockgate.store.migrations import has_tables, migrate, require_current
from dockgate.store.schema.base import metadata
from dockgate.store.schema.store import identity, workers
from dockgate.store.statements import is_postgres

# Rows are read and written in batches of this size. Those with documents and other bytes may have megabytes each.
BATCH = 500
BYTES_BATCH = 10
# Longer than two heartbeats of a worker (`workflows.leases`).
WATCH_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """A finished copy: the store's id, the two databases, and the rows of each table.

    The databases are named without their passwords.
    """

    store: str
    source: str
    target: str
    tables: Mapping[str, int]


def copy_store(source: Database, target: Database, watch_seconds: float = WATCH_SECONDS) -> StoreCopy:
    """Copy all rows in one transaction, after which the target is the same store. The source is only read.

    The target's tables are made, and must be empty. No server may work on either database: SQLite's is known by its
    lock, and on Postgres workers are watched for `watch_seconds`. ConflictError for such a worker, for rows in the
    target, and for a source of another version; NotFoundError for a source without tables; StoreError, and nothing is
    copied, for a row that differs afterwards.

    The rows of workers, which are processes of one database, are not copied. A database is never copied to itself:
    its tables are not empty.
    """
    if not has_tables(source):
        raise NotFoundError(
            f"no server has stored data in {source.name}",
            "Name the present database: unset DOCKGATE_DATABASE_URL if it is the SQLite file in DOCKGATE_DATA.",
        )
    require_current(source)
    if source.is_shared:
        _require_no_workers(source, watch_seconds)
    migrate(target)
    with target.read() as connection:
        _require_empty(connection, target.name)
    tables = [table for table in metadata.sorted_tables if table is not workers]
    with _freeze_tables(source, tables) as rows, target.write() as connection:
        _lock(connection, tables, "ACCESS EXCLUSIVE")  # a server that starts on it meanwhile waits
        _require_empty(connection, target.name)
        counts = {table.name: _copy(table, rows, connection) for table in tables}
        for table in tables:
            _compare(table, rows, connection)
        store_id = connection.scalar(select(identity.c.id))
        if store_id is None:
            raise ConflictError(f"{source.name} has no tables of Dockgate", "Start the server once with `dockgate up`.")
    return StoreCopy(store_id, source.name, target.name, counts)


@contextmanager
def open_source(folder: Path, url: str | None) -> Iterator[Database]:
    """The database of a store that is copied.

    NotFoundError if the folder has none; a SQLite file is only read.
    """
    if url is not None:
        source = Database.from_url(url)
    else:
        path = folder / "dockgate.db"
        if not path.exists():
            raise NotFoundError(
                f"no server has stored data in {folder}",
                "Set DOCKGATE_DATA or DOCKGATE_DATABASE_URL to the server's value.",
            )
        source = Database.from_file(path, is_read_only=True)
    with closing(source):
        yield source


@contextmanager
def open_target(url: str) -> Iterator[Database]:
    """The database that a store is copied to. A SQLite file is created for its owner alone."""
    with closing(Database.from_url(url)) as target:
        if target.is_sqlite and (file := target.engine.url.database):
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        yield target


def _require_no_workers(source: Database, watch_seconds: float) -> None:
    """Raise ConflictError if a worker sends heartbeats while it is watched."""

    def read_beats() -> dict[str, tuple[str, int]]:
        with source.read() as connection:
            rows = connection.execute(select(workers.c.id, workers.c.node, workers.c.beats))
            return {row.id: (row.node, row.beats) for row in rows}

    before = read_beats()
    if before:
        time.sleep(watch_seconds)
    now = read_beats()
    alive = sorted({node for name, (node, _) in now.items() if before.get(name) != now[name]})
    if alive:
        raise ConflictError(
            f"a server or worker still works on {source.name}: {', '.join(alive)}",
            "Stop all of them (`dockgate down` on each host), then copy again.",
        )


@contextmanager
def _freeze_tables(source: Database, tables: Sequence[Table]) -> Iterator[Connection]:
    """A connection whose reads all see the same rows. Others cannot write to Postgres meanwhile."""
    with source.read_transaction() as connection:
        _lock(connection, tables, "SHARE")
        yield connection


def _lock(connection: Connection, tables: Sequence[Table], mode: str) -> None:
    """Lock tables of Postgres until the transaction ends.

    It may be idle for long while the other side works.
    """
    if is_postgres(connection):
        quote = connection.dialect.identifier_preparer.quote
        names = ", ".join(quote(table.name) for table in tables)
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text(f"LOCK TABLE {names} IN {mode} MODE"))


def _require_empty(target: Connection, name: str) -> None:
    """Raise ConflictError if the target has rows or workflows.

    Workflows would be taken for the store's own.
    """
    schema = "dbos" if is_postgres(target) else None
    tables: list[TableClause] = list(metadata.sorted_tables)
    if inspect(target).has_table("workflow_status", schema=schema):
        tables.append(table("workflow_status", schema=schema))
    for target_table in tables:
        if target.execute(select(text("1")).select_from(target_table).limit(1)).first() is not None:
            raise ConflictError(
                f"{name} is not empty: {target_table.name} has rows",
                "Copy to a new database on which no server has been started.",
            )


def _copy(table: Table, source: Connection, target: Connection) -> int:
    """Copy the rows of a table, and return how many."""
    into = _make_stored_table(table)
    count = 0
    for batch in source.execute(_select_in_key_order(table, source)).partitions():
        target.execute(insert(into), [dict(row._mapping) for row in batch])
        count += len(batch)
    counter = table.autoincrement_column
    if count and counter is not None and is_postgres(target):
        numbers = func.pg_get_serial_sequence(table.name, counter.name)
        target.execute(select(func.setval(numbers, select(func.max(counter)).scalar_subquery())))
    return count


def _compare(table: Table, source: Connection, target: Connection) -> None:
    """Raise StoreError at the first row that is not the same in both."""
    names = [key_column.name for key_column in table.primary_key.columns]
    pairs = zip_longest(_iterate_rows(table, source), _iterate_rows(table, target))
    for original, copy in pairs:
        if original != copy:
            row = original if original is not None else copy
            key = {name: row._mapping[name] for name in names} if row is not None else {}
            raise StoreError(
                f"the copy of table {table.name} differs at {key}: nothing was copied",
                "Check the disks of both databases, then copy again.",
            )


def _iterate_rows(table: Table, connection: Connection) -> Iterator[Row[tuple[object, ...]]]:
    return iter(connection.execute(_select_in_key_order(table, connection)))


def _select_in_key_order(table: Table, connection: Connection) -> Select[tuple[object, ...]]:
    """The rows of a table in the same order on every database.

    The order is that of the bytes of the key in UTF-8.
    """
    has_collations = is_postgres(connection)
    key = [
        stored_column.collate("C")
        if has_collations and isinstance(_get_stored_type(stored_column), Text)
        else stored_column
        for stored_column in _make_stored_table(table).columns
        if stored_column.name in table.primary_key.columns
    ]
    has_bytes = any(isinstance(model_column.type, LargeBinary) for model_column in table.columns)
    query = select(*_make_stored_table(table).columns).order_by(*key)
    return query.execution_options(yield_per=BYTES_BATCH if has_bytes else BATCH)


def _make_stored_table(model: Table) -> TableClause:
    """The table as it is stored: values are copied without being read as values of the model."""
    return table(
        model.name, *(column(model_column.name, _get_stored_type(model_column)) for model_column in model.columns)
    )


def _get_stored_type(column: ColumnElement[Any]) -> TypeEngine[object]:
    return column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
