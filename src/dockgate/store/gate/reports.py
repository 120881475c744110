"""Reports of other scanners: one document for each image, scanner, platform and submitter."""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from dockgate.gate.model import ExternalReport
from dockgate.identity.model import ALL_REPOSITORIES
from dockgate.shared.canonical import decode, encode
from dockgate.shared.errors import ConflictError
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store.documents import Document, decompress_document, store_documents
from dockgate.store.engine import Database
from dockgate.store.fleet.due_images import mark_due
from dockgate.store.fleet.records import Component, ReportSubjects
from dockgate.store.queries import select_as
from dockgate.store.records import ReportRecord, ReportScope
from dockgate.store.schema.gate import reports
from dockgate.store.schema.store import documents
from dockgate.store.statements import insert_if_new, lock_name

# Reports of one image by one submitter: each verdict on the image reads all of them. An index has some ten platforms,
# and few scanners report on it.
REPORTS_LIMIT = 100
# Rows that are read at once.
_ROWS = 500

_RECORD = select_as(ReportRecord, reports)
_IMAGE_REPORTS = _RECORD.where(reports.c.image == bindparam("image")).order_by(
    reports.c.source, reports.c.platform, reports.c.by
)
_BODIES = (
    select(documents.c.body, reports.c.scope)
    .join(reports, reports.c.digest == documents.c.digest)
    .where(reports.c.image == bindparam("image"))
    .order_by(reports.c.source, reports.c.platform, reports.c.by)
)

_SCOPES = select(reports.c.scope).where(reports.c.image == bindparam("image"))
_SUBJECTS = select(reports.c.image, reports.c.subjects)


class Reports:
    """Reports of other scanners. The newest of each scanner, platform and submitter counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, report: ExternalReport, by: str, scope: ReportScope, now: str) -> ReportRecord:
        """Store a report and its document, unless a newer one is stored. Returns the stored record.

        The same report counts from now on where the `scope` says. One that is dated in the future counts as made now:
        it would hide the later ones. Raises ConflictError for one more than REPORTS_LIMIT.
        """
        document = Document.from_value(report)
        inventory = report.inventory
        is_vouched = scope.vouched_in is not None
        made_at = now if report.at is not None and report.at > compute_latest_time(now) else report.at
        record = ReportRecord(
            inventory.image_digest, report.source, inventory.platform, by, document.digest, made_at, is_vouched, now
        )
        subjects = _encode_subjects(report)
        table = reports.c
        is_same = (
            table.image == record.image,
            table.source == record.source,
            table.platform == record.platform,
            table.by == record.by,
        )
        with self._database.write() as connection:
            lock_name(connection, reports, f"{record.image}/{by}")
            is_by_submitter = table.image == record.image, table.by == by
            count = connection.scalar(select(func.count()).select_from(reports).where(*is_by_submitter)) or 0
            if count >= REPORTS_LIMIT and not connection.scalar(select(func.count()).where(*is_same)):
                raise ConflictError(
                    f"{by} has reported {count} scanners and platforms of {record.image} already",
                    "Report again what has a report: the newest of each scanner and platform counts.",
                )
            store_documents(connection, document)
            row_of_it = {**asdict(record), "scope": scope, "subjects": subjects}
            if not insert_if_new(connection, reports, row_of_it):
                is_other = or_(table.digest != record.digest, table.scope != scope)
                is_newer = func.coalesce(table.made_at, "") <= (record.made_at or "")
                connection.execute(update(reports).where(*is_same, is_newer, is_other).values(**row_of_it))
            mark_due(connection, record.image)
            row = connection.execute(_RECORD.where(*is_same)).mappings().one()
            return ReportRecord(**row)

    def replace(
        self, image: str, external_reports: Sequence[ExternalReport], by: str, now: str
    ) -> Sequence[ReportRecord]:
        """Replace everything that `by` reported of an image or index by these reports, one for each platform.

        The reports count as vouched for, in every repository.
        """
        table = reports.c
        documents = [Document.from_value(report) for report in external_reports]
        records = [
            ReportRecord(image, report.source, report.inventory.platform, by, document.digest, report.at, True, now)
            for report, document in zip(external_reports, documents, strict=True)
        ]
        with self._database.write() as connection:
            lock_name(connection, reports, f"{image}/{by}")
            store_documents(connection, *documents)
            connection.execute(delete(reports).where(table.image == image, table.by == by))
            if records:
                scope = ReportScope(ALL_REPOSITORIES, ALL_REPOSITORIES)
                rows = [
                    {**asdict(record), "scope": scope, "subjects": subjects}
                    for record, subjects in zip(records, map(_encode_subjects, external_reports), strict=True)
                ]
                connection.execute(insert(reports), rows)
            mark_due(connection, image)
        return [record for record in self.list_for_image(image) if record.by == by]

    def list_for_image(self, image: str) -> Sequence[ReportRecord]:
        """The records of an image, sorted by scanner, platform and submitter."""
        with self._database.read() as connection:
            return [ReportRecord(**row) for row in connection.execute(_IMAGE_REPORTS, {"image": image}).mappings()]

    def list_external_reports(self, image: str, repository: str) -> Sequence[ExternalReport]:
        """The documents of `list_for_image` that count in the repository, in its order."""
        with self._database.read() as connection:
            rows = connection.execute(_BODIES, {"image": image}).all()
        counted_bodies = [body for body, scope in rows if scope.counts_in.has(repository)]
        return [decode(ExternalReport, decompress_document(body)) for body in counted_bodies]

    def iterate_subjects(self) -> Iterator[ReportSubjects]:
        """The components in which each report has findings, for all images."""
        with self._database.read_transaction() as connection:
            rows = connection.execution_options(yield_per=_ROWS).execute(_SUBJECTS)
            for image, data in rows:
                platform_image, packages = json.loads(zlib.decompress(data))
                names = {Component.from_fields(fields): frozenset(names) for fields, names in packages}
                yield ReportSubjects(image, platform_image, names)

    def is_vouched(self, image: str, repository: str) -> bool:
        """Return whether someone who may accept risks in the repository reported on the image."""
        with self._database.read() as connection:
            scopes = connection.scalars(_SCOPES, {"image": image}).all()
        return any(scope.is_vouched(repository) for scope in scopes)


def _encode_subjects(report: ExternalReport) -> bytes:
    """Return the compressed `ReportSubjects`. A finding belongs to packages with its package URL and path."""
    names_by_key: dict[tuple[str, str], set[str]] = {}
    for finding in report.matches.findings:
        names = names_by_key.setdefault((finding.package.purl, finding.package.path), set())
        names.update((finding.id, *finding.aliases))
    names_by_component: dict[Component, set[str]] = {}
    for package in report.inventory.packages:
        if names := names_by_key.get((package.purl, package.path), set()):
            names_by_component.setdefault(Component.from_package(package), set()).update(names)
    packages = sorted((component.list_fields(), sorted(names)) for component, names in names_by_component.items())
    return zlib.compress(encode([report.inventory.image_digest, packages]))
