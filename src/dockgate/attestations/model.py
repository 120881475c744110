"""The nouns of attestations: envelopes, what they state, the keys that sign them."""

from dataclasses import dataclass

from dockgate.gate.policy_reference import PolicyReference


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope that was read, and not yet believed.

    `signatures` are raw bytes: the hint of which key made them is unsigned, and not kept.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """The statement of an envelope, and the key `key` that signed it."""

    payload_type: str
    payload: bytes
    key: str


@dataclass(frozen=True, slots=True)
class Attestation:
    """An attestation of a verdict, attached to its image or still to be.

    `key` is the signing key's id and `attested_at` when it was attached, None before. `error` is why the last attempt
    failed, `next_at` when it is tried again (None for never). `renewed_at` is when the verdict was confirmed, None for
    the first attestation.
    """

    verdict: str
    image: str
    repository: str
    policy: PolicyReference
    key: str | None = None
    attested_at: str | None = None
    attempts: int = 0
    error: str | None = None
    next_at: str | None = None
    renewed_at: str | None = None


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A public key, in PEM.

    `id` is the digest of its DER form; `is_current`: new attestations are signed with it.
    """

    id: str
    pem: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """The content of a believed statement about an image."""

    image: str
    name: str
    verdict: str
    policy: PolicyReference
    judged_at: str
    expires_at: str
    waived: int
    evidence: str
