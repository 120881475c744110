"""Images: where they were pushed, their scans, their verdicts, and every document of a verdict by its digest."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, or_, select, update

from dockgate.delivery.registry_access import SERVER
from dockgate.events.model import Event
from dockgate.gate.evaluate import input_digests
from dockgate.gate.model import (
    BaselineExemptions,
    ExternalReport,
    InputDigests,
    Policy,
    Status,
    Verdict,
    VerdictCase,
    Waivers,
)
from dockgate.gate.policy import decode_policy, encode_policy
from dockgate.gate.provenance import ProvenanceFacts
from dockgate.gate.summaries import count_waived
from dockgate.scanner.model import Inventory
from dockgate.shared.canonical import build, decode, encode
from dockgate.shared.digest import digest_of, from_hex
from dockgate.shared.errors import NotFoundError
from dockgate.store.engine import Database, insert_all_new, insert_if_new, lock_name, lock_rows
from dockgate.store.queries import one_of, select_as, text_list
from dockgate.store.records import PushedImage, Scan, ScanState, TagMove, VerdictRecord
from dockgate.store.schema import documents, events, pushed_images, scan_inventories, scans, tag_moves, verdicts
from dockgate.vulnerabilities.model import AdvisorySnapshot

# What a case is made of, each of them a document.
Part = BaselineExemptions | Inventory | ProvenanceFacts | ExternalReport | AdvisorySnapshot | Waivers

_SCAN = select_as(Scan, scans)
_SCAN_OF = _SCAN.where(scans.c.image == bindparam("image"))
_LOCKED_SCAN = lock_rows(_SCAN_OF)
_FINISH_SCAN = update(scans).where(
    scans.c.image == bindparam("of_image"),
    scans.c.number == bindparam("of_number"),
    scans.c.state == ScanState.REQUESTED,
)
_INVENTORIES = (
    select(documents.c.body)
    .join(scan_inventories, scan_inventories.c.digest == documents.c.digest)
    .where(scan_inventories.c.image == bindparam("image"))
    .order_by(scan_inventories.c.position)
)
_PUSHED = select_as(PushedImage, pushed_images)
_LATER = (
    update(pushed_images)
    .where(*(column == bindparam(f"of_{column.name}") for column in pushed_images.primary_key))
    .where(pushed_images.c.pushed_at < bindparam("at"))
    .values(pushed_at=bindparam("at"))
)
_PUSHERS = (
    select(pushed_images.c.pushed_by)
    .where(pushed_images.c.digest == bindparam("digest"), pushed_images.c.repository == bindparam("repository"))
    .distinct()
    .order_by(pushed_images.c.pushed_by)
)
_TAGGED = (
    select(pushed_images.c.digest)
    .where(pushed_images.c.repository == bindparam("repository"), pushed_images.c.tag == bindparam("tag"))
    .order_by(pushed_images.c.pushed_at.desc())
    .limit(1)
)
_PUSH_KEY = ("repository", "tag", "digest")
_MOVE = select_as(TagMove, tag_moves)
_RECORD = select_as(VerdictRecord, verdicts)
_OF_CAUSE = select(verdicts.c.digest).where(verdicts.c.cause == bindparam("cause"))
_STORED = select(documents.c.digest).where(one_of(documents.c.digest, "digests"))


class Images:
    """Images: pushes, scans, verdicts, and the documents that verdicts were made from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept_push(self, event: Event) -> Scan | None:
        """Store an IMAGE_PUSH event, the push, the tag's move and a scan request, in one transaction.

        Returns the scan as `request_scan` does; None when the event is known already.
        """
        detail = event.detail
        image = PushedImage(
            detail["repository"], detail["tag"], detail["digest"], event.at, pushed_by=detail.get("by", "")
        )

        def write(connection: Connection) -> Scan | None:
            lock_name(connection, pushed_images, f"{image.repository}:{image.tag}")
            if not insert_if_new(connection, events, asdict(replace(event, handled_at=event.at))):
                return None
            _move(connection, event.id, image)
            _push(connection, image)
            return _request(connection, image.digest, image.repository, event.at)

        return self._database.group_commit(write)

    def add_push(self, image: PushedImage) -> None:
        """Store a push: one row for each digest under a tag, with its latest time.

        A push by the server itself keeps the server as pusher; otherwise the first known pusher stays.
        """
        with self._database.write() as connection:
            _push(connection, image)

    def pushers(self, repository: str, digest: str) -> Sequence[str]:
        """Who pushed the digest to this repository, under any tag; "" stands for an unknown pusher."""
        with self._database.read() as connection:
            return list(connection.scalars(_PUSHERS, {"repository": repository, "digest": digest}))

    def tag_moves(self, digest: str) -> Sequence[TagMove]:
        """The moves of tags to this digest and away from it, newest first."""
        query = _MOVE.where(or_(tag_moves.c.digest == digest, tag_moves.c.previous == digest))
        with self._database.read() as connection:
            return [TagMove(**row) for row in connection.execute(query.order_by(tag_moves.c.seq.desc())).mappings()]

    def unannounced_moves(self) -> Sequence[TagMove]:
        """The tag moves that were not announced yet, oldest first."""
        query = _MOVE.where(tag_moves.c.announced_at == "").order_by(tag_moves.c.seq)
        with self._database.read() as connection:
            return [TagMove(**row) for row in connection.execute(query).mappings()]

    def mark_move_announced(self, move: str, now: str) -> None:
        """Record that a tag move was announced. The first time stays."""
        change = update(tag_moves).where(tag_moves.c.id == move, tag_moves.c.announced_at == "")
        with self._database.write() as connection:
            connection.execute(change.values(announced_at=now))

    def pushed_images(self, repository: str | None = None) -> Sequence[PushedImage]:
        """All pushed images, of one repository if given, newest first."""
        table = pushed_images.c
        query = _PUSHED.order_by(table.pushed_at.desc(), table.repository, table.tag, table.digest)
        if repository is not None:
            query = query.where(table.repository == repository)
        with self._database.read() as connection:
            return [PushedImage(**row) for row in connection.execute(query).mappings()]

    def request_scan(self, image: str, repository: str, now: str) -> Scan:
        """Request a scan and return it. A requested or completed scan is returned unchanged.

        After a failed scan, a new one is requested under the next number.
        """
        with self._database.write() as connection:
            return _request(connection, image, repository, now)

    def scan(self, image: str) -> Scan | None:
        """The newest scan of an image, None without one."""
        with self._database.read() as connection:
            return _scan(connection, image)

    def requested_scans(self) -> Sequence[Scan]:
        """The scans that are not done yet, oldest first."""
        query = _SCAN.where(scans.c.state == ScanState.REQUESTED).order_by(scans.c.requested_at, scans.c.image)
        with self._database.read() as connection:
            return [Scan(**row) for row in connection.execute(query).mappings()]

    def finish_scan(
        self,
        image: str,
        number: int,
        inventories: Sequence[Inventory],
        reason: str,
        now: str,
        *,
        is_image: bool = True,
    ) -> None:
        """End a scan: DONE with its inventories; FAILED if there is a reason, or NOT_AN_IMAGE.

        Does nothing unless the scan of this number is requested. A failed scan has no inventories.
        """
        failed = ScanState.FAILED if is_image else ScanState.NOT_AN_IMAGE
        state = failed if reason else ScanState.DONE
        stored = [] if reason else [Document.of(inventory) for inventory in inventories]
        change = {"of_image": image, "of_number": number, "state": state, "reason": reason, "finished_at": now}

        def write(connection: Connection) -> None:
            if connection.execute(_FINISH_SCAN, change).rowcount == 0:
                return
            store_documents(connection, *stored)
            rows = [
                {"image": image, "position": at, "digest": document.digest, "platform_image": inventory.image}
                for at, (document, inventory) in enumerate(zip(stored, inventories, strict=False))
            ]
            if rows:
                connection.execute(insert(scan_inventories), rows)

        self._database.group_commit(write)

    def inventories(self, image: str) -> Sequence[Inventory]:
        """The inventories of an image, in the order of its scan; empty without a completed scan."""
        with self._database.read() as connection:
            bodies = connection.scalars(_INVENTORIES, {"image": image}).all()
        return [decode(Inventory, decompress_document(body)) for body in bodies]

    def approved_indexes_with(self, platform_image: str) -> Sequence[str]:
        """Return the indexes that hold this platform's image and were approved at some time, sorted."""
        table = scan_inventories.c
        query = (
            select(table.image)
            .join(verdicts, verdicts.c.image == table.image)
            .where(table.platform_image == platform_image, table.image != platform_image)
            .where(verdicts.c.status == Status.APPROVED)
        )
        with self._database.read() as connection:
            return list(connection.scalars(query.distinct().order_by(table.image)))

    def add_verdict(self, verdict: Verdict, case: VerdictCase, cause: str) -> tuple[Verdict, str]:
        """Store a verdict and everything that it was made from, by digest. Returns it with its digest.

        The first verdict of a cause stays, and is returned. ValueError when the verdict was not made from this case,
        because it could not be replayed.
        """
        parts: list[Document] = []

        def digest(part: Part) -> str:
            parts.append(Document.of(part))
            return parts[-1].digest

        inputs = input_digests(case, digest)
        if verdict.inputs != inputs:
            raise ValueError(f"the verdict on {verdict.image} was made from {verdict.inputs}, not from {inputs}")
        body = Document.of(verdict)
        parts = [body, Document.of_policy(case.policy), *parts]
        self._compress_new(parts)
        row = {
            "cause": cause,
            "digest": body.digest,
            "image": verdict.image,
            "policy": verdict.policy,
            "status": verdict.status,
            "summary": verdict.summary,
            "waived": count_waived(verdict.platform_verdicts),
            "judged_at": verdict.inputs.now,
        }

        def write(connection: Connection) -> tuple[Verdict, str]:
            stored = connection.scalar(_OF_CAUSE, {"cause": cause})
            if stored is not None:
                return _verdict(connection, stored), stored
            store_documents(connection, *parts)
            if insert_if_new(connection, verdicts, row):
                return verdict, body.digest
            stored = connection.scalars(_OF_CAUSE, {"cause": cause}).one()  # another transaction was first
            return _verdict(connection, stored), stored

        return self._database.group_commit(write)

    def _compress_new(self, candidates: Sequence["Document"]) -> None:
        """Compress those that are not stored yet, which would block other writers in the transaction."""
        with self._database.read() as connection:
            for document in _new_documents(connection, candidates):
                _ = document.body

    def case(self, digest: str) -> VerdictCase:
        """Everything that a verdict was made from."""
        with self._database.read() as connection:
            verdict = json.loads(_verdict_body(connection, digest))
            digests = build(InputDigests, verdict["inputs"])
            return VerdictCase(
                image=verdict["image"],
                policy=decode_policy(_body(connection, digests.policy)),
                now=digests.now,
                engine=digests.engine,
                inventories=tuple(decode(Inventory, _body(connection, part)) for part in digests.inventories),
                snapshot=decode(AdvisorySnapshot, _body(connection, digests.snapshot)),
                waivers=decode(Waivers, _body(connection, digests.waivers)),
                baselines={
                    name: tuple(decode(Inventory, _body(connection, part)) for part in baseline)
                    for name, baseline in digests.baselines.items()
                },
                external_reports=tuple(
                    decode(ExternalReport, _body(connection, part)) for part in digests.external_reports
                ),
                no_scan_reason=digests.no_scan_reason,
                baseline_exemptions={
                    name: decode(BaselineExemptions, _body(connection, part))
                    for name, part in digests.baseline_exemptions.items()
                },
                provenance=decode(ProvenanceFacts, _body(connection, digests.provenance))
                if digests.provenance
                else None,
            )

    def verdict(self, digest: str) -> Verdict:
        """A verdict by its digest."""
        with self._database.read() as connection:
            return _verdict(connection, digest)

    def verdicts(self, image: str) -> Sequence[VerdictRecord]:
        """The verdicts on an image, newest first."""
        query = _RECORD.where(verdicts.c.image == image).order_by(verdicts.c.seq.desc())
        with self._database.read() as connection:
            return [VerdictRecord(**row) for row in connection.execute(query).mappings()]

    def find_digests(self, kind: str, start: str, limit: int) -> Sequence[tuple[str, str]]:
        """The digests of images ("image") or verdicts ("verdict") that begin with `start`, each with its image.

        `start` is hexadecimal digits. Sorted by digest.
        """
        if kind == "verdict":
            columns = [(verdicts.c.digest, verdicts.c.image)]
        else:
            columns = [(pushed_images.c.digest, pushed_images.c.digest), (scans.c.image, scans.c.image)]
        images: dict[str, str] = {}
        with self._database.read() as connection:
            for digest, image in columns:
                matches = digest.startswith(from_hex(start), autoescape=True)
                query = select(digest, image.label("of_image")).where(matches).distinct().order_by(digest).limit(limit)
                images |= {row[0]: row[1] for row in connection.execute(query)}
        return sorted(images.items())[:limit]

    def newest_verdicts(self, policy: str, before: int, limit: int) -> Sequence[tuple[int, VerdictRecord]]:
        """The newest verdict on each image by each policy, newest first, each with its position.

        With `policy`, only verdicts by that policy, alone or with rules that repositories add ("": all). With `before`,
        only verdicts at smaller positions (0: all).
        """
        last = select(func.max(verdicts.c.seq)).group_by(verdicts.c.image, verdicts.c.policy)
        query = _RECORD.add_columns(verdicts.c.seq).where(verdicts.c.seq.in_(last))
        if policy:
            query = query.where(_by(policy))
        if before:
            query = query.where(verdicts.c.seq < before)
        records = []
        with self._database.read() as connection:
            for row in connection.execute(query.order_by(verdicts.c.seq.desc()).limit(limit)).mappings():
                columns = dict(row)
                records.append((columns.pop("seq"), VerdictRecord(**columns)))
        return records

    def last_approved_image(self, repository: str, policy: str, image: str) -> str:
        """The image of this repository that this policy approved last, other than `image`; "" for none."""
        pushed = select(pushed_images.c.digest).where(pushed_images.c.repository == repository)
        scanned = select(scans.c.image).where(scans.c.repository == repository)
        query = (
            select(verdicts.c.image)
            .where(_by(policy))
            .where(verdicts.c.status == Status.APPROVED, verdicts.c.image != image)
            .where(or_(verdicts.c.image.in_(pushed), verdicts.c.image.in_(scanned)))
            .order_by(verdicts.c.seq.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            return connection.scalar(query) or ""

    def document(self, digest: str) -> bytes:
        """The canonical bytes of an inventory, advisory snapshot, policy or verdict."""
        with self._database.read() as connection:
            return _body(connection, digest)


class Document:
    """A document to store. Make it before the transaction: encoding and hashing a large inventory takes time."""

    def __init__(self, kind: str, data: bytes) -> None:
        self.kind = kind
        self.digest = digest_of(data)
        self._data = data

    @cached_property
    def body(self) -> bytes:
        """The row's bytes. Compressing takes time, and a document that is stored already needs none."""
        return zlib.compress(self._data)

    @classmethod
    def of(cls, value: Part | Verdict) -> "Document":
        return cls(type(value).__name__, encode(value))

    @classmethod
    def of_policy(cls, policy: Policy) -> "Document":
        return cls(Policy.__name__, encode_policy(policy))


def store_documents(connection: Connection, *new: Document) -> None:
    """Store the documents that are not stored yet."""
    insert_all_new(
        connection,
        documents,
        [
            {"kind": document.kind, "digest": document.digest, "body": document.body}
            for document in _new_documents(connection, new)
        ],
    )


def _new_documents(connection: Connection, candidates: Sequence[Document]) -> list[Document]:
    """Those that are not stored, each digest once."""
    by_digest = {document.digest: document for document in candidates}
    stored = set(connection.scalars(_STORED, {"digests": text_list(list(by_digest))}))
    return [document for digest, document in by_digest.items() if digest not in stored]


def decompress_document(body: bytes) -> bytes:
    """The canonical bytes of a row of `documents`."""
    return zlib.decompress(body)


def _push(connection: Connection, image: PushedImage) -> None:
    if insert_if_new(connection, pushed_images, asdict(image)):
        return
    of = {f"of_{column.name}": getattr(image, column.name) for column in pushed_images.primary_key}
    connection.execute(_LATER, {**of, "at": image.pushed_at})
    if image.pushed_by:
        change = update(pushed_images).where(*(pushed_images.c[name] == getattr(image, name) for name in _PUSH_KEY))
        if image.pushed_by != SERVER:
            change = change.where(pushed_images.c.pushed_by == "")
        connection.execute(change.values(pushed_by=image.pushed_by))


def _move(connection: Connection, event_id: str, image: PushedImage) -> None:
    """Records that the tag had another digest so far, as its latest push says."""
    tag = {"repository": image.repository, "tag": image.tag}
    previous = connection.scalar(_TAGGED, tag) if image.tag else None
    if previous is not None and previous != image.digest:
        move = TagMove(event_id, image.repository, image.tag, previous, image.digest, image.pushed_at, image.pushed_by)
        insert_if_new(connection, tag_moves, asdict(move))


def _request(connection: Connection, image: str, repository: str, now: str) -> Scan:
    present = _scan(connection, image)
    if present is None:
        requested = Scan(image, repository, ScanState.REQUESTED, 1, requested_at=now)
        if insert_if_new(connection, scans, asdict(requested)):
            return requested
    elif not present.state.has_failed:
        return present
    present = Scan(**connection.execute(_LOCKED_SCAN, {"image": image}).mappings().one())
    if not present.state.has_failed:
        return present
    requested = Scan(image, repository, ScanState.REQUESTED, present.number + 1, requested_at=now)
    connection.execute(update(scans).where(scans.c.image == image).values(**asdict(requested)))
    return requested


def _by(policy: str) -> ColumnElement[bool]:
    """By this server policy, alone or with rules that a repository adds (`PolicyReference`)."""
    return or_(verdicts.c.policy == policy, verdicts.c.policy.startswith(f"{policy}+", autoescape=True))


def _scan(connection: Connection, image: str) -> Scan | None:
    row = connection.execute(_SCAN_OF, {"image": image}).mappings().first()
    return None if row is None else Scan(**row)


def _verdict(connection: Connection, digest: str) -> Verdict:
    return decode(Verdict, _verdict_body(connection, digest))


def _verdict_body(connection: Connection, digest: str) -> bytes:
    is_verdict = documents.c.digest == digest, documents.c.kind == Verdict.__name__
    body = connection.scalar(select(documents.c.body).where(*is_verdict))
    if body is None:
        raise _unknown("verdict", digest)
    return decompress_document(body)


def _body(connection: Connection, digest: str) -> bytes:
    body = connection.scalar(select(documents.c.body).where(documents.c.digest == digest))
    if body is None:
        raise _unknown("document", digest)
    return decompress_document(body)


def _unknown(kind: str, digest: str) -> NotFoundError:
    return NotFoundError(
        f"there is no {kind} {digest!r}", "Give the whole digest, sha256:… as `dockgate approval list` prints it."
    )
