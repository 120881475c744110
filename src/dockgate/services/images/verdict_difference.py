"""The reason why the newest recorded verdict on an image differs from the current one."""

from collections.abc import Mapping

from dockgate.services.images.search import ImageSummary
from dockgate.store.records import VerdictRecord


def explain_difference(summary: ImageSummary, record: VerdictRecord, recorded_counts: Mapping[str, int]) -> str | None:
    """Say why the newest recorded verdict differs from the current one, None if it does not.

    Recorded verdicts never change, and reports show them. `summary` is the image in its first location.
    `recorded_counts` are the recorded verdict's findings by severity. Also None while advisories are stale or missing:
    then the current verdict is the last one that could be judged.
    """
    if summary.cannot_judge_since is not None or not summary.status:
        return None
    has_same_findings = summary.counts is None or summary.counts == recorded_counts
    has_same_waivers = bool(summary.waived) == bool(record.waived)
    if record.status == summary.status and has_same_findings and has_same_waivers:
        return None
    if record.repository != summary.repository:
        cause = f"it is of the repository {record.repository}"
    elif summary.policy is not None and summary.policy != record.policy:
        cause = f"it is by the policy {record.policy.label}, the current one by {summary.policy}"
    else:
        cause = "advisories, waivers, VEX documents or the policy have changed since, or time has passed"
    if record.status != summary.status:
        return (
            f"The newest recorded verdict ({record.status}) differs from the current one ({summary.status}): {cause}."
        )
    difference = (
        _describe_waivers(summary.waived) if has_same_findings else _describe_counts(summary.counts, recorded_counts)
    )
    return f"The newest recorded verdict and the current one are both {record.status}, but {difference}: {cause}."


def _describe_waivers(waived_counts: str | None) -> str:
    return f"the current one has {waived_counts}" if waived_counts else "only the recorded one has waived findings"


def _describe_counts(current: Mapping[str, int] | None, recorded_counts: Mapping[str, int]) -> str:
    """The findings by severity whose numbers differ."""
    now = current or {}
    names = [
        name
        for name in (*now, *(recorded_counts.keys() - now.keys()))
        if now.get(name, 0) != recorded_counts.get(name, 0)
    ]
    changes = [f"{recorded_counts.get(name, 0)} {name}, now {now.get(name, 0)}" for name in names]
    return f"count other findings ({'; '.join(changes)})"
