"""What the stack is, and how it is doing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.aws.stack.account import Account, told
from dockgate.aws.stack.formation import describe, outputs
from dockgate.core.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Status:
    """`waiting` counts approvals without an answer, `failures` messages that were set aside; `scanning` is the
    registry's scan type (ENHANCED is Inspector's); `stages` are the pipeline's, by name, with the state of their newest
    execution."""

    stack: str
    state: str
    outputs: Mapping[str, str]
    waiting: int
    failures: int
    scanning: str
    stages: Mapping[str, str]


def status(account: Account, stack: str) -> Status:
    """Raises NotFoundError when there is no such stack."""
    found = describe(account, stack)
    if found is None:
        raise NotFoundError(f"There is no stack {stack!r} in {account.region}.", "`dockgate aws deploy` makes one.")
    given = outputs(found)
    with told(f"looking at the stack {stack}"):
        return Status(
            stack=stack,
            state=found["StackStatus"],
            outputs=given,
            waiting=_waiting(account.client("dynamodb"), given["TableName"]) if "TableName" in given else 0,
            failures=_failures(account.client("sqs"), given["FailuresUrl"]) if "FailuresUrl" in given else 0,
            scanning=_scanning(account.client("ecr")),
            stages=_stages(account.client("codepipeline"), given["PipelineName"]) if "PipelineName" in given else {},
        )


def _waiting(dynamodb: Any, table: str) -> int:
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        IndexName="state",
        KeyConditionExpression="#state = :waiting",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":waiting": {"S": "WAITING"}},
        Select="COUNT",
    )
    return sum(page["Count"] for page in pages)


def _failures(sqs: Any, url: str) -> int:
    name = "ApproximateNumberOfMessages"
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


def _scanning(ecr: Any) -> str:
    return str(ecr.get_registry_scanning_configuration()["scanningConfiguration"].get("scanType", "BASIC"))


def _stages(codepipeline: Any, name: str) -> dict[str, str]:
    state = codepipeline.get_pipeline_state(name=name)
    return {
        stage["stageName"]: stage.get("latestExecution", {}).get("status", "never ran")
        for stage in state["stageStates"]
    }
