"""Two services of ECS, of which one runs the image of the tests, and the topic that is notified."""

import json
from typing import Any

from moto.sns.models import sns_backends
from tests.aws.account import ACCOUNT, REGION, REPOSITORY, Account, digest_of, make_finding

from dockgate.aws.functions.handlers import Functions
from dockgate.aws.functions.table import Table

IMAGE, OTHER_IMAGE = digest_of(1), digest_of(2)
CLOCK = {"source": "aws.events"}
DAY = 86400


class Running:
    """Two services, of which one runs the image; what the topic sends is kept by moto."""

    def __init__(self, aws: Account, **environment: str) -> None:
        self.aws = aws
        topic = aws.get_client("sns").create_topic(Name="notices")["TopicArn"]
        self._topic = sns_backends[ACCOUNT][REGION].topics[topic]
        self._received_count = 0
        aws.get_client("ecs").create_cluster(clusterName="c")
        aws.complete_scan(IMAGE)
        self.run("web", IMAGE)
        self.run("jobs", OTHER_IMAGE)
        self.handlers: Functions = aws.make_functions(
            DOCKGATE_SERVICES="c/web,c/jobs", DOCKGATE_TOPIC=topic, DOCKGATE_RISK_DAYS="14", **environment
        )

    def run(self, service: str, image: str, host: str = f"dkr.ecr.{REGION}.amazonaws.com") -> None:
        ecs = self.aws.get_client("ecs")
        uri = f"{ACCOUNT}.{host}/{REPOSITORY}@{image}"
        sidecar = {"name": "proxy", "image": "public.ecr.aws/envoy/envoy:v1", "memory": 64}
        ecs.register_task_definition(
            family=service, containerDefinitions=[{"name": "app", "image": uri, "memory": 64}, sidecar]
        )
        ecs.create_service(cluster="c", serviceName=service, taskDefinition=service, desiredCount=1)

    def add_finding(self, image: str = IMAGE, **fields: Any) -> dict[str, Any]:
        """Inspector finds something new, and sends its event."""
        new = make_finding(image, "CRITICAL", 7, **fields)
        self.aws.inspector.findings.setdefault(image, []).append(new)
        return {"detail-type": "Inspector2 Finding", "source": "aws.inspector2", "detail": new}

    def receive_messages(self) -> list[dict[str, Any]]:
        """What the topic has sent since the last call."""
        notifications = self._topic.sent_notifications[self._received_count :]
        self._received_count += len(notifications)
        return [{"Message": message, "Subject": subject} for _, message, subject, *_ in notifications]

    def receive_notices(self) -> list[dict[str, Any]]:
        """The content of the messages since the last call."""
        return [json.loads(message["Message"]) for message in self.receive_messages()]

    def read_deadline(self) -> int | None:
        key = {"digest": IMAGE, "half": "risk#c/web"}
        response = Table(self.aws.get_client("dynamodb"), "approvals").get(key)
        return response["until"] if response else None

    def count(self) -> int:
        (service,) = self.aws.get_client("ecs").describe_services(cluster="c", services=["web"])["services"]
        return int(service["desiredCount"])
