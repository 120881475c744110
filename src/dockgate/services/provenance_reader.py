"""Provenance statements: found among the documents beside an image, and their signatures checked."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from dockgate.attestations import dsse
from dockgate.gate.model import Policy
from dockgate.gate.policy import provenance_keys
from dockgate.gate.provenance import PREDICATE_TYPE, ProvenanceFacts, collect
from dockgate.scanner.images import attached_documents
from dockgate.scanner.images.reference import FileReference, RegistryReference, parse
from dockgate.services.image_inventory import DOCUMENT
from dockgate.shared.errors import DeniedError, DockgateError, UnavailableError, UnreadableError, UsageError

# (repository, digest) -> the documents beside that image, whatever they are.
Fetch = Callable[[str, str], Sequence[bytes]]
# Bytes of one envelope.
SIZE_LIMIT = 2**20
_FILE_LIMIT = 16 * SIZE_LIMIT


class RegistryProvenanceReader:
    """`delivery.ports.ProvenanceReader`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def attached(self, repository: str, digest: str) -> Sequence[str]:
        return envelopes(self._fetch(repository, digest))

    def verify(self, envelope: str, key: str) -> bytes:
        return verify(envelope, key)


def look_up(
    reference: str,
    digest: str,
    policy: Policy,
    files: Sequence[Path] = (),
    *,
    ca_bundle: Path | None = None,
    insecure: bool = False,
) -> ProvenanceFacts | None:
    """The provenance of an image for a local verdict; None if the policy does not need it.

    The image's registry or layout is read, and `files` hold more statements. Raises UsageError for a file that cannot
    be read, or contains no provenance statement.
    """
    keys = provenance_keys(policy)
    if not keys:
        return None
    documents = [text for file in files for text in _read(file)]
    unavailable = None
    try:
        documents += envelopes(_beside(reference, digest, ca_bundle, insecure))
    except DockgateError as error:
        unavailable = str(error)
    return collect(digest, documents, keys, verify, unavailable)


def _beside(reference: str, digest: str, ca_bundle: Path | None, insecure: bool) -> Sequence[bytes]:
    if reference.startswith(DOCUMENT) or not digest.startswith("sha256:"):
        raise UnavailableError(f"Nothing lies beside {reference}: name the image in a registry or an OCI layout.")
    named = parse(reference)
    if isinstance(named, RegistryReference):
        place = f"{named.registry}/{named.repository}@{digest}"
        return attached_documents.read(place, ca_bundle=ca_bundle, insecure=insecure)
    if isinstance(named, FileReference):
        return attached_documents.read_layout(named.path, digest)
    raise UnavailableError(f"Nothing lies beside {reference}: name the image in a registry or an OCI layout.")


def _read(file: Path) -> list[str]:
    """The envelopes in a file: one, or one a line, as `cosign download attestation` prints them."""
    try:
        with file.open("rb") as source:
            data = source.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", "Name a file with a DSSE envelope.") from None
    if len(data) > _FILE_LIMIT:
        raise UsageError(f"{file} has more than {_FILE_LIMIT} bytes.", "Name a file with a DSSE envelope.")
    texts = envelopes([data]) or envelopes(data.splitlines())
    if not texts:
        raise UsageError(
            f"{file} holds no SLSA Provenance v1 in a DSSE envelope.",
            "`cosign download attestation IMAGE` prints what is attached to an image.",
        )
    return texts


def envelopes(documents: Iterable[bytes]) -> list[str]:
    """The DSSE envelopes of SLSA Provenance v1 among these documents, as JSON. Nothing is verified."""
    texts = (_envelope(data) for data in documents if len(data) <= SIZE_LIMIT)
    return list(dict.fromkeys(text for text in texts if text is not None))


def verify(envelope: str, key: str) -> bytes:
    """The in-toto payload that the key (PEM) signed (`gate.provenance.Verify`)."""
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
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
