"""Compare what a candidate policy says of images with what the enforced policy says. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dockgate.gate.model import PlatformVerdict, Status, select_worst_status
from dockgate.gate.policy_reference import PolicyReference


@dataclass(frozen=True, slots=True)
class BlockingReason:
    """A violation of `rule`, or something undetermined (`rule` is None). `text` is the message."""

    platform: str | None
    rule: str | None
    text: str


@dataclass(frozen=True, slots=True)
class ImageComparison:
    """One image under `policy` and under the candidate.

    `image` is a digest or a reference. `subject` is the service that runs the image, the digest of the newest verdict,
    or None. `added` are reasons that only the candidate gives, `removed` those that it no longer gives.
    """

    image: str
    subject: str | None
    policy: PolicyReference
    before: Status
    after: Status
    added: tuple[BlockingReason, ...]
    removed: tuple[BlockingReason, ...]

    @property
    def is_status_changed(self) -> bool:
        """Return whether the candidate gives the image another status."""
        return self.before is not self.after

    @property
    def is_changed(self) -> bool:
        """Return whether the candidate gives the image another status or other reasons."""
        return self.is_status_changed or bool(self.added or self.removed)


@dataclass(frozen=True, slots=True)
class PolicyComparison:
    """One page of a candidate's results.

    `judged` counts all images of the page, `status_changes` those whose status changed, by "Approved → Rejected".
    `changes` are the images with any change. `next` is where the next page starts, None at the end.
    """

    judged: int
    status_changes: dict[str, int]
    changes: tuple[ImageComparison, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status of an image under a policy, and all reasons that block it."""

    status: Status
    reasons: tuple[BlockingReason, ...]


def summarize_outcome(platform_verdicts: Sequence[PlatformVerdict]) -> Outcome:
    """The worst status of these platform verdicts, and what blocks."""
    reasons: dict[BlockingReason, None] = {}
    for verdict in platform_verdicts:
        for violation in verdict.violations:
            reasons[BlockingReason(verdict.platform, violation.rule, violation.message)] = None
        for entry in verdict.undetermined:
            reasons[BlockingReason(verdict.platform, None, entry.reason)] = None
    return Outcome(select_worst_status([verdict.status for verdict in platform_verdicts]), tuple(reasons))


def read_outcome(verdict: bytes) -> Outcome:
    """The outcome in a verdict's canonical bytes. Leaves out the findings, which are most of the document."""
    document = json.loads(verdict)
    reasons: dict[BlockingReason, None] = {}
    for platform_verdict in document["platform_verdicts"]:
        platform = platform_verdict["platform"] or None
        for violation in platform_verdict["violations"]:
            reasons[BlockingReason(platform, violation["rule"], violation["message"])] = None
        for entry in platform_verdict["undetermined"]:
            reasons[BlockingReason(platform, None, entry["reason"])] = None
    return Outcome(Status(document["status"]), tuple(reasons))


def compare(
    before: Outcome, after: Outcome, policy: PolicyReference, image: str, subject: str | None = None
) -> ImageComparison:
    """Compare the outcome under `policy` with the candidate's."""
    return ImageComparison(
        image=image,
        subject=subject,
        policy=policy,
        before=before.status,
        after=after.status,
        added=tuple(reason for reason in after.reasons if reason not in before.reasons),
        removed=tuple(reason for reason in before.reasons if reason not in after.reasons),
    )


def summarize(comparisons: Sequence[ImageComparison], next_: str | None = None) -> PolicyComparison:
    """Count the status changes of one page, and drop the images without a change."""
    status_changes: dict[str, int] = {}
    for comparison in comparisons:
        if comparison.is_status_changed:
            change = f"{comparison.before} → {comparison.after}"
            status_changes[change] = status_changes.get(change, 0) + 1
    changes = tuple(comparison for comparison in comparisons if comparison.is_changed)
    return PolicyComparison(len(comparisons), status_changes, changes, next_)
