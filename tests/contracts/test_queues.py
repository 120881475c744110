"""What every queue promises."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from tests.fakes.queue import MemoryQueue
from tests.parts import Faults

from dockgate.events.ports import Queue
from dockgate.events.queues.sqs import SqsQueue
from dockgate.shared.errors import UnavailableError

ACCOUNT = "123456789012"
KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}


class Sqs:
    """Moto's queue: a received message is hidden for a second by default, and moved to the dead-letter queue after its
    second receipt."""

    def __init__(self) -> None:
        self.client = boto3.client("sqs", **KEYS)
        self.dead = self.client.create_queue(QueueName="dead")["QueueUrl"]
        answer = self.client.get_queue_attributes(QueueUrl=self.dead, AttributeNames=["QueueArn"])
        policy = f'{{"deadLetterTargetArn": "{answer["Attributes"]["QueueArn"]}", "maxReceiveCount": 2}}'
        attributes = {"VisibilityTimeout": "30", "RedrivePolicy": policy}
        self.url = self.client.create_queue(QueueName="pushes", Attributes=attributes)["QueueUrl"]
        self.queue = SqsQueue(lambda: self.client, "pushes", ACCOUNT, wait_seconds=0)
        self.receipts: list[str] = []

    def put(self, body: str) -> str:
        return str(self.client.send_message(QueueUrl=self.url, MessageBody=body)["MessageId"])

    def expire_receipt(self, receipt: str) -> None:
        self.client.change_message_visibility(QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=0)

    def set_aside(self) -> list[str]:
        answer = self.client.receive_message(QueueUrl=self.dead)
        return [message["Body"] for message in answer.get("Messages", [])]


class Memory:
    def __init__(self) -> None:
        self.queue = MemoryQueue(maximum=2)
        self.put = self.queue.put

    def expire_receipt(self, receipt: str) -> None:
        self.queue.expire_receipts()

    def set_aside(self) -> list[str]:
        return self.queue.dead


@pytest.fixture(params=["memory", "sqs"])
def system(request: pytest.FixtureRequest) -> Iterator[Any]:
    with mock_aws():
        yield Memory() if request.param == "memory" else Sqs()


def test_a_received_message_is_hidden_and_returns_unless_it_is_deleted(system: Any) -> None:
    queue: Queue = system.queue
    put = system.put("one")
    (message,) = queue.receive()
    assert (message.id, message.body) == (put, "one")
    assert not queue.receive()
    system.expire_receipt(message.receipt)
    (same_message,) = queue.receive()
    assert (same_message.id, same_message.body) == (message.id, "one")
    for _ in range(2):
        queue.delete(same_message)
    assert not queue.receive()


def test_a_released_message_returns_at_once_and_becomes_a_dead_letter_after_too_many_receipts(system: Any) -> None:
    queue: Queue = system.queue
    system.put("bad")
    for _ in range(2):
        (message,) = queue.receive()
        queue.release(message)
    assert not queue.receive()
    assert system.set_aside() == ["bad"]


def test_several_come_at_once(system: Any) -> None:
    bodies = {f"message {number}" for number in range(5)}
    for body in bodies:
        system.put(body)
    received_bodies: set[str] = set()
    for _ in range(5):
        received_bodies |= {message.body for message in system.queue.receive()}
    assert received_bodies == bodies


def test_a_missing_queue_is_reported_with_possible_causes() -> None:
    with mock_aws():
        queue = SqsQueue(lambda: boto3.client("sqs", **KEYS), "nowhere", ACCOUNT, wait_seconds=0)
        with pytest.raises(UnavailableError, match="the queue nowhere") as error_info:
            queue.receive()
        assert "permissions" in str(error_info.value.advice)


def test_the_fake_fails_at_the_configured_call() -> None:
    queue = MemoryQueue(fault=Faults(before_receive=[UnavailableError("no network")]))
    queue.put("one")
    with pytest.raises(UnavailableError):
        queue.receive()
    assert [message.body for message in queue.receive()] == ["one"]
