"""Queries that several tables share."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    Select,
    Table,
    Text,
    TypeDecorator,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from dockgate.delivery.model import Pipeline
from dockgate.shared.errors import NotFoundError
from dockgate.shared.interfaces import override
from dockgate.store.columns import escape_text
from dockgate.store.schema.delivery import pipelines

K = TypeVar("K")

_NEWEST_PIPELINE = (
    select(pipelines.c.body).where(pipelines.c.name == bindparam("name")).order_by(pipelines.c.version.desc()).limit(1)
)
_PIPELINE_VERSION = select(pipelines.c.body).where(
    pipelines.c.name == bindparam("name"), pipelines.c.version == bindparam("version")
)

# Values in one statement: databases limit their number.
BATCH = 500


def split_into_batches(ids: Sequence[K]) -> Iterator[Sequence[K]]:
    """The ids in parts that fit into one statement each."""
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


class _List(TypeDecorator[Sequence[Any]]):
    """A list as one parameter: an array of these items on Postgres, the text of a JSON array on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: type[Integer | Text]) -> None:
        self.item = item
        super().__init__()

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return ARRAY(self.item) if dialect.name == "postgresql" else Text()

    @override
    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        items = list(value or ())
        return items if dialect.name == "postgresql" else json.dumps(items)


class _Items(FunctionElement[Any]):
    """The items of a list, as the rows of a subquery."""

    inherit_cache = True


@compiles(_Items, "sqlite")
def _compile_for_sqlite(items: _Items, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT value FROM json_each{compiler.process(items.clause_expr, **options)})"  # noqa: S608 - a parameter


@compiles(_Items, "postgresql")
def _compile_for_postgres(items: _Items, compiler: SQLCompiler, **options: Any) -> str:
    """The planner of Postgres knows how many items an array has, but not how many are in a JSON text."""
    return f"(SELECT unnest{compiler.process(items.clause_expr, **options)})"


class _IsAmong(FunctionElement[bool]):
    """A lookup of a column in a list of items for each row: Postgres hashes the items once.

    With `_Items` in a correlated subquery it would do so for each row of the outer query.
    """

    inherit_cache = True
    type = Boolean()


@compiles(_IsAmong, "sqlite")
def _compile_lookup_for_sqlite(lookup: _IsAmong, compiler: SQLCompiler, **options: Any) -> str:
    column, items = (compiler.process(clause, **options) for clause in lookup.clauses)
    return f"({column} IN (SELECT value FROM json_each({items})))"  # noqa: S608 - a parameter


@compiles(_IsAmong, "postgresql")
def _compile_lookup_for_postgres(lookup: _IsAmong, compiler: SQLCompiler, **options: Any) -> str:
    column, items = (compiler.process(clause, **options) for clause in lookup.clauses)
    return f"({column} = ANY ({items}))"


def find_sort_column(column: ColumnElement[Any], is_descending: bool) -> ColumnElement[Any]:
    """The column to sort by, with the largest or the smallest first."""
    return column.desc() if is_descending else column.asc()


def make_after_value_conditions(
    column: ColumnElement[Any], value: Any, is_descending: bool
) -> list[ColumnElement[bool]]:
    """The condition that the column comes after a value in its order, none for no value."""
    if value is None:
        return []
    return [column < value if is_descending else column > value]


def make_after_row_conditions(table: Table, row_id: str | None, is_descending: bool) -> list[ColumnElement[bool]]:
    """The condition that a row comes after the one with this `id`, in the order of `seq`; none for None."""
    if row_id is None:
        return []
    position = select(table.c.seq).where(table.c.id == row_id).scalar_subquery()
    return make_after_value_conditions(table.c.seq, position, is_descending)


def make_prefix_conditions(column: ColumnElement[str], digits: str) -> tuple[ColumnElement[bool], ...]:
    """The conditions that hexadecimal digits begin with some. An index serves them in any collation."""
    return column >= digits, column < f"{digits}g"  # no digit comes after "g"


