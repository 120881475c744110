"""Verdicts, and the case that each was made from, as documents."""

import json
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, or_, select, update

from dockgate.gate.model import (
    BaselineExemptions,
    ExemptionSet,
    ExternalReport,
    InputDigests,
    Status,
    Verdict,
    VerdictCase,
)
from dockgate.gate.policy import decode_policy
from dockgate.gate.provenance import ProvenanceFacts
from dockgate.scanner.model import Inventory
from dockgate.shared.canonical import build, decode
from dockgate.store.documents import read_document, read_documents
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.gate.unstored_verdicts import UnstoredVerdict, find_first_verdicts, insert_verdicts
from dockgate.store.gate.verdict_documents import read_verdict, read_verdict_body, read_violations
from dockgate.store.gate.verdict_facts import CountedWaiver, VerdictFacts, read_facts
from dockgate.store.queries import is_by_policy, is_one_of, is_one_of_texts, make_text_list, select_as
from dockgate.store.records import (
    ImageLocation,
    NewestVerdict,
    RecordedViolations,
    VerdictRecord,
)
from dockgate.store.schema.gate import verdicts
from dockgate.store.schema.images import pushed_images, scan_inventories, scans
from dockgate.store.schema.store import documents
from dockgate.store.verdict_causes import VerdictCause, is_push, is_renewed
from dockgate.vulnerabilities.model import AdvisorySnapshot

_REMEMBERED_FACTS = 1000
_RECORD = select_as(VerdictRecord, verdicts)
_RECORDS_OF_IMAGE = _RECORD.where(verdicts.c.image == bindparam("of")).order_by(verdicts.c.seq.desc())
_NUMBER_OF_CAUSE = select(verdicts.c.seq).where(verdicts.c.cause == bindparam("of"))
_NEWEST_NUMBERS = (
    select(verdicts.c.image, func.max(verdicts.c.seq))
    .where(is_one_of(verdicts.c.image, "images"))
    .group_by(verdicts.c.image)
)
_NEWEST_NUMBERS_BY_LOCATION = (
    select(verdicts.c.repository, verdicts.c.image, func.max(verdicts.c.seq))
    .where(is_one_of(verdicts.c.image, "images"))
    .group_by(verdicts.c.repository, verdicts.c.image)
)
_STATUSES_BEFORE_RENEWALS = (
    select(verdicts.c.repository, verdicts.c.image, verdicts.c.status)
    .where(verdicts.c.policy == bindparam("by"), ~is_renewed(verdicts.c.cause))
    .where(is_one_of(verdicts.c.image, "images"))
    .order_by(verdicts.c.seq)
)
_IS_BY_POLICY = is_by_policy(verdicts.c.policy, "policy")
_PUSHED_DIGESTS = select(pushed_images.c.digest).where(pushed_images.c.repository == bindparam("repository"))
_SCANNED_DIGESTS = select(scans.c.image).where(scans.c.repository == bindparam("repository"))
_LAST_APPROVED_IMAGE = (
    select(verdicts.c.image)
    .where(_IS_BY_POLICY)
    .where(verdicts.c.status == Status.APPROVED, verdicts.c.image != bindparam("image"))
    .where(~is_push(verdicts.c.cause))
    .where(or_(verdicts.c.image.in_(_PUSHED_DIGESTS), verdicts.c.image.in_(_SCANNED_DIGESTS)))
    .order_by(verdicts.c.seq.desc())
    .limit(1)
)


def _select_newest_by_location() -> Select[Any]:
    """The newest verdict of each policy on images in each repository, with the time since when it has its status."""
    key = verdicts.c.image, verdicts.c.repository, verdicts.c.policy
    number = func.row_number().over(partition_by=key, order_by=verdicts.c.seq.desc())
    ranked_verdicts = _RECORD.add_columns(verdicts.c.seq, number.label("number"))
    rows = ranked_verdicts.where(is_one_of(verdicts.c.image, "images")).subquery().c
    former, later = verdicts.alias().c, verdicts.alias().c
    is_before, is_after = (
        [aliased_columns[column.name] == rows[column.name] for column in key] for aliased_columns in (former, later)
    )
    last_change = select(func.coalesce(func.max(former.seq), 0)).where(*is_before, former.status != rows.status)
    since = select(func.min(later.judged_at)).where(*is_after, later.seq > last_change.scalar_subquery())
    columns = [column for column in rows if column.name not in ("seq", "number")]
    query = select(*columns, since.scalar_subquery().label("since")).where(rows.number == 1)
    return query.order_by(rows.seq.desc())


