"""Inspector's findings and coverage, page by page."""

from dataclasses import dataclass, field
from typing import Any

from tests.aws.fakes.server import Service

ENDED = 1_795_000_000 - 7200
# long enough ago that no more findings of that scan are expected
PAGE = 2
# findings on a page: few, so that tests need a second page


@dataclass
class Inspector:
    """`findings` by digest, as ListFindings returns them; `covered` by the image's ARN: its scan status's reason;
    `ended` likewise: when its last scan ended (epoch seconds, `ENDED` where it is absent, no time where it is None).

    `lag` by digest makes its findings roll in: each list that begins shows as many as the next number says, the last
    number's findings again when there is no next one.
    """

    findings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    covered: dict[str, str] = field(default_factory=dict)
    ended: dict[str, int | None] = field(default_factory=dict)
    lag: dict[str, list[int]] = field(default_factory=dict)

    def list_findings(self, request: dict[str, Any]) -> dict[str, Any]:
        criteria = request.get("filterCriteria", {})
        digests = [item["value"] for item in criteria.get("ecrImageHash", [])]
        states = [item["value"] for item in criteria.get("findingStatus", [])]
        start = int(request.get("nextToken") or 0)
        content = [
            finding for digest in digests for finding in self._list_visible_findings(digest, is_first_page=not start)
        ]
        selected_findings = [finding for finding in content if not states or finding["status"] in states]
        if repositories := [item["value"] for item in criteria.get("ecrImageRepositoryName", [])]:
            selected_findings = [finding for finding in selected_findings if _read_repository(finding) in repositories]
        answer: dict[str, Any] = {"findings": selected_findings[start : start + PAGE]}
        if start + PAGE < len(selected_findings):
            answer["nextToken"] = str(start + PAGE)
        return answer

    def _list_visible_findings(self, digest: str, is_first_page: bool) -> list[dict[str, Any]]:
        all_findings = self.findings.get(digest, [])
        lag = self.lag.get(digest)
        if not lag:
            return all_findings
        if is_first_page and len(lag) > 1:
            return all_findings[: lag.pop(0)]
        return all_findings[: lag[0]]

    def list_coverage(self, request: dict[str, Any]) -> dict[str, Any]:
        values = [item["value"] for item in request.get("filterCriteria", {}).get("resourceId", [])]
        return {"coveredResources": [self._describe_resource(name) for name in values if name in self.covered]}

    def _describe_resource(self, name: str) -> dict[str, Any]:
        reason = self.covered[name]
        status = "ACTIVE" if reason in ("SUCCESSFUL", "PENDING_INITIAL_SCAN") else "INACTIVE"
        ended = self.ended.get(name, ENDED)
        return {
            "resourceType": "AWS_ECR_CONTAINER_IMAGE",
            "resourceId": name,
            "accountId": name.split(":")[4],
            "scanType": "PACKAGE",
            "scanStatus": {"statusCode": status, "reason": reason},
            **({} if ended is None else {"lastScannedAt": ended}),
        }

    def batch_get_finding_details(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"findingDetails": [{"findingArn": name} for name in request["findingArns"]], "errors": []}

    def make_service(self) -> Service:
        return Service(
            "inspector2",
            {
                "ListFindings": self.list_findings,
                "ListCoverage": self.list_coverage,
                "BatchGetFindingDetails": self.batch_get_finding_details,
            },
        )


def _read_repository(finding: dict[str, Any]) -> str:
    name: str = finding["resources"][0]["details"]["awsEcrContainerImage"]["repositoryName"]
    return name
