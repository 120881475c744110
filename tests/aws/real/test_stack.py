"""The gate alone, deployed by `dockgate aws deploy` on ministack, which enforces the roles that the template deploys.

What ministack cannot do, and is not seen here: it has no CodePipeline and invents Inspector's findings, so that both
are our fakes, which hold every call against botocore's model, but ask for no permission; it does not ask for a rule's
or topic's Lambda::Permission; it takes no events whose source begins with `aws.`, so that the template is deployed with
another one; it has no CodeCommit, so that the whole pipeline cannot be deployed on it.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.aws.account import (
    PIPELINE,
    REGION,
    REPOSITORY,
    STAGE,
    digest_of,
    make_approval_message,
    make_coverage_event,
    make_finding,
)
from tests.aws.real.cloud import ACCOUNT_ID, SOURCE, Cloud, run_cloud, wait_until

from dockgate.aws.stack import change_set, cloudformation
from dockgate.aws.stack.account import Account
from dockgate.aws.stack.parameters import read_template
from dockgate.aws.stack.stack_bucket import StackBucket
from dockgate.shared.errors import UsageError

pytestmark = pytest.mark.real
CLUSTER, SERVICE, RUNNING = "blue", "web", digest_of(5)


class Gate:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        text = cloud.run_dockgate(
            *("deploy", "--stack", "gate", "--parameter", "CreatePipeline=false"),
            *("--parameter", f"ApprovalActions={PIPELINE}/{STAGE}/{STAGE}", "--parameter", f"EventSource={SOURCE}"),
            *("--parameter", f"RunningServices={CLUSTER}/{SERVICE}"),
        )
        assert text.startswith("gate: deployed")
        (stack,) = cloud.get_client("cloudformation").describe_stacks(StackName="gate")["Stacks"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self._run_service()

    def _run_service(self) -> None:
        """What the parameter RunningServices names. ministack asks for DescribeServices on the cluster, where AWS asks
        for it on the service, so that the role gets it there, too."""
        ecs, iam = self.cloud.get_client("ecs"), self.cloud.get_client("iam")
        uri = f"{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}@{RUNNING}"
        arn = ecs.create_cluster(clusterName=CLUSTER)["cluster"]["clusterArn"]
        ecs.register_task_definition(family=SERVICE, containerDefinitions=[{"name": "app", "image": uri, "memory": 64}])
        ecs.create_service(cluster=CLUSTER, serviceName=SERVICE, taskDefinition=SERVICE, desiredCount=0)
        (role,) = [item["RoleName"] for item in iam.list_roles()["Roles"] if "SweepRole" in item["RoleName"]]
        statement = {"Effect": "Allow", "Action": "ecs:DescribeServices", "Resource": arn}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName=role, PolicyName="cluster", PolicyDocument=document)

    def make_message(self, token: str, image: str) -> str:
        return make_approval_message(token, image, f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%dT%H:%MZ}")

    def ask(self, image: str) -> str:
        """An approval action's message, by its topic, and its half in the table."""
        token = self.cloud.fakes.ask(image)
        topic = self.outputs["ApprovalTopicArn"]
        self.cloud.get_client("sns").publish(TopicArn=topic, Message=self.make_message(token, image))
        wait_until(lambda: self.read_half(token, image), f"the approval {token} is recorded")
        return token

    def read_half(self, token: str, image: str) -> dict[str, Any] | None:
        key = {"digest": {"S": image}, "half": {"S": f"approval#{token}"}}
        result = self.cloud.get_client("dynamodb").get_item(TableName=self.outputs["TableName"], Key=key)
        item: dict[str, Any] | None = result.get("Item")
        return item

    def answer(self, token: str) -> str:
        answer: str = wait_until(lambda: self.cloud.fakes.approvals.answered.get(token), f"{token} is answered")
        return answer

    def call(self, name: str, event: dict[str, Any]) -> tuple[bool, Any]:
        """Whether the function failed, and its answer."""
        response = self.cloud.get_client("lambda").invoke(
            FunctionName=f"gate-{name}", Payload=json.dumps(event).encode()
        )
        return "FunctionError" in response, json.loads(response["Payload"].read())


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with run_cloud(tmp_path_factory.mktemp("ministack")) as cloud:
        yield Gate(cloud)
        assert cloud.fakes.list_faults() == []


