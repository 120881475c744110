"""Inspector's scan of a manifest: whether it has ended, and its findings.

From ListCoverage, ListFindings and BatchGetFindingDetails. Findings arrive late: coverage may be SUCCESSFUL before the
first finding is listed, and the list grows for about a minute. A list is complete when it has the count of the scan
event, or when the scan ended SETTLE_SECONDS ago and a second list is equal: immediately if the scan ended more than
FRESH_SECONDS ago, else CONFIRM_SECONDS later.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dockgate.aws.messages import Scan, normalize_time
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import to_datetime

# The only scan status that has findings.
COMPLETE = "INITIAL_SCAN_COMPLETE"
# How long an event is newer than coverage and findings, which lag behind it. Later it is ignored: findings of an
# image that was deleted, or is no longer scanned, are closed without an event.
FRESH_SECONDS = 3600

# How long after the end of a scan its findings may still roll in.
SETTLE_SECONDS = 300
# The least time between two lists of findings of which the second confirms the first.
CONFIRM_SECONDS = 30

_SUCCESS_REASON, _ON_PUSH_REASON = "SUCCESSFUL", "SCAN_FREQUENCY_SCAN_ON_PUSH"
_SCANNED_STATUS = {"statusCode": "ACTIVE", "reason": _SUCCESS_REASON}
# Temporary reasons (ScanStatus in the Inspector API).
_PENDING_REASONS = (
    "PENDING_INITIAL_SCAN",
    "PENDING_REVIVAL_SCAN",
    "SCAN_IN_PROGRESS",
    "INTERNAL_ERROR",
    _ON_PUSH_REASON,
)
# Reasons that an event of the same scan may replace.
_INITIAL_REASONS = ("PENDING_INITIAL_SCAN", "SCAN_IN_PROGRESS", _ON_PUSH_REASON)
# A suppressed finding counts: only a waiver accepts it. The event also counted findings that are
# closed by now.
_STATES = ("ACTIVE", "SUPPRESSED", "CLOSED")
# BatchGetFindingDetails's limit.
_DETAILS_AT_ONCE = 10
# Lists that `MemoryLists` remembers.
_MOST_LISTS = 10_000


@dataclass(frozen=True, slots=True)
class ScanState:
    """The state of a scan.

    `is_over`: it has ended. `fault`: why it failed, or what it waits for, None if it is complete. `is_unconfirmed`: it
    only waits for a second, equal list. `documents` are Inspector's responses by manifest digest, as
    `gate.external.inspector` reads them.
    """

    is_over: bool
    fault: str | None = None
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_unconfirmed: bool = False


class SeenLists(Protocol):
    """The store of the last list of findings of each image."""

    def record_list(self, digest: str, repository: str, findings_hash: str) -> int:
        """Record this list, and return since when (epoch seconds) it has been seen without a change.

        It is recorded by a hash of it. May be called twice with the same list, and by several callers at once.
        """
        ...


class MemoryLists(SeenLists):
    """`SeenLists` in memory. `clock` gives epoch seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lists: dict[tuple[str, str], tuple[str, int]] = {}

    @override
    def record_list(self, digest: str, repository: str, findings_hash: str) -> int:
        seen_list = self._lists.pop((digest, repository), None)
        if seen_list is None or seen_list[0] != findings_hash:
            seen_list = findings_hash, int(self._clock())
        self._lists[digest, repository] = seen_list
        while len(self._lists) > _MOST_LISTS:
            self._lists.pop(next(iter(self._lists)), None)
        return seen_list[1]


