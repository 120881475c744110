"""Statements that an image was approved: they are signed and stored beside the image in its registry.

Pure. The form is in-toto's Statement, version 1 (in-toto/attestation, spec/v1/statement.md), with a predicate of our
own.
"""

import re
from datetime import timedelta

from dockgate.attestations.model import Claim
from dockgate.gate.model import Status, Verdict
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.provenance import STATEMENT_TYPE
from dockgate.shared import canonical
from dockgate.shared.digest import from_hex, get_hex
from dockgate.shared.errors import DeniedError, UnreadableError
from dockgate.shared.strict_json import parse_json
from dockgate.shared.timestamps import compute_latest_time, format_time, parse_time, to_datetime

# The type of the predicate that docs/how-to/attestations.md describes.
PREDICATE_TYPE = "https://dockgate.dev/attestation/verdict/v1"

_TAG = r"sha256-([0-9a-f]{64})(?:\.(?:att|sig|sbom))?"


def parse_attachment_tag(tag: str) -> str | None:
    """Return the image digest that a tag of attachments belongs to, None for any other tag.

    Such tags are cosign's and ours, and those that replace OCI referrers (distribution spec 1.1, "Referrers Tag
    Schema").
    """
    match = re.fullmatch(_TAG, tag)
    return from_hex(match[1]) if match else None


def list_covered_digests(verdict: Verdict) -> tuple[str, ...]:
    """Return the digests that the verdict speaks for: its image, and the images in it that were judged.

    Where any was scanned, those that only another scanner's report names do not count: every developer can upload a
    report.
    """
    scanned_images = [
        platform_verdict.image for platform_verdict in verdict.platform_verdicts if not platform_verdict.source
    ]
    judged_images = scanned_images or [platform_verdict.image for platform_verdict in verdict.platform_verdicts]
    return tuple(dict.fromkeys((verdict.image, *judged_images)))


def build_statement(
    verdict: Verdict, verdict_digest: str, name: str, digest: str, days: float, renewed_at: str | None = None
) -> bytes:
    """Write the statement that an image was approved.

    `digest`, called `name`, is the image of the verdict, or a child of its index. It is good for `days` from when it
    was judged, or from `renewed_at`, when it was judged again with the same result. ValueError for a verdict that
    approves nothing, and for a digest that it does not cover.
    """
    if digest not in list_covered_digests(verdict):
        raise ValueError(f"the verdict {verdict_digest} does not cover {digest}")
    if verdict.status is not Status.APPROVED:
        raise ValueError(f"the verdict {verdict_digest} is {verdict.status}")
    confirmed_time = to_datetime(renewed_at or verdict.inputs.now)
    sources = sorted({part.source for part in verdict.platform_verdicts}, key=lambda source: source or "")
    return canonical.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": get_hex(digest)}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "status": verdict.status,
                "verdict": verdict_digest,
                "image": verdict.image,
                "policy": {"name": verdict.policy, "digest": verdict.inputs.policy},
                "judgedAt": verdict.inputs.now,
                "expiresAt": format_time(confirmed_time + timedelta(days=days)),
                **({"renewedAt": renewed_at} if renewed_at else {}),
                "engine": verdict.inputs.engine,
                "evidence": [source or "scan" for source in sources],
                "waived": sum(len(platform_verdict.waived) for platform_verdict in verdict.platform_verdicts),
                "inputs": canonical.to_plain(verdict.inputs),
            },
        }
    )


def is_approval_statement(payload: bytes) -> bool:
    """Return whether an in-toto statement is of our type: build provenance and others lie beside it."""
    try:
        document = parse_json(payload)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("predicateType") == PREDICATE_TYPE


def verify_statement(payload: bytes, digest: str, policy: str, now: str) -> Claim:
    """Return what a signed statement says of the image `digest`, as of `now`.

    The server's policy in it has to be `policy`, alone or made stricter by a repository (`PolicyReference`).

    Raises UnreadableError for what is not such a statement, DeniedError for one of another image, one by another
    policy, one that approves nothing, one with a time in the future and one that has expired. Whether a trusted key
    signed it has to be known before.
    """
    try:
        document = parse_json(payload)
        kind, predicate = document["predicateType"], document["predicate"]
        subjects = [(subject["name"], subject["digest"]["sha256"]) for subject in document["subject"]]
        claim = Claim(
            image=digest,
            name=str(next((name for name, _ in subjects), "")),
            verdict=str(predicate["verdict"]),
            policy=PolicyReference(predicate["policy"]["name"]),
            judged_at=str(predicate["judgedAt"]),
            expires_at=str(predicate["expiresAt"]),
            waived=int(predicate["waived"]),
            evidence=", ".join(map(str, predicate["evidence"])),
        )
        status, expires = predicate["status"], parse_time(claim.expires_at)
        confirmed_at = str(predicate.get("renewedAt") or claim.judged_at)
        confirmed_time = parse_time(confirmed_at)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableError(f"the statement cannot be read: {type(error).__name__}: {error}") from None
    if document.get("_type") != STATEMENT_TYPE or kind != PREDICATE_TYPE or expires is None or confirmed_time is None:
        raise UnreadableError("it is not a statement of a verdict")
    if get_hex(digest) not in [subject_hex for _, subject_hex in subjects]:
        raise DeniedError("the statement is about another image", "Request an approval of this image.")
    if status != Status.APPROVED:
        raise DeniedError(
            f"the statement says {status!r}, which is not an approval", "Request an approval of the image."
        )
    if claim.policy.server_policy != policy:
        raise DeniedError(
            f"the approval is by the policy {claim.policy!r}, not by {policy!r}",
            f"Request an approval by {policy!r}, or name the other one with --policy.",
        )
    if confirmed_time > to_datetime(compute_latest_time(now)):
        raise DeniedError(
            f"the approval was made at {confirmed_at}, which is in the future",
            "Check the clocks here and on the server.",
        )
    if to_datetime(now) >= expires:
        raise DeniedError(f"the approval expired at {claim.expires_at}", "Have the image judged again.")
    return claim
