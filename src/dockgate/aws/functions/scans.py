"""What Inspector knows of an image: whether its scan is over, and every finding (Inspector's API: ListCoverage,
ListFindings, BatchGetFindingDetails)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dockgate.aws.functions.messages import Scan

COMPLETE = "INITIAL_SCAN_COMPLETE"
"""the one scan status that says that findings are there"""
_DONE = "SUCCESSFUL"
_DETAILS_AT_ONCE = 10
"""BatchGetFindingDetails's limit"""
_PENDING = ("PENDING_INITIAL_SCAN", "PENDING_REVIVAL_SCAN", "SCAN_IN_PROGRESS")
_ITEMISED = ("CRITICAL", "HIGH", "MEDIUM")
_OPEN = ("ACTIVE", "SUPPRESSED")
"""a finding that is suppressed counts here: what Inspector hides, a waiver may excuse"""


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to judge by. `over`: the scan has ended; `fault` is why it could not be done, "" when it could.

    `document` is what was answered, as `findings.inspector` reads it.
    """

    over: bool
    fault: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)


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
        name = self._name(digest, repository or (scan.repository if scan else ""))
        covered = self._covered(name)
        reason = str(covered.get("scanStatus", {}).get("reason", "")) if covered else ""
        if scan is None:
            if covered is None or reason in _PENDING:
                return Look(over=False)
            if reason != _DONE:
                return Look(over=True, fault=f"Inspector cannot scan the image: {reason or 'no reason given'}.")
        elif covered is None or reason in _PENDING:
            covered = _by_event(name, scan)
        findings = self._findings(digest)
        if scan is not None and not _all_there(findings, scan):
            return Look(over=False)
        document = {"findings": findings, "findingDetails": self._details(findings), "coveredResources": [covered]}
        return Look(over=True, document=document)

    def _name(self, digest: str, repository: str) -> str:
        """The image's ARN, its repository's last part "?" where that is not known."""
        partition = "aws-cn" if self._region.startswith("cn-") else "aws-us-gov" if "-gov-" in self._region else "aws"
        return f"arn:{partition}:ecr:{self._region}:{self._account}:repository/{repository or '?'}/{digest}"

    def _covered(self, name: str) -> Mapping[str, Any] | None:
        """The image's entry in the coverage, None when there is none or its repository is not known."""
        if "/?/" in name:
            return None
        wanted = {"resourceId": [{"comparison": "EQUALS", "value": name}]}
        entries = self._inspector.list_coverage(filterCriteria=wanted)["coveredResources"]
        return next(iter(entries), None)

    def _findings(self, digest: str) -> list[Mapping[str, Any]]:
        wanted = {
            "ecrImageHash": [{"comparison": "EQUALS", "value": digest}],
            "findingStatus": [{"comparison": "EQUALS", "value": status} for status in _OPEN],
        }
        pages = self._inspector.get_paginator("list_findings").paginate(filterCriteria=wanted)
        return [finding for page in pages for finding in page["findings"]]

    def _details(self, findings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """What is known of exploits, which ListFindings does not tell."""
        names = [finding["findingArn"] for finding in findings]
        details: list[Mapping[str, Any]] = []
        for start in range(0, len(names), _DETAILS_AT_ONCE):
            answer = self._inspector.batch_get_finding_details(findingArns=names[start : start + _DETAILS_AT_ONCE])
            details += answer.get("findingDetails", [])
        return details


def _by_event(name: str, scan: Scan) -> Mapping[str, Any]:
    """The coverage as the event tells it, where ListCoverage does not know of the scan yet."""
    return {
        "resourceId": name,
        "resourceType": "AWS_ECR_CONTAINER_IMAGE",
        "scanStatus": {"statusCode": "ACTIVE", "reason": _DONE},
        "lastScannedAt": scan.at,
    }


def _all_there(findings: Sequence[Mapping[str, Any]], scan: Scan) -> bool:
    listed = {severity: sum(one.get("severity") == severity for one in findings) for severity in _ITEMISED}
    listed["TOTAL"] = len(findings)
    return all(listed[key] >= scan.counts.get(key, 0) for key in listed)
