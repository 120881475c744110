"""The CloudFormation stack: its state, its resources, and waiting for changes to end."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.aws.stack.account import Account, explain_errors
from dockgate.shared.errors import DeployError, NotFoundError

# Gets a line of progress.
ReportProgress = Callable[[str], None]

_NOT_CREATED = ("CREATE_FAILED", "DELETE_COMPLETE")
# Failed resources in a message: later failures mostly result from the first.
_SHOWN_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Patience:
    """The limits of a wait: a poll every `seconds`, at most `times` of them."""

    seconds: float = 5
    times: int = 720


def describe_stack(account: Account, stack: str) -> Mapping[str, Any] | None:
    """The stack from CloudFormation, None if it does not exist."""
    try:
        with explain_errors(f"looking for the stack {stack}"):
            description: Mapping[str, Any] = account.get_client("cloudformation").describe_stacks(StackName=stack)[
                "Stacks"
            ][0]
            return description
    except NotFoundError:
        return None


def read_outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    """The outputs of a described stack, by name."""
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def read_parameters(stack: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a described stack, by name."""
    return {parameter["ParameterKey"]: parameter.get("ParameterValue", "") for parameter in stack.get("Parameters", [])}


def wait_until_idle(
    account: Account, stack: str, report_progress: ReportProgress, patience: Patience
) -> Mapping[str, Any] | None:
    """Wait until no change is in progress, also one that others started.

    Returns the stack, None if it does not exist. Raises DeployError if that takes too long.
    """
    for turn in range(patience.times):
        description = describe_stack(account, stack)
        state = description["StackStatus"] if description else ""
        if state == "REVIEW_IN_PROGRESS" or not state.endswith("_IN_PROGRESS"):
            return description
        if turn == 0:
            report_progress(f"waiting: {stack} is {state}")
        time.sleep(patience.seconds)
    raise DeployError(
        f"the stack {stack} is still {state}", "Look at its events in CloudFormation, then run the command again."
    )


def list_resources(account: Account, stack: str, kind: str) -> list[str]:
    """The names of the stack's resources of this type ("AWS::S3::Bucket").

    The stack may have failed half way. Resources that could not be created are omitted: the name can be that of a
    foreign resource.
    """
    with explain_errors(f"looking at what the stack {stack} holds"):
        pages = account.get_client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        summaries = [summary for page in pages for summary in page["StackResourceSummaries"]]
    return [
        summary["PhysicalResourceId"]
        for summary in summaries
        if summary["ResourceType"] == kind
        and summary.get("PhysicalResourceId")
        and summary["ResourceStatus"] not in _NOT_CREATED
    ]


def describe_failures(account: Account, stack: str, token: str | None = None) -> str:
    """The first failures of the change with this token, or of the last one, in CloudFormation's words."""
    with explain_errors(f"looking at the events of {stack}"):
        pages = account.get_client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        events = [event for page in pages for event in page["StackEvents"]]
    token = token or next((event["ClientRequestToken"] for event in events if "ClientRequestToken" in event), "")
    failed_events = [
        event
        for event in reversed(events)  # events are listed newest first
        if event["ResourceStatus"].endswith("FAILED") and event.get("ClientRequestToken", token) == token
    ]
    texts = [
        f"{event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', 'no reason')}"
        for event in failed_events
        if "cancelled" not in event.get("ResourceStatusReason", "")
    ]
    return "; ".join(texts[:_SHOWN_FAILURES]) or "CloudFormation does not say why"
