"""ECS's answers in our words: revisions, tasks, errors."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dockgate.delivery.service_model import Probe, Task, TaskDefinition, TaskState
from dockgate.shared.aws import AwsFailure, classify_denied, find_error_code, translate_aws_errors
from dockgate.shared.errors import DeployError, DockgateError
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import format_seconds

SERVICE, REVISION = "dockgate:service", "dockgate:revision"
_CONTAINER, _PREDECESSOR, _PREDECESSOR_COUNT = "dockgate:container", "dockgate:before", "dockgate:before-count"
_OWN_TAGS = frozenset({SERVICE, REVISION, _CONTAINER, _PREDECESSOR, _PREDECESSOR_COUNT})
# What DescribeTaskDefinition returns and RegisterTaskDefinition does not take.
_READ_ONLY = (
    *("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities"),
    *("registeredAt", "registeredBy", "deregisteredAt", "deleteRequestedAt"),
)
_REFUSAL_CODES = ("InvalidParameterException", "ClientException", "UnsupportedFeatureException")
_MISSING_CODES = ("ServiceNotFoundException", "ClusterNotFoundException")
_STATES = {
    "PROVISIONING": TaskState.PENDING,
    "PENDING": TaskState.PENDING,
    "ACTIVATING": TaskState.PENDING,
    "RUNNING": TaskState.RUNNING,
}


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision of a task definition in ECS. `content` is its description by ECS."""

    arn: str
    family: str
    content: Mapping[str, Any]
    tags: Mapping[str, str]

    @property
    def number(self) -> int:
        """Dockgate's revision; 0 for what it did not register."""
        text = self.tags.get(REVISION, "")
        return int(text) if text.isdecimal() else 0

    @property
    def predecessor(self) -> tuple[str, int]:
        """The predecessor at the registration: a revision's ARN, and its desired number of tasks."""
        return self.tags.get(_PREDECESSOR, self.arn), int(self.tags.get(_PREDECESSOR_COUNT, "0"))

    @property
    def has_health_check(self) -> bool:
        """Return whether ECS looks at the health of a container."""
        return any("healthCheck" in container for container in self.content["containerDefinitions"])

    def find_image(self, container: str) -> ImageReference | None:
        """The image of the container of this name, or None; None, too, without its digest."""
        containers = self.content["containerDefinitions"]
        names = (str(entry["image"]) for entry in containers if entry["name"] == container)
        return next(map(ImageReference.parse, names), None)

    def is_revision_of(self, service: str, definition: TaskDefinition) -> bool:
        is_same_revision = self.tags.get(SERVICE) == service and self.number == definition.revision
        image = self.find_image(definition.container)
        return is_same_revision and image is not None and image.digest == (definition.image and definition.image.digest)


def parse_revision(content: Mapping[str, Any], tags: Sequence[Mapping[str, str]]) -> Revision:
    """Parse DescribeTaskDefinition's answer."""
    pairs = {tag["key"]: tag.get("value", "") for tag in tags}
    return Revision(content["taskDefinitionArn"], content["family"], content, pairs)


def make_revision_request(
    running_revision: Revision, service: str, definition: TaskDefinition, image: str, count: int
) -> dict[str, Any]:
    """Make RegisterTaskDefinition's request: what runs, with another image in one container.

    DeployError when there is no such container.
    """
    containers = running_revision.content["containerDefinitions"]
    names = [container["name"] for container in containers]
    if definition.container not in names:
        raise DeployError(
            f"{running_revision.family} has no container {definition.container!r}",
            f"It has: {', '.join(names)}. Set the service's taskDefinition.container.",
        )
    content = {key: value for key, value in running_revision.content.items() if key not in _READ_ONLY}
    content["containerDefinitions"] = [
        {**container, "image": image} if container["name"] == definition.container else container
        for container in containers
    ]
    tags = {
        key: value
        for key, value in running_revision.tags.items()
        if key not in _OWN_TAGS and not key.startswith("aws:")
    }
    tags |= {SERVICE: service, REVISION: str(definition.revision), _CONTAINER: definition.container}
    tags |= {_PREDECESSOR: running_revision.arn, _PREDECESSOR_COUNT: str(count)}
    return {**content, "tags": [{"key": key, "value": value} for key, value in tags.items()]}


def parse_task(task: Mapping[str, Any], service: str, revision: Revision) -> Task:
    """A task as DescribeTasks tells it. Its digest is that of the container that Dockgate cares for."""
    started_at = task.get("startedAt") or task.get("createdAt")
    containers = task.get("containers", [])
    images = [entry.get("image", "") for entry in containers if entry.get("name") == revision.tags.get(_CONTAINER)]
    image = ImageReference.parse(str(images[0])) if images else None
    return Task(
        id=task["taskArn"].rpartition("/")[2],
        service=service,
        revision=revision.number,
        state=_determine_state(task, revision),
        digest=image.digest if image else None,
        started_at=format_seconds(started_at) if isinstance(started_at, datetime) else None,
        reason=explain_end(task),
        ports=tuple(
            (int(container["containerPort"]), int(container["hostPort"]))
            for container in containers
            for container in container.get("networkBindings", [])
            if "containerPort" in container and "hostPort" in container
        ),
        probe=_probe(task),
    )


def explain_end(task: Mapping[str, Any]) -> str | None:
    """Return why it ended or cannot start; None if ECS gives no reason."""
    parts = [task.get("stoppedReason", "")]
    for container in task.get("containers", []):
        code = f"code {container['exitCode']}" if "exitCode" in container else ""
        words = ", ".join(filter(None, (code, container.get("reason", ""))))
        parts.append(f"{container.get('name', '')}: {words}" if words else "")
    return "; ".join(filter(None, parts)) or None


def is_missing(error: Exception) -> bool:
    """Return whether a call failed because the service or the cluster does not exist."""
    return find_error_code(error) in _MISSING_CODES


def translate_ecs_errors(action: str) -> AbstractContextManager[None]:
    """Raise our errors for botocore's: DeniedError, UnavailableError, DeployError for what ECS refuses."""
    return translate_aws_errors(action, _classify)


def _classify(failure: AwsFailure) -> DockgateError | None:
    if failure.code in _REFUSAL_CODES or failure.code in _MISSING_CODES:
        return DeployError(failure.text, "Correct in ECS or in the Service document what the message names.")
    return classify_denied(failure)


def _probe(task: Mapping[str, Any]) -> Probe | None:
    """Return what ECS says of the health check: whether it passes, and nothing else."""
    health = task.get("healthStatus", "UNKNOWN")
    return Probe(health == "HEALTHY") if health in ("HEALTHY", "UNHEALTHY") else None


def _determine_state(task: Mapping[str, Any], revision: Revision) -> TaskState:
    state = _STATES.get(task.get("lastStatus", ""), TaskState.STOPPED)
    health = task.get("healthStatus", "UNKNOWN")
    if state is not TaskState.RUNNING or health == "HEALTHY":
        return state
    if health == "UNHEALTHY":
        return TaskState.UNHEALTHY
    return TaskState.PENDING if revision.has_health_check else TaskState.RUNNING
