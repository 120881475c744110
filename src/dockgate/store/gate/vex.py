"""VEX documents: who uploaded them, their images and statements, and failed fetches."""

import json
import zlib
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from threading import Lock

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, or_, select, update

from dockgate.events.governance_events import make_vex_event
from dockgate.gate.model import VexStatement
from dockgate.shared import canonical
from dockgate.shared.errors import ConflictError, NotFoundError
from dockgate.store.documents import keep_documents
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.queries import is_one_of, make_text_list, select_as
from dockgate.store.records import ImageLocation, VexRecord, VexVersion
from dockgate.store.schema.gate import failed_vex_fetches, vex_documents, vex_statements
from dockgate.store.schema.store import documents
from dockgate.store.statements import insert_if_new, lock_rows

_FETCHES = failed_vex_fetches.c
# The kind of its bytes among the documents.
KIND = "Vex"
# Bytes of the statements and envelopes of all documents that are attached to one image: a verdict reads them all.
MAX_ATTACHED = 16 << 20
# Documents whose statements are kept at hand; they never change.
CACHE_SIZE = 64

_RECORD = select_as(VexRecord, vex_documents)
_EVERY_ACTIVE = _RECORD.where(vex_documents.c.removed_at.is_(None)).order_by(vex_documents.c.seq)
_EVERY_ACTIVE_WITH_VERSION = _EVERY_ACTIVE.add_columns(vex_documents.c.seq, vex_documents.c.changes)
_ACTIVE = _EVERY_ACTIVE.where(is_one_of(vex_documents.c.image, "images"))
_ALL_OF_IMAGES = _RECORD.where(is_one_of(vex_documents.c.image, "images")).order_by(vex_documents.c.seq)
_REVISION = select(func.count(), func.coalesce(func.sum(vex_documents.c.changes), 0))
_DOCUMENT_OF_IMAGE = _RECORD.where(
    vex_documents.c.document == bindparam("document"), vex_documents.c.image == bindparam("image")
)
_LOCKED_DOCUMENT_OF_IMAGE = lock_rows(_DOCUMENT_OF_IMAGE)
_DOCUMENTS_WITH_NUMBERS = _RECORD.where(is_one_of(vex_documents.c.seq, "numbers")).order_by(vex_documents.c.seq)
_STATEMENTS_OF_DOCUMENTS = select(vex_statements.c.document, vex_statements.c.body).where(
    is_one_of(vex_statements.c.document, "documents")
)
_FAILED_FETCH = select(_FETCHES.image).where(
    _FETCHES.image == bindparam("image"), _FETCHES.repository == bindparam("repository")
)


def _is_active_at(at: str) -> ColumnElement[bool]:
    """Return whether a document was there at a time."""
    table = vex_documents.c
    return and_(table.added_at <= at, or_(table.removed_at.is_(None), table.removed_at > at))


