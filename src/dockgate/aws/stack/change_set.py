"""CloudFormation change sets: what an update of the stack would remove or replace, before it is made."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.cloudformation import Patience
from dockgate.shared.errors import DeployError, DockgateError, UsageError

# Gets a line for each loss, and raises to stop the deployment.
Confirm = Callable[[Sequence[str]], None]

# Types that hold no data and serve no requests: a replacement loses nothing. A new image is a new task definition.
_REPLACEABLE_TYPES = frozenset(
    (
        *("AWS::ECS::TaskDefinition", "AWS::Events::Rule", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role"),
        *(
            "AWS::Lambda::EventSourceMapping",
            "AWS::Lambda::Permission",
            "AWS::S3::BucketPolicy",
            "AWS::SNS::Subscription",
            "AWS::SNS::TopicPolicy",
        ),
        *("AWS::SQS::QueuePolicy",),
    )
)
# CloudFormation gives a change set without changes the state FAILED, with one of these reasons.
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True, slots=True)
class Loss:
    """A resource that the update removes from the stack or replaces.

    `replacement` is None for a removal, else CloudFormation's "True" or "Conditional". `is_retained` says that the
    account keeps the old resource, outside of the stack.
    """

    logical: str
    kind: str
    physical: str
    replacement: str | None
    is_retained: bool

    def __str__(self) -> str:
        effect = {None: "removed", "True": "replaced", "Conditional": "perhaps replaced"}[self.replacement]
        if self.is_retained:
            after = (
                "the old one stays in the account" if self.replacement else "stays in the account, outside the stack"
            )
        else:
            after = "the old one is deleted" if self.replacement else "deleted"
        return f"{self.logical} ({self.kind} {self.physical}): {effect}; {after}"


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """A change set of CloudFormation, and what it would remove or replace."""

    identifier: str
    losses: tuple[Loss, ...]


def refuse_losses(losses: Sequence[str]) -> None:
    """The confirmation of a caller that cannot ask: raises UsageError."""
    raise UsageError(f"the update would remove or replace: {'; '.join(losses)}", "Allow it with --yes.")


def create_change_set(
    account: Account, stack: str, url: str, values: Sequence[Mapping[str, Any]], patience: Patience
) -> ChangeSet | None:
    """A change set for an existing stack; None if nothing changes.

    `url` is the template's, `values` are parameters in CloudFormation's form. Raises DeployError with CloudFormation's
    reason for a failure.
    """
    formation = account.get_client("cloudformation")
    with explain_errors(f"asking what would change in the stack {stack}"):
        identifier = formation.create_change_set(
            StackName=stack,
            ChangeSetName=f"dockgate-{uuid.uuid4()}",
            ChangeSetType="UPDATE",
            TemplateURL=url,
            Parameters=values,
            Capabilities=["CAPABILITY_IAM"],
        )["Id"]
    with _delete_on_error(account, stack, identifier):
        pages = _wait_for_changes(account, stack, identifier, patience)
        reason = str(pages[0].get("StatusReason", ""))
        if pages[0]["Status"] == "CREATE_COMPLETE":
            return ChangeSet(
                identifier, tuple(loss for page in pages for loss in _list_losses(page.get("Changes", [])))
            )
        if not any(text in reason for text in _NO_CHANGES):
            raise DeployError(
                f"the stack {stack} cannot be updated: {reason}", "Correct what CloudFormation names, and deploy again."
            )
    _delete_change_set(account, stack, identifier)
    return None


def review_losses(account: Account, stack: str, change_set: ChangeSet, confirm: Confirm) -> None:
    """Ask for confirmation if something would be lost.

    If it is refused, the change set is deleted, and the error of `confirm` raised.
    """
    if change_set.losses:
        with _delete_on_error(account, stack, change_set.identifier):
            confirm([str(loss) for loss in change_set.losses])


def _wait_for_changes(account: Account, stack: str, identifier: str, patience: Patience) -> list[Mapping[str, Any]]:
    paginator = account.get_client("cloudformation").get_paginator("describe_change_set")
    for _ in range(patience.times):
        with explain_errors(f"reading what would change in the stack {stack}"):
            pages: list[Mapping[str, Any]] = list(paginator.paginate(StackName=stack, ChangeSetName=identifier))
        if pages[0]["Status"] in ("CREATE_COMPLETE", "FAILED"):
            return pages
        time.sleep(patience.seconds)
    raise DeployError(f"CloudFormation did not finish the change set of {stack}", "Deploy again.")


def _list_losses(changes: Sequence[Mapping[str, Any]]) -> Iterator[Loss]:
    """The losses of an update. An action or policy that CloudFormation does not name counts as a loss."""
    for change in (entry["ResourceChange"] for entry in changes if "ResourceChange" in entry):
        action, replacement = change.get("Action"), change.get("Replacement")
        if action in ("Add", "Import", "SyncWithActual") or (action == "Modify" and replacement == "False"):
            continue
        if action != "Remove" and change["ResourceType"] in _REPLACEABLE_TYPES:
            continue
        if action == "Remove":
            replacement = None
        elif replacement != "True":
            replacement = "Conditional"
        is_retained = change.get("PolicyAction") in ("Retain", "ReplaceAndRetain")
        physical = change.get("PhysicalResourceId", "")
        yield Loss(change["LogicalResourceId"], change["ResourceType"], physical, replacement, is_retained)


@contextmanager
def _delete_on_error(account: Account, stack: str, identifier: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(DockgateError):
            _delete_change_set(account, stack, identifier)
        raise


def _delete_change_set(account: Account, stack: str, identifier: str) -> None:
    with explain_errors("deleting the change set"):
        account.get_client("cloudformation").delete_change_set(StackName=stack, ChangeSetName=identifier)
