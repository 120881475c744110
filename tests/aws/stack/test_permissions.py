"""The deployer's permissions in docs/how-to/aws.md, compared with the calls and the needs of the resource types."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from tests.aws.stack.cloud import SOON, Cloud
from tests.aws.stack.cloudformation import find_cfn_lint_data, parse_own_template
from tests.aws.stack.stack_state import ID, REGION

from dockgate.aws.stack import status
from dockgate.aws.stack.destroy import destroy_stack as destroy_stack
from dockgate.aws.stack.destroy import list_contents
from dockgate.aws.stack.permissions import ACTIONS
from dockgate.aws.stack.redrive import redrive_messages as redrive_stack
from dockgate.services import aws_stack
from dockgate.shared.errors import DeployError

ROOT = Path(__file__).parents[3]
SCHEMAS = find_cfn_lint_data() / "schemas"
UNUSED = ("elasticfilesystem", "firehose", "kinesis", "s3files", "s3tables")
"""services that the types can have to do with, and our resources do not: streams, file systems"""


def read_policy() -> dict[str, Any]:
    (text,) = re.findall(r"(?ms)^```json\n(.+?)^```$", (ROOT / "docs" / "how-to" / "aws.md").read_text())
    document: dict[str, Any] = json.loads(text)
    return document


def list_allowed_actions() -> list[str]:
    actions: list[str] = []
    for statement in read_policy()["Statement"]:
        action = statement["Action"]
        actions += action if isinstance(action, list) else [action]
    return actions


def list_missing_actions(needed_actions: set[str]) -> list[str]:
    patterns = list_allowed_actions()
    return sorted(action for action in needed_actions if not any(fnmatchcase(action, pattern) for pattern in patterns))


def list_needed_by_types() -> dict[str, set[str]]:
    """By AWS's schemas of the resource types, as cfn-lint has them."""
    types = {resource["Type"] for resource in parse_own_template()["Resources"].values()}
    schemas = [json.loads(file.read_text()) for file in sorted((SCHEMAS / "resources").glob("*.json"))]
    return {
        schema["typeName"]: {
            action
            for name, handler in schema.get("handlers", {}).items()
            if name != "list"
            for action in handler.get("permissions", [])
        }
        for schema in schemas
        if schema.get("typeName") in types
    }


def test_every_call_that_the_commands_make_has_its_permission_on_record(cloud: Cloud) -> None:
    """One run through everything that they can do."""
    network = ["VpcId=vpc-12345678", "SubnetIds=subnet-12345678"]
    cloud.get_client("ssm").put_parameter(
        Name="/dockgate/policy", Value=aws_stack.encode_policy_document("default").decode(), Type="String"
    )
    cloud.formation.fails = ("Table", "no")
    with pytest.raises(DeployError):
        aws_stack.deploy_stack(cloud.account, "gate", "ssm:/dockgate/policy", None, network, True, print, SOON)
    aws_stack.deploy_stack(cloud.account, "gate", "ssm:/dockgate/policy", None, network, True, print, SOON)
    aws_stack.deploy_stack(cloud.account, "gate", "default", None, [], False, print, SOON)
    aws_stack.deploy_stack(cloud.account, "gate", "", None, ["RiskDays=1"], False, print, SOON)
    aws_stack.deploy_stack(cloud.account, "gate", "", None, ["RiskDays=1"], False, print, SOON)
    status.read_stack_status(cloud.account, "gate")
    failures = cloud.get_client("sqs").get_queue_url(QueueName="failures")["QueueUrl"]
    for body in ('{"detail-type": "Inspector2 Scan"}', "none of ours"):
        cloud.get_client("sqs").send_message(QueueUrl=failures, MessageBody=body)
    redrive_stack(cloud.account, "gate", print)
    manifest = '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": []}'
    cloud.get_client("ecr").put_image(repositoryName="dockgate-app", imageManifest=manifest, imageTag="1")
    list_contents(cloud.account, "gate")
    destroy_stack(cloud.account, "gate", print, SOON)
    assert cloud.list_operations() == set(ACTIONS)


def test_the_page_allows_every_call() -> None:
    assert list_missing_actions({action for text in ACTIONS.values() for action in text.split(" or ")}) == []


def test_the_page_allows_what_the_resource_types_need() -> None:
    needed_actions = {action for actions in list_needed_by_types().values() for action in actions}
    assert list_missing_actions({action for action in needed_actions if action.partition(":")[0] not in UNUSED}) == []


def test_the_schemas_know_nearly_all_types() -> None:
    """The control of the test above: it would pass if they knew none."""
    messages = {name for name, actions in list_needed_by_types().items() if actions}
    types = {resource["Type"] for resource in parse_own_template()["Resources"].values()}
    assert types - messages <= {"AWS::CodeBuild::Project"}


def test_the_page_has_no_wildcard_action_on_all_resources() -> None:
    for statement in read_policy()["Statement"]:
        if statement["Resource"] == "*":
            assert [action for action in statement["Action"] if "*" in action] == []


def test_the_bucket_beside_the_stack_is_named_after_it(cloud: Cloud) -> None:
    aws_stack.deploy_stack(
        cloud.account, "gate", "", None, ["CreatePipeline=false", "ApprovalActions=a/b/c"], False, print, SOON
    )
    assert fnmatchcase(f"gate-dockgate-{ID}-{REGION}", "gate-*")
    assert cloud.formation.stacks["gate"].parameters["ArchiveBucket"] == f"gate-dockgate-{ID}-{REGION}"
