"""Attestations of images: verified for a command, and listed for pages."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from dockgate.attestations import dsse
from dockgate.attestations.model import Attestation, Claim
from dockgate.attestations.statements import is_approval_statement, verify_statement
from dockgate.shared import canonical
from dockgate.shared.errors import DockgateError, UsageError
from dockgate.shared.timestamps import format_time
from dockgate.store.events.outbox import Outbox
from dockgate.store.records import OutboxKind

# Attestations of an image that are listed.
MAX_LISTED = 100
# Returns the digest of the image that a reference names, and the envelopes attached to it.
ReadAttestations = Callable[[str], tuple[str, Sequence[bytes]]]


@dataclass(frozen=True, slots=True)
class VerifiedAttestation:
    """A document attached to an image.

    `claim` is what it says if it is trusted, else None, and `refusal` says why.
    """

    claim: Claim | None
    refusal: str | None = None


def verify(
    reference: str, key: Path, policy: str, read_attestations: ReadAttestations, now: datetime | None = None
) -> tuple[str, tuple[VerifiedAttestation, ...]]:
    """Return the image's digest, and each attestation of an approval with its verification.

    An image without such a digest has none. Signed statements of other types, such as build provenance, are left out.
    An approval by another policy than `policy` does not count.

    Raises UsageError for an invalid public key, NotFoundError for a tag that does not exist.
    """
    try:
        keys = [dsse.PublicKey(key.read_bytes())]
    except OSError as error:
        raise UsageError(f"{key} cannot be read: {error.strerror}", "`dockgate attestation key` prints it.") from None
    digest, envelopes = read_attestations(reference)
    moment = now or datetime.now(UTC)
    attestations = [_verify_envelope(envelope, digest, policy, keys, moment) for envelope in envelopes]
    return digest, tuple(attestation for attestation in attestations if attestation is not None)


def _verify_envelope(
    envelope: bytes, digest: str, policy: str, keys: list[dsse.PublicKey], now: datetime
) -> VerifiedAttestation | None:
    """Verify the envelope; None if a trusted key signed a statement of another type."""
    try:
        statement = dsse.verify_envelope(envelope, keys)
        if statement.payload_type != dsse.IN_TOTO:
            return VerifiedAttestation(None, f"It is of the type {statement.payload_type!r}.")
        if not is_approval_statement(statement.payload):
            return None
        return VerifiedAttestation(verify_statement(statement.payload, digest, policy, format_time(now)))
    except DockgateError as error:
        return VerifiedAttestation(None, str(error))


def list_attestations(outbox: Outbox, image: str, repositories: Collection[str] | None = None) -> Sequence[Attestation]:
    """The attestations of an image, pending and failed ones too: the last approved first.

    At most MAX_LISTED. `repositories` are those that the reader may see, None for all.
    """
    limit = MAX_LISTED if repositories is None else None
    entries = outbox.list_entries(OutboxKind.ATTESTATION, image=image, limit=limit)
    visible_entries = (
        entry for entry in entries if repositories is None or entry.payload["repository"] in repositories
    )
    return [
        canonical.build(
            Attestation,
            {
                **entry.payload,
                "key": entry.result,
                "attested_at": entry.done_at,
                "attempts": entry.attempts,
                "error": entry.last_error,
                "next_at": entry.next_at,
            },
        )
        for entry in islice(visible_entries, MAX_LISTED)
    ]
