"""What the template lets whom do, in every way in which it may be deployed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.aws.stack.cloudformation import MODES, Stack, find_cfn_lint_data

ROOT = Path(__file__).parents[3]

WILDCARDS = {
    "ecr:GetAuthorizationToken": "it is for the whole registry",
    "ecs:DescribeTaskDefinition": "AWS knows no resource type for it",
    "ecs:ListTasks": "its resource is the container instance; a condition limits it to the cluster",
    "inspector2:BatchGetFindingDetails": "AWS knows no resource type for it",
    "inspector2:ListCoverage": "AWS knows no resource type for it",
    "inspector2:ListFindings": "AWS knows no resource type for it",
}
"""the actions that are allowed on every resource, each with the reason; docs/how-to/aws.md has the same table"""


def iterate_statements(stack: Stack) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement that allows something to a role of the stack."""
    for kind in ("AWS::IAM::ManagedPolicy", "AWS::IAM::Role"):
        for name, properties in stack.select_resources(kind).items():
            documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
            documents += [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
            for document in documents:
                yield from ((name, statement) for statement in document["Statement"])


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_each_target_of_a_rule_and_of_a_topic_may_be_called(stack: Stack) -> None:
    may = {
        (item["FunctionName"], item["Principal"], item["SourceArn"])
        for item in stack.select_resources("AWS::Lambda::Permission").values()
        if item["Action"] == "lambda:InvokeFunction"
    }
    functions = {f"{name}.Arn": f"ref:{name}" for name in stack.select_resources("AWS::Lambda::Function")}
    expected = {
        (functions[target["Arn"]], "events.amazonaws.com", f"{name}.Arn")
        for name, rule in stack.select_resources("AWS::Events::Rule").items()
        for target in rule["Targets"]
        if target["Arn"] in functions
    }
    expected |= {
        (functions[item["Endpoint"]], "sns.amazonaws.com", item["TopicArn"])
        for item in stack.select_resources("AWS::SNS::Subscription").values()
        if item["Protocol"] == "lambda"
    }
    assert may == expected
    assert len(expected) == 4


def test_a_target_that_is_no_function_is_reached_by_a_role_or_lets_the_rule_in(stack: Stack) -> None:
    """A queue by its own policy: see below."""
    function_targets = {
        f"{name}.Arn" for kind in ("AWS::Lambda::Function", "AWS::SQS::Queue") for name in stack.select_resources(kind)
    }
    for rule in stack.select_resources("AWS::Events::Rule").values():
        assert all("RoleArn" in target for target in rule["Targets"] if target["Arn"] not in function_targets)


def test_each_queue_accepts_messages_of_its_senders_only(stack: Stack) -> None:
    """Of rules and topics; functions and queues send by their role, or need none."""
    expected: dict[str, set[str]] = {f"{name}.Arn": set() for name in stack.select_resources("AWS::SQS::Queue")}
    for name, rule in stack.select_resources("AWS::Events::Rule").items():
        for target in rule["Targets"]:
            for queue in {target["Arn"], target["DeadLetterConfig"]["Arn"]} & expected.keys():
                expected[queue].add(f"{name}.Arn")
    for item in stack.select_resources("AWS::SNS::Subscription").values():
        if "RedrivePolicy" in item:
            expected[item["RedrivePolicy"]["deadLetterTargetArn"]].add(item["TopicArn"])
    value: dict[str, set[str]] = {}
    for policy in stack.select_resources("AWS::SQS::QueuePolicy").values():
        (statement,) = (item for item in policy["PolicyDocument"]["Statement"] if item["Effect"] == "Allow")
        assert [f"{name.removeprefix('ref:')}.Arn" for name in policy["Queues"]] == [statement["Resource"]]
        value[statement["Resource"]] = set(as_list(statement["Condition"]["ArnEquals"]["aws:SourceArn"]))
    assert value == expected


def test_functions_may_send_failures_to_the_dead_letter_queue(stack: Stack) -> None:
    for name, function in stack.select_resources("AWS::Lambda::Function").items():
        role = stack.select_resources("AWS::IAM::Role")[function["Role"].removesuffix(".Arn")]
        assert "ref:GatePolicy" in role["ManagedPolicyArns"], name
    (allowed_queues,) = (
        set(as_list(statement["Resource"]))
        for name, statement in iterate_statements(stack)
        if name == "GatePolicy" and statement["Action"] == "sqs:SendMessage"
    )
    assert allowed_queues == {
        item["DeadLetterConfig"]["TargetArn"] for item in stack.select_resources("AWS::Lambda::Function").values()
    }


def test_a_function_has_only_the_table_permissions_that_it_uses(stack: Stack) -> None:
    """The sweep alone looks for who waits, and takes marks of risk away; tests/aws/real sees that it is enough."""
    common = {(f"dynamodb:{action}", "Table.Arn") for action in ("GetItem", "PutItem", "UpdateItem", "Query")}
    may = {
        name: {
            (action, str(resource))
            for owner, statement in iterate_statements(stack)
            for action in as_list(statement["Action"])
            for resource in as_list(statement["Resource"])
            if owner in (name, "GatePolicy") and action.startswith("dynamodb:")
        }
        for name in ("RecordRole", "JudgeRole", "SweepRole")
    }
    assert may == {
        "RecordRole": common,
        "JudgeRole": common,
        "SweepRole": common | {("dynamodb:Query", "Table.Arn/index/state")} | {("dynamodb:DeleteItem", "Table.Arn")},
    }


def test_no_action_is_a_wildcard(stack: Stack) -> None:
    for name, statement in iterate_statements(stack):
        assert [action for action in as_list(statement["Action"]) if "*" in action] == [], name


def test_every_statement_names_a_resource(stack: Stack) -> None:
    """An empty list, or an empty name in one, is refused by IAM."""
    for name, statement in iterate_statements(stack):
        resources = as_list(statement["Resource"])
        assert resources, name
        assert all(resources), (name, statement)


def test_all_resources_are_allowed_only_for_actions_without_a_resource_type(stack: Stack) -> None:
    broad = {
        action
        for _, statement in iterate_statements(stack)
        if "*" in as_list(statement["Resource"])
        for action in as_list(statement["Action"])
    }
    assert broad <= set(WILDCARDS)


def test_the_actions_on_all_resources_know_no_type_that_could_be_named() -> None:
    """By the copy of AWS's service authorization reference that cfn-lint has."""
    file = find_cfn_lint_data() / "AdditionalSpecs" / "Policies.json"
    document = json.loads(file.read_text())
    types = {}
    for action in WILDCARDS:
        service, _, name = action.partition(":")
        types[action] = {key.lower(): item for key, item in document[service]["Actions"].items()}[name.lower()]
    assert {action for action, item in types.items() if item.get("Resources")} == {"ecs:ListTasks"}
    (statement,) = (item for _, item in iterate_statements(Stack(MODES["whole"])) if item["Action"] == "ecs:ListTasks")
    assert "ecs:cluster" in statement["Condition"]["ArnEquals"]


def test_the_page_lists_permissions_on_all_resources_with_reasons() -> None:
    page = (ROOT / "docs" / "how-to" / "aws.md").read_text()
    rows = dict(re.findall(r"(?m)^\| `([a-z0-9]+:[A-Za-z]+)` \| (.+) \|$", page))
    assert rows == WILDCARDS


def test_a_resource_with_a_wildcard_is_limited_to_a_name(stack: Stack) -> None:
    """A star may follow a name of the stack, or the bucket's; it never replaces a name."""
    for name, statement in iterate_statements(stack):
        for resource in as_list(statement["Resource"]):
            if resource != "*" and "*" in resource:
                assert resource.endswith(("/*", ":*")), (name, resource)
                assert resource.count("*") == 1, (name, resource)


def test_only_approvals_of_the_named_actions_are_answered() -> None:
    def list_answered_pipelines(mode: str) -> list[str]:
        (item,) = (
            item
            for _, item in iterate_statements(Stack(MODES[mode]))
            if item["Action"] == "codepipeline:PutApprovalResult"
        )
        return as_list(item["Resource"])

    stage = "ContainerVulnerabilityAssessment"
    assert list_answered_pipelines("whole") == [f"arn:aws:codepipeline:eu-west-1:123456789012:gate/{stage}/{stage}"]
    assert list_answered_pipelines("gate alone") == ["arn:aws:codepipeline:eu-west-1:123456789012:shop/Assess/Gate"]


def test_only_the_pipelines_of_these_actions_are_queried() -> None:
    def list_queried_pipelines(mode: str) -> list[str]:
        (item,) = (
            item
            for _, item in iterate_statements(Stack(MODES[mode]))
            if "codepipeline:ListActionExecutions" in item["Action"]
        )
        return as_list(item["Resource"])

    assert list_queried_pipelines("whole") == ["arn:aws:codepipeline:eu-west-1:123456789012:gate"]
    assert list_queried_pipelines("gate alone") == ["arn:aws:codepipeline:eu-west-1:123456789012:shop"]


def test_roles_are_passed_only_where_there_are_any() -> None:
    def list_passed_roles(mode: str) -> list[list[str]]:
        result = [item for _, item in iterate_statements(Stack(MODES[mode])) if item["Action"] == "iam:PassRole"]
        return [as_list(item["Resource"]) for item in result]

    assert list_passed_roles("whole") == [["ExecutionRole.Arn"]]
    assert list_passed_roles("existing service") == [["arn:aws:iam::123456789012:role/run"]]
    assert list_passed_roles("existing service without roles") == []
    assert list_passed_roles("gate alone") == []


def test_buckets_are_private_encrypted_and_tls_only(stack: Stack) -> None:
    closed_buckets = {
        policy["Bucket"].removeprefix("ref:")
        for policy in stack.select_resources("AWS::S3::BucketPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    buckets = stack.select_resources("AWS::S3::Bucket")
    assert closed_buckets == set(buckets)
    for bucket in buckets.values():
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert "BucketEncryption" in bucket
