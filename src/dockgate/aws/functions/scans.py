"""What Inspector knows of an image: whether its scan is over, and every finding (Inspector's API, ListCoverage and
ListFindings)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.aws.functions.messages import Scan, moment

COMPLETE = "INITIAL_SCAN_COMPLETE"
"""the one scan status that says that findings are there"""
_DONE = ("SUCCESSFUL", "SCAN_FREQUENCY_SCAN_ON_PUSH")
_PENDING = ("PENDING_INITIAL_SCAN", "PENDING_REVIVAL_SCAN", "SCAN_IN_PROGRESS")
_ITEMISED = ("CRITICAL", "HIGH", "MEDIUM")
_OPEN = ("ACTIVE", "SUPPRESSED")
"""a finding that is suppressed counts here: what Inspector hides, a waiver may excuse"""


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to judge by. `over`: the scan has ended; `fault` is why it could not be done, "" when it could.

    `findings` are as ListFindings gives them; `at` is when the image was last scanned, RFC 3339 in UTC.
    """

    over: bool
    fault: str = ""
    findings: tuple[Mapping[str, Any], ...] = ()
    at: str = ""


class Scans:
    """`inspector` is a boto3 client of inspector2; `account` and `region` are of the registry."""

    def __init__(self, inspector: Any, region: str, account: str) -> None:
        self._inspector = inspector
        self._region = region
        self._account = account

    def look(self, digest: str, repository: str, scan: Scan | None) -> Look:
        """Asks what is known now. `scan` is the event's word, if it has come.

        The event may come before all findings can be listed: until they are as many as it counted, the scan is not
        over.
        """
        if scan is not None and scan.status != COMPLETE:
            return Look(over=True, fault=f"Inspector could not scan the image: {scan.status or 'no scan status'}.")
        covered = self._covered(digest, repository or (scan.repository if scan else ""))
        reason = str(covered.get("scanStatus", {}).get("reason", "")) if covered else ""
        if scan is None:
            if covered is None or reason in _PENDING:
                return Look(over=False)
            if reason not in _DONE:
                return Look(over=True, fault=f"Inspector cannot scan the image: {reason or 'no reason given'}.")
        findings = self._findings(digest)
        if scan is not None and not _all_there(findings, scan):
            return Look(over=False)
        at = moment(covered.get("lastScannedAt")) if covered else ""
        return Look(over=True, findings=findings, at=at or (scan.at if scan else ""))

    def _covered(self, digest: str, repository: str) -> Mapping[str, Any] | None:
        """The image's entry in the coverage, None when there is none or its repository is not known."""
        if not repository:
            return None
        partition = "aws-cn" if self._region.startswith("cn-") else "aws-us-gov" if "-gov-" in self._region else "aws"
        name = f"arn:{partition}:ecr:{self._region}:{self._account}:repository/{repository}/{digest}"
        wanted = {"resourceId": [{"comparison": "EQUALS", "value": name}]}
        entries = self._inspector.list_coverage(filterCriteria=wanted)["coveredResources"]
        return next(iter(entries), None)

    def _findings(self, digest: str) -> tuple[Mapping[str, Any], ...]:
        wanted = {
            "ecrImageHash": [{"comparison": "EQUALS", "value": digest}],
            "findingStatus": [{"comparison": "EQUALS", "value": status} for status in _OPEN],
        }
        pages = self._inspector.get_paginator("list_findings").paginate(filterCriteria=wanted)
        return tuple(finding for page in pages for finding in page["findings"])


def _all_there(findings: tuple[Mapping[str, Any], ...], scan: Scan) -> bool:
    listed = {severity: sum(one.get("severity") == severity for one in findings) for severity in _ITEMISED}
    listed["TOTAL"] = len(findings)
    return all(listed[key] >= scan.counts.get(key, 0) for key in listed)
