"""Deploying the stack: everything it needs is brought to its bucket, then CloudFormation makes it so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from dockgate.aws.stack import scanning
from dockgate.aws.stack.account import Account, told
from dockgate.aws.stack.documents import Documents
from dockgate.core.errors import DeployError, NotFoundError
from dockgate.core.verdict import Policy, Waivers

Tell = Callable[[str], None]
"""is told what goes on, a line at a time"""

WAIT = {"Delay": 5, "MaxAttempts": 360}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be deployed. `parameters` are the template's, by name.

    The policy is `policy`, or the SSM parameter `policy_parameter`, in which a canonical policy lies that was looked at
    already. `manage_scanning` has Inspector scan the repository's images, which changes a setting of the whole
    registry."""

    stack: str
    archive: bytes
    policy: Policy | None = None
    policy_parameter: str = ""
    waivers: Waivers | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    manage_scanning: bool = False


def template() -> str:
    """The CloudFormation template, as it is deployed."""
    return resources.files("dockgate.aws.stack").joinpath("template.yaml").read_text("utf-8")


def deploy(account: Account, wanted: Wanted, tell: Tell = lambda line: None, wait: Mapping[str, int] = WAIT) -> bool:
    """Creates or updates the stack; False when there was nothing to change. May be called again after any failure.

    Raises DeployError with the resources that failed and why.
    """
    documents = Documents(account, wanted.stack)
    documents.create()
    tell(f"bucket {documents.bucket}")
    parameters = {
        **wanted.parameters,
        **_existing_service(account, wanted.parameters),
        "ArchiveBucket": documents.bucket,
        "ArchiveKey": documents.put_archive(wanted.archive),
        "PolicyKey": documents.put_policy(wanted.policy) if wanted.policy else "",
        "PolicyParameter": wanted.policy_parameter,
        "WaiversKey": documents.put_waivers(wanted.waivers) if wanted.waivers else "",
    }
    if wanted.manage_scanning:
        scanning.enhance(account, documents, parameters.get("ImageRepositoryName", "dockgate-app"))
        tell("Inspector scans the repository")
    return _apply(account, wanted.stack, documents.put_template(template().encode()), parameters, tell, wait)


def _apply(
    account: Account, stack: str, url: str, parameters: Mapping[str, str], tell: Tell, wait: Mapping[str, int]
) -> bool:
    from botocore.exceptions import WaiterError

    formation = account.client("cloudformation")
    exists = describe(account, stack) is not None
    call = formation.update_stack if exists else formation.create_stack
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in sorted(parameters.items())]
    tell(f"{'updating' if exists else 'creating'} the stack {stack}")
    with told(f"deploying the stack {stack}"):
        try:
            call(StackName=stack, TemplateURL=url, Parameters=given, Capabilities=["CAPABILITY_IAM"])
        except formation.exceptions.ClientError as error:
            if "No updates are to be performed" in str(error):
                return False
            raise
        try:
            waiter = formation.get_waiter("stack_update_complete" if exists else "stack_create_complete")
            waiter.wait(StackName=stack, WaiterConfig=dict(wait))
        except WaiterError:
            raise DeployError(
                f"the stack {stack} could not be deployed: {_reasons(account, stack)}",
                "Mend what it names and deploy again; a stack that could not be created has to be destroyed first.",
            ) from None
    return True


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


def _reasons(account: Account, stack: str) -> str:
    """What failed first, in CloudFormation's words."""
    events = account.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    failed = [event for event in reversed(events) if event["ResourceStatus"].endswith("FAILED")]
    told_of = [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed]
    return "; ".join(told_of[:3]) or "CloudFormation does not say why"


def _existing_service(account: Account, parameters: Mapping[str, str]) -> dict[str, str]:
    """Family and roles of the task definition of a service that is there already."""
    cluster, service = parameters.get("ClusterName", ""), parameters.get("ServiceName", "")
    if not cluster or parameters.get("TaskFamily"):
        return {}
    ecs = account.client("ecs")
    with told(f"looking at the service {cluster}/{service}"):
        services = ecs.describe_services(cluster=cluster, services=[service])["services"]
        if not services:
            raise NotFoundError(f"There is no service {service!r} in the cluster {cluster!r}.", "Check both names.")
        name = services[0]["taskDefinition"]
        definition = ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
    roles = [definition.get("executionRoleArn"), definition.get("taskRoleArn")]
    return {"TaskFamily": definition["family"], "TaskRoleArns": ",".join(role for role in roles if role)}