class Vex:
    """VEX documents and their statements."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._statements: OrderedDict[str, tuple[VexStatement, ...]] = OrderedDict()

    def add(self, record: VexRecord, data: bytes, statements: Sequence[VexStatement]) -> VexRecord:
        """Store a VEX document, once for each document and image.

        A removed document becomes active again, and new envelopes are added. `VerdictTable.get_document` returns the
        bytes.
        Raises ConflictError if the image would have more than MAX_ATTACHED.
        """
        body = zlib.compress(canonical.encode(list(statements)))
        document = {"digest": record.document, "kind": KIND, "body": zlib.compress(data)}
        with self._database.write() as connection:
            keep_documents(connection)
            insert_if_new(connection, documents, document)
            insert_if_new(connection, vex_statements, {"document": record.document, "body": body})
            is_new = is_changed = insert_if_new(connection, vex_documents, {**asdict(record), "changes": 1})
            if not is_new:
                present_record = _get(connection, record.document, record.image, should_lock=True)
                envelopes = tuple(dict.fromkeys((*present_record.envelopes, *record.envelopes)))
                is_changed = present_record.removed_at is not None or envelopes != present_record.envelopes
                if is_changed:
                    self._change(connection, present_record, {**asdict(record), "envelopes": envelopes})
                is_new = present_record.removed_at is not None
            if is_changed and record.image and _measure_attached(connection, record.image) > MAX_ATTACHED:
                limit = f"{MAX_ATTACHED >> 20} MiB"
                raise ConflictError(
                    f"the VEX documents attached to {record.image} would have more than {limit}",
                    "Upload a document with the statements that the image needs: `dockgate vex add FILE`.",
                )
            if is_new:
                by = record.signer.principal if record.signer else None
                event = make_vex_event("vex.added", record.document, record.image, record.author, by, record.added_at)
                append_events(connection, [event])
            return _get(connection, record.document, record.image)

    def list(self) -> Sequence[VexRecord]:
        """All VEX documents, newest first, removed ones too."""
        with self._database.read() as connection:
            rows = connection.execute(_RECORD.order_by(vex_documents.c.seq.desc())).mappings()
            return [VexRecord(**row) for row in rows]

    def list_active(
        self, images: Sequence[str], at: str | None = None
    ) -> Sequence[tuple[VexRecord, Sequence[VexStatement]]]:
        """The uploaded documents and those attached to these images, without removed ones, oldest first.

        With `at`, those that were there at this time; one that was added again counts since then.
        """
        with self._database.read() as connection:
            parameters = {"images": make_text_list(["", *images])}
            if at is None:
                rows = connection.execute(_ACTIVE, parameters).mappings().all()
            else:
                rows = connection.execute(_ALL_OF_IMAGES.where(_is_active_at(at)), parameters).mappings().all()
        return self._with_statements([VexRecord(**row) for row in rows])

    def list_history(self, images: Sequence[str | None]) -> Sequence[tuple[VexRecord, Sequence[VexStatement]]]:
        """The documents attached to these images, with removed ones, oldest first.

        The image is None for those that were uploaded.
        """
        with self._database.read() as connection:
            parameters = {"images": make_text_list([image or "" for image in images])}
            rows = connection.execute(_ALL_OF_IMAGES, parameters).mappings().all()
        return self._with_statements([VexRecord(**row) for row in rows])

    def list_images(self) -> set[str]:
        """The images (digests) to which documents are or were attached."""
        with self._database.read() as connection:
            return set(connection.scalars(select(vex_documents.c.image).distinct().where(vex_documents.c.image != "")))

    def list_all_active(self) -> Mapping[VexVersion, tuple[VexRecord, Sequence[VexStatement]]]:
        """List what `list_active` does, for all images, by the version of each document."""
        records: dict[VexVersion, VexRecord] = {}
        with self._database.read() as connection:
            for *columns, number, changes in connection.execute(_EVERY_ACTIVE_WITH_VERSION):
                records[VexVersion.make(number, changes)] = VexRecord(*columns)
        return dict(zip(records, self._with_statements(list(records.values())), strict=True))

    def list_with_versions(
        self, versions: Collection[VexVersion]
    ) -> Sequence[tuple[VexRecord, Sequence[VexStatement]]]:
        """The documents that had these versions (`list_all_active`) as they are now, active or not."""
        numbers = sorted({version.number for version in versions})
        with self._database.read() as connection:
            rows = connection.execute(_DOCUMENTS_WITH_NUMBERS, {"numbers": numbers}).mappings()
            records = [VexRecord(**row) for row in rows]
        return self._with_statements(records)

    def remove(self, document: str, by: str, now: str) -> VexRecord:
        """Remove an uploaded document. An earlier removal keeps its author and time."""
        with self._database.write() as connection:
            present_record = _get(connection, document, None, should_lock=True)
            if not present_record.removed_at:
                self._change(connection, present_record, {"removed_at": now, "removed_by": by})
                append_events(
                    connection, [make_vex_event("vex.removed", document, None, present_record.author, by, now)]
                )
            return _get(connection, document, None)

    def read_revision(self) -> str:
        """A text that changes whenever the result of `list_active` may change."""
        with self._database.read() as connection:
            return "/".join(map(str, connection.execute(_REVISION).one()))

    def record_failed_fetch(self, image: str, repository: str, now: str) -> None:
        """Record that the documents attached to an image could not be fetched."""
        with self._database.write() as connection:
            row = {"image": image, "repository": repository, "failed_at": now}
            if not insert_if_new(connection, failed_vex_fetches, row):
                is_image = _FETCHES.image == image, _FETCHES.repository == repository
                connection.execute(update(failed_vex_fetches).where(*is_image).values(failed_at=now))

    def forget_failed_fetch(self, image: str, repository: str) -> None:
        """Forget that a fetch failed: a later one worked."""
        is_image = _FETCHES.image == image, _FETCHES.repository == repository
        with self._database.read() as connection:
            has_failed = connection.scalar(_FAILED_FETCH, {"image": image, "repository": repository}) is not None
        if has_failed:
            with self._database.write() as connection:
                connection.execute(delete(failed_vex_fetches).where(*is_image))

    def list_failed_fetches(self, before: str, after: str, limit: int) -> Sequence[ImageLocation]:
        """Return where the last fetch failed before that time, the longest ago first.

        Or `after` a time in the future, by a clock that was ahead.
        """
        query = (
            select(_FETCHES.repository, _FETCHES.image)
            .where(or_(_FETCHES.failed_at < before, _FETCHES.failed_at > after))
            .order_by(_FETCHES.failed_at, _FETCHES.repository, _FETCHES.image)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [ImageLocation(*row) for row in connection.execute(query)]

    def _with_statements(self, records: Sequence[VexRecord]) -> Sequence[tuple[VexRecord, Sequence[VexStatement]]]:
        names = {record.document for record in records}
        with self._lock:
            statements = {name: self._statements[name] for name in names if name in self._statements}
        if new_names := names - statements.keys():
            statements |= self._read_statements(new_names)
        with self._lock:
            for name in names:
                self._statements[name] = statements[name]
                self._statements.move_to_end(name)
            while len(self._statements) > CACHE_SIZE:
                self._statements.popitem(last=False)
        return [(record, statements[record.document]) for record in records]

    def _read_statements(self, documents: Collection[str]) -> dict[str, tuple[VexStatement, ...]]:
        """The statements of these documents, all in one query."""
        statements: dict[str, tuple[VexStatement, ...]] = {}
        parameters = {"documents": make_text_list(sorted(documents))}
        with self._database.read() as connection:
            for name, body in connection.execute(_STATEMENTS_OF_DOCUMENTS, parameters):
                entries = json.loads(zlib.decompress(body))
                statements[name] = canonical.build(tuple[VexStatement, ...], entries)
        return statements

    @staticmethod
    def _change(connection: Connection, record: VexRecord, values: dict[str, object]) -> None:
        is_this_document = vex_documents.c.document == record.document, vex_documents.c.image == record.image
        connection.execute(
            update(vex_documents).where(*is_this_document).values(**values, changes=vex_documents.c.changes + 1)
        )


def _measure_attached(connection: Connection, image: str) -> int:
    """Return the bytes of statements and envelopes of all documents that are attached to an image."""
    query = select(vex_statements.c.body, vex_documents.c.envelopes).join_from(
        vex_documents, vex_statements, vex_statements.c.document == vex_documents.c.document
    )
    rows = connection.execute(query.where(vex_documents.c.image == image))
    return sum(len(zlib.decompress(body)) + sum(map(len, envelopes)) for body, envelopes in rows)


def _get(connection: Connection, document: str, image: str | None, *, should_lock: bool = False) -> VexRecord:
    query = _LOCKED_DOCUMENT_OF_IMAGE if should_lock else _DOCUMENT_OF_IMAGE
    row = connection.execute(query, {"document": document, "image": image}).mappings().first()
    if row is None:
        raise NotFoundError(f"no VEX document {document!r} was uploaded", "`dockgate vex list` lists them all.")
    return VexRecord(**row)
