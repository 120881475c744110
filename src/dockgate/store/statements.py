"""Locks and inserts, whose statements differ between SQLite and Postgres.

When to use which: see `store.engine`.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    Select,
    Table,
    TableValuedAlias,
    Text,
    TypeDecorator,
    bindparam,
    cast,
    column,
    delete,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from dockgate.shared.interfaces import override

# The lock of migrations in Postgres: any number that no other program uses in the database.
_MIGRATION_LOCK = 0x646F636B

_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def is_postgres(connection: Connection) -> bool:
    """Return whether it is a connection to Postgres. To SQLite, only one transaction at a time can write."""
    return connection.dialect.name == "postgresql"


def select_later_time(connection: Connection, column: ColumnElement[str], time: str) -> ColumnElement[str]:
    """The later one of a stored time and this time."""
    return (func.greatest if is_postgres(connection) else func.max)(column, time)


# Made once: making a statement takes longer than running it. `store.locks` has keys of its own, by another seed.
_KEY = func.hashtextextended(bindparam("name"), 1)
_LOCK, _LOCK_SHARED = select(func.pg_advisory_xact_lock(_KEY)), select(func.pg_advisory_xact_lock_shared(_KEY))
_NAMES = func.unnest(bindparam("names", type_=ARRAY(Text))).table_valued("name", name="names")
_LOCK_ALL = select(func.pg_advisory_xact_lock(func.hashtextextended(_NAMES.c.name, 1)))
_TRY_LOCK = select(func.pg_try_advisory_xact_lock(_KEY))


def lock_name(connection: Connection, table: Table, name: str, *, is_shared: bool = False) -> None:
    """Lock a name in a table until the transaction ends.

    No other transaction that locks it overlaps. Call it before all else in transactions that depend on rows that do not
    exist yet: for the first version of a name, the next number, or "no principal exists". Where the row exists, use
    `lock_rows`. Does nothing on SQLite. Locks that are `is_shared` overlap with each other.
    """
    if is_postgres(connection):
        connection.execute(_LOCK_SHARED if is_shared else _LOCK, {"name": f"{table.name}/{name}"})


def lock_names(connection: Connection, table: Table, names: Collection[str]) -> None:
    """Lock names in a table as `lock_name` does, in one order for all transactions."""
    if is_postgres(connection):
        connection.execute(_LOCK_ALL, {"names": sorted(f"{table.name}/{name}" for name in names)})


def try_lock_name(connection: Connection, table: Table, name: str) -> bool:
    """Lock a name, but return false at once if another transaction has locked it, shared or not."""
    if not is_postgres(connection):
        return True
    return bool(connection.scalar(_TRY_LOCK, {"name": f"{table.name}/{name}"}))


def lock_migrations(connection: Connection) -> None:
    """Keep other migrations out until the transaction ends. SQLite has one writer anyway."""
    if is_postgres(connection):
        connection.execute(text("SET LOCAL lock_timeout = 0"))  # those of other servers may take long
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))


def lock_rows(query: Select[Any]) -> Select[Any]:
    """The query, locking its rows until the transaction ends.

    It returns them as they are once they are locked. Rows that are inserted meanwhile may refer to the locked ones.
    Does nothing on SQLite.
    """
    return query.with_for_update(key_share=True)


def delete_unlocked(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    """Delete the rows that fit, except those that another transaction changes. Returns how many.

    For old rows, which several servers delete at the same time.
    """
    key = table.primary_key.columns
    unlocked_keys = select(*key).where(*conditions).with_for_update(skip_locked=True)
    return connection.execute(delete(table).where(tuple_(*key).in_(unlocked_keys))).rowcount


def insert_if_new(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless its primary or unique key exists. Returns whether it did."""
    return connection.execute(_make_insert_if_new(connection.dialect.name, table), values).first() is not None


@cache
def _make_insert_if_new(dialect: str, table: Table) -> Executable:
    """The insert statement, cached because making a statement costs more than running it."""
    insert: Executable = _INSERT[dialect](table).on_conflict_do_nothing().returning(*table.primary_key.columns)
    return insert


