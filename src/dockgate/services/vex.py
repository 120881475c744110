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

Fetch = Callable[[str, str], Sequence[bytes]]
"""(repository, digest) -> the documents beside that image, whatever they are, as they lie there"""


class Vex:
    """`delivery.ports.VexReader`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def read(self, data: bytes, name: str) -> Sequence[VexStatement]:
        return vex_formats.read(data, name)

    def attached(self, repository: str, digest: str) -> Sequence[AttachedVex]:
        found = [_attached(data, digest) for data in self._fetch(repository, digest)]
        return [one for one in found if one is not None]

    def signer(self, envelope: str, document: str, image: str, keys: Sequence[str]) -> str:
        try:
            signed = dsse.verify(envelope.encode(), [dsse.PublicKey(key.encode()) for key in keys])
        except (DeniedError, UnreadableError, UsageError):
            return ""
        held = _predicate(signed.payload, image) if signed.payload_type == dsse.IN_TOTO else None
        return signed.key if held is not None and digest_of(held) == document else ""


def _attached(data: bytes, image: str) -> AttachedVex | None:
    """A VEX document as it is, in an in-toto statement, or in an envelope, which may be in a bundle of Sigstore's."""
    document = _object(data)
    if document is None:
        return None
    envelope = document.get("dsseEnvelope", document)
    if isinstance(envelope, dict) and "payloadType" in envelope:
        text = json.dumps(envelope)
        try:
            held = _predicate(dsse.read(text.encode()).payload, image)
        except UnreadableError:
            return None
        return AttachedVex(held, text) if held is not None else None
    if "predicateType" in document:
        held = _predicate(data, image)
        return AttachedVex(held) if held is not None else None
    return AttachedVex(data) if any(candidate.recognises(document) for candidate in vex_formats.load()) else None


def _predicate(payload: bytes, image: str) -> bytes | None:
    """The VEX document in an in-toto statement about the image; None for any other."""
    statement = _object(payload)
    if statement is None or not isinstance(statement.get("subject"), list):
        return None
    algorithm, _, digits = image.partition(":")
    subjects = [one.get("digest") for one in statement["subject"] if isinstance(one, dict)]
    if not any(isinstance(one, dict) and one.get(algorithm) == digits for one in subjects):
        return None
    predicate = statement.get("predicate")
    if not isinstance(predicate, dict) or not any(candidate.recognises(predicate) for candidate in vex_formats.load()):
        return None
    return json.dumps(predicate, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _object(data: bytes) -> dict[str, Any] | None:
    if len(data) > vex_formats.SIZE_LIMIT * 2:
        return None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
