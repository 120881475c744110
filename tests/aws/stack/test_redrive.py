"""Messages that were set aside are handed over again, each to the function that it was for."""

import json
from typing import Any

import pytest
from tests.aws.account import make_approval_event, make_approval_message, scan_event
from tests.aws.stack.cloud import Cloud
from tests.aws.stack.deploying import ALONE, DIGEST, deploy

from dockgate.aws.stack import status
from dockgate.aws.stack.redrive import Redriven
from dockgate.aws.stack.redrive import redrive_messages as redrive_stack
from dockgate.shared.errors import NotFoundError, UsageError

TOKEN = "11111111-2222-3333-4444-555555555555"
FINDING = {"detail-type": "Inspector2 Finding", "source": "aws.inspector2", "detail": {}}
CLOCK = {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}
COMMIT = {"detail-type": "CodeCommit Repository State Change", "source": "aws.codecommit", "detail": {}}


class Queues:
    """Of a deployed stack."""

    def __init__(self, cloud: Cloud) -> None:
        deploy(cloud, *ALONE)
        self.cloud, self.sqs = cloud, cloud.get_client("sqs")
        self.progress: list[str] = []

    def put(self, name: str, body: Any) -> str:
        url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs.send_message(QueueUrl=url, MessageBody=text)
        return text

    def count_messages(self) -> list[int]:
        result = status.read_stack_status(self.cloud.account, "gate")
        return [result.approval_failures, result.failures]

    def redrive(self) -> Redriven:
        return redrive_stack(self.cloud.account, "gate", self.progress.append)


@pytest.fixture
def queues(cloud: Cloud) -> Queues:
    return Queues(cloud)


def test_each_message_goes_to_its_function_and_is_deleted(queues: Queues) -> None:
    """A function's dead letters are its events, a topic's are notifications, a rule's the events themselves."""
    batch = {"Records": [{"messageId": "1", "body": json.dumps(FINDING)}]}
    approvals = [
        queues.put("approvalfailures", make_approval_event(TOKEN, image=DIGEST)),
        queues.put("approvalfailures", {"Type": "Notification", "Message": make_approval_message(TOKEN, DIGEST)}),
    ]
    coverage = {"detail-type": "Inspector2 Coverage", "detail": {}}
    judged_bodies = [queues.put("failures", event) for event in (scan_event(DIGEST), coverage)]
    for event in (FINDING, CLOCK, batch):
        queues.put("failures", event)
    assert queues.count_messages() == [2, 5]
    assert queues.redrive() == Redriven(7, ())
    assert queues.count_messages() == [0, 0]
    invocations = queues.cloud.formation.invoked
    assert sorted(item for item in invocations if item[0] != "gate-sweep") == sorted(
        [("gate-record", "RequestResponse", body) for body in approvals]
        + [("gate-judge", "RequestResponse", body) for body in judged_bodies]
    )
    ((kind, body),) = ((kind, body) for name, kind, body in invocations if name == "gate-sweep")
    assert (kind, json.loads(body)["detail-type"]) == ("Event", "Scheduled Event"), "one sweep makes up for all"
    assert queues.redrive() == Redriven(0, ())
    assert TOKEN not in "".join(queues.progress)


def test_a_message_that_fails_again_stays_for_the_next_run(queues: Queues) -> None:
    bad = queues.put("approvalfailures", make_approval_event(TOKEN, image=DIGEST))
    for _ in range(12):
        queues.put("approvalfailures", make_approval_event(TOKEN, image=DIGEST, expires="2026-11-26T12:00Z"))
    queues.cloud.formation.refusals[bad] = "it may not"
    result = queues.redrive()
    assert (result.moved_count, len(result.faults), queues.count_messages()) == (12, 1, [1, 0])
    assert "gate-record: ClientError: it may not" in result.faults[0]
    assert [body for _, _, body in queues.cloud.formation.invoked].count(bad) == 1
    queues.cloud.formation.refusals.clear()
    assert queues.redrive() == Redriven(1, ())
    assert queues.count_messages() == [0, 0]


@pytest.mark.parametrize("body", ["no JSON", "[]", "7", COMMIT, {}, {"Records": [7]}, "[" * 100_000])
def test_a_message_for_no_function_stays_in_the_queue(queues: Queues, body: Any) -> None:
    queues.put("failures", body)
    result = queues.redrive()
    assert (result.moved_count, len(result.faults)) == (0, 1)
    assert "no event of this stack" in result.faults[0]
    assert (queues.count_messages(), queues.cloud.formation.invoked) == ([0, 1], [])


def test_redrive_of_a_missing_stack_is_refused(cloud: Cloud) -> None:
    with pytest.raises(NotFoundError, match="no stack 'gate'"):
        redrive_stack(cloud.account, "gate", print)
    with pytest.raises(UsageError, match="name"):
        redrive_stack(cloud.account, "my_gate", print)
