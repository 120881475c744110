"""Run services on Amazon ECS.

A deploy is a new revision of the service's task definition, and an UpdateService. Only the image of one container is
changed. Everything else is what the service's task definition says in ECS: Dockgate creates no service there, and takes
none away.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from dockgate.delivery.deployments import require_image
from dockgate.delivery.ports import Target
from dockgate.delivery.service_model import Service, Task, TaskDefinition, TaskState
from dockgate.delivery.targets._ecs import (
    SERVICE,
    Revision,
    explain_end,
    is_missing,
    make_revision_request,
    parse_revision,
    parse_task,
    translate_ecs_errors,
)
from dockgate.shared.aws import LazyClient
from dockgate.shared.errors import DeployError
from dockgate.shared.interfaces import override
from dockgate.shared.references import ImageReference

# Seconds for a deploy without a health check's startPeriod: ECS drains load balancers, and places tasks.
_PATIENCE = 600.0
# How many of a family's newest revisions may be the one that a crashed deploy registered.
_LOOK_BACK = 10


class EcsTarget(Target):
    """The services of one cluster, by their names. `client` gives a boto3 client for ECS, at first use.

    What Dockgate registered is known by its tags: `dockgate:service`, `dockgate:revision`, and what ran before it.
    `publish` brings an image to where ECS can pull it, and returns what it is called there, by the same digest. `pause`
    is the time between two looks, in seconds.
    """

    def __init__(
        self, client: Callable[[], Any], cluster: str, publish: Callable[[ImageReference], str], pause: float = 5.0
    ) -> None:
        self._ecs = LazyClient(client)
        self._cluster = cluster
        self._publish = publish
        self._pause = pause
        self._revisions: dict[str, Revision] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @override
    def deploy(self, service: Service, definition: TaskDefinition, previous: TaskDefinition | None) -> Sequence[Task]:
        """Deploy a revision of the service; after a failure its tasks run `previous` again.

        Without a `previous`, they run what the service ran before Dockgate's first deploy.
        """
        require_image(service.name, definition)
        with (
            self._locks[service.name],
            translate_ecs_errors(f"deploying {service.name} to the cluster {self._cluster}"),
        ):
            revision = self._find_or_register(service.name, definition)
            try:
                self._update_service(service.name, revision.arn, service.desired_count)
                self._wait(service, definition, revision.arn)
            except DeployError as error:
                raise self._roll_back(service, definition, revision, previous, error) from error
            return self.list_tasks(service.name)

    @override
    def list_tasks(self, service: str) -> Sequence[Task]:
        """Return those that ECS means to keep running: the ones that ended it replaces by itself."""
        with translate_ecs_errors(f"looking at {service} in the cluster {self._cluster}"):
            if self._find(service) is None:
                return []
            return [
                parse_task(task, service, self._read_revision(task["taskDefinitionArn"]))
                for task in self._list(service)
            ]

    @override
    def restart(self, service: str, task: str) -> bool:
        """Return False: ECS replaces unhealthy and stopped tasks by itself."""
        with translate_ecs_errors(f"looking at {service} in the cluster {self._cluster}"):
            self._find(service)
        return False

    @override
    def read_log(self, service: str, task: str, lines: int) -> None:
        """Return None: the task definition in ECS says where tasks log."""

    def _find(self, service: str) -> dict[str, Any] | None:
        try:
            answer = self._ecs().describe_services(cluster=self._cluster, services=[service])
        except Exception as error:
            if is_missing(error):
                return None
            raise
        return next((entry for entry in answer["services"] if entry["status"] == "ACTIVE"), None)

    def _require_service(self, service: str) -> dict[str, Any]:
        description = self._find(service)
        if description is None:
            raise DeployError(
                f"the cluster {self._cluster} has no service {service}",
                "Create it in ECS, with its network and roles; its desired count may be 0.",
            )
        return description

    def _find_or_register(self, service: str, definition: TaskDefinition) -> Revision:
        """The revision in ECS of the definition: found by its tags, otherwise made."""
        description = self._require_service(service)
        running = self._read_revision(description["taskDefinition"])
        pages = (
            self._ecs()
            .get_paginator("list_task_definitions")
            .paginate(familyPrefix=running.family, status="ACTIVE", sort="DESC")
        )
        newest_arns = islice((arn for page in pages for arn in page["taskDefinitionArns"]), _LOOK_BACK)
        for revision in (running, *map(self._read_revision, newest_arns)):
            if revision.is_revision_of(service, definition):
                return revision
        image = self._publish(require_image(service, definition))
        request = make_revision_request(running, service, definition, image, int(description["desiredCount"]))
        arn = self._ecs().register_task_definition(**request)["taskDefinition"]["taskDefinitionArn"]
        return self._read_revision(arn)

    def _read_revision(self, arn: str) -> Revision:
        """Return a revision. It never changes, but its tags may: one that is not ours is read again."""
        revision = self._revisions.get(arn)
        if revision is None:
            answer = self._ecs().describe_task_definition(taskDefinition=arn, include=["TAGS"])
            revision = parse_revision(answer["taskDefinition"], answer.get("tags", []))
            if SERVICE in revision.tags:
                self._revisions[arn] = revision
        return revision

    def _update_service(self, service: str, arn: str, count: int) -> None:
        description = self._require_service(service)
        if (description["taskDefinition"], description["desiredCount"]) != (arn, count):
            self._ecs().update_service(cluster=self._cluster, service=service, taskDefinition=arn, desiredCount=count)

    def _wait(self, service: Service, definition: TaskDefinition, arn: str) -> None:
        """Wait until the desired number of healthy tasks of the revision runs, none of another, and ECS says so too."""
        check = definition.health_check
        patience = check.start_period if check else _PATIENCE
        end = time.monotonic() + patience
        has_seen_rollout = False  # what ECS reports lags behind what it was asked to do
        while True:
            rollout, reason = self._read_rollout(service.name, arn)
            has_seen_rollout = has_seen_rollout or bool(rollout)
            if rollout == "FAILED" or (has_seen_rollout and not rollout):
                raise DeployError(
                    f"{service.name} did not become healthy: {reason}{self._find_end_reason(service.name)}",
                    "Read the service's events and the tasks' logs, fix the image, and push again.",
                )
            present_tasks = list(self._list(service.name))
            running = [
                task
                for task in present_tasks
                if task["taskDefinitionArn"] == arn
                and parse_task(task, service.name, self._read_revision(arn)).state is TaskState.RUNNING
            ]
            if len(running) == len(present_tasks) == service.desired_count and rollout == "COMPLETED":
                return
            if time.monotonic() > end:
                raise DeployError(
                    f"{service.name}: {len(running)} of {service.desired_count} tasks are healthy after "
                    f"{patience:g} s{self._find_end_reason(service.name)}",
                    "Read the service's events and the tasks' logs, fix the image, and push again.",
                )
            time.sleep(self._pause)

    def _read_rollout(self, service: str, arn: str) -> tuple[str | None, str]:
        """Return state and reason of the revision's rollout; the state is None if there is no rollout.

        A rollout without a state counts as completed.
        """
        for deployment in self._require_service(service)["deployments"]:
            if deployment["taskDefinition"] == arn:
                return deployment.get("rolloutState", "COMPLETED"), deployment.get("rolloutStateReason", "")
        return None, "ECS rolled the revision back, or the service was changed by others"

    def _roll_back(
        self,
        service: Service,
        definition: TaskDefinition,
        revision: Revision,
        previous: TaskDefinition | None,
        error: DeployError,
    ) -> DeployError:
        """Bring back what ran before. Return the error to raise, which tells how that went."""
        if previous is not None and previous.revision == definition.revision:
            return error
        if previous is not None and previous.image:
            predecessor, count = self._find_or_register(service.name, previous).arn, service.desired_count
        else:
            predecessor, count = revision.predecessor
        self._update_service(service.name, predecessor, count)
        name = predecessor.rpartition("/")[2]
        if not count:
            return DeployError(f"{error}\nNothing ran before it: the desired count is 0 again", error.advice)
        return DeployError(f"{error}\nECS runs {name} again, as before", error.advice)

    def _list(self, service: str, status: str = "RUNNING") -> Iterator[dict[str, Any]]:
        pages = (
            self._ecs()
            .get_paginator("list_tasks")
            .paginate(cluster=self._cluster, serviceName=service, desiredStatus=status)
        )
        for page in pages:
            if page["taskArns"]:
                yield from self._ecs().describe_tasks(cluster=self._cluster, tasks=page["taskArns"])["tasks"]

    def _find_end_reason(self, service: str) -> str:
        """Return why a task ended, where one did."""
        reasons = [reason for task in self._list(service, "STOPPED") if (reason := explain_end(task))]
        return f"; a task ended: {reasons[0]}" if reasons else ""