_NEWEST_BY_LOCATION = _select_newest_by_location()


class VerdictTable:
    """Stored verdicts. `get_case` returns everything that one was made from."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # A verdict never changes: its digest names its bytes.
        self._facts = lru_cache(_REMEMBERED_FACTS)(self._read_facts)

    def list_newest_statuses(self, policy: str, images: Collection[str]) -> dict[ImageLocation, Status]:
        """The status of the newest verdict of a policy on each of these images, by repository and image.

        Without those that were renewed because something changed: this may be the change that is to be announced.
        """
        parameters = {"by": policy, "images": make_text_list(sorted(images))}
        with self._database.read() as connection:
            return {
                ImageLocation(repository, image): status
                for repository, image, status in connection.execute(_STATUSES_BEFORE_RENEWALS, parameters)
            }

    def add(
        self, verdict: Verdict, case: VerdictCase, cause: str, repository: str, scan: int | None = None
    ) -> tuple[Verdict, str]:
        """Store a verdict and everything that it was made from, by digest. Returns it with its digest.

        `repository` is the one whose waivers and baselines count in it, and its events name it. With the number of a
        scan, it is the verdict on a pushed image.

        The first verdict of a cause stays, and is returned. ValueError as `prepare`.
        """
        return self.store(self.prepare(verdict, case, cause, repository, scan))

    def prepare(
        self, verdict: Verdict, case: VerdictCase, cause: str, repository: str, scan: int | None = None
    ) -> UnstoredVerdict:
        """Prepare what `add` stores.

        It is stored by `store`, or together with the answer of approvals by `Approvals.settle_by_verdict`. ValueError
        when the verdict was not made from this case, because it could not be replayed.
        """
        unstored_verdict = UnstoredVerdict.from_case(verdict, case, cause, repository, scan)
        with self._database.read() as connection:
            unstored_verdict.compress_new(connection)
        return unstored_verdict

    def store(self, unstored_verdict: UnstoredVerdict) -> tuple[Verdict, str]:
        """Store a verdict as `add` does."""
        cause = unstored_verdict.cause

        def write(connection: Connection) -> tuple[Verdict, str]:
            first_verdict = find_first_verdicts(connection, [cause]).get(cause)
            if first_verdict is None and (new_events := insert_verdicts(connection, [unstored_verdict])):
                append_events(connection, new_events)
                return unstored_verdict.verdict, unstored_verdict.digest
            # If there was none, another transaction was first.
            return first_verdict or find_first_verdicts(connection, [cause])[cause]

        return self._database.group_commit(write)

    def get_case(self, digest: str) -> VerdictCase:
        """Everything that a verdict was made from."""
        with self._database.read() as connection:
            verdict = json.loads(read_verdict_body(connection, digest))
            return _read_case(connection, verdict["image"], build(InputDigests, verdict["inputs"]))

    def read_case(self, verdict: Verdict) -> VerdictCase:
        """Read the case, as `get_case` does, of a verdict that was read already."""
        with self._database.read() as connection:
            return _read_case(connection, verdict.image, verdict.inputs)

    def list_repositories(self, image: str, digest: str) -> Sequence[str]:
        """The repositories in which a verdict on an image was made, the first one first."""
        query = select(verdicts.c.repository).where(verdicts.c.image == image, verdicts.c.digest == digest)
        query = query.order_by(verdicts.c.seq)
        with self._database.read() as connection:
            return list(dict.fromkeys(connection.scalars(query)))

    def count_link_revocations(self, digest: str) -> int:
        """Count how often the links to a verdict were revoked, 0 for an unknown verdict."""
        query = select(func.coalesce(func.max(verdicts.c.link_revocations), 0)).where(verdicts.c.digest == digest)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def revoke_links(self, digest: str) -> None:
        """Count a revocation of the links to a verdict."""
        count = verdicts.c.link_revocations + 1
        with self._database.write() as connection:
            connection.execute(update(verdicts).where(verdicts.c.digest == digest).values(link_revocations=count))

    def get(self, digest: str) -> Verdict:
        """A verdict by its digest."""
        with self._database.read() as connection:
            return read_verdict(connection, digest)

    def get_counts(self, digest: str) -> Mapping[str, int]:
        """The most findings of any platform of a verdict, by severity. The latest answers are remembered."""
        return self._facts(digest).counts

    def list_waivers(self, digest: str) -> Sequence[CountedWaiver]:
        """The waivers and VEX documents that excuse something in a verdict. The latest answers are remembered."""
        return self._facts(digest).waivers

    def _read_facts(self, digest: str) -> VerdictFacts:
        with self._database.read() as connection:
            return read_facts(json.loads(read_verdict_body(connection, digest))["platform_verdicts"])

    def list_of_image(self, image: str) -> Sequence[VerdictRecord]:
        """The verdicts on an image, newest first."""
        with self._database.read() as connection:
            return [VerdictRecord(**row) for row in connection.execute(_RECORDS_OF_IMAGE, {"of": image}).mappings()]

    def list_newest_by_location(self, images: Collection[str]) -> Mapping[ImageLocation, Sequence[NewestVerdict]]:
        """The verdicts on pushes and requests by location: the newest of each policy, newest first."""
        entries: dict[ImageLocation, list[NewestVerdict]] = {}
        parameters = {"images": make_text_list(sorted(images))}
        with self._database.read() as connection:
            for row in connection.execute(_NEWEST_BY_LOCATION, parameters).mappings():
                values = dict(row)
                entry = NewestVerdict(since=values.pop("since"), record=VerdictRecord(**values))
                entries.setdefault(ImageLocation(entry.record.repository, entry.record.image), []).append(entry)
        return dict(entries)

    def list_newest_numbers(self, images: Collection[str]) -> Mapping[str, int]:
        """The number of the newest verdict on each image that has one, by image.

        A later verdict has a higher number.
        """
        with self._database.read() as connection:
            rows = connection.execute(_NEWEST_NUMBERS, {"images": make_text_list(sorted(images))})
            return {row[0]: row[1] for row in rows}

    def get_number(self, cause: VerdictCause) -> int:
        """The number of the verdict of a cause, which is stored."""
        with self._database.read() as connection:
            return int(connection.execute(_NUMBER_OF_CAUSE, {"of": cause}).scalar_one())

    def list_newest_numbers_by_location(self, images: Collection[str]) -> Mapping[ImageLocation, int]:
        """The number of the newest verdict on each of these images in each repository.

        See `list_newest_numbers`.
        """
        with self._database.read() as connection:
            rows = connection.execute(_NEWEST_NUMBERS_BY_LOCATION, {"images": make_text_list(sorted(images))})
            return {ImageLocation(repository, image): number for repository, image, number in rows}

    def list_newest_violations(
        self,
        repositories_by_image: Mapping[str, Collection[str]],
        policies: Mapping[str, str],
        repositories: Collection[str] | None,
        size: int,
    ) -> tuple[Mapping[str, Sequence[RecordedViolations]], int]:
        """Return what the newest verdict on each image in each repository says, by image, the newest first.

        It is the newest by the policy of `policies`, else by any; in the repositories of an image, else in others, if
        they are among `repositories` (None: any). Reads documents with `size` compressed bytes in all, a thousand
        findings in 100,000, and those of at least one image; only of verdicts that reject. Also returns of how many
        images, from the first one on, the verdicts were read or do not exist.
        """
        table = verdicts.c
        last = select(func.max(table.seq)).where(is_one_of(table.image, "images"))
        last = last.group_by(table.image, table.repository, table.policy)
        parameters = {"images": make_text_list(sorted(repositories_by_image))}
        if repositories is not None:
            last = last.where(is_one_of(table.repository, "repositories"))
            parameters["repositories"] = make_text_list(sorted(repositories))
        is_read = and_(documents.c.digest == table.digest, table.status == Status.REJECTED)
        query = (
            select(*table["image", "repository", "policy", "digest", "status"], func.length(documents.c.body))
            .outerjoin_from(verdicts, documents, is_read)
            .where(table.seq.in_(last))
            .order_by(table.seq.desc())
        )
        newest_verdicts: dict[str, dict[str, tuple[str, Status, int | None]]] = {}
        selected_verdicts: dict[str, Sequence[tuple[str, Status, int | None]]] = {}
        with self._database.read() as connection:
            for image, repository, policy, *columns in connection.execute(query, parameters):
                by_repository = newest_verdicts.setdefault(image, {})
                if repository not in by_repository or policy == policies.get(repository):
                    by_repository[repository] = tuple(columns)
            count = len(repositories_by_image)
            for number, (image, names) in enumerate(repositories_by_image.items()):
                rows = newest_verdicts.get(image, {})
                newest_rows = [row for repository, row in rows.items() if repository in names] or list(rows.values())
                size -= sum(length or 0 for _, _, length in newest_rows)
                if selected_verdicts and size < 0:
                    count = number
                    break
                if newest_rows:
                    selected_verdicts[image] = newest_rows
            digests = {digest for rows in selected_verdicts.values() for digest, _, length in rows if length}
            bodies = select(documents.c.digest, documents.c.body).where(is_one_of_texts(documents.c.digest, digests))
            violations = (
                {digest: read_violations(body) for digest, body in connection.execute(bodies)} if digests else {}
            )
        return {
            image: [
                RecordedViolations(digest, status, *violations.get(digest, ({}, frozenset())))
                for digest, status, _ in rows
            ]
            for image, rows in selected_verdicts.items()
        }, count

    def list_newest(self, policy: str | None, before: int, limit: int) -> Sequence[tuple[int, VerdictRecord]]:
        """The newest verdict on each image by each policy, newest first, each with its position.

        With `policy`, only verdicts by that policy, alone or with rules that repositories add. With `before`, only
        verdicts at smaller positions (0: all).
        """
        last = select(func.max(verdicts.c.seq)).group_by(verdicts.c.image, verdicts.c.policy)
        query = _RECORD.add_columns(verdicts.c.seq).where(verdicts.c.seq.in_(last))
        if policy:
            query = query.where(_IS_BY_POLICY)
        if before:
            query = query.where(verdicts.c.seq < before)
        records = []
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(verdicts.c.seq.desc()).limit(limit), {"policy": policy})
            for row in rows.mappings():
                columns = dict(row)
                records.append((columns.pop("seq"), VerdictRecord(**columns)))
        return records

    def find_last_approved_image(self, repository: str, policy: str, image: str) -> str | None:
        """The image of this repository that this policy approved last, other than `image`, or None."""
        parameters = {"repository": repository, "policy": policy, "image": image}
        with self._database.read() as connection:
            digest: str | None = connection.scalar(_LAST_APPROVED_IMAGE, parameters)
        return digest

    def get_document(self, digest: str) -> bytes:
        """The canonical bytes of an inventory, advisory snapshot, policy or verdict."""
        with self._database.read() as connection:
            return read_document(connection, digest)

    def list_approved_indexes_with(self, platform_image: str) -> Sequence[str]:
        """Return the indexes that contain this platform's image and were approved at some time, sorted."""
        table = scan_inventories.c
        query = (
            select(table.image)
            .join(verdicts, verdicts.c.image == table.image)
            .where(table.platform_image == platform_image, table.image != platform_image)
            .where(verdicts.c.status == Status.APPROVED)
        )
        with self._database.read() as connection:
            return list(connection.scalars(query.distinct().order_by(table.image)))


