"""Inspector's findings and coverage, page by page."""

from dataclasses import dataclass, field
from typing import Any

from tests.aws.fakes.server import Service

PAGE = 2
"""findings on a page: few, so that nobody forgets the next one"""


@dataclass
class Inspector:
    """`findings` by digest, as ListFindings tells them; `covered` by the image's ARN: its scan status's reason."""

    findings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    covered: dict[str, str] = field(default_factory=dict)

    def list_findings(self, request: dict[str, Any]) -> dict[str, Any]:
        criteria = request.get("filterCriteria", {})
        digests = [one["value"] for one in criteria.get("ecrImageHash", [])]
        states = [one["value"] for one in criteria.get("findingStatus", [])]
        held = [finding for digest in digests for finding in self.findings.get(digest, [])]
        wanted = [finding for finding in held if not states or finding["status"] in states]
        if repositories := [one["value"] for one in criteria.get("ecrImageRepositoryName", [])]:
            wanted = [finding for finding in wanted if _repository(finding) in repositories]
        start = int(request.get("nextToken") or 0)
        answer: dict[str, Any] = {"findings": wanted[start : start + PAGE]}
        if start + PAGE < len(wanted):
            answer["nextToken"] = str(start + PAGE)
        return answer

    def list_coverage(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = [one["value"] for one in request.get("filterCriteria", {}).get("resourceId", [])]
        return {"coveredResources": [self._resource(name) for name in wanted if name in self.covered]}

    def _resource(self, name: str) -> dict[str, Any]:
        reason = self.covered[name]
        status = "ACTIVE" if reason in ("SUCCESSFUL", "PENDING_INITIAL_SCAN") else "INACTIVE"
        return {
            "resourceType": "AWS_ECR_CONTAINER_IMAGE",
            "resourceId": name,
            "accountId": name.split(":")[4],
            "scanType": "PACKAGE",
            "scanStatus": {"statusCode": status, "reason": reason},
            "lastScannedAt": 1_795_000_000,
        }

    def batch_get_finding_details(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"findingDetails": [{"findingArn": name} for name in request["findingArns"]], "errors": []}

    def service(self) -> Service:
        return Service(
            "inspector2",
            {
                "ListFindings": self.list_findings,
                "ListCoverage": self.list_coverage,
                "BatchGetFindingDetails": self.batch_get_finding_details,
            },
        )


def _repository(finding: dict[str, Any]) -> str:
    name: str = finding["resources"][0]["details"]["awsEcrContainerImage"]["repositoryName"]
    return name
