"""VEX documents and provenance statements that are attached to images, and their signatures."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockgate.attestations import dsse
from dockgate.gate import vex_formats
from dockgate.gate.model import Policy
from dockgate.gate.policy import list_provenance_keys
from dockgate.gate.provenance import PREDICATE_TYPE, ProvenanceFacts, collect
from dockgate.scanner.local_reference import DOCUMENT, split_scheme
from dockgate.shared.digest import Digest, compute_digest
from dockgate.shared.errors import DeniedError, DockgateError, UnavailableError, UnreadableError, UsageError
from dockgate.shared.strict_json import parse_json

# Bytes of one envelope.
SIZE_LIMIT = 2**20
_FILE_LIMIT = 16 * SIZE_LIMIT

# Reads the documents attached to the image that a reference names, whose digest is known. None if none can be attached.
ReadBeside = Callable[[str, str], Sequence[bytes] | None]


@dataclass(frozen=True, slots=True)
class AttachedVex:
    """A VEX document that is attached to an image.

    `envelope` is the DSSE envelope (JSON) around it; None: unsigned.
    """

    document: bytes
    envelope: str | None = None


def read_attached_vex(documents: Iterable[bytes], image: str) -> list[AttachedVex]:
    """Return the VEX documents among those that are attached to an image (a digest).

    No signature is verified.
    """
    return [vex for data in documents if (vex := _find_attached_vex(data, image)) is not None]


def find_vex_signer(envelope: str, document: str, image: str, keys: Sequence[str]) -> str | None:
    """Return the fingerprint of the one of `keys` (PEM) that signed the envelope; None if none did.

    The envelope must contain the document with this digest and name the image.
    """
    try:
        statement = dsse.verify_envelope(envelope.encode(), [dsse.PublicKey(key.encode()) for key in keys])
    except (DeniedError, UnreadableError, UsageError):
        return None
    predicate = _find_vex_predicate(statement.payload, image) if statement.payload_type == dsse.IN_TOTO else None
    return statement.key if predicate is not None and compute_digest(predicate) == document else None


def look_up(
    reference: str,
    digest: str,
    policy: Policy,
    read_beside: ReadBeside,
    files: Sequence[Path] = (),
) -> ProvenanceFacts | None:
    """Return the provenance of an image for a local verdict; None if the policy does not need it.

    Beside what is attached to the image, `files` hold more statements. Raises UsageError for a file that cannot be
    read, or contains no provenance statement.
    """
    keys = list_provenance_keys(policy)
    if not keys:
        return None
    documents = [text for file in files for text in _read_envelopes(file)]
    unavailable = None
    try:
        attached_documents = None if split_scheme(reference)[0] == DOCUMENT else read_beside(reference, digest)
        if attached_documents is None:
            raise UnavailableError(
                f"documents cannot be attached to {reference}", "Name the image in a registry or in an OCI layout."
            )
        documents += select_envelopes(attached_documents)
    except DockgateError as error:
        unavailable = str(error)
    return collect(digest, documents, keys, verify, unavailable)


def _read_envelopes(file: Path) -> list[str]:
    """The envelopes in a file: one, or one a line, as `cosign download attestation` prints them."""
    try:
        with file.open("rb") as source:
            data = source.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", "Name a file with a DSSE envelope.") from None
    if len(data) > _FILE_LIMIT:
        raise UsageError(f"{file} has more than {_FILE_LIMIT} bytes", "Name a file with a DSSE envelope.")
    texts = select_envelopes([data]) or select_envelopes(data.splitlines())
    if not texts:
        raise UsageError(
            f"{file} contains no SLSA Provenance v1 in a DSSE envelope",
            "`cosign download attestation IMAGE` prints what is attached to an image.",
        )
    return texts


def select_envelopes(documents: Iterable[bytes]) -> list[str]:
    """Return the DSSE envelopes of SLSA Provenance v1 among these documents, as JSON. Nothing is verified."""
    texts = (_find_provenance_envelope(data) for data in documents if len(data) <= SIZE_LIMIT)
    return list(dict.fromkeys(text for text in texts if text is not None))


def verify(envelope: str, key: str) -> bytes:
    """Return the in-toto payload that the key (PEM) signed (`gate.provenance.Verify`).

    Raises DeniedError if that key did not sign it, UnreadableError if it is not an envelope of an in-toto statement.
    """
    try:
        statement = dsse.verify_envelope(envelope.encode(), [dsse.PublicKey(key.encode())])
    except UsageError as error:
        raise DeniedError(f"the policy lists a key that cannot be used: {error}", error.advice) from None
    if statement.payload_type != dsse.IN_TOTO:
        raise UnreadableError(f"a signed document is of the type {statement.payload_type[:100]!r}, not in-toto's")
    return statement.payload


def _find_provenance_envelope(data: bytes) -> str | None:
    """Return the text of an envelope of SLSA Provenance v1, None for any other document."""
    envelope = _open_envelope(_parse_object(data) or {})
    statement = _parse_object(envelope[1]) if envelope else None
    return envelope[0] if envelope and statement and statement.get("predicateType") == PREDICATE_TYPE else None


def _find_attached_vex(data: bytes, image: str) -> AttachedVex | None:
    """A VEX document as it is, in an in-toto statement, or in an envelope; None for any other document."""
    document = _parse_object(data) if len(data) <= 2 * vex_formats.SIZE_LIMIT else None
    if document is None:
        return None
    envelope = _open_envelope(document)
    if envelope is not None or "predicateType" in document:
        text, payload = envelope or (None, data)
        predicate = _find_vex_predicate(payload, image)
        return AttachedVex(predicate, text) if predicate is not None else None
    return AttachedVex(data) if _is_vex(document) else None


def _find_vex_predicate(payload: bytes, image: str) -> bytes | None:
    """Return the VEX document in an in-toto statement about the image; None for any other."""
    statement = _parse_object(payload)
    if statement is None or not isinstance(statement.get("subject"), list):
        return None
    algorithm, digits = Digest.parse(image)
    subjects = [subject.get("digest") for subject in statement["subject"] if isinstance(subject, dict)]
    if not any(isinstance(subject, dict) and subject.get(algorithm) == digits for subject in subjects):
        return None
    predicate = statement.get("predicate")
    if not isinstance(predicate, dict) or not _is_vex(predicate):
        return None
    return json.dumps(predicate, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _is_vex(document: dict[str, Any]) -> bool:
    return any(candidate.can_read(document) for candidate in vex_formats.load())


def _open_envelope(document: dict[str, Any]) -> tuple[str, bytes] | None:
    """The text and payload of a DSSE envelope, None for any other document.

    The envelope may be in a bundle of Sigstore's. No signature is verified. The payload of an invalid envelope is
    empty.
    """
    envelope = document.get("dsseEnvelope", document)
    if not isinstance(envelope, dict) or "payloadType" not in envelope:
        return None
    text = json.dumps(envelope, separators=(",", ":"), sort_keys=True)
    try:
        return text, dsse.read_envelope(text.encode()).payload
    except UnreadableError:
        return text, b""


def _parse_object(data: bytes) -> dict[str, Any] | None:
    try:
        document = parse_json(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
