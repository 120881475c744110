"""What comes to a server by queues of Amazon SQS."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.events.ports import QueueMessage
from dockgate.events.queues.sqs import SqsQueue
from dockgate.server.polling import Poller
from dockgate.shared.interfaces import override
from dockgate.shared.retry import RetrySchedule

ACCOUNT = "123456789012"
REGISTRY = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}


@cache
def open_session() -> boto3.Session:
    """A session, which reads a megabyte of endpoints for its first client."""
    return boto3.Session(**KEYS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as system:
        yield system


class Cloud:
    """Moto's queue, with one for what came too often behind it, and a topic before it."""

    def __init__(self, hidden_seconds: str) -> None:
        self.sqs, self.sns = open_session().client("sqs"), open_session().client("sns")
        self.dead = self.sqs.create_queue(QueueName="dead")["QueueUrl"]
        policy = json.dumps({"deadLetterTargetArn": self._get_arn(self.dead), "maxReceiveCount": 2})
        attributes = {"VisibilityTimeout": hidden_seconds, "RedrivePolicy": policy}
        self.url = self.sqs.create_queue(QueueName="events", Attributes=attributes)["QueueUrl"]
        self.topic = self.sns.create_topic(Name="pushes")["TopicArn"]
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=self._get_arn(self.url))

    def _get_arn(self, url: str) -> str:
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    def put(self, body: Any) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body if isinstance(body, str) else json.dumps(body))

    def publish(self, body: Any) -> None:
        self.sns.publish(TopicArn=self.topic, Message=json.dumps(body))

    def count_left(self, url: str = "") -> int:
        """How many messages are in the queue, hidden ones too."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


class PacedQueue(SqsQueue):
    """A queue that is asked 20 times a second. Moto never waits for a message."""

    @override
    def receive(self) -> Sequence[QueueMessage]:
        time.sleep(0.05)
        return super().receive()


@contextmanager
def open_cloud(receive: Callable[[str], None], hidden_seconds: str = "30") -> Iterator[Cloud]:
    """A queue whose messages are received."""
    with mock_aws():
        new_cloud = Cloud(hidden_seconds)
        queue = PacedQueue(lambda: new_cloud.sqs, "events", ACCOUNT, wait_seconds=0)
        poller = Poller(queue, receive, RetrySchedule(first_pause=0.05, longest_pause=0.05))
        poller.start()
        try:
            yield new_cloud
        finally:
            poller.close()
            poller._thread.join(10)


def push(digest: str, name: str, **detail: str) -> dict[str, Any]:
    """As EventBridge puts ECR's event into a queue."""
    fields = {"result": "SUCCESS", "repository-name": "team/app", "image-digest": digest, "action-type": "PUSH"}
    return {
        "version": "0",
        "id": name,
        "detail-type": "ECR Image Action",
        "source": "aws.ecr",
        "account": ACCOUNT,
        "time": "2026-11-18T11:06:40Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": {**fields, "image-tag": name, **detail},
    }


def test_repeated_ecr_events_cause_one_scan(server: ServerSystem) -> None:
    image = server.plan_foreign_image("queued", PlannedFindings({"CRITICAL": 1}))
    server.scan_may_end[image].set()
    with open_cloud(server.services.registries.notifications.receive_ecr_event) as queue_cloud:
        for _ in range(3):
            queue_cloud.put(push(image, "queued"))
        wait_until(lambda: not queue_cloud.count_left())
        wait_until(lambda: server._scan_state(image) == "Done")
        image_view = server.get(f"/images/{image}")
        assert (image_view["scan"]["repository"], image_view["scan"]["number"]) == (f"{REGISTRY}/team/app", 1)
        assert [(shown_push["repository"], shown_push["tag"]) for shown_push in image_view["pushes"]] == [
            (f"{REGISTRY}/team/app", "queued")
        ]
        request = {"pipeline": "p", "stage": "s", "execution": "1", "image": f"{REGISTRY}/team/app@{image}"}
        assert server.post("/approvals", request)["approval"]["state"] == "Rejected"


def test_events_can_arrive_through_a_topic_and_other_kinds_are_ignored(server: ServerSystem) -> None:
    image = server.plan_foreign_image("by-topic", PlannedFindings())
    server.scan_may_end[image].set()
    deleted_image = server.plan_foreign_image("deleted", PlannedFindings())
    with open_cloud(server.services.registries.notifications.receive_ecr_event) as queue_cloud:
        queue_cloud.put(push(deleted_image, "deleted", **{"action-type": "DELETE"}))
        queue_cloud.put(push(deleted_image, "failed", result="FAILURE"))
        queue_cloud.put({**push(deleted_image, "scanned"), "detail-type": "ECR Image Scan"})
        queue_cloud.publish(push(image, "by-topic"))
        wait_until(lambda: not queue_cloud.count_left())
        wait_until(lambda: server._scan_state(image) == "Done")
        assert server.client.get(f"/images/{deleted_image}").status_code == 404
        assert not queue_cloud.count_left(queue_cloud.dead)


@pytest.mark.parametrize(
    "wrong",
    [
        "no JSON",
        "[]",
        {"id": "1"},
        push("sha256:" + "g" * 64, "bad-digest"),
        push("sha256:" + "a" * 64, "bad-place") | {"account": "evil.example/1"},
        push("sha256:" + "a" * 64, "bad-repository", **{"repository-name": "../../etc"}),
    ],
    ids=["text", "list", "else", "digest", "registry", "repository"],
)
def test_invalid_messages_go_to_the_dead_letter_queue(
    server: ServerSystem, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with open_cloud(server.services.registries.notifications.receive_ecr_event, hidden_seconds="0") as queue_cloud:
        queue_cloud.put(wrong)
        wait_until(lambda: queue_cloud.count_left(queue_cloud.dead))
        assert not queue_cloud.count_left()
    assert [message for message in caplog.messages if "stays in the queue" in message]
    assert server.client.get(f"/images/sha256:{'a' * 64}").status_code == 404


# --- approval actions of CodePipeline --------------------------------------------------------------------------------
