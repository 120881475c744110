"""The status of a stack."""

import pytest
from tests.aws.stack.cloud import Cloud
from tests.aws.stack.deploying import ALONE, DIGEST, NETWORK, deploy

from dockgate.aws.stack import status
from dockgate.shared.errors import NotFoundError


def test_status_shows_waiting_approvals_and_failures(cloud: Cloud) -> None:
    deploy(cloud, *ALONE)
    item = {"digest": {"S": DIGEST}, "half": {"S": "approval#1"}, "state": {"S": "WAITING"}}
    item["waiting_since"] = {"N": "1"}
    cloud.get_client("dynamodb").put_item(TableName="approvals", Item=item)
    url = cloud.get_client("sqs").get_queue_url(QueueName="failures")["QueueUrl"]
    cloud.get_client("sqs").send_message(QueueUrl=url, MessageBody="{}")
    result = status.read_stack_status(cloud.account, "gate")
    assert (result.state, result.waiting, result.failures, result.scanning) == (
        "CREATE_COMPLETE",
        1,
        1,
        "BASIC",
    )
    assert result.stages == {}
    assert result.outputs["TableName"] == "approvals"


def test_status_of_a_full_stack_shows_its_pipelines_state(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    result = status.read_stack_status(cloud.account, "gate")
    stages = result.stages
    assert list(stages) == ["Source", "Build", "ContainerVulnerabilityAssessment", "Deploy"]
    assert (stages["Source"], stages["Build"]) == ("Succeeded", "never ran")
    assert result.summaries == {"ContainerVulnerabilityAssessment": "3 HIGH findings, 0 allowed"}


def test_status_of_no_stack(cloud: Cloud) -> None:
    with pytest.raises(NotFoundError, match="no stack 'gate' in eu-west-1"):
        status.read_stack_status(cloud.account, "gate")
