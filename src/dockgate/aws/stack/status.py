"""The status of the stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.cloudformation import describe_stack, read_outputs
from dockgate.shared.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a stack.

    `waiting` counts approvals without an answer, `approval_failures` and `failures` the messages in the
    dead-letter queues; `scanning` is the registry's scan type (ENHANCED is Inspector); `stages` are the
    pipeline's by name, with the state of their newest execution, and `summaries` say why failed ones failed.
    """

    stack: str
    state: str
    outputs: Mapping[str, str]
    waiting: int
    approval_failures: int
    failures: int
    scanning: str
    stages: Mapping[str, str]
    summaries: Mapping[str, str]


def read_stack_status(account: Account, stack: str) -> Status:
    """The status of the stack. Raises NotFoundError if it does not exist."""
    description = describe_stack(account, stack)
    if description is None:
        raise NotFoundError(f"there is no stack {stack!r} in {account.region}", "Create it with `dockgate aws deploy`.")
    stack_outputs = read_outputs(description)
    with explain_errors(f"looking at the stack {stack}"):
        stages: Sequence[Mapping[str, Any]] = []
        if pipeline := stack_outputs.get("PipelineName"):
            stages = account.get_client("codepipeline").get_pipeline_state(name=pipeline)["stageStates"]
        table = stack_outputs.get("TableName")
        registry = account.get_client("ecr").get_registry_scanning_configuration()["scanningConfiguration"]
        return Status(
            stack=stack,
            state=description["StackStatus"],
            outputs=stack_outputs,
            waiting=_count_waiting(account.get_client("dynamodb"), table) if table else 0,
            approval_failures=_count_messages(account, stack_outputs.get("ApprovalFailuresUrl", "")),
            failures=_count_messages(account, stack_outputs.get("FailuresUrl", "")),
            scanning=str(registry.get("scanType", "BASIC")),
            stages={
                stage["stageName"]: stage.get("latestExecution", {}).get("status", "never ran") for stage in stages
            },
            summaries={stage["stageName"]: text for stage in stages if (text := _summarize_failures(stage))},
        )


def _count_waiting(dynamodb: Any, table: str) -> int:
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        IndexName="state",
        KeyConditionExpression="#state = :waiting",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":waiting": {"S": "WAITING"}},
        Select="COUNT",
    )
    return sum(page["Count"] for page in pages)


def _count_messages(account: Account, url: str) -> int:
    """The number of messages in the queue, 0 without one."""
    if not url:
        return 0
    name = "ApproximateNumberOfMessages"
    answer = account.get_client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    return int(answer["Attributes"][name])


def _summarize_failures(stage: Mapping[str, Any]) -> str | None:
    """Return the failure messages of the stage's actions, None without any. The gate's message lists violations."""
    runs = [action.get("latestExecution", {}) for action in stage.get("actionStates", [])]
    failed_runs = [run for run in runs if run.get("status") == "Failed"]
    texts = [run.get("summary") or run.get("errorDetails", {}).get("message") for run in failed_runs]
    return "; ".join(filter(None, texts)) or None
