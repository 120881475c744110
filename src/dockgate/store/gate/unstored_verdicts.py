"""Verdicts before they are stored.

They are encoded and compressed before the transaction that stores them, which would block other writers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection, func, select

from dockgate.events.model import NewEvent
from dockgate.events.verdict_events import MAX_TAGS, NewVerdict
from dockgate.gate.evaluate import digest_inputs
from dockgate.gate.model import Verdict, VerdictCase
from dockgate.gate.summaries import count_waived
from dockgate.store.documents import Document, Part, select_new_documents, store_documents
from dockgate.store.gate.verdict_documents import read_verdict
from dockgate.store.queries import is_one_of, make_text_list
from dockgate.store.records import ImageLocation
from dockgate.store.schema.gate import verdicts
from dockgate.store.schema.images import pushed_images
from dockgate.store.statements import insert_if_new
from dockgate.vulnerabilities.model import Severity

_DIGESTS_BY_CAUSE = select(verdicts.c.cause, verdicts.c.digest).where(is_one_of(verdicts.c.cause, "causes"))
_PUSHES = pushed_images.c
_RANKED_TAGS = (
    select(
        *_PUSHES["digest", "repository", "tag"],
        func.row_number().over(partition_by=(_PUSHES.digest, _PUSHES.repository), order_by=_PUSHES.tag).label("number"),
    )
    .where(is_one_of(_PUSHES.digest, "images"), _PUSHES.tag != "")
    .subquery()
)
_TAGS = (
    select(_RANKED_TAGS.c.digest, _RANKED_TAGS.c.repository, _RANKED_TAGS.c.tag)
    .where(_RANKED_TAGS.c.number <= MAX_TAGS)
    .order_by(_RANKED_TAGS.c.tag)
)


@dataclass(frozen=True, slots=True)
class UnstoredVerdict:
    """A verdict on an image, to be stored under a cause with the documents that it was made from.

    Its events name the image's `repository`. With the number of a `scan`, it is the verdict on a pushed image.
    The first verdict of a cause stays.
    """

    verdict: Verdict
    digest: str
    cause: str
    repository: str
    scan: int | None
    documents: Sequence[Document]

    @classmethod
    def from_case(cls, verdict: Verdict, case: VerdictCase, cause: str, repository: str, scan: int | None) -> Self:
        """Encode a verdict. ValueError when it was not made from this case, because it could not be replayed."""
        parts: list[Document] = []

        def digest(part: Part) -> str:
            parts.append(Document.from_value(part))
            return parts[-1].digest

        inputs = digest_inputs(case, digest)
        if verdict.inputs != inputs:
            raise ValueError(f"the verdict on {verdict.image} was made from {verdict.inputs}, not from {inputs}")
        body = Document.from_value(verdict)
        documents = [body, Document.from_policy(case.policy), *parts]
        return cls(verdict, body.digest, cause, repository, scan, documents)

    def compress_new(self, connection: Connection) -> None:
        """Compress the documents that are not stored yet."""
        for document in select_new_documents(connection, self.documents):
            _ = document.body

    def make_row(self) -> dict[str, object]:
        """The row of the verdict."""
        verdict = self.verdict
        counts = {
            severity.value.lower(): max(
                (platform_verdict.counts.get(severity, 0) for platform_verdict in verdict.platform_verdicts), default=0
            )
            for severity in Severity
        }
        return {
            "cause": self.cause,
            "digest": self.digest,
            "image": verdict.image,
            "repository": self.repository,
            "policy": verdict.policy,
            "status": verdict.status,
            "summary": verdict.summary,
            "waived": count_waived(verdict.platform_verdicts),
            "judged_at": verdict.inputs.now,
            **counts,
        }


def find_first_verdicts(connection: Connection, causes: Sequence[str]) -> dict[str, tuple[Verdict, str]]:
    """The verdicts that are stored under these causes, each with its digest."""
    rows = connection.execute(_DIGESTS_BY_CAUSE, {"causes": make_text_list(causes)}).all()
    return {cause: (read_verdict(connection, digest), digest) for cause, digest in rows}


def insert_verdicts(connection: Connection, unstored_verdicts: Sequence[UnstoredVerdict]) -> list[NewEvent]:
    """Store verdicts within a transaction, which is to append the events that are returned.

    A verdict has none if another transaction has stored one under its cause.
    """
    store_documents(connection, *(document for verdict in unstored_verdicts for document in verdict.documents))
    new_verdicts = [verdict for verdict in unstored_verdicts if insert_if_new(connection, verdicts, verdict.make_row())]
    tags = _list_tags(connection, [verdict.verdict.image for verdict in new_verdicts])
    events: list[NewEvent] = []
    for verdict in new_verdicts:
        image_tags = tags.get(ImageLocation(verdict.repository, verdict.verdict.image), ())
        new = NewVerdict(verdict.verdict, verdict.digest, verdict.cause, verdict.repository, image_tags)
        events += new.make_events(verdict.scan)
    return events


def _list_tags(connection: Connection, images: Sequence[str]) -> dict[ImageLocation, list[str]]:
    """The tags under which images were pushed, by location: at most so many as an event names."""
    tags: dict[ImageLocation, list[str]] = {}
    if images:
        for image, repository, tag in connection.execute(_TAGS, {"images": make_text_list(images)}):
            tags.setdefault(ImageLocation(repository, image), []).append(tag)
    return tags
