"""What the modules of this package ask in common."""

from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Select, Table, select

from dockgate.delivery.model import Pipeline
from dockgate.shared.errors import NotFoundError
from dockgate.store.schema import pipelines


def select_as(kind: type, table: Table) -> Select[Any]:
    """Selects the columns named like the dataclass's fields, so that a row's mapping makes one."""
    return select(*(table.c[field.name] for field in fields(kind)))


def row_of(value: Any) -> dict[str, Any]:
    """A dataclass's fields as they are, for the columns write what is inside: `asdict` would make a list of a tuple."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def find_pipeline(connection: Connection, name: str, version: int | None = None) -> Pipeline | None:
    """The newest version, or the one asked for; None when there is none."""
    query = select(pipelines.c.body).where(pipelines.c.name == name).order_by(pipelines.c.version.desc()).limit(1)
    if version is not None:
        query = query.where(pipelines.c.version == version)
    found: Pipeline | None = connection.scalar(query)
    return found


def need_pipeline(connection: Connection, name: str, version: int | None = None) -> Pipeline:
    found = find_pipeline(connection, name, version)
    if found is None:
        wanted = f"pipeline {name!r}" if version is None else f"version {version} of pipeline {name!r}"
        raise NotFoundError(f"there is no {wanted}", "`dockgate pipeline list` names those there are.")
    return found
