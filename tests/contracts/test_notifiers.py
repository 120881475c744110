"""What every notifier promises. A notice may be handed over twice."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from tests.fakes.notifier import MemoryNotifier
from tests.parts import Faults

from dockgate.events.notifiers.eventbridge import EventBridgeNotifier
from dockgate.events.notifiers.log import LogNotifier
from dockgate.events.notifiers.sns import SnsNotifier
from dockgate.events.ports import Notice, Notifier
from dockgate.shared.errors import UnavailableError

NOTICE = Notice("at-risk/web/1", "Service At Risk", "web runs what would be rejected", "CVE-2026-1\nin flask", {"n": 1})


KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}


class Aws:
    """Moto's bus and topic. A queue behind the topic shows what comes out; of the bus, what went in is kept, checked by
    botocore and taken by moto, whose rules would need more libraries."""

    def __init__(self) -> None:
        self.sqs, self.sns, self.events = (boto3.client(name, **KEYS) for name in ("sqs", "sns", "events"))
        self.topic = self.sns.create_topic(Name="notices")["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName="told")["QueueUrl"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=answer["Attributes"]["QueueArn"])
        self.events.create_event_bus(Name="gate")
        self.entries: list[dict[str, Any]] = []
        self.events.meta.events.register("provide-client-params.events.PutEvents", self._keep)

    def _keep(self, params: dict[str, Any], **_: Any) -> None:
        self.entries += params["Entries"]

    def messages(self) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    @property
    def to_topic(self) -> Notifier:
        return SnsNotifier(lambda: self.sns, self.topic)

    @property
    def to_bus(self) -> Notifier:
        return EventBridgeNotifier(lambda: self.events, "gate")


@pytest.fixture
def aws() -> Iterator[Aws]:
    with mock_aws():
        yield Aws()


@pytest.fixture(params=["log", "memory", "sns", "eventbridge"])
def notifier(request: pytest.FixtureRequest) -> Notifier:
    if request.param in ("log", "memory"):
        return LogNotifier() if request.param == "log" else MemoryNotifier()
    aws = request.getfixturevalue("aws")
    return aws.to_topic if request.param == "sns" else aws.to_bus


def test_a_notice_may_be_handed_over_again(notifier: Notifier) -> None:
    for _ in range(2):
        notifier.notify(NOTICE)


ENCODED = {"key": NOTICE.key, "kind": NOTICE.kind, "title": NOTICE.title, "body": NOTICE.body, "detail": {"n": 1}}


def test_a_topic_gets_the_notice_with_its_kind_to_filter_by(aws: Aws) -> None:
    aws.to_topic.notify(replace(NOTICE, title="web\nis “at risk” " + "x" * 200))
    (message,) = aws.messages()
    assert json.loads(message["Message"]) == {**ENCODED, "title": "web\nis “at risk” " + "x" * 200}
    assert message["Subject"] == ("web is at risk " + "x" * 200)[:99]
    assert message["MessageAttributes"]["kind"]["Value"] == "Service At Risk"


def test_a_bus_gets_the_notice_as_an_event(aws: Aws) -> None:
    aws.to_bus.notify(NOTICE)
    (entry,) = aws.entries
    assert json.loads(entry.pop("Detail")) == ENCODED
    assert entry == {"Source": "dockgate", "DetailType": "Service At Risk", "EventBusName": "gate"}


def test_a_notice_too_long_for_aws_loses_its_detail_first(aws: Aws) -> None:
    aws.to_bus.notify(replace(NOTICE, detail={"much": "x" * 300_000}))
    aws.to_bus.notify(replace(NOTICE, body="y" * 300_000))
    first, second = (json.loads(entry["Detail"]) for entry in aws.entries)
    assert ("detail" in first, first["body"]) == (False, NOTICE.body)
    assert ("detail" in second, second["body"]) == (False, "y" * 2000)


def test_what_aws_does_not_take_is_tried_again_later(aws: Aws) -> None:
    class Failing:
        def put_events(self, **_: Any) -> dict[str, Any]:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": "soon"}]}

    nowhere = SnsNotifier(lambda: aws.sns, aws.topic + "-gone")
    for notifier in (nowhere, EventBridgeNotifier(Failing, "gate")):
        with pytest.raises(UnavailableError) as caught:
            notifier.notify(NOTICE)
        assert caught.value.advice


def test_the_log_has_one_line_for_a_notice(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="dockgate.notices"):
        LogNotifier().notify(NOTICE)
    line = "Service At Risk: web runs what would be rejected: CVE-2026-1 in flask (at-risk/web/1)"
    assert caplog.messages == [line]


def test_the_fake_keeps_each_notice_once_and_every_handing_over() -> None:
    notifier = MemoryNotifier()
    notifier.notify(NOTICE)
    notifier.notify(NOTICE)
    assert notifier.notices == {NOTICE.key: NOTICE}
    assert notifier.handed == [NOTICE, NOTICE]


@pytest.mark.parametrize(("moment", "handed"), [("before_notify", []), ("after_notify", [NOTICE])])
def test_the_fake_fails_where_it_is_told_to(moment: str, handed: list[Notice]) -> None:
    notifier = MemoryNotifier(Faults(**{moment: [UnavailableError("no network")]}))
    with pytest.raises(UnavailableError):
        notifier.notify(NOTICE)
    assert notifier.handed == handed
    notifier.notify(NOTICE)
    assert notifier.notices == {NOTICE.key: NOTICE}
