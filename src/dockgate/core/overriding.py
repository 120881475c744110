"""Overriding a rejection: the waivers that somebody with the right to accept makes of it. Pure.

The answer that was given stays as it was; what follows is a new verdict, in which the waivers show.
"""

import hashlib

from dockgate.core.approvals import Approval, ApprovalState
from dockgate.core.errors import ConflictError
from dockgate.core.verdict import Breach, Verdict, Waiver
from dockgate.core.waivers import NEVER, OF_THE_IMAGE, UNKNOWN, check


def waivers_of(approval: Approval, verdict: Verdict, who: str, reason: str, until: str) -> tuple[Waiver, ...]:
    """One for each finding of the verdict's breaches, and one for each breach without findings: for this image in the
    approval's repository, and until then. The same override gives the same waivers.

    ConflictError for what cannot be overridden: an answer that no verdict gave, a known malicious package, and whatever
    is undetermined. UsageError without a reason or an end.
    """
    if approval.state is not ApprovalState.REJECTED or not approval.verdict:
        raise ConflictError(
            f"{approval.id} was not rejected by a verdict",
            "Only a policy's rejection is overridden, not a person's no.",
        )
    demand_overridable(verdict)
    found: dict[tuple[str, str, str, str], None] = {}
    for judgement in verdict.judgements:
        for breach in judgement.breaches:
            # What tells two builds of a package apart is left out: a waiver names packages by name and version.
            findings = [("", one.id, one.package.purl.partition("?")[0], "") for one in breach.findings]
            words = "" if breach.rule in OF_THE_IMAGE else breach.message
            found |= dict.fromkeys(findings or [(breach.rule, "", "", words)])
    waivers = tuple(
        Waiver(
            id=_id(approval.id, until, *key),
            owner=who,
            reason=reason,
            vulnerability=key[1],
            package=key[2],
            image=verdict.image,
            repository=approval.repository,
            rule=key[0],
            breach=key[3],
            until=until,
            created_by=who,
        )
        for key in found
    )
    for waiver in waivers:
        check(waiver)
    return waivers


def demand_overridable(verdict: Verdict) -> None:
    """Raise ConflictError unless all that the verdict rejects can be accepted."""
    if not any(judgement.breaches for judgement in verdict.judgements) or any(
        judgement.undetermined for judgement in verdict.judgements
    ):
        raise ConflictError(
            f"the verdict on {verdict.image} is undetermined in part, and an override does not accept that",
            f"Accept what could not be read with `dockgate waiver add --unread PATH --image {verdict.image}`; "
            f"`dockgate verdict show` lists it.",
        )
    for judgement in verdict.judgements:
        for breach in judgement.breaches:
            _demand_acceptable(breach)


def _demand_acceptable(breach: Breach) -> None:
    if breach.rule == NEVER or any(finding.malicious for finding in breach.findings):
        raise ConflictError(f"nobody can accept this: {breach.message}", "Remove the package.")
    if breach.rule == UNKNOWN:
        raise ConflictError(
            f"an override does not accept what is not known: {breach.message}",
            "Accept it with `dockgate waiver add --unread`, make it readable, or relax the policy.",
        )


def _id(*parts: str) -> str:
    return f"o-{hashlib.sha256(chr(0).join(parts).encode(errors='replace')).hexdigest()[:16]}"
