"""Handing over again what lies in the dead-letter queues: messages about approvals, and other events.

SQS's own redrive moves messages back to a queue. These came from a topic, from rules and from functions, so each is
given to the function that it was for.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.formation import Tell, describe, outputs
from dockgate.shared.errors import NotFoundError

# The stack's outputs that name the queues.
APPROVALS, OTHERS = "ApprovalFailuresUrl", "FailuresUrl"
_JUDGED = ("Inspector2 Scan", "Inspector2 Coverage")
_SWEPT = ("Inspector2 Finding", "Scheduled Event")
_CLOCK = {"source": "dockgate.redrive", "detail-type": "Scheduled Event", "detail": {}}
# How long a message that failed stays out of sight, so that one run tries it once.
_HIDDEN_SECONDS = 900
_AT_ONCE = 10
# Messages that one run hands over.
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Redriven:
    """`handed` counts the messages that a function took; `faults` says why others were left, one each."""

    handed: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Queue:
    sqs: Any
    url: str

    def messages(self) -> Iterator[Mapping[str, Any]]:
        """Every message, each once."""
        for _ in range(_MOST // _AT_ONCE):
            answer = self.sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=_AT_ONCE, VisibilityTimeout=_HIDDEN_SECONDS, WaitTimeSeconds=1
            )
            if not answer.get("Messages"):
                return
            yield from answer["Messages"]

    def delete(self, message: Mapping[str, Any]) -> None:
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def show(self, message: Mapping[str, Any]) -> None:
        """The next run may take it at once."""
        self.sqs.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )


def redrive(account: Account, stack: str, tell: Tell = lambda line: None) -> Redriven:
    """Hand every message to the function that it was for, and delete those that were taken. Twice does no harm.

    Raises NotFoundError when there is no such stack."""
    description = describe(account, stack)
    if description is None:
        raise NotFoundError(f"There is no stack {stack!r} in {account.region}.", "Check --stack and --region.")
    urls = outputs(description)
    choices: tuple[tuple[str, Callable[[str], str]], ...] = ((APPROVALS, lambda body: "record"), (OTHERS, _function))
    handed, faults = 0, []
    with explain_errors(f"handing over what {stack} set aside"):
        functions = _Functions(account.client("lambda"), stack)
        for output, choose in choices:
            if output not in urls:
                continue
            queue, failed = _Queue(account.client("sqs"), urls[output]), []
            for message in queue.messages():
                name = choose(message["Body"])
                if fault := functions.hand_over(name, message["Body"]):
                    faults.append(f"{message['MessageId']}: {fault}")
                    failed.append(message)
                    continue
                queue.delete(message)
                handed += 1
                tell(f"{message['MessageId']}: taken by {stack}-{name}")
            for message in failed:
                queue.show(message)
    return Redriven(handed, tuple(faults))


@dataclass(slots=True)
class _Functions:
    """The stack's functions. `has_swept` says that `sweep` was called in this run."""

    client: Any
    stack: str
    has_swept: bool = False

    def hand_over(self, name: str, body: str) -> str:
        """Why the function did not take it, "" when it did.

        One sweep makes up for everything that was for `sweep`. It may take minutes, and is not waited for."""
        if not name:
            return "no event of this stack"
        if name != "sweep":
            return self._call(f"{self.stack}-{name}", "RequestResponse", body)
        fault = "" if self.has_swept else self._call(f"{self.stack}-{name}", "Event", json.dumps(_CLOCK))
        self.has_swept = not fault
        return fault

    def _call(self, name: str, kind: str, body: str) -> str:
        answer = self.client.invoke(FunctionName=name, InvocationType=kind, Payload=body.encode())
        if "FunctionError" not in answer:
            return ""
        try:
            reply = json.loads(answer["Payload"].read())
        except ValueError:
            reply = None
        reply = reply if isinstance(reply, dict) else {}
        return f"{name}: {reply.get('errorType', answer['FunctionError'])}: {reply.get('errorMessage', '')}"


def _function(body: str) -> str:
    """The function that an event is for, "" for events of no function: a commit whose pipeline could not be started."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    kind = event.get("detail-type") if isinstance(event, dict) else None
    return "judge" if kind in _JUDGED else "sweep" if kind in _SWEPT or _is_batch(event) else ""


def _is_batch(event: Any) -> bool:
    """Findings out of their queue, as Lambda hands them over."""
    records = event.get("Records") if isinstance(event, dict) else None
    return isinstance(records, list) and all(isinstance(record, dict) and "body" in record for record in records)
