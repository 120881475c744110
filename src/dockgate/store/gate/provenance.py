"""Provenance statements: those of our own builds, and those fetched from registries."""

import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, bindparam, func, or_, select, update

from dockgate.store.engine import Database
from dockgate.store.events.outbox import Outbox, add_entries, get_registry_receiver
from dockgate.store.fleet.due_images import mark_due
from dockgate.store.queries import is_one_of, make_text_list, select_as
from dockgate.store.records import BuiltStatement, ImageLocation, OutboxEntry, OutboxKind, StoredStatements
from dockgate.store.schema.gate import built_statements, fetched_statements
from dockgate.store.statements import insert_if_new

_BUILT_STATEMENT = select_as(BuiltStatement, built_statements).where(built_statements.c.build == bindparam("build"))
_BUILT_COLUMNS, _FETCHED_COLUMNS = built_statements.c, fetched_statements.c
_BUILT_ENVELOPES = (
    select(_BUILT_COLUMNS.envelope)
    .where(_BUILT_COLUMNS.image == bindparam("image"))
    .order_by(_BUILT_COLUMNS.built_at, _BUILT_COLUMNS.build)
)
_FETCHED_STATEMENTS = select(fetched_statements).where(
    _FETCHED_COLUMNS.image == bindparam("image"), _FETCHED_COLUMNS.repository == bindparam("repository")
)
_BUILT_COUNTS = (
    select(_BUILT_COLUMNS.image, func.count())
    .where(is_one_of(_BUILT_COLUMNS.image, "images"))
    .group_by(_BUILT_COLUMNS.image)
)
_FETCHES = select(
    _FETCHED_COLUMNS.image, _FETCHED_COLUMNS.repository, _FETCHED_COLUMNS.fetched_at, _FETCHED_COLUMNS.fetch_error
).where(is_one_of(_FETCHED_COLUMNS.image, "images"))
_BUILT_COUNT = select(func.count()).select_from(built_statements)
_REVISION = select(_BUILT_COUNT.scalar_subquery(), func.count(), func.max(_FETCHED_COLUMNS.fetched_at))


class ProvenanceStatements:
    """Provenance statements of our builds, and those that were fetched from registries."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def add(self, statement: BuiltStatement) -> None:
        """Keep the statement of a build, to be attached to its image. Does nothing when that build has one."""
        entry = OutboxEntry(
            OutboxKind.PROVENANCE,
            key=statement.build,
            receiver=get_registry_receiver(statement.repository),
            payload={},
            image=statement.image,
            due_since=statement.built_at,
            next_at=statement.built_at,
        )
        with self._database.write() as connection:
            if insert_if_new(connection, built_statements, asdict(statement)):
                add_entries(connection, [entry])
                mark_due(connection, statement.image)
        self._outbox.wake(OutboxKind.PROVENANCE)

    def get_built_statement(self, build: str) -> BuiltStatement:
        """The statement of a build."""
        with self._database.read() as connection:
            row = connection.execute(_BUILT_STATEMENT, {"build": build}).mappings().one()
        return BuiltStatement(**row)

    def replace_fetched(self, image: str, repository: str, envelopes: Sequence[str], now: str) -> None:
        """Replace the fetched statements of the image in a repository by those attached now."""
        body = zlib.compress(json.dumps(list(envelopes)).encode())
        self._record_fetch(image, repository, now, {"fetch_error": None, "envelopes": body})

    def record_fetch_error(self, image: str, repository: str, reason: str, now: str) -> None:
        """Record why the attached statements could not be fetched. Those fetched before are kept.

        The same reason as before changes no verdict.
        """
        self._record_fetch(image, repository, now, {"fetch_error": reason})

    def _record_fetch(self, image: str, repository: str, now: str, columns: dict[str, object]) -> None:
        values = {**columns, "fetched_at": now}

        def write(connection: Connection) -> None:
            row = {"image": image, "repository": repository, "envelopes": zlib.compress(b"[]"), **values}
            is_row = fetched_statements.c.image == image, fetched_statements.c.repository == repository
            reason = None
            if not insert_if_new(connection, fetched_statements, row):
                reason = connection.scalar(select(fetched_statements.c.fetch_error).where(*is_row))
                connection.execute(update(fetched_statements).where(*is_row).values(**values))
            if reason is None or reason != values["fetch_error"]:
                mark_due(connection, image)

        self._database.group_commit(write)

    def list_failed_fetches(self, before: str, after: str, limit: int) -> Sequence[ImageLocation]:
        """Return where the last fetch failed before that time, the longest ago first.

        Or `after` a time in the future, by a clock that was ahead.
        """
        columns = fetched_statements.c
        query = (
            select(columns.repository, columns.image)
            .where(columns.fetch_error.is_not(None), or_(columns.fetched_at < before, columns.fetched_at > after))
            .order_by(columns.fetched_at, columns.repository, columns.image)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [ImageLocation(*row) for row in connection.execute(query)]

    def read_revision(self) -> str:
        """A text that changes whenever a statement is added or fetched, of any image."""
        with self._database.read() as connection:
            return "/".join(map(str, connection.execute(_REVISION).one()))

    def list_revisions(self, locations: Collection[ImageLocation]) -> Mapping[ImageLocation, str]:
        """Return a text for each image in a repository: it changes when `list_statements` may differ."""
        images = {"images": make_text_list(sorted({location.image for location in locations}))}
        with self._database.read() as connection:
            counts = {row[0]: row[1] for row in connection.execute(_BUILT_COUNTS, images)}
            rows = connection.execute(_FETCHES, images)
            fetches = {ImageLocation(repository, image): error or at for image, repository, at, error in rows}
        return {location: f"{counts.get(location.image, 0)} {fetches.get(location, '')}" for location in locations}

    def list_statements(self, image: str, repository: str) -> StoredStatements:
        """All stored statements of an image: of its builds, and those attached to it in a repository."""
        with self._database.read() as connection:
            own_envelopes = connection.scalars(_BUILT_ENVELOPES, {"image": image}).all()
            location = {"image": image, "repository": repository}
            row = connection.execute(_FETCHED_STATEMENTS, location).mappings().first()
        if row is None:
            return StoredStatements(tuple(own_envelopes))
        attached_envelopes = json.loads(zlib.decompress(row["envelopes"]))
        return StoredStatements(
            tuple(dict.fromkeys((*own_envelopes, *attached_envelopes))), row["fetched_at"], row["fetch_error"]
        )
