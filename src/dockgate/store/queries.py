"""Queries that several tables share."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Select, Table, select

from dockgate.delivery.model import Pipeline
from dockgate.shared.errors import NotFoundError
from dockgate.store.schema import pipelines

# Values in one statement: databases limit their number.
BATCH = 500


def batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids in parts that fit into one statement each."""
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def select_as(kind: type, table: Table) -> Select[Any]:
    """Select the columns named like the dataclass's fields, so that a row's mapping makes an instance."""
    return select(*(table.c[field.name] for field in fields(kind)))


def row_of(value: Any) -> dict[str, Any]:
    """A dataclass's fields for an insert.

    Unlike `asdict`, it leaves tuples and nested dataclasses to the column types.
    """
    return {field.name: getattr(value, field.name) for field in fields(value)}


def find_pipeline(connection: Connection, name: str, version: int | None = None) -> Pipeline | None:
    """The newest version of a pipeline, or the given one; None if it does not exist."""
    query = select(pipelines.c.body).where(pipelines.c.name == name).order_by(pipelines.c.version.desc()).limit(1)
    if version is not None:
        query = query.where(pipelines.c.version == version)
    pipeline: Pipeline | None = connection.scalar(query)
    return pipeline


def require_pipeline(connection: Connection, name: str, version: int | None = None) -> Pipeline:
    """As `find_pipeline`; NotFoundError if it does not exist."""
    pipeline = find_pipeline(connection, name, version)
    if pipeline is None:
        missing = f"pipeline {name!r}" if version is None else f"version {version} of pipeline {name!r}"
        raise NotFoundError(f"there is no {missing}", "`dockgate pipeline list` lists them all.")
    return pipeline
