"""The handlers, their table and what calls them, as `scenarios.defects` drives any system."""

from dataclasses import dataclass, field
from typing import Any

from tests.aws.account import (
    ACCOUNT,
    REGION,
    REPOSITORY,
    Account,
    digest_of,
    make_approval_event,
    make_finding,
    scan_event,
)
from tests.scenarios.defects import PlannedFindings

from dockgate.aws.functions.wait_table import KEEP_DAYS
from dockgate.gate.model import ExemptionSet, Waiver
from dockgate.shared import canonical

CLUSTER, SERVICE = "cluster", "web"


@dataclass
class Functions:
    """`found` is what Inspector will find, by digest."""

    account: Account
    planned: dict[str, PlannedFindings] = field(default_factory=dict)
    images: int = 0

    def __post_init__(self) -> None:
        self._put_waivers()
        self._functions = self.account.make_functions(
            DOCKGATE_SERVICES=f"{CLUSTER}/{SERVICE}", DOCKGATE_WAIVERS="s3://verdicts/waivers.json"
        )
        self.account.get_client("ecs").create_cluster(clusterName=CLUSTER)

    def plan_image(self, name: str, result: PlannedFindings) -> str:
        self.images += 1
        image = digest_of(self.images)
        self.planned[image] = result
        return image

    def request_approval(self, image: str) -> str:
        token = self.account.ask(image)
        self._functions.record(make_approval_event(token, image=image))
        return token

    def request_approval_after_scan(self, image: str) -> str:
        self.end_scan(image)
        return self.request_approval(image)

    def accept(self, image: str) -> None:
        number = make_finding(image)["packageVulnerabilityDetails"]["vulnerabilityId"]
        self._put_waivers(Waiver("w1", "ana", "It is never called.", number, image=image, until="2027-01-01T00:00:00Z"))

    def _put_waivers(self, *waivers: Waiver) -> None:
        body = canonical.encode(ExemptionSet(waivers))
        self.account.get_client("s3").put_object(Bucket="verdicts", Key="waivers.json", Body=body)

    def end_scan(self, image: str) -> None:
        """Inspector sends an event for images that it can scan, and for others says it in the coverage alone."""
        result = self.planned[image]
        if result.status == "COMPLETE":
            findings = list(self._list_findings(image, result))
            self.account.complete_scan(image, *findings)
            inspector_entry: dict[str, Any] = {
                word: result.counts.get(word, 0) + result.unfixable.get(word, 0)
                for word in ("CRITICAL", "HIGH", "MEDIUM")
            }
            self._functions.judge(
                scan_event(image, **{word: n for word, n in inspector_entry.items() if n}, TOTAL=len(findings))
            )
        elif result.status == "UNSUPPORTED":
            self.account.cover_image(image, "UNSUPPORTED_OS")
            self._functions.sweep({"source": "aws.events"})
        else:
            self._functions.judge(scan_event(image, status=result.status))

    def answer(self, execution: str) -> str | None:
        return self.account.approvals.answered.get(execution)

    def read_summary(self, execution: str) -> str:
        return self.account.approvals.summaries[execution]

    def count_answers(self, execution: str) -> int:
        calls = self.account.services["codepipeline"].calls
        return sum(name == "PutApprovalResult" and request["token"] == execution for name, request in calls)

    def count_expired_rows(self) -> int:
        """DynamoDB deletes by `ttl`; moto does not, so the attribute is looked at."""
        items = self.account.get_client("dynamodb").scan(TableName="approvals")["Items"]
        return sum(int(item["ttl"]["N"]) > self.account.now + KEEP_DAYS * 86400 for item in items)

    def deploy_image(self, image: str) -> None:
        self.end_scan(image)
        assert self.answer(self.request_approval(image)) == "Approved"
        ecs = self.account.get_client("ecs")
        uri = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}@{image}"
        ecs.register_task_definition(family=SERVICE, containerDefinitions=[{"name": "app", "image": uri, "memory": 64}])
        ecs.create_service(cluster=CLUSTER, serviceName=SERVICE, taskDefinition=SERVICE, desiredCount=1)

    def publish_advisory(self, image: str) -> None:
        """Inspector sends an event for the finding."""
        new = make_finding(image, "CRITICAL", 999)
        self.account.inspector.findings[image].append(new)
        self._functions.sweep({"detail-type": "Inspector2 Finding", "source": "aws.inspector2", "detail": new})

    def is_at_risk(self, image: str) -> bool:
        key = {"digest": {"S": image}, "half": {"S": f"risk#{CLUSTER}/{SERVICE}"}}
        return "Item" in self.account.get_client("dynamodb").get_item(TableName="approvals", Key=key)

    def is_running(self, image: str) -> bool:
        ecs = self.account.get_client("ecs")
        (service,) = ecs.describe_services(cluster=CLUSTER, services=[SERVICE])["services"]
        definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
        return bool(service["desiredCount"] == 1 and definition["containerDefinitions"][0]["image"].endswith(image))

    def redeploy_image(self, image: str) -> str:
        """The pipeline's next execution with this digest asks again."""
        return "Deployed" if self.answer(self.request_approval(image)) == "Approved" else "Refused"

    def _list_findings(self, image: str, result: PlannedFindings) -> Any:
        number = 0
        for counts, fixed in ((result.counts, "1.5.0"), (result.unfixable, "")):
            for severity, count in counts.items():
                for _ in range(count):
                    number += 1
                    yield make_finding(image, severity, number, fixed)
