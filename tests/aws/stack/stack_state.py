"""The state of a stack in the tests' CloudFormation, and what an update would change in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSResponse
from tests.aws.stack.cloudformation import Stack, parse

REGION, ID = "eu-west-1", "123456789012"
TIME = 1_795_000_000


@dataclass
class Made:
    """A stack. `moves` are the states that the next looks at it see; `change_sets` have the template's text and what it
    resolves to, None where that changes nothing. `failed` are resources that could not be created."""

    state: str
    parameters: dict[str, str]
    template: str
    physical: dict[str, tuple[str, str]] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    change_sets: dict[str, tuple[str, "Stack | None"]] = field(default_factory=dict)
    moves: list[str] = field(default_factory=list)


def make_event(stack_state: Made, name: str, state: str, reason: str, token: str) -> dict[str, Any]:
    kinds = {key: item["Type"] for key, item in parse(stack_state.template)["Resources"].items()}
    return {
        "StackId": "stack",
        "EventId": f"event-{len(stack_state.events)}",
        "StackName": "stack",
        "LogicalResourceId": name,
        "ResourceType": kinds[name],
        "Timestamp": TIME,
        "ResourceStatus": state,
        "ResourceStatusReason": reason,
        "ClientRequestToken": token,
    }


# Properties whose change replaces the resource, of the types that the tests change.
_CREATE_ONLY = {
    "AWS::ECR::Repository": {"RepositoryName", "EncryptionConfiguration"},
    "AWS::ECS::Service": {"ServiceName", "LaunchType"},
    "AWS::ECS::TaskDefinition": {"ContainerDefinitions"},
    "AWS::Logs::LogGroup": {"LogGroupName"},
    "AWS::SNS::Subscription": {"Endpoint"},
}


def list_resource_changes(stack_state: Made, stack: Stack) -> Iterator[dict[str, Any]]:
    """What an update to this would do to the resources, as DescribeChangeSet tells it."""
    for name in sorted({*stack_state.physical, *stack.resources}):
        kind, physical = stack_state.physical.get(name, ("", ""))
        change = {"LogicalResourceId": name, "ResourceType": kind or stack.resources[name]["Type"]}
        if not physical:
            yield _change({**change, "Action": "Add"})
            continue
        change |= {"PhysicalResourceId": physical}
        if name not in stack.resources:
            policy = "Retain" if is_retained(stack_state, name, "DeletionPolicy") else "Delete"
            yield _change({**change, "Action": "Remove", "PolicyAction": policy})
            continue
        new, old = stack.resources[name]["Properties"], stack_state.properties[name]
        changed_keys = {key for key in {*new, *old} if new.get(key) != old.get(key)}
        if changed_keys & _CREATE_ONLY.get(kind, set()):
            policy = "ReplaceAndRetain" if is_retained(stack_state, name, "UpdateReplacePolicy") else "ReplaceAndDelete"
            yield _change({**change, "Action": "Modify", "Replacement": "True", "PolicyAction": policy})
        elif changed_keys:
            yield _change({**change, "Action": "Modify", "Replacement": "False"})


def _change(change: dict[str, Any]) -> dict[str, Any]:
    return {"Type": "Resource", "ResourceChange": change}


def is_retained(stack_state: Made, name: str, policy: str) -> bool:
    response = parse(stack_state.template)["Resources"][name].get(policy, "Delete")
    return str(response).startswith("Retain")


def list_parameter_values(stack: Stack) -> dict[str, str]:
    parameters = stack.template["Parameters"]
    return {name: str(stack.parameter_values.get(name, item.get("Default", ""))) for name, item in parameters.items()}


def make_physical_name(stack_state: Made, value: str) -> str:
    """A Ref is the physical name; of attributes only the repository's URI is looked at."""
    name = value.removeprefix("ref:").partition(".")[0]
    physical = stack_state.physical.get(name, ("", value))[1]
    return f"{ID}.dkr.ecr.{REGION}.amazonaws.com/{physical}" if value.endswith(".RepositoryUri") else physical


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def make_refusal(code: str, message: str) -> tuple[AWSResponse, dict[str, Any]]:
    return AWSResponse("", 400, {}, None), {"Error": {"Code": code, "Message": message}}


def convert_to_snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
