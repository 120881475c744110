"""Verdicts before they are stored.

They are encoded and compressed before the transaction that stores them, which would block other writers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection, bindparam, select

from dockgate.events.model import NewEvent
from dockgate.events.verdict_events import MAX_TAGS, NewVerdict
from dockgate.gate.evaluate import digest_inputs
from dockgate.gate.model import Verdict, VerdictCase
from dockgate.gate.summaries import count_waived
from dockgate.store.documents import Document, Part, select_new_documents, store_documents
from dockgate.store.gate.verdict_documents import read_verdict
from dockgate.store.schema.gate import verdicts
from dockgate.store.schema.images import pushed_images
from dockgate.store.statements import insert_if_new
from dockgate.vulnerabilities.model import Severity

_OF_CAUSE = select(verdicts.c.digest).where(verdicts.c.cause == bindparam("cause"))
_TAGS = (
    select(pushed_images.c.tag)
    .where(pushed_images.c.digest == bindparam("image"), pushed_images.c.repository == bindparam("repository"))
    .order_by(pushed_images.c.tag)
    .limit(MAX_TAGS)
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
    repository: str | None
    scan: int | None
    documents: Sequence[Document]

    @classmethod
    def from_case(
        cls, verdict: Verdict, case: VerdictCase, cause: str, repository: str | None, scan: int | None
    ) -> Self:
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

    def find_first(self, connection: Connection) -> tuple[Verdict, str] | None:
        """The verdict that is stored under the cause, with its digest, or None."""
        digest = connection.scalar(_OF_CAUSE, {"cause": self.cause})
        return None if digest is None else (read_verdict(connection, digest), digest)

    def insert(self, connection: Connection) -> Sequence[NewEvent]:
        """Store the verdict within a transaction, which is to append the events that are returned.

        There are none if another transaction has stored one under the cause.
        """
        store_documents(connection, *self.documents)
        if not insert_if_new(connection, verdicts, self._make_row()):
            return ()
        new = NewVerdict(self.verdict, self.digest, self.cause, self.repository, self._list_tags(connection))
        return new.make_events(self.scan)

    def _make_row(self) -> dict[str, object]:
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
            "repository": self.repository or "",
            "policy": verdict.policy,
            "status": verdict.status,
            "summary": verdict.summary,
            "waived": count_waived(verdict.platform_verdicts),
            "judged_at": verdict.inputs.now,
            **counts,
        }

    def _list_tags(self, connection: Connection) -> Sequence[str]:
        """The tags under which the image was pushed to the repository, at most so many as an event names."""
        if self.repository is None:
            return ()
        key = {"image": self.verdict.image, "repository": self.repository}
        return [tag for tag in connection.scalars(_TAGS, key) if tag]