class Scans:
    """Scans of one registry.

    `inspector` is a boto3 client of inspector2; `partition`, `region` and `account` are those of the registry. Without
    `should_read_details`, exploitation details are not requested. `clock` gives epoch seconds.
    """

    def __init__(
        self,
        inspector: Any,
        lists: SeenLists,
        partition: str,
        region: str,
        account: str,
        should_read_details: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._inspector = inspector
        self._lists = lists
        self._partition = partition
        self._region = region
        self._account = account
        self._should_read_details = should_read_details
        self._clock = clock

    def look_up(self, digest: str, repository: str | None, scan: Scan | None) -> ScanState:
        """Get the current state. `scan` is from the event, if it has arrived.

        Coverage takes precedence over the event, which is about the initial scan only. For images that Inspector
        watches, coverage is current; for images scanned once, it is as of that scan.
        """
        is_fresh = scan is not None and self._compute_age(scan.at) < FRESH_SECONDS
        name = f"arn:{self._partition}:ecr:{self._region}:{self._account}:repository/{repository}/{digest}"
        coverage_entry = self._find_coverage(name) if repository else None
        reason = str(coverage_entry.get("scanStatus", {}).get("reason", "")) if coverage_entry else ""
        ended_at = normalize_time(coverage_entry.get("lastScannedAt")) if coverage_entry else None
        if coverage_entry and reason == _SUCCESS_REASON:
            coverage_entry = {**coverage_entry, "lastScannedAt": int(self._clock())}
        elif coverage_entry and reason == _ON_PUSH_REASON and coverage_entry.get("lastScannedAt"):
            coverage_entry = {**coverage_entry, "scanStatus": _SCANNED_STATUS}
        elif scan is not None and is_fresh and (coverage_entry is None or reason in _INITIAL_REASONS):
            if scan.status != COMPLETE:
                return ScanState(True, f"Inspector could not scan the image: {scan.status or 'no scan status'}.")
            # ListCoverage does not list the scan yet.
            coverage_entry = {"resourceId": name, "resourceType": "AWS_ECR_CONTAINER_IMAGE"}
            coverage_entry, ended_at = (
                {**coverage_entry, "scanStatus": _SCANNED_STATUS, "lastScannedAt": scan.at},
                scan.at,
            )
        elif coverage_entry is None or reason in _PENDING_REASONS:
            return ScanState(False, f"Inspector has not scanned the image{f': {reason}' if reason else ''}.")
        else:
            return ScanState(True, f"Inspector cannot scan the image: {reason or 'no reason given'}.")
        findings = self._list_findings(digest, repository)
        missing_reason, is_unconfirmed = self._explain_incomplete(digest, repository, findings, ended_at, scan)
        if missing_reason:
            return ScanState(False, missing_reason, is_unconfirmed=is_unconfirmed)
        still_open = [finding for finding in findings if finding.get("status") != "CLOSED"]
        document = {
            "findings": still_open,
            "findingDetails": self._read_details(still_open),
            "coveredResources": [coverage_entry],
        }
        return ScanState(True, documents={digest: document})

    def _explain_incomplete(
        self,
        digest: str,
        repository: str | None,
        findings: Sequence[Mapping[str, Any]],
        ended_at: str | None,
        scan: Scan | None,
    ) -> tuple[str | None, bool]:
        """Return why the list may be incomplete, None if it is not, and whether an equal second list would complete it.

        The scan ended at that time (RFC 3339).
        """
        counted_findings = _count_in_event(scan) if scan is not None and scan.status == COMPLETE else None
        findings_hash = _hash_findings(findings)
        since = self._lists.record_list(digest, repository or "", findings_hash)
        if scan is not None and counted_findings is not None:
            if len(findings) >= counted_findings:
                return None, False
            if not (ended_at and scan.at) or _parse_seconds(ended_at) - _parse_seconds(scan.at) < SETTLE_SECONDS:
                return f"Inspector lists {len(findings)} findings of the {counted_findings} that it counted.", False
        if not ended_at:
            return "Inspector does not say when it scanned the image.", False
        if self._compute_age(ended_at) < SETTLE_SECONDS:
            minutes = SETTLE_SECONDS // 60
            return f"Inspector's scan ended at {ended_at}: findings may still be added for {minutes} minutes.", False
        if self._compute_age(ended_at) >= FRESH_SECONDS:
            is_confirmed = _hash_findings(self._list_findings(digest, repository)) == findings_hash
        else:
            is_confirmed = self._clock() - since >= CONFIRM_SECONDS
        if is_confirmed:
            return None, False
        return f"Inspector lists {len(findings)} findings, which a second list has to confirm.", True

    def _compute_age(self, at: str | None) -> float:
        """Seconds since that time; infinite without a time."""
        return self._clock() - _parse_seconds(at) if at else float("inf")

    def _find_coverage(self, name: str) -> Mapping[str, Any] | None:
        """The image's entry in ListCoverage."""
        criteria = {"resourceId": [{"comparison": "EQUALS", "value": name}]}
        pages = self._inspector.get_paginator("list_coverage").paginate(filterCriteria=criteria)
        return next((entry for page in pages for entry in page["coveredResources"]), None)

    def _list_findings(self, digest: str, repository: str | None) -> list[Mapping[str, Any]]:
        """Findings of the image in its repository, or in all repositories if it is unknown."""
        criteria = {
            "ecrImageHash": [{"comparison": "EQUALS", "value": digest}],
            "findingStatus": [{"comparison": "EQUALS", "value": status} for status in _STATES],
        }
        if repository:
            criteria["ecrImageRepositoryName"] = [{"comparison": "EQUALS", "value": repository}]
        pages = self._inspector.get_paginator("list_findings").paginate(filterCriteria=criteria)
        return [finding for page in pages for finding in page["findings"]]

    def _read_details(self, findings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Details about exploitation, which ListFindings does not have."""
        names = [finding["findingArn"] for finding in findings] if self._should_read_details else []
        details: list[Mapping[str, Any]] = []
        for start in range(0, len(names), _DETAILS_AT_ONCE):
            answer = self._inspector.batch_get_finding_details(findingArns=names[start : start + _DETAILS_AT_ONCE])
            details += answer.get("findingDetails", [])
        return details


def is_temporary_reason(reason: str | None) -> bool:
    """Return whether the reason of a scan status is temporary: the image is scanned, or will be."""
    return reason == _SUCCESS_REASON or reason in _PENDING_REASONS


def _count_in_event(scan: Scan) -> int | None:
    """Return the event's number of findings of every severity; None without TOTAL."""
    if "TOTAL" not in scan.counts:
        return None
    return max(scan.counts["TOTAL"], sum(count for key, count in scan.counts.items() if key != "TOTAL"))


def _hash_findings(findings: Sequence[Mapping[str, Any]]) -> str:
    """A hash that differs for other findings, and for other states of the same ones."""
    lines = sorted(
        f"{finding.get('findingArn')} {finding.get('status')} {finding.get('updatedAt')}" for finding in findings
    )
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def _parse_seconds(at: str) -> float:
    """The epoch seconds of an RFC 3339 time."""
    return to_datetime(at).timestamp()