def test_events_flow_to_an_answer(gate: Gate) -> None:
    """SNS calls `record`, which writes to DynamoDB; EventBridge calls `judge`, which answers and keeps the verdict."""
    fakes = gate.cloud.fakes
    good, bad = digest_of(1), digest_of(2)
    tokens = [gate.ask(good), gate.ask(bad), gate.ask(good)]
    assert fakes.list_answers(*tokens) == [None, None, None]
    fakes.complete_scan(good)
    fakes.complete_scan(bad, make_finding(bad, "CRITICAL"))
    gate.cloud.send_scan_event(good)
    gate.answer(tokens[0])  # one call at a time: calls side by side start more processes
    gate.cloud.send_scan_event(bad, CRITICAL=1, TOTAL=1)
    gate.answer(tokens[1])
    gate.cloud.send_scan_event(bad, CRITICAL=1, TOTAL=1)
    assert [gate.answer(token) for token in tokens] == ["Approved", "Rejected", "Approved"]
    page = fakes.approvals.summaries[tokens[1]].partition("prefix=")[2]
    stored_page = (
        gate.cloud.get_client("s3").get_object(Bucket=gate.outputs["VerdictBucketName"], Key=page)["Body"].read()
    )
    assert b"CVE-2024-0001" in stored_page
    wait_until(lambda: (gate.read_half(tokens[1], bad) or {}).get("status") == {"S": "Rejected"}, "it is settled")
    assert fakes.approvals.refused == 0