def insert_all_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those rows whose key does not exist, in the order of their primary keys.

    Numbered rows stay in order.
    """
    if rows:
        names = [column.name for column in table.primary_key.columns if column.name in rows[0]]
        in_order = sorted(rows, key=lambda row: [row[name] for name in names])
        connection.execute(_make_insert_new(connection.dialect.name, table), in_order)


def insert_in_order(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those rows whose primary or unique key does not exist, in the given order.

    All of them have the same columns. Postgres gets all in one statement, as `update_all`.
    """
    if not rows:
        return
    names = tuple(rows[0])
    if is_postgres(connection):
        connection.execute(_make_insert_from_arrays(table, names), _make_arrays(names, rows))
    else:
        connection.execute(_make_insert_new(connection.dialect.name, table), rows)


def insert_all_if_new(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], key: Column[str]
) -> set[str]:
    """Insert rows as `insert_in_order` does, and return the keys of those that were inserted.

    The `key` is a unique column.
    """
    if not is_postgres(connection):
        return {row[key.name] for row in rows if insert_if_new(connection, table, row)}
    names = tuple(rows[0])
    statement = _make_insert_from_arrays_returning(table, names, key)
    return set(connection.scalars(statement, _make_arrays(names, rows)))


def update_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Update rows by their primary keys.

    All of them have the same columns, which include those of the key. Postgres gets all in one statement, an array for
    each column: a row takes half as long as alone.
    """
    if not rows:
        return
    names = tuple(rows[0])
    if is_postgres(connection):
        connection.execute(_make_update_from_arrays(table, names), _make_arrays(names, rows))
    else:
        values = [{f"new_{name}": value for name, value in row.items()} for row in rows]
        connection.execute(_make_update(table, names), values)


@cache
def _make_update(table: Table, names: tuple[str, ...]) -> Executable:
    new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    is_row = [part == new.pop(part.name) for part in table.primary_key.columns]
    return update(table).where(*is_row).values(new)


class _ArrayText(TypeDecorator[Sequence[Any]]):
    """An array of Postgres as its text: an array of psycopg takes four times as long."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        self.item = item
        super().__init__()

    @override
    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> str:
        process = self.item.dialect_impl(dialect).bind_processor(dialect)
        items = value or ()
        return f"{{{','.join(map(_quote_item, map(process, items) if process else items))}}}"


def _quote_item(item: Any) -> str:
    if item is None:
        return "NULL"
    if isinstance(item, int):
        return str(item)
    text = str(item).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _make_arrays(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    return {f"new_{name}": [row[name] for row in rows] for name in names}


def _select_from_arrays(table: Table, names: tuple[str, ...]) -> TableValuedAlias:
    """The rows whose columns are the arrays of `_make_arrays`, with their number."""
    types = {name: table.c[name].type for name in names}
    arrays = [cast(bindparam(f"new_{name}", type_=_ArrayText(item)), ARRAY(item)) for name, item in types.items()]
    columns = [column(name, item) for name, item in types.items()]
    rows = func.unnest(*arrays).table_valued(*columns, with_ordinality="row_number", name="new_rows")
    return rows.render_derived()


@cache
def _make_insert_from_arrays(table: Table, names: tuple[str, ...]) -> postgresql.Insert:
    new = _select_from_arrays(table, names).c
    rows = select(*(new[name] for name in names)).order_by(new.row_number)
    return postgresql.insert(table).from_select(names, rows).on_conflict_do_nothing()


@cache
def _make_insert_from_arrays_returning(table: Table, names: tuple[str, ...], key: Column[str]) -> Executable:
    insert: Executable = _make_insert_from_arrays(table, names).returning(key)
    return insert


@cache
def _make_update_from_arrays(table: Table, names: tuple[str, ...]) -> Executable:
    new = _select_from_arrays(table, names).c
    key = table.primary_key.columns
    values = {name: new[name] for name in names if name not in key}
    return update(table).where(*(part == new[part.name] for part in key)).values(values)


@cache
def _make_insert_new(dialect: str, table: Table) -> Executable:
    insert: Executable = _INSERT[dialect](table).on_conflict_do_nothing()
    return insert
