"""Redrive the dead-letter queues: messages about approvals, and other events.

SQS's own redrive moves messages back to a queue. These came from a topic, rules and functions, so each is passed to its
function.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.cloudformation import ReportProgress, describe_stack, read_outputs
from dockgate.aws.stack.deploy import check_name
from dockgate.shared.errors import NotFoundError

# The stack's outputs that name the queues.
APPROVAL_FAILURES, OTHER_FAILURES = "ApprovalFailuresUrl", "FailuresUrl"
_JUDGED_TYPES = ("Inspector2 Scan", "Inspector2 Coverage")
_SWEPT_TYPES = ("Inspector2 Finding", "Scheduled Event")
_CLOCK = {"source": "dockgate.redrive", "detail-type": "Scheduled Event", "detail": {}}
# Seconds that a failed message stays invisible, so that one run tries it once.
_HIDDEN_SECONDS = 900
_BATCH_SIZE = 10
# Messages that one run processes.
_MESSAGE_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Redriven:
    """The result: `moved_count` messages were taken by a function; `faults` say why others were not."""

    moved_count: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Queue:
    sqs: Any
    url: str

    def iterate_messages(self) -> Iterator[Mapping[str, Any]]:
        """All messages, each once."""
        for _ in range(_MESSAGE_LIMIT // _BATCH_SIZE):
            answer = self.sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=_BATCH_SIZE, VisibilityTimeout=_HIDDEN_SECONDS, WaitTimeSeconds=1
            )
            if not answer.get("Messages"):
                return
            yield from answer["Messages"]

    def delete_message(self, message: Mapping[str, Any]) -> None:
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def show_message(self, message: Mapping[str, Any]) -> None:
        """Make it visible at once for the next run."""
        self.sqs.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )


def redrive_messages(account: Account, stack: str, report_progress: ReportProgress = lambda line: None) -> Redriven:
    """Pass every message to its function, and delete those that were taken. May be repeated.

    Raises NotFoundError if the stack does not exist.
    """
    check_name(stack)
    description = describe_stack(account, stack)
    if description is None:
        raise NotFoundError(f"there is no stack {stack!r} in {account.region}", "Check --stack and --region.")
    urls = read_outputs(description)
    choices: tuple[tuple[str, Callable[[str], str | None]], ...] = (
        (APPROVAL_FAILURES, lambda body: "record"),
        (OTHER_FAILURES, _select_function),
    )
    handed_count, faults = 0, []
    with explain_errors(f"handing over what {stack} set aside"):
        functions = _Functions(account.get_client("lambda"), stack)
        for output, choose in choices:
            if output not in urls:
                continue
            queue, failed_messages = _Queue(account.get_client("sqs"), urls[output]), []
            for message in queue.iterate_messages():
                name = choose(message["Body"])
                if fault := functions.pass_event(name, message["Body"]):
                    faults.append(f"{message['MessageId']}: {fault}")
                    failed_messages.append(message)
                    continue
                queue.delete_message(message)
                handed_count += 1
                report_progress(f"{message['MessageId']}: taken by {stack}-{name}")
            for message in failed_messages:
                queue.show_message(message)
    return Redriven(handed_count, tuple(faults))


@dataclass(slots=True)
class _Functions:
    """The functions of the stack. `has_swept`: `sweep` was called in this run."""

    client: Any
    stack: str
    has_swept: bool = False

    def pass_event(self, name: str | None, body: str) -> str | None:
        """Pass it to the function; returns why that failed, None if it did not.

        One sweep covers all messages for `sweep`. It may take minutes, and is not awaited.
        """
        if not name:
            return "no event of this stack"
        if name != "sweep":
            return self._call(f"{self.stack}-{name}", "RequestResponse", body)
        fault = None if self.has_swept else self._call(f"{self.stack}-{name}", "Event", json.dumps(_CLOCK))
        self.has_swept = not fault
        return fault

    def _call(self, name: str, kind: str, body: str) -> str | None:
        answer = self.client.invoke(FunctionName=name, InvocationType=kind, Payload=body.encode())
        if "FunctionError" not in answer:
            return None
        try:
            reply = json.loads(answer["Payload"].read())
        except ValueError:
            reply = None
        reply = reply if isinstance(reply, dict) else {}
        return f"{name}: {reply.get('errorType', answer['FunctionError'])}: {reply.get('errorMessage', '')}"


def _select_function(body: str) -> str | None:
    """The function of an event, None for events without one: a commit whose pipeline could not be started."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return None
    kind = event.get("detail-type") if isinstance(event, dict) else None
    return "judge" if kind in _JUDGED_TYPES else "sweep" if kind in _SWEPT_TYPES or _is_batch(event) else None


def _is_batch(event: Any) -> bool:
    """Return whether it is a batch of findings from their queue, as Lambda passes it."""
    records = event.get("Records") if isinstance(event, dict) else None
    return isinstance(records, list) and all(isinstance(record, dict) and "body" in record for record in records)