@pytest.mark.slow
def test_an_image_that_cannot_be_scanned_is_rejected_at_once(gate: Gate) -> None:
    image = digest_of(6)
    token = gate.ask(image)
    event = make_coverage_event(image, "UNSUPPORTED_OS")
    entry = {"Source": SOURCE, "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}
    entry |= {"Resources": event["resources"], "Time": datetime.now(UTC)}
    assert gate.cloud.get_client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    assert gate.answer(token) == "Rejected"


def test_without_a_permission_a_function_is_denied_and_with_it_goes_on(gate: Gate) -> None:
    """The control: the roles are really asked."""
    iam = gate.cloud.get_client("iam")
    (role,) = [item["RoleName"] for item in iam.list_roles()["Roles"] if "RecordRole" in item["RoleName"]]
    (attached_policy,) = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    policy = iam.get_policy(PolicyArn=attached_policy["PolicyArn"])["Policy"]
    content = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
    document = content["PolicyVersion"]["Document"]
    without = [item for item in document["Statement"] if item["Sid"] != "KeepVerdicts"]
    assert len(without) == len(document["Statement"]) - 1
    image = digest_of(3)
    gate.cloud.fakes.complete_scan(image)
    token = gate.cloud.fakes.ask(image)
    event = {"Records": [{"Sns": {"Message": gate.make_message(token, image)}}]}
    less = json.dumps({**document, "Statement": without})
    iam.put_role_policy(RoleName=role, PolicyName="less", PolicyDocument=less)
    iam.detach_role_policy(RoleName=role, PolicyArn=policy["Arn"])
    has_failed, output = gate.call("record", event)
    assert has_failed, output
    assert "AccessDenied" in json.dumps(output)
    assert "s3:PutObject" in json.dumps(output)
    assert gate.cloud.fakes.list_answers(token) == [None]
    iam.attach_role_policy(RoleName=role, PolicyArn=policy["Arn"])
    iam.delete_role_policy(RoleName=role, PolicyName="less")
    assert gate.call("record", event)[0] is False
    assert gate.answer(token) == "Approved"


def test_the_sweep_has_permission_to_find_waiting_approvals(gate: Gate) -> None:
    token = gate.ask(digest_of(4))
    assert gate.call("sweep", {"source": "aws.events"}) == (False, {"waiting": 1})
    gate.cloud.fakes.complete_scan(digest_of(4))
    lost_token = gate.cloud.fakes.ask(digest_of(4))
    assert gate.call("sweep", {"source": "aws.events"}) == (False, {"waiting": 0})
    assert [gate.answer(token), gate.answer(lost_token)] == ["Approved", "Approved"]


def test_findings_from_the_queue_mark_running_images_at_risk(gate: Gate) -> None:
    """EventBridge puts them into the queue, and Lambda hands them to `sweep`."""
    image = RUNNING
    new = make_finding(image, "CRITICAL")
    gate.cloud.fakes.complete_scan(image, new)
    entries = [
        {"Source": SOURCE, "DetailType": "Inspector2 Finding", "Detail": json.dumps({**new, "title": f"{number}"})}
        for number in range(3)
    ]
    assert gate.cloud.get_client("events").put_events(Entries=entries)["FailedEntryCount"] == 0
    key = {"digest": {"S": image}, "half": {"S": f"risk#{CLUSTER}/{SERVICE}"}}
    table = gate.cloud.get_client("dynamodb")
    wait_until(lambda: "Item" in table.get_item(TableName=gate.outputs["TableName"], Key=key), "it is marked at risk")


@pytest.mark.slow
def test_an_update_is_made_by_a_change_set_that_names_what_it_removes(gate: Gate) -> None:
    """ministack answers for a changed template; what a condition removes it leaves out."""
    output = gate.cloud.run_dockgate("deploy", "--stack", "gate", "--parameter", "RiskDays=3")
    assert output.startswith("gate: deployed")
    account = Account(client=gate.cloud.get_client)
    renamed_template = read_template().replace("VerdictBucket", "EvidenceBucket").replace("SweepAlarm", "SilenceAlarm")
    (stack,) = gate.cloud.get_client("cloudformation").describe_stacks(StackName="gate")["Stacks"]
    values: list[dict[str, Any]] = [
        {"ParameterKey": name, "UsePreviousValue": True} for name in cloudformation.read_parameters(stack)
    ]
    upgrade: list[dict[str, Any]] = [
        {"ParameterKey": "ArchiveKey", "ParameterValue": "functions/of-the-next-version.zip"}
    ]
    upgrade += [value for value in values if value["ParameterKey"] != "ArchiveKey"]
    unchanged_template = StackBucket(account, "gate").put_template(read_template().encode())
    result = change_set.create_change_set(account, "gate", unchanged_template, upgrade, cloudformation.Patience())
    assert result is not None
    assert result.losses == ()  # an upgrade of Dockgate asks nothing
    url = StackBucket(account, "gate").put_template(renamed_template.encode())
    result = change_set.create_change_set(account, "gate", url, values, cloudformation.Patience())
    assert result is not None
    lost_resources = {(loss.logical, loss.is_retained) for loss in result.losses if not loss.replacement}
    assert {("VerdictBucket", True), ("SweepAlarm", False)} <= lost_resources
    with pytest.raises(UsageError, match="VerdictBucket"):
        change_set.review_losses(account, "gate", result, change_set.refuse_losses)
    summaries = gate.cloud.get_client("cloudformation").list_change_sets(StackName="gate")["Summaries"]
    assert result.identifier not in [item["ChangeSetId"] for item in summaries]


def test_status_shows_the_stack_and_destroy_deletes_everything(gate: Gate) -> None:
    assert "CREATE_COMPLETE" in gate.cloud.run_dockgate("status", "--stack", "gate")
    assert gate.cloud.run_dockgate("destroy", "--stack", "gate", "--yes").endswith("gate: deleted\n")
    assert gate.cloud.get_client("lambda").list_functions()["Functions"] == []
    assert gate.cloud.get_client("s3").list_buckets()["Buckets"] == []
