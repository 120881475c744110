"""Deploying the stack: everything it needs is brought to its bucket, then CloudFormation makes it so."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dockgate.aws.stack import change_set, concurrency, data_resources, scanning
from dockgate.aws.stack.account import Account, told
from dockgate.aws.stack.change_set import ChangeSet, Confirm
from dockgate.aws.stack.documents import Documents
from dockgate.aws.stack.formation import Patience, Tell, at_rest, describe, outputs, parameters, reasons
from dockgate.aws.stack.parameters import as_arns, names, pipelines, template
from dockgate.gate.model import Policy, Waivers
from dockgate.shared.errors import DeployError, NotFoundError, UsageError

_STACK = re.compile("[A-Za-z][A-Za-z0-9-]{0,39}")
"""CloudFormation takes longer ones; the names of functions and roles, which begin so, have to fit into 64 characters"""
_DONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
_NEVER_WAS = ("CREATE_FAILED", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
"""states of a stack that was never created: nothing but deleting it is possible"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be deployed. `parameters` are the template's, by name; an update keeps those that are not given.

    The policy is `policy`, or the SSM parameter `policy_parameter`, in which a canonical policy lies that was looked at
    already; with neither, and without `waivers`, the stack keeps what it has. `first_commit` is a zip archive for a
    source repository that the stack does not have yet. `manage_scanning` has Inspector scan the
    repository's images, which changes a setting of the whole registry."""

    stack: str
    archive: bytes
    first_commit: bytes
    policy: Policy | None = None
    policy_parameter: str = ""
    waivers: Waivers | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    manage_scanning: bool = False


def check_name(stack: str) -> None:
    """Raises UsageError for what cannot be a stack's name."""
    if not _STACK.fullmatch(stack):
        raise UsageError(
            f"{stack!r} cannot be a stack's name.", "Take letters, digits and hyphens, a letter first, 40 at most."
        )


def deploy(
    account: Account,
    wanted: Wanted,
    tell: Tell = lambda line: None,
    patience: Patience | None = None,
    confirm: Confirm = change_set.refuse,
) -> bool:
    """Create or update the stack; False when there was nothing to change. May be called again after any failure.

    `confirm` is asked before an update that removes or replaces something. Raises DeployError with the resources that
    failed and why.
    """
    patience = patience or Patience()
    given = {**as_arns(account, wanted.parameters), **_existing_service(account, wanted)}
    found = _ready(account, wanted.stack, tell, patience)
    known = {**parameters(found or {}), **given}
    given["ApprovalPipelines"] = pipelines(known.get("ApprovalActions", ""))
    if "ReservedConcurrency" not in known:
        given["ReservedConcurrency"] = concurrency.reserve(account)
        if given["ReservedConcurrency"] == "0":
            tell("no concurrency reserved: the account has too few concurrent executions of Lambda to spare")
    documents = Documents(account, wanted.stack)
    documents.create()
    tell(f"bucket {documents.bucket}")
    given |= {"ArchiveBucket": documents.bucket, "ArchiveKey": documents.put_archive(wanted.archive)}
    if wanted.policy or wanted.policy_parameter:
        key = documents.put_policy(wanted.policy) if wanted.policy else ""
        given |= {"PolicyKey": key, "PolicyParameter": wanted.policy_parameter}
    if wanted.waivers is not None:
        given |= {"WaiversKey": documents.put_waivers(wanted.waivers)}
    if "CloneUrl" not in outputs(found or {}):
        given |= {"SourceKey": documents.put_first_commit(wanted.first_commit)}
    if found is not None:
        given = {**_running(account, found, given), **given}
    values = _values(found, given)
    url = documents.put_template(template().encode())
    changes = None if found is None else change_set.create(account, wanted.stack, url, values, patience)
    if changes is not None:
        change_set.review(account, wanted.stack, changes, confirm)
    if found is not None:
        documents.remember(data_resources.of_stack(account, wanted.stack))
    if wanted.manage_scanning:
        kept = parameters(found) if found else {}
        name = given.get("ImageRepositoryName") or kept.get("ImageRepositoryName") or "dockgate-app"
        tell(scanning.enhance(account, documents, name))
    if found is None:
        token = _create(account, wanted.stack, url, values, tell)
    elif changes is not None:
        token = _execute(account, wanted.stack, changes, tell)
    else:
        return False
    made = _done(account, wanted.stack, token, tell, patience)
    documents.remember(data_resources.of_stack(account, wanted.stack))
    documents.log_access(made["LogBucketName"])
    return True