def count_rows(connection: Connection, query: Select[Any], limit: int) -> int:
    """The number of rows of a query, at most `limit`."""
    constant_rows: Select[Any] = query.with_only_columns(literal_column("1"), maintain_column_froms=True)
    rows = constant_rows.order_by(None).limit(limit).subquery()
    number: int = connection.execute(select(func.count()).select_from(rows)).scalar_one()
    return number


def is_one_of(column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
    """Return whether the column is one of a parameter's values: numbers, or texts of `make_text_list`.

    Unlike `in_`, which makes SQL for each number of values, it is one parameter: a statement can be made once.
    """
    item = type(column.type) if isinstance(column.type, Integer) else Text
    return column.bool_op("IN")(_Items(bindparam(parameter, type_=_List(item))))


def is_one_of_numbers(column: ColumnElement[int], values: Collection[int]) -> ColumnElement[bool]:
    """Return whether the column is one of the values, which are one parameter however many they are."""
    return column.bool_op("IN")(_Items(literal(sorted(values), _List(Integer))))


def is_one_of_texts(column: ColumnElement[str], values: Collection[str]) -> ColumnElement[bool]:
    """Return whether the column is one of the texts, which are one parameter however many they are."""
    return column.bool_op("IN")(_Items(literal(make_text_list(sorted(values)), _List(Text))))


def is_among_texts(column: ColumnElement[str], values: Collection[str]) -> ColumnElement[bool]:
    """Return whether the column is one of the texts, for a condition on each of many rows."""
    return _IsAmong(column, literal(make_text_list(sorted(values)), _List(Text)))


def is_among(column: ColumnElement[str], parameter: str) -> ColumnElement[bool]:
    """Return what `is_one_of` returns, for a condition on each of many rows."""
    return _IsAmong(column, bindparam(parameter, type_=_List(Text)))


def is_among_numbers(column: ColumnElement[int], values: Collection[int]) -> ColumnElement[bool]:
    """Return whether the column is one of the numbers, as `is_among_texts`."""
    return _IsAmong(column, literal(sorted(values), _List(Integer)))


def is_by_policy(column: ColumnElement[str], parameter: str) -> ColumnElement[bool]:
    """Return whether a `PolicyReference` is to a parameter's policy, alone or with a repository's rules.

    Not by LIKE, for which SQLite takes "Strict" and "strict" as equal.
    """
    prefix = bindparam(parameter, type_=column.type).concat("+")
    return or_(column == bindparam(parameter), func.substr(column, 1, func.length(prefix)) == prefix)


def make_text_list(values: Sequence[str]) -> list[str]:
    """The value of a parameter of `is_one_of`."""
    return [escape_text(str(value)) for value in values]


def select_as(kind: type, table: Table) -> Select[Any]:
    """Select the columns named like the dataclass's fields, so that a row's mapping makes an instance."""
    return select(*(table.c[field.name] for field in fields(kind)))


def make_row(value: Any) -> dict[str, Any]:
    """A dataclass's fields for an insert.

    Unlike `asdict`, it leaves tuples and nested dataclasses to the column types.
    """
    return {field.name: getattr(value, field.name) for field in fields(value)}


def find_pipeline(connection: Connection, name: str, version: int | None = None) -> Pipeline | None:
    """The newest version of a pipeline, or the given one; None if it does not exist."""
    pipeline: Pipeline | None
    if version is None:
        pipeline = connection.scalar(_NEWEST_PIPELINE, {"name": name})
    else:
        pipeline = connection.scalar(_PIPELINE_VERSION, {"name": name, "version": version})
    return pipeline


def require_pipeline(connection: Connection, name: str, version: int | None = None) -> Pipeline:
    """Find the pipeline. Raises NotFoundError if it does not exist."""
    pipeline = find_pipeline(connection, name, version)
    if pipeline is None:
        missing_name = f"pipeline {name!r}" if version is None else f"version {version} of pipeline {name!r}"
        raise NotFoundError(f"there is no {missing_name}", "`dockgate pipeline list` lists them all.")
    return pipeline
