"""Attestations: which approvals have left theirs beside the image, and which still have to."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import and_, func, select, update

from dockgate.core.approvals import ApprovalState
from dockgate.core.attestation import Attestation, Due
from dockgate.core.verdict import Status
from dockgate.store.engine import Database, insert_new
from dockgate.store.queries import select_as
from dockgate.store.schema import approvals, attestations, verdicts

_ATTESTATION = select_as(Attestation, attestations)


class SqlAttestations:
    """`core.stores.Attestations`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, now: str, image: str = "", limit: int = 100) -> Sequence[Due]:
        """The longest settled first. Approvals by one verdict, of one repository, are one."""
        done = and_(
            attestations.c.verdict == approvals.c.verdict,
            attestations.c.image == approvals.c.image,
            attestations.c.repository == approvals.c.repository,
        )
        pending = attestations.c.verdict.is_(None) | (
            (attestations.c.attested_at == "") & (attestations.c.next_at != "") & (attestations.c.next_at <= now)
        )
        query = (
            select(
                approvals.c.verdict,
                approvals.c.image,
                approvals.c.repository,
                approvals.c.policy,
                func.coalesce(func.max(attestations.c.attempts), 0).label("attempts"),
            )
            .join(verdicts, (verdicts.c.digest == approvals.c.verdict) & (verdicts.c.status == Status.APPROVED))
            .outerjoin(attestations, done)
            .where(approvals.c.state == ApprovalState.APPROVED, approvals.c.verdict != "", pending)
            .group_by(approvals.c.verdict, approvals.c.image, approvals.c.repository, approvals.c.policy)
            .order_by(func.min(approvals.c.seq))
            .limit(limit)
        )
        if image:
            query = query.where(approvals.c.image == image)
        with self._database.read() as connection:
            return [Due(**row) for row in connection.execute(query).mappings()]

    def put(self, attestation: Attestation) -> None:
        """One that is done stands; one that failed as often already does, too."""
        table = attestations.c
        same = (
            table.verdict == attestation.verdict,
            table.image == attestation.image,
            table.repository == attestation.repository,
        )
        fresh = table.attested_at == "", table.attempts <= attestation.attempts
        with self._database.write() as connection:
            if not insert_new(connection, attestations, asdict(attestation)):
                connection.execute(update(attestations).where(*same, *fresh).values(**asdict(attestation)))

    def of(self, image: str) -> Sequence[Attestation]:
        """The newest first."""
        query = _ATTESTATION.where(attestations.c.image == image)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(attestations.c.attested_at.desc(), attestations.c.verdict))
            return [Attestation(**row) for row in rows.mappings()]
