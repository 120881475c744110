"""The adapters of a server against ministack, which takes no call that a user's policy does not allow: with the
permissions that docs/how-to/aws-adapters.md lists they do what they are to, and without any one of these they do not.

CodePipeline is our fake, which asks for no permission. An event whose source is `aws.ecr` comes out of a rule that has
it as its input, for ministack takes none from outside.
"""

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from tests.aws.account import PIPELINE, make_approval_message
from tests.aws.page import list_permissions
from tests.aws.real.cloud import ACCOUNT_ID, SOURCE, Cloud, run_cloud, wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.events.queues.sqs import SqsQueue
from dockgate.server.polling import Poller
from dockgate.services.approvals import codepipeline
from dockgate.shared.aws import RegionalClients
from dockgate.shared.errors import DockgateError
from dockgate.store.s3 import S3Blobs

pytestmark = pytest.mark.real

QUEUES = list_permissions("Scan pushes to ECR, by a queue")
BUCKETS = {name for name in list_permissions("Store artifacts in S3") if name.startswith("s3:")}
REGION = "eu-west-1"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with run_cloud(tmp_path_factory.mktemp("aws")) as cloud:
        yield cloud


def make_user(aws: Cloud, permissions: set[str], *resources: str) -> Callable[[str, str | None], Any]:
    """Makes clients with only this permission."""
    name = f"server-{uuid4()}"
    iam = aws.get_client("iam")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": sorted(permissions), "Resource": list(resources)}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="adapter", PolicyDocument=document)
    keys = iam.create_access_key(UserName=name)["AccessKey"]

    def make_client(service: str, region: str | None) -> Any:
        url = aws.environment.get(f"AWS_ENDPOINT_URL_{service.upper()}", aws.environment["AWS_ENDPOINT_URL"])
        return boto3.client(
            service,
            region_name=region or REGION,
            endpoint_url=url,
            verify=aws.environment["AWS_CA_BUNDLE"],
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
        )

    return make_client


class Queue:
    """A queue of the account's, and our adapter to it with these permissions."""

    def __init__(self, aws: Cloud, permissions: set[str]) -> None:
        self.name = f"queue-{uuid4()}"
        self.sqs = aws.get_client("sqs")
        self.url = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn: str = answer["Attributes"]["QueueArn"]
        client = partial(make_user(aws, permissions, self.arn), "sqs", REGION)
        self.adapter = SqsQueue(client, self.name, ACCOUNT_ID, wait_seconds=1)

    def allow_sender(self, service: str, source: str) -> None:
        """Lets only this topic or rule send to the queue."""
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": source}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})

    def empty(self) -> bool:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return all(answer["Attributes"][name] == "0" for name in names)

    def use_queue(self) -> None:
        """Everything that a server does with it."""
        self.sqs.send_message(QueueUrl=self.url, MessageBody="one")
        for deal in (self.adapter.release, self.adapter.delete):
            (message,) = self.adapter.receive()
            deal(message)
        assert self.empty()


def test_a_queue_needs_all_permissions_of_the_page(aws: Cloud) -> None:
    assert len(QUEUES) == 4
    Queue(aws, QUEUES).use_queue()
    for missing_permission in QUEUES:
        with pytest.raises(DockgateError, match="AccessDenied") as error_info:
            Queue(aws, QUEUES - {missing_permission}).use_queue()
        assert missing_permission in str(error_info.value)


def test_artifacts_need_all_permissions_of_the_page(aws: Cloud, tmp_path: Path) -> None:
    assert len(BUCKETS) == 4
    aws.get_client("s3").create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION})

    def make_blobs(permissions: set[str], folder: str) -> S3Blobs:
        client = partial(
            make_user(aws, permissions, "arn:aws:s3:::artifacts/ours/*", "arn:aws:s3:::artifacts"), "s3", None
        )
        return S3Blobs(client, "artifacts", "ours/", tmp_path / folder)

    def write(path: Path) -> None:
        path.write_bytes(b"content")

    digest = make_blobs(BUCKETS, "one").put(write)
    assert make_blobs(BUCKETS, "two").get_path(digest).read_bytes() == b"content"
    with pytest.raises(DockgateError, match="PutObject"):
        make_blobs(BUCKETS - {"s3:PutObject"}, "three").put(write)
    with pytest.raises(DockgateError, match="GetObject"):
        make_blobs(BUCKETS - {"s3:GetObject"}, "four").get_path(digest)
    with pytest.raises(DockgateError, match="DeleteObject"):
        make_blobs(BUCKETS - {"s3:DeleteObject"}, "five").delete(digest, math.inf)
    assert make_blobs(BUCKETS, "six").delete(digest, math.inf)


