"""VEX for a server: documents read, found beside images, and their signatures checked."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from dockgate.attestations import dsse
from dockgate.delivery.ports import AttachedVex
from dockgate.gate import vex_formats
from dockgate.gate.model import VexStatement
from dockgate.shared.digest import digest_of
from dockgate.shared.errors import DeniedError, UnreadableError, UsageError

# (repository, digest) -> the documents beside that image, whatever they are, as they lie there.
Fetch = Callable[[str, str], Sequence[bytes]]


class Vex:
    """`delivery.ports.VexReader`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def read(self, data: bytes, name: str) -> Sequence[VexStatement]:
        return vex_formats.read(data, name)

    def attached(self, repository: str, digest: str) -> Sequence[AttachedVex]:
        documents = [_attached(data, digest) for data in self._fetch(repository, digest)]
        return [document for document in documents if document is not None]

    def signer(self, envelope: str, document: str, image: str, keys: Sequence[str]) -> str:
        try:
            signed = dsse.verify(envelope.encode(), [dsse.PublicKey(key.encode()) for key in keys])
        except (DeniedError, UnreadableError, UsageError):
            return ""
        predicate = _predicate(signed.payload, image) if signed.payload_type == dsse.IN_TOTO else None
        return signed.key if predicate is not None and digest_of(predicate) == document else ""


def _attached(data: bytes, image: str) -> AttachedVex | None:
    """A VEX document as it is, in an in-toto statement, or in an envelope, which may be in a bundle of Sigstore's."""
    document = _object(data)
    if document is None:
        return None
    envelope = document.get("dsseEnvelope", document)
    if isinstance(envelope, dict) and "payloadType" in envelope:
        text = json.dumps(envelope)
        try:
            predicate = _predicate(dsse.read(text.encode()).payload, image)
        except UnreadableError:
            return None
        return AttachedVex(predicate, text) if predicate is not None else None
    if "predicateType" in document:
        predicate = _predicate(data, image)
        return AttachedVex(predicate) if predicate is not None else None
    return AttachedVex(data) if any(candidate.recognises(document) for candidate in vex_formats.load()) else None


def _predicate(payload: bytes, image: str) -> bytes | None:
    """The VEX document in an in-toto statement about the image; None for any other."""
    statement = _object(payload)
    if statement is None or not isinstance(statement.get("subject"), list):
        return None
    algorithm, _, digits = image.partition(":")
    subjects = [subject.get("digest") for subject in statement["subject"] if isinstance(subject, dict)]
    if not any(isinstance(subject, dict) and subject.get(algorithm) == digits for subject in subjects):
        return None
    predicate = statement.get("predicate")
    if not isinstance(predicate, dict) or not any(candidate.recognises(predicate) for candidate in vex_formats.load()):
        return None
    return json.dumps(predicate, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _object(data: bytes) -> dict[str, Any] | None:
    if len(data) > vex_formats.SIZE_LIMIT * 2:
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
