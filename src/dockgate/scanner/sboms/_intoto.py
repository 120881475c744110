"""Bills of materials inside in-toto statements, with or without a DSSE envelope.

`cosign attest` and BuildKit write them. Sources: in-toto Statement v1 and v0.1 (`_type`, `subject`, `predicateType`,
`predicate`), DSSE v1 (`payloadType`, `payload` in Base64). No signature is verified here: who made a document is not
what it says.
"""

import base64
import binascii
import re
from typing import Any

from dockgate.shared.digest import from_hex
from dockgate.shared.errors import UsageError
from dockgate.shared.strict_json import parse_json

_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def unwrap(document: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return the SBOM of a statement, and the digest of its only image, None if it names several or none.

    A document that is not a statement is returned as it is. Raises UsageError for a statement without an object.
    """
    if "payload" in document and "payloadType" in document:
        document = _decode_payload(document)
    if document.get("_type") not in _STATEMENTS:
        return document, None
    predicate = document.get("predicate")
    if isinstance(predicate, dict) and isinstance(predicate.get("Data"), (dict, str)):
        predicate = predicate["Data"]  # as cosign wrote before 2.0
    if isinstance(predicate, str):
        predicate = _parse_object(predicate)
    if not isinstance(predicate, dict):
        raise UsageError(f"is a statement of type {document.get('predicateType')!r} without a bill of materials")
    return predicate, _find_subject(document.get("subject"))


def _decode_payload(envelope: dict[str, Any]) -> dict[str, Any]:
    if envelope["payloadType"] != _PAYLOAD:
        raise UsageError(f"is a DSSE envelope of type {envelope['payloadType']!r}; only {_PAYLOAD} is supported")
    try:
        text = base64.b64decode(envelope["payload"], validate=True).decode()
    except (TypeError, ValueError, binascii.Error):
        raise UsageError("is a DSSE envelope whose payload is not Base64 of text") from None
    return _parse_object(text)


def _parse_object(text: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError("is a statement whose content is not a JSON object")
    return value


def _find_subject(subjects: Any) -> str | None:
    digests = {
        str(subject["digest"].get("sha256"))
        for subject in (subjects if isinstance(subjects, list) else ())
        if isinstance(subject, dict) and isinstance(subject.get("digest"), dict)
    }
    digest = digests.pop() if len(digests) == 1 else ""
    return from_hex(digest) if _DIGEST.fullmatch(digest) else None
