"""Delete the stack with the data that CloudFormation retains: buckets, images, source repositories."""

from dockgate.aws.stack import data_resources, registry_scanning
from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.cloudformation import (
    Patience,
    ReportProgress,
    describe_failures,
    describe_stack,
    list_resources,
    wait_until_idle,
)
from dockgate.aws.stack.data_resources import KINDS, Resource
from dockgate.aws.stack.deploy import check_name
from dockgate.aws.stack.stack_bucket import StackBucket
from dockgate.shared.errors import DeployError

# Attempts to delete a stack.
_ATTEMPTS = 3

# Resources that cannot be recreated, by type.
_LOST_DATA = {
    "AWS::S3::Bucket": "bucket {} with all that is in it",
    "AWS::ECR::Repository": "image repository {} with all its images",
    "AWS::CodeCommit::Repository": "source repository {} with all its commits",
    "AWS::DynamoDB::Table": "table {} with who waits for which image",
    "AWS::ECS::Service": "service {} with what runs in it",
}


def list_contents(account: Account, stack: str) -> list[str]:
    """List what would be deleted, a line each, to be confirmed. No lines if there is nothing."""
    check_name(stack)
    lines = []
    has_stack = describe_stack(account, stack) is not None
    if has_stack:
        lines.append(f"stack {stack}")
    documents = StackBucket(account, stack)
    resource_names = {
        resource: data_resources.find_name(account, resource) for resource in _list_data(account, stack, documents)
    }
    lines += [_LOST_DATA[resource.kind].format(name) for resource, name in resource_names.items() if name is not None]
    if has_stack:
        stack_kinds = [kind for kind in _LOST_DATA if kind not in KINDS]
        lines += [
            _LOST_DATA[kind].format(name) for kind in stack_kinds for name in list_resources(account, stack, kind)
        ]
    if documents.is_created():
        lines.append(f"bucket {documents.bucket} with archives, policies and waivers")
    return lines


def destroy_stack(
    account: Account, stack: str, report_progress: ReportProgress = lambda line: None, patience: Patience | None = None
) -> None:
    """Delete the data, then the stack. May be repeated after any failure, and if nothing is left."""
    patience = patience or Patience()
    documents = StackBucket(account, stack)
    wait_until_idle(account, stack, report_progress, patience)
    for resource in _list_data(account, stack, documents):
        if name := data_resources.find_name(account, resource):
            report_progress(f"deleting {_LOST_DATA[resource.kind].format(name)}")
            data_resources.delete_resource(account, resource)
    for attempt in range(1, _ATTEMPTS + 1):
        if wait_until_idle(account, stack, report_progress, patience) is None:
            break
        reason = _delete_stack(account, stack, report_progress, patience)
        if reason and attempt == _ATTEMPTS:
            raise DeployError(
                f"the stack {stack} could not be deleted: {reason}",
                "Correct what CloudFormation names, then run the command again.",
            )
    if not documents.is_created():
        return
    message = registry_scanning.restore_scanning(account, documents)
    if message:
        report_progress(message)
    report_progress(f"deleting {documents.bucket}")
    data_resources.delete_resource(account, Resource("AWS::S3::Bucket", documents.bucket))


def _list_data(account: Account, stack: str, documents: StackBucket) -> list[Resource]:
    """Resources with data: those of the stack, and earlier ones that the account retained."""
    resources = (
        data_resources.list_resources_of_stack(account, stack) if describe_stack(account, stack) is not None else []
    )
    return list(dict.fromkeys([*resources, *documents.list_data_resources()]))


def _delete_stack(account: Account, stack: str, report_progress: ReportProgress, patience: Patience) -> str | None:
    """Delete the stack once; returns why it still exists, None if it does not."""
    report_progress(f"deleting the stack {stack}")
    with explain_errors(f"deleting the stack {stack}"):
        account.get_client("cloudformation").delete_stack(StackName=stack)
    end_state = wait_until_idle(account, stack, report_progress, patience)
    return describe_failures(account, stack) if end_state else None
