"""Deploy the stack: upload what it needs to its bucket, then create or update it with CloudFormation."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dockgate.aws.stack import change_set, data_resources, registry_scanning
from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.change_set import ChangeSet, Confirm
from dockgate.aws.stack.cloudformation import (
    Patience,
    ReportProgress,
    describe_failures,
    describe_stack,
    read_outputs,
    read_parameters,
    wait_until_idle,
)
from dockgate.aws.stack.parameters import expand_arns, list_names, list_pipelines, read_template
from dockgate.aws.stack.stack_bucket import StackBucket
from dockgate.gate.model import ExemptionSet, Policy
from dockgate.shared.errors import DeployError, NotFoundError, UsageError

# CloudFormation allows longer names; those of functions and roles start with it and have at most 64 characters.
_STACK_NAME = re.compile("[A-Za-z][A-Za-z0-9-]{0,39}")
_DONE_STATES = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
# States of a stack that was never created: it can only be deleted.
_NEVER_CREATED_STATES = ("CREATE_FAILED", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
# Reserved executions of each function that answers approvals (record, judge, sweep): enough for the scheduled sweep and
# two executions for findings.
_RESERVED_EXECUTIONS, _FUNCTION_COUNT = 5, 3
# Executions that Lambda keeps for functions without a reservation (its developer guide, "Reserved concurrency").
_MINIMUM_UNRESERVED = 100


@dataclass(frozen=True, slots=True)
class StackSpec:
    """A stack to deploy. `parameters` are the template's, by name; an update keeps the others.

    The policy is `policy`, or the SSM parameter `policy_parameter`, which has a validated canonical policy. Without
    both, and without `waivers`, the stack keeps its own. `first_commit` is a zip archive for a new source repository.
    `should_manage_scanning` turns on Inspector for the images of the repository. That changes a setting of the whole
    registry.
    """

    stack: str
    archive: bytes
    first_commit: bytes
    policy: Policy | None = None
    policy_parameter: str | None = None
    waivers: ExemptionSet | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    should_manage_scanning: bool = False


def check_name(stack: str) -> None:
    """Raise UsageError for an invalid stack name."""
    if not _STACK_NAME.fullmatch(stack):
        raise UsageError(
            f"{stack!r} cannot be a stack's name", "Use letters, digits and hyphens, a letter first, at most 40."
        )


def deploy_stack(
    account: Account,
    spec: StackSpec,
    report_progress: ReportProgress = lambda line: None,
    patience: Patience | None = None,
    confirm: Confirm = change_set.refuse_losses,
) -> bool:
    """Create or update the stack; returns False if nothing changed. May be repeated after any failure.

    `confirm` is called before an update that removes or replaces something. Raises DeployError with the resources that
    failed and the reasons.
    """
    patience = patience or Patience()
    parameter_values = {**expand_arns(account, spec.parameters), **_read_existing_service(account, spec)}
    stack = _prepare_stack(account, spec.stack, report_progress, patience)
    all_parameters = {**read_parameters(stack or {}), **parameter_values}
    parameter_values["ApprovalPipelines"] = list_pipelines(all_parameters.get("ApprovalActions", ""))
    if "ReservedConcurrency" not in all_parameters:
        parameter_values["ReservedConcurrency"] = str(_RESERVED_EXECUTIONS if _can_reserve(account) else 0)
        if parameter_values["ReservedConcurrency"] == "0":
            report_progress("no concurrency reserved: the account has too few concurrent executions of Lambda to spare")
    documents = StackBucket(account, spec.stack)
    documents.create()
    report_progress(f"bucket {documents.bucket}")
    parameter_values |= {"ArchiveBucket": documents.bucket, "ArchiveKey": documents.put_archive(spec.archive)}
    if spec.policy or spec.policy_parameter:
        key = documents.put_policy(spec.policy) if spec.policy else ""
        parameter_values |= {"PolicyKey": key, "PolicyParameter": spec.policy_parameter or ""}
    if spec.waivers is not None:
        parameter_values |= {"WaiversKey": documents.put_waivers(spec.waivers)}
    if "CloneUrl" not in read_outputs(stack or {}):
        parameter_values |= {"SourceKey": documents.put_first_commit(spec.first_commit)}
    if stack is not None:
        parameter_values = {**_read_running_parameters(account, stack, parameter_values), **parameter_values}
    values = _make_values(stack, parameter_values)
    url = documents.put_template(read_template().encode())
    changes = None if stack is None else change_set.create_change_set(account, spec.stack, url, values, patience)
    if changes is not None:
        change_set.review_losses(account, spec.stack, changes, confirm)
    if stack is not None:
        documents.remember_resources(data_resources.list_resources_of_stack(account, spec.stack))
    if spec.should_manage_scanning:
        previous = read_parameters(stack) if stack else {}
        name = parameter_values.get("ImageRepositoryName") or previous.get("ImageRepositoryName") or "dockgate-app"
        report_progress(registry_scanning.enhance_scanning(account, documents, name))
    if stack is not None and changes is None:
        return False
    token = _start_change(account, spec.stack, url, values, changes, report_progress)
    stack_outputs = _wait_for_outputs(account, spec.stack, token, report_progress, patience)
    documents.remember_resources(data_resources.list_resources_of_stack(account, spec.stack))
    documents.log_access(stack_outputs["LogBucketName"])
    return True


def _can_reserve(account: Account) -> bool:
    """Return whether the account has executions to reserve: new accounts have too few."""
    with explain_errors("asking for the limits of Lambda"):
        limits = account.get_client("lambda").get_account_settings()["AccountLimit"]
    return int(limits["UnreservedConcurrentExecutions"]) - _FUNCTION_COUNT * _RESERVED_EXECUTIONS >= _MINIMUM_UNRESERVED


def _prepare_stack(
    account: Account, stack: str, report_progress: ReportProgress, patience: Patience
) -> Mapping[str, Any] | None:
    """The stack to update, None for one to create."""
    description = wait_until_idle(account, stack, report_progress, patience)
    if description is None:
        return None
    state = description["StackStatus"]
    if state in _NEVER_CREATED_STATES:
        report_progress(f"deleting the rest of {stack}, whose creation failed")
        with explain_errors(f"deleting the stack {stack}"):
            account.get_client("cloudformation").delete_stack(StackName=stack)
        if wait_until_idle(account, stack, report_progress, patience) is not None:
            raise DeployError(
                f"the rest of the stack {stack} cannot be deleted", f"Run `dockgate aws destroy --stack {stack}`."
            )
        return None
    if state == "DELETE_FAILED":
        raise DeployError(f"the stack {stack} was deleted only in part", f"Run `dockgate aws destroy --stack {stack}`.")
    if state == "UPDATE_ROLLBACK_FAILED":
        advice = f"Run `aws cloudformation continue-update-rollback --stack-name {stack}`."
        raise DeployError(f"an update of {stack} failed, and so did its rollback", advice)
    return description


def _make_values(stack: Mapping[str, Any] | None, parameter_values: Mapping[str, str]) -> list[dict[str, Any]]:
    """The parameters in CloudFormation's form; an update keeps the others."""
    unchanged_names = [
        name for name in read_parameters(stack or {}) if name in list_names() and name not in parameter_values
    ]
    values: list[dict[str, Any]] = [
        {"ParameterKey": name, "ParameterValue": value} for name, value in sorted(parameter_values.items())
    ]
    return values + [{"ParameterKey": name, "UsePreviousValue": True} for name in sorted(unchanged_names)]


