"""Attestations: which approvals have left theirs beside the image, and which still have to."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import ColumnElement, Connection, exists, func, select, update

from dockgate.attestations.statements import Attestation, Due
from dockgate.delivery.model import ApprovalState
from dockgate.store.engine import Database, insert_new
from dockgate.store.queries import select_as
from dockgate.store.schema import approvals, attestations

_ATTESTATION = select_as(Attestation, attestations)


class Attestations:
    """Which approvals have left an attestation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, now: str, image: str = "", limit: int = 100) -> Sequence[Due]:
        """Approved, by a verdict, and nothing became of their attestation yet, of one image or of all; and those that
        failed, when it is time to try again.

        New ones first, the longest settled of them; then those to be tried again. Approvals by one verdict, of one
        repository, are one.
        """
        new = (
            select(approvals.c.verdict, approvals.c.image, approvals.c.repository, approvals.c.policy)
            .where(approvals.c.state == ApprovalState.APPROVED, approvals.c.verdict != "", ~_known())
            .group_by(approvals.c.verdict, approvals.c.image, approvals.c.repository, approvals.c.policy)
            .order_by(func.min(approvals.c.seq))
        )
        again = select(
            *(attestations.c[name] for name in ("verdict", "image", "repository", "policy", "attempts"))
        ).where(attestations.c.next_at != "", attestations.c.next_at <= now)
        if image:
            new, again = new.where(approvals.c.image == image), again.where(attestations.c.image == image)
        with self._database.read() as connection:
            found = [Due(**row) for row in connection.execute(new.limit(limit)).mappings()]
            rows = connection.execute(again.order_by(attestations.c.next_at).limit(limit - len(found))).mappings()
            return [*found, *(Due(**row) for row in rows)]

    def put(self, attestation: Attestation) -> None:
        """What became of one. One that is done stands.

        One that is done stands; one that failed as often already does, too.
        """
        table = attestations.c
        same = (
            table.verdict == attestation.verdict,
            table.image == attestation.image,
            table.repository == attestation.repository,
        )
        fresh = table.attested_at == "", table.attempts <= attestation.attempts

        def write(connection: Connection) -> None:
            if not insert_new(connection, attestations, asdict(attestation)):
                connection.execute(update(attestations).where(*same, *fresh).values(**asdict(attestation)))

        self._database.together(write)

    def of(self, image: str) -> Sequence[Attestation]:
        """The newest first."""
        query = _ATTESTATION.where(attestations.c.image == image)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(attestations.c.attested_at.desc(), attestations.c.verdict))
            return [Attestation(**row) for row in rows.mappings()]


def _known() -> ColumnElement[bool]:
    """Whether anything became of an approval's attestation."""
    table = attestations.c
    return exists().where(
        table.verdict == approvals.c.verdict,
        table.image == approvals.c.image,
        table.repository == approvals.c.repository,
    )
