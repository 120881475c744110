"""Provenance statements: those of our own builds, and those that were found beside images."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, select, update

from dockgate.store.engine import Database, insert_new
from dockgate.store.queries import select_as
from dockgate.store.records import BuiltStatement, KeptStatements
from dockgate.store.schema import built_statements, found_statements

_BUILT = select_as(BuiltStatement, built_statements)


class ProvenanceStatements:
    """Provenance statements of our builds, and those that were fetched from registries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, statement: BuiltStatement) -> None:
        """Keeps the statement of a build. Does nothing when that build has one."""
        with self._database.write() as connection:
            insert_new(connection, built_statements, asdict(statement))

    def found(self, image: str, envelopes: Sequence[str], now: str) -> None:
        """What lies beside the image now, in place of what lay there before."""
        body = zlib.compress(json.dumps(list(envelopes)).encode())
        self._look(image, {"looked_at": now, "unavailable": None, "envelopes": body})

    def not_found(self, image: str, reason: str, now: str) -> None:
        """What lies beside the image could not be fetched."""
        self._look(image, {"looked_at": now, "unavailable": reason})

    def _look(self, image: str, values: dict[str, object]) -> None:
        def write(connection: Connection) -> None:
            row = {"image": image, "envelopes": zlib.compress(b"[]"), **values}
            if not insert_new(connection, found_statements, row):
                connection.execute(update(found_statements).where(found_statements.c.image == image).values(**values))

        self._database.together(write)

    def of(self, image: str) -> KeptStatements:
        built = select(built_statements.c.envelope).where(built_statements.c.image == image)
        found = select(found_statements).where(found_statements.c.image == image)
        with self._database.read() as connection:
            own = connection.scalars(built.order_by(built_statements.c.built_at, built_statements.c.build)).all()
            row = connection.execute(found).mappings().first()
        if row is None:
            return KeptStatements(tuple(own))
        others = json.loads(zlib.decompress(row["envelopes"]))
        return KeptStatements(tuple(dict.fromkeys((*own, *others))), row["looked_at"], row["unavailable"])

    def due(self, now: str, image: str = "", limit: int = 100) -> Sequence[BuiltStatement]:
        """Those that are to be attached now, of one image or of all, oldest first."""
        table = built_statements.c
        query = _BUILT.where(table.next_at != "", table.next_at <= now)
        if image:
            query = query.where(table.image == image)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.next_at, table.build).limit(limit)).mappings()
            return [BuiltStatement(**row) for row in rows]

    def put(self, statement: BuiltStatement) -> None:
        """What became of attaching it. One that is attached stays so."""
        table = built_statements.c
        fresh = table.attached_at == "", table.attempts <= statement.attempts
        change = {name: getattr(statement, name) for name in ("attached_at", "attempts", "error", "next_at")}
        with self._database.write() as connection:
            connection.execute(update(built_statements).where(table.build == statement.build, *fresh).values(**change))