def _start_change(
    account: Account,
    stack: str,
    url: str,
    values: Sequence[Mapping[str, Any]],
    changes: ChangeSet | None,
    report_progress: ReportProgress,
) -> str:
    """Start to create the stack, or to update it by a change set; returns the token of the events."""
    formation, names = account.get_client("cloudformation"), {"StackName": stack}
    names["ClientRequestToken"] = f"dockgate-{uuid.uuid4()}"
    report_progress(f"{'updating' if changes else 'creating'} the stack {stack}")
    with explain_errors(f"deploying the stack {stack}"):
        if changes:
            formation.execute_change_set(ChangeSetName=changes.identifier, **names)
        else:
            formation.create_stack(TemplateURL=url, Parameters=values, Capabilities=["CAPABILITY_IAM"], **names)
    return names["ClientRequestToken"]


def _wait_for_outputs(
    account: Account, stack: str, token: str, report_progress: ReportProgress, patience: Patience
) -> dict[str, str]:
    """Wait for the end; returns the stack's outputs. Raises DeployError with what failed and why."""
    end_state = wait_until_idle(account, stack, report_progress, patience)
    if end_state is None or end_state["StackStatus"] not in _DONE_STATES:
        reason = describe_failures(account, stack, token) if end_state else "it was deleted"
        raise DeployError(
            f"the stack {stack} could not be deployed: {reason}", "Correct what CloudFormation names, and deploy again."
        )
    return read_outputs(end_state)


def _read_existing_service(account: Account, spec: StackSpec) -> dict[str, str]:
    """Family and roles of an existing service's task definition; nothing unless a new service is named."""
    service_names = ("ClusterName", "ServiceName")
    if not set(service_names) & set(spec.parameters) or spec.parameters.get("TaskFamily"):
        return {}
    current = read_parameters(describe_stack(account, spec.stack) or {})
    cluster, service = (spec.parameters.get(name, current.get(name, "")) for name in service_names)
    if not cluster:
        return {}
    service_description = _find_service(account, cluster, service)
    if service_description is None:
        raise NotFoundError(f"there is no service {service!r} in the cluster {cluster!r}", "Check both names.")
    _, definition = service_description
    roles = [definition.get("executionRoleArn"), definition.get("taskRoleArn")]
    return {"TaskFamily": definition["family"], "TaskRoleArns": ",".join(role for role in roles if role)}


def _read_running_parameters(
    account: Account, stack: Mapping[str, Any], parameter_values: Mapping[str, str]
) -> dict[str, str]:
    """The desired count and the image of the stack's own service, which an update keeps."""
    stack_outputs = read_outputs(stack)
    old = read_parameters(stack)
    if "ServiceName" not in stack_outputs or old.get("ClusterName"):
        return {}
    running_service = _find_service(account, stack_outputs["ClusterName"], stack_outputs["ServiceName"])
    if running_service is None:
        return {}
    service, definition = running_service
    name = parameter_values.get("ContainerName", old.get("ContainerName"))
    images = [container["image"] for container in definition["containerDefinitions"] if container["name"] == name]
    approved_image = next((image for image in images if "@sha256:" in image), "")
    return {"DesiredCount": str(service["desiredCount"]), "ServiceImage": approved_image}


def _find_service(account: Account, cluster: str, service: str) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """The service and its task definition, or None."""
    ecs = account.get_client("ecs")
    try:
        with explain_errors(f"looking at the service {cluster}/{service}"):
            services = ecs.describe_services(cluster=cluster, services=[service])["services"]
            active = [service for service in services if service["status"] == "ACTIVE"]
            if not active:
                return None
            name = active[0]["taskDefinition"]
            return active[0], ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
    except NotFoundError:
        return None