def _read_case(connection: Connection, image: str, digests: InputDigests) -> VerdictCase:
    """Return what was judged, from documents that are all read at once."""
    parts = [digests.policy, *digests.inventories, digests.snapshot, digests.waivers, *digests.external_reports]
    parts += [part for baseline in digests.baselines.values() for part in baseline]
    parts += [*digests.baseline_exemptions.values(), *filter(None, [digests.provenance])]
    stored_documents = read_documents(connection, parts)
    return VerdictCase(
        image=image,
        policy=decode_policy(stored_documents[digests.policy]),
        now=digests.now,
        engine=digests.engine,
        inventories=tuple(decode(Inventory, stored_documents[part]) for part in digests.inventories),
        snapshot=decode(AdvisorySnapshot, stored_documents[digests.snapshot]),
        waivers=decode(ExemptionSet, stored_documents[digests.waivers]),
        baselines={
            name: tuple(decode(Inventory, stored_documents[part]) for part in baseline)
            for name, baseline in digests.baselines.items()
        },
        external_reports=tuple(decode(ExternalReport, stored_documents[part]) for part in digests.external_reports),
        no_scan_reason=digests.no_scan_reason,
        baseline_exemptions={
            name: decode(BaselineExemptions, stored_documents[part])
            for name, part in digests.baseline_exemptions.items()
        },
        provenance=decode(ProvenanceFacts, stored_documents[digests.provenance]) if digests.provenance else None,
    )