@pytest.fixture
def server(aws: Cloud, tmp_path: Path) -> Iterator[ServerSystem]:
    sender = codepipeline.CodePipelineAnswerSender("https://gate.example.org", make_user(aws, {"codepipeline:*"}, "*"))
    with ServerSystem(tmp_path, answer_senders={codepipeline.SCHEME: sender}) as system:
        yield system


def start_poller(queue: Queue, take: Callable[[str], None]) -> Poller:
    poller = Poller(queue.adapter, take)
    poller.start()
    return poller


def test_a_push_comes_over_eventbridge_and_a_queue(aws: Cloud, server: ServerSystem) -> None:
    image, queue = server.plan_foreign_image("pushed", PlannedFindings()), Queue(aws, QUEUES)
    server.scan_may_end[image].set()
    detail = {"result": "SUCCESS", "repository-name": "app", "image-digest": image, "action-type": "PUSH"}
    event = {"id": "1", "source": "aws.ecr", "detail-type": "ECR Image Action", "account": ACCOUNT_ID, "region": REGION}
    events = aws.get_client("events")
    rule = events.put_rule(Name="pushes", EventPattern=json.dumps({"source": [SOURCE]}))
    queue.allow_sender("events.amazonaws.com", rule["RuleArn"])
    target = {"Id": "queue", "Arn": queue.arn, "Input": json.dumps({**event, "detail": detail})}
    assert events.put_targets(Rule="pushes", Targets=[target])["FailedEntryCount"] == 0
    poller = start_poller(queue, server.services.registries.notifications.receive_ecr_event)
    try:
        for _ in range(2):
            aws.get_client("events").put_events(Entries=[{"Source": SOURCE, "DetailType": "any", "Detail": "{}"}])
        wait_until(lambda: server._scan_state(image) == "Done", "the image is scanned")
        wait_until(queue.empty, "the messages are deleted")
    finally:
        poller.close()
    repository = f"{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/app"
    assert [item["repository"] for item in server.get(f"/images/{image}")["pushes"]] == [repository]


@pytest.mark.parametrize("raw", ["true", "false"])
def test_an_approval_action_asks_over_sns_and_a_queue_and_is_answered(
    aws: Cloud, server: ServerSystem, raw: str
) -> None:
    bad, good, queue = (
        server.plan_foreign_image("bad", PlannedFindings({"CRITICAL": 1})),
        server.plan_foreign_image("good", PlannedFindings()),
        Queue(aws, QUEUES),
    )
    sns = aws.get_client("sns")
    topic = sns.create_topic(Name=f"approvals-{raw}")["TopicArn"]
    queue.allow_sender("sns.amazonaws.com", topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn, Attributes={"RawMessageDelivery": raw})
    clients = RegionalClients(make_user(aws, {"codepipeline:*"}, "*"))
    requests = codepipeline.CodePipelineRequests(
        server.services.approvals.requests, server.services.clock, ACCOUNT_ID, clients
    )
    poller = start_poller(queue, requests.receive)
    tokens = {image: aws.fakes.ask(image) for image in (bad, good)}
    try:
        for image, token in tokens.items():
            for _ in range(2):
                sns.publish(TopicArn=topic, Message=make_approval_message(token, image, "2126-07-07T20:22Z"))
        wait_until(lambda: len(server.get("/approvals")) == 2, "both wait")
        wait_until(queue.empty, "the messages are deleted")
        for image in tokens:
            server.scan_may_end[image].set()
        answered_tokens = aws.fakes.approvals.answered
        wait_until(lambda: {*tokens.values()} <= answered_tokens.keys(), "both are answered")
    finally:
        poller.close()
    assert (answered_tokens[tokens[bad]], answered_tokens[tokens[good]]) == ("Rejected", "Approved")
    assert {item["pipeline"] for item in server.get("/approvals")} == {PIPELINE}
    assert aws.fakes.approvals.pipelines.keys() == {PIPELINE}
    assert (aws.fakes.approvals.refused, aws.fakes.list_faults()) == (0, [])
