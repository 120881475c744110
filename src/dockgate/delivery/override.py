"""Turn a rejection into the waivers that accept it.

The answer that was given stays as it was; what follows is a new verdict, in which the waivers show.
"""

import hashlib

from dockgate.delivery.model import POLICY_DECISION, Approval, ApprovalState
from dockgate.gate.cve_enrichment import EVIDENCE_RULE
from dockgate.gate.model import Verdict, Violation, Waiver
from dockgate.gate.waivers import IMAGE_RULES, UNWAIVABLE_RULE, check_waiver
from dockgate.shared.errors import ConflictError
from dockgate.shared.purl import strip_qualifiers


def make_waivers(approval: Approval, verdict: Verdict, owner: str, reason: str, until: str) -> tuple[Waiver, ...]:
    """Return the waivers that an override creates.

    One for each finding of the verdict's violations, and one for each violation without findings: for this image in the
    approval's repository, until the end of the override. The same override gives the same waivers.

    Raises ConflictError for what cannot be overridden: what no verdict rejected (`get_rejecting_verdict`), a known
    malicious package, undetermined content. Raises UsageError without a reason or an end.
    """
    get_rejecting_verdict(approval)
    require_overridable(verdict)
    subjects: dict[tuple[str | None, str | None, str | None, str | None], None] = {}
    for platform_verdict in verdict.platform_verdicts:
        for violation in platform_verdict.violations:
            # What tells two builds of a package apart is left out: a waiver names packages by name and version.
            purls = [(finding.id, strip_qualifiers(finding.package.purl) or None) for finding in violation.findings]
            words = None if violation.rule in IMAGE_RULES else violation.message
            subjects |= dict.fromkeys((None, *purl_key, None) for purl_key in purls)
            if not purls:
                subjects[violation.rule, None, None, words] = None
    waivers = tuple(
        Waiver(
            id=_make_id(approval.id, until, *key),
            owner=owner,
            reason=reason,
            vulnerability=key[1],
            package=key[2],
            image=verdict.image,
            repository=approval.repository,
            rule=key[0],
            violation=key[3],
            until=until,
            created_by=owner,
        )
        for key in subjects
    )
    for waiver in waivers:
        check_waiver(waiver)
    return waivers


def get_rejecting_verdict(approval: Approval) -> str:
    """Return the digest of the verdict that rejected the approval. ConflictError if none did.

    A person may reject what the verdict approves: then the approval has a verdict that did not decide.
    """
    if (
        approval.state is not ApprovalState.REJECTED
        or approval.verdict is None
        or approval.decided_by != POLICY_DECISION
    ):
        raise ConflictError(
            f"{approval.id} was not rejected by a verdict",
            "Only a policy's rejection can be overridden, not a person's. `dockgate approval show` shows who decided.",
        )
    return approval.verdict


def require_overridable(verdict: Verdict) -> None:
    """Raise ConflictError unless all that the verdict rejects can be accepted."""
    if not any(platform_verdict.violations for platform_verdict in verdict.platform_verdicts) or any(
        platform_verdict.undetermined for platform_verdict in verdict.platform_verdicts
    ):
        raise ConflictError(
            f"the verdict on {verdict.image} is undetermined in part, and an override does not accept that",
            f"Accept what could not be read with `dockgate waiver add --unread PATH --image {verdict.image}`; "
            f"`dockgate verdict show` lists it.",
        )
    for platform_verdict in verdict.platform_verdicts:
        for violation in platform_verdict.violations:
            _require_acceptable(violation)


def _require_acceptable(violation: Violation) -> None:
    if violation.rule == UNWAIVABLE_RULE or any(finding.is_malicious for finding in violation.findings):
        raise ConflictError(f"this cannot be accepted: {violation.message}", "Remove the package.")
    if violation.rule == EVIDENCE_RULE:
        raise ConflictError(
            f"an override cannot accept unknown facts: {violation.message}",
            "Accept it with `dockgate waiver add --unread`, make it readable, or relax the policy.",
        )


def _make_id(*parts: str | None) -> str:
    text = chr(0).join(part or "" for part in parts)
    return f"o-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:16]}"
