"""Attest approvals: attach a signed statement to each approved image, so that others can refuse unapproved images."""

from collections.abc import Sequence

from dockgate.attestations.statements import Attestation, covered, statement
from dockgate.delivery.ports import Attestor
from dockgate.gate.model import Status
from dockgate.services.effects import Step
from dockgate.services.outbox import UndeliverableError
from dockgate.store.images import Images
from dockgate.store.outbox import Outbox
from dockgate.store.provenance import ProvenanceStatements
from dockgate.store.records import OutboxEntry, OutboxKind


def attestations(outbox: Outbox, image: str) -> Sequence[Attestation]:
    """The attestations of an image, pending and failed ones too: the last approved first."""
    return [
        Attestation(
            **entry.payload,
            key=entry.result or "",
            attested_at=entry.done_at or "",
            attempts=entry.attempts,
            error=entry.last_error or "",
            next_at=entry.next_at or "",
        )
        for entry in outbox.entries(OutboxKind.ATTESTATION, image=image)
    ]


class AttestationHandler:
    """Signs that the policy approved an image, and attaches the statement in the image's registry."""

    kind = OutboxKind.ATTESTATION
    step = Step.ATTEST
    receiver_limit = 1

    def __init__(self, images: Images, attestor: Attestor, days: float) -> None:
        """`days` is how long an attestation is valid."""
        self._images = images
        self._attestor = attestor
        self._days = days

    def send(self, entry: OutboxEntry) -> str:
        """Attest, and return the id of the signing key."""
        digest, image, repository = (entry.payload[name] for name in ("verdict", "image", "repository"))
        verdict = self._images.verdict(digest)
        if verdict.status is not Status.APPROVED:
            raise UndeliverableError(f"the verdict is {verdict.status}: a person approved the image, not the policy")

        def write(name: str, subject: str) -> bytes:
            return statement(verdict, digest, name, subject, self._days)

        return self._attestor.attest(repository, image, digest, entry.payload["policy"], write, covered(verdict))


class ProvenanceHandler:
    """Attaches the provenance statements of our builds to their images."""

    kind = OutboxKind.PROVENANCE
    step = Step.ATTEST
    receiver_limit = 1

    def __init__(self, statements: ProvenanceStatements, attestor: Attestor) -> None:
        self._statements = statements
        self._attestor = attestor

    def send(self, entry: OutboxEntry) -> None:
        built = self._statements.built(entry.key)
        self._attestor.attach_provenance(built.repository, built.image, built.build, built.envelope.encode())
