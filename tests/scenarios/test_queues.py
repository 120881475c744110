"""What comes to a server by queues of Amazon SQS."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from tests.scenarios.defects import Found
from tests.scenarios.live import until
from tests.scenarios.server import ServerSystem

from dockgate.bootstrap import pushes
from dockgate.bootstrap.polling import Poller
from dockgate.queues.sqs import SqsQueue

ACCOUNT = "123456789012"
REGISTRY = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as system:
        yield system


class Cloud:
    """Moto's queue, with one for what came too often behind it, and a topic before it."""

    def __init__(self, hidden: str) -> None:
        self.sqs, self.sns = boto3.client("sqs", **KEYS), boto3.client("sns", **KEYS)
        self.dead = self.sqs.create_queue(QueueName="dead")["QueueUrl"]
        policy = json.dumps({"deadLetterTargetArn": self._arn(self.dead), "maxReceiveCount": 2})
        attributes = {"VisibilityTimeout": hidden, "RedrivePolicy": policy}
        self.url = self.sqs.create_queue(QueueName="events", Attributes=attributes)["QueueUrl"]
        self.topic = self.sns.create_topic(Name="told")["TopicArn"]
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=self._arn(self.url))

    def _arn(self, url: str) -> str:
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    def put(self, body: Any) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body if isinstance(body, str) else json.dumps(body))

    def publish(self, body: Any) -> None:
        self.sns.publish(TopicArn=self.topic, Message=json.dumps(body))

    def left(self, url: str = "") -> int:
        """How many messages are in the queue, hidden ones too."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


@contextmanager
def cloud(server: ServerSystem, take: Callable[..., None], hidden: str = "30") -> Iterator[Cloud]:
    """The server listens to the queue."""
    with mock_aws():
        made = Cloud(hidden)
        queue = SqsQueue(lambda: made.sqs, "events", ACCOUNT, wait_seconds=0)
        poller = Poller(queue, partial(take, server.server), pauses=(0.05,))
        poller.start()
        try:
            yield made
        finally:
            poller.close()
            poller._thread.join(10)


def push(digest: str, name: str, **detail: str) -> dict[str, Any]:
    """As EventBridge puts ECR's event into a queue."""
    pushed = {"result": "SUCCESS", "repository-name": "team/app", "image-digest": digest, "action-type": "PUSH"}
    return {
        "version": "0",
        "id": name,
        "detail-type": "ECR Image Action",
        "source": "aws.ecr",
        "account": ACCOUNT,
        "time": "2026-11-18T11:06:40Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": {**pushed, "image-tag": name, **detail},
    }


def test_a_push_to_ecr_is_scanned_once_however_often_it_is_told(server: ServerSystem) -> None:
    image = server.foreign("queued", Found({"CRITICAL": 1}))
    server.scan_may_end[image].set()
    with cloud(server, pushes.queued) as there:
        for _ in range(3):
            there.put(push(image, "queued"))
        until(lambda: not there.left())
        until(lambda: server._scan_state(image) == "Done")
        shown = server.get(f"/images/{image}")
        assert (shown["scan"]["repository"], shown["scan"]["number"]) == (f"{REGISTRY}/team/app", 1)
        assert [(one["repository"], one["tag"]) for one in shown["pushes"]] == [(f"{REGISTRY}/team/app", "queued")]
        asked = {"pipeline": "p", "stage": "s", "execution": "1", "image": f"{REGISTRY}/team/app@{image}"}
        assert server.post("/approvals", asked)["approval"]["state"] == "Rejected"


def test_an_event_may_come_by_a_topic_and_another_kind_of_event_is_none_of_our_business(server: ServerSystem) -> None:
    image = server.foreign("by-topic", Found())
    server.scan_may_end[image].set()
    gone = server.foreign("deleted", Found())
    with cloud(server, pushes.queued) as there:
        there.put(push(gone, "deleted", **{"action-type": "DELETE"}))
        there.put(push(gone, "failed", result="FAILURE"))
        there.put({**push(gone, "scanned"), "detail-type": "ECR Image Scan"})
        there.publish(push(image, "by-topic"))
        until(lambda: not there.left())
        until(lambda: server._scan_state(image) == "Done")
        assert server.client.get(f"/images/{gone}").status_code == 404
        assert not there.left(there.dead)


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
def test_what_is_no_event_goes_where_the_queue_sets_it_aside(
    server: ServerSystem, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with cloud(server, pushes.queued, hidden="0") as there:
        there.put(wrong)
        until(lambda: there.left(there.dead))
        assert not there.left()
    assert [one for one in caplog.messages if "is left where it is" in one]
    assert server.client.get(f"/images/sha256:{'a' * 64}").status_code == 404
