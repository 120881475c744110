"""CloudFormation's stack: what it is, what it holds, and waiting until it is at rest."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.aws.stack.account import Account, told
from dockgate.shared.errors import DeployError, NotFoundError

Tell = Callable[[str], None]
"""is told what goes on, a line at a time"""

_NOT_HELD = ("CREATE_FAILED", "DELETE_COMPLETE")
_SHOWN = 3
"""failed resources in a message: what follows the first ones mostly follows from them"""


@dataclass(frozen=True, slots=True)
class Patience:
    """Looks every so many `seconds`, that many `times` at most."""

    seconds: float = 5
    times: int = 720


def describe(account: Account, stack: str) -> Mapping[str, Any] | None:
    """The stack as CloudFormation knows it, None when there is none."""
    try:
        with told(f"looking for the stack {stack}"):
            found: Mapping[str, Any] = account.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
            return found
    except NotFoundError:
        return None


def outputs(found: Mapping[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def parameters(found: Mapping[str, Any]) -> dict[str, str]:
    return {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", [])}


def at_rest(account: Account, stack: str, tell: Tell, patience: Patience) -> Mapping[str, Any] | None:
    """The stack once nothing is under way any more, begun by whomever; None when there is none (any more).

    Raises DeployError when that takes too long."""
    for turn in range(patience.times):
        found = describe(account, stack)
        state = found["StackStatus"] if found else ""
        if state == "REVIEW_IN_PROGRESS" or not state.endswith("_IN_PROGRESS"):
            return found
        if turn == 0:
            tell(f"waiting: {stack} is {state}")
        time.sleep(patience.seconds)
    raise DeployError(f"the stack {stack} is still {state}", "Look at its events; then run the command again.")


def resources(account: Account, stack: str, kind: str) -> list[str]:
    """The names of what the stack holds of this type ("AWS::S3::Bucket"), of a stack that failed half way, too.

    What could not be created is not the stack's: its name may be that of somebody else's resource."""
    with told(f"looking at what the stack {stack} holds"):
        pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        held = [one for page in pages for one in page["StackResourceSummaries"]]
    return [
        one["PhysicalResourceId"]
        for one in held
        if one["ResourceType"] == kind and one.get("PhysicalResourceId") and one["ResourceStatus"] not in _NOT_HELD
    ]


def reasons(account: Account, stack: str, token: str = "") -> str:
    """What failed first, in CloudFormation's words: of the change with this token, or of the last one."""
    with told(f"looking at the events of {stack}"):
        pages = account.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        events = [event for page in pages for event in page["StackEvents"]]
    token = token or next((event["ClientRequestToken"] for event in events if "ClientRequestToken" in event), "")
    failed = [
        event
        for event in reversed(events)  # they come newest first
        if event["ResourceStatus"].endswith("FAILED") and event.get("ClientRequestToken", token) == token
    ]
    told_of = [
        f"{event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', 'no reason')}"
        for event in failed
        if "cancelled" not in event.get("ResourceStatusReason", "")
    ]
    return "; ".join(told_of[:_SHOWN]) or "CloudFormation does not say why"