def _ready(account: Account, stack: str, tell: Tell, patience: Patience) -> Mapping[str, Any] | None:
    """The stack that is to be updated, None for one that is to be created."""
    found = at_rest(account, stack, tell, patience)
    if found is None:
        return None
    state = found["StackStatus"]
    if state in _NEVER_WAS:
        tell(f"deleting what is left of {stack}, which could not be created")
        with told(f"deleting the stack {stack}"):
            account.client("cloudformation").delete_stack(StackName=stack)
        if at_rest(account, stack, tell, patience) is not None:
            raise DeployError(f"what is left of {stack} cannot be deleted", f"dockgate aws destroy --stack {stack}")
        return None
    if state == "DELETE_FAILED":
        raise DeployError(f"the stack {stack} is half deleted", f"dockgate aws destroy --stack {stack}")
    if state == "UPDATE_ROLLBACK_FAILED":
        advice = f"aws cloudformation continue-update-rollback --stack-name {stack}"
        raise DeployError(f"an update of {stack} failed, and so did taking it back", advice)
    return found


def _values(found: Mapping[str, Any] | None, given: Mapping[str, str]) -> list[dict[str, Any]]:
    """The parameters as CloudFormation takes them: an update keeps those that are not given."""
    kept = [name for name in parameters(found or {}) if name in names() and name not in given]
    values: list[dict[str, Any]] = [
        {"ParameterKey": name, "ParameterValue": value} for name, value in sorted(given.items())
    ]
    return values + [{"ParameterKey": name, "UsePreviousValue": True} for name in sorted(kept)]


def _create(account: Account, stack: str, url: str, values: Sequence[Mapping[str, Any]], tell: Tell) -> str:
    """Begin to create the stack; returns the token that its events carry."""
    token = f"dockgate-{uuid.uuid4()}"
    tell(f"creating the stack {stack}")
    with told(f"deploying the stack {stack}"):
        account.client("cloudformation").create_stack(
            StackName=stack,
            TemplateURL=url,
            Parameters=values,
            Capabilities=["CAPABILITY_IAM"],
            ClientRequestToken=token,
        )
    return token


def _execute(account: Account, stack: str, changes: ChangeSet, tell: Tell) -> str:
    """Begin to update the stack; returns the token that its events carry."""
    token = f"dockgate-{uuid.uuid4()}"
    tell(f"updating the stack {stack}")
    with told(f"deploying the stack {stack}"):
        account.client("cloudformation").execute_change_set(
            StackName=stack, ChangeSetName=changes.identifier, ClientRequestToken=token
        )
    return token


def _done(account: Account, stack: str, token: str, tell: Tell, patience: Patience) -> dict[str, str]:
    """Wait for its end; returns the stack's outputs. Raises DeployError with what failed and why."""
    ended = at_rest(account, stack, tell, patience)
    if ended is None or ended["StackStatus"] not in _DONE:
        why = reasons(account, stack, token) if ended else "it is gone"
        raise DeployError(f"the stack {stack} could not be deployed: {why}", "Fix what it names, and deploy again.")
    return outputs(ended)


def _existing_service(account: Account, wanted: Wanted) -> dict[str, str]:
    """Family and roles of the task definition of a service that is there already; nothing where none is named anew."""
    named = ("ClusterName", "ServiceName")
    if not set(named) & set(wanted.parameters) or wanted.parameters.get("TaskFamily"):
        return {}
    kept = parameters(describe(account, wanted.stack) or {})
    cluster, service = (wanted.parameters.get(name, kept.get(name, "")) for name in named)
    if not cluster:
        return {}
    found = _service(account, cluster, service)
    if found is None:
        raise NotFoundError(f"There is no service {service!r} in the cluster {cluster!r}.", "Check both names.")
    _, definition = found
    roles = [definition.get("executionRoleArn"), definition.get("taskRoleArn")]
    return {"TaskFamily": definition["family"], "TaskRoleArns": ",".join(role for role in roles if role)}


def _running(account: Account, found: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """What the stack's own service has now, so that the update leaves it so: its desired count, and its image."""
    made = outputs(found)
    old = parameters(found)
    if "ServiceName" not in made or old.get("ClusterName"):
        return {}
    there = _service(account, made["ClusterName"], made["ServiceName"])
    if there is None:
        return {}
    service, definition = there
    name = given.get("ContainerName", old.get("ContainerName"))
    images = [one["image"] for one in definition["containerDefinitions"] if one["name"] == name]
    approved = next((image for image in images if "@sha256:" in image), "")
    return {"DesiredCount": str(service["desiredCount"]), "ServiceImage": approved}


def _service(account: Account, cluster: str, service: str) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """The service and its task definition, None when there is none."""
    ecs = account.client("ecs")
    try:
        with told(f"looking at the service {cluster}/{service}"):
            services = ecs.describe_services(cluster=cluster, services=[service])["services"]
            active = [one for one in services if one["status"] == "ACTIVE"]
            if not active:
                return None
            name = active[0]["taskDefinition"]
            return active[0], ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
    except NotFoundError:
        return None
