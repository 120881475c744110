"""Provenance statements: found among the documents beside an image, and their signatures checked."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dockgate.attestations import dsse
from dockgate.core.errors import DeniedError, UnreadableError, UsageError
from dockgate.core.provenance import PREDICATE_TYPE

Fetch = Callable[[str, str], Sequence[bytes]]
"""(repository, digest) -> the documents beside that image, whatever they are"""
SIZE_LIMIT = 2**20
"""bytes of one envelope"""


class Provenance:
    """`core.adapters.ProvenanceReader`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def attached(self, repository: str, digest: str) -> Sequence[str]:
        return envelopes(self._fetch(repository, digest))

    def verify(self, envelope: str, key: str) -> bytes:
        return verify(envelope, key)


def envelopes(documents: Iterable[bytes]) -> list[str]:
    """The DSSE envelopes of SLSA Provenance v1 among these documents, as JSON. Nothing is verified."""
    found = (_envelope(data) for data in documents if len(data) <= SIZE_LIMIT)
    return list(dict.fromkeys(text for text in found if text is not None))


def verify(envelope: str, key: str) -> bytes:
    """The in-toto payload that the key (PEM) signed (`core.provenance.Verify`)."""
    try:
        signed = dsse.verify(envelope.encode(), [dsse.PublicKey(key.encode())])
    except UsageError as error:
        raise DeniedError(f"The policy lists a key that cannot be used: {error}") from None
    if signed.payload_type != dsse.IN_TOTO:
        raise UnreadableError(f"A signed document is of the type {signed.payload_type[:100]!r}, not in-toto's.")
    return signed.payload


def _envelope(data: bytes) -> str | None:
    """The envelope in a document, which may be a bundle of Sigstore's."""
    document = _object(data)
    if document is None:
        return None
    envelope = document.get("dsseEnvelope", document)
    if not isinstance(envelope, dict) or "payloadType" not in envelope:
        return None
    text = json.dumps(envelope, separators=(",", ":"), sort_keys=True)
    try:
        payload = _object(dsse.read(text.encode()).payload)
    except UnreadableError:
        return None
    return text if payload is not None and payload.get("predicateType") == PREDICATE_TYPE else None


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
