"""Verdicts that say nothing of an image, because the advisories are stale or missing."""

from dockgate.gate.evaluate import digest_input
from dockgate.gate.model import EMPTY_SNAPSHOT, Status, Verdict


def has_only_stale_advisories(verdict: Verdict) -> bool:
    """Return whether nothing but stale or missing advisories keeps a scanned image from being judged.

    Such a verdict is no change to announce: the image is what it was.
    """
    if verdict.status is not Status.UNDETERMINED:
        return False
    if verdict.inputs.no_scan_reason:
        # `CaseBuilder.build` found no advisory database, for it names what was scanned and no advisories.
        return bool(verdict.inputs.inventories) and verdict.inputs.snapshot == digest_input(EMPTY_SNAPSHOT)
    unsure = [platform for platform in verdict.platform_verdicts if platform.status is Status.UNDETERMINED]
    return {entry.kind for platform in unsure for entry in platform.undetermined} == {"stale"}
