"""Deploys, rollouts and repairs of services. One thread at a time changes the tasks of a service."""

import json
import logging
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dockgate.delivery import pipeline as pipeline_logic
from dockgate.delivery.deployments import (
    FAILED_CHECKS,
    TaskHealth,
    check_not_superseded,
    has_expected_tasks,
    observe_task,
    require_image,
)
from dockgate.delivery.model import ActionKey, Execution, RunState
from dockgate.delivery.ports import Target
from dockgate.delivery.service_model import (
    RevisionCause,
    Rollout,
    Service,
    ServiceChange,
    ServiceEvent,
    Task,
    TaskDefinition,
    TaskState,
)
from dockgate.events import dockgate_events
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.pipelines.actions import IMAGE_DEFINITIONS, ActionResult, read_definition, read_image_definitions
from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.services.workflow_starter import Starter
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import DeployError, DockgateError, NotFoundError
from dockgate.shared.references import ImageReference
from dockgate.store import Store
from dockgate.store.verdict_causes import Check, VerdictCause

_log = logging.getLogger(__name__)


def _make_lock_name(service: str) -> str:
    """The name of the lock of those who change the tasks of a service."""
    return f"service {service}"


@dataclass(frozen=True, slots=True)
class Deployments:
    """Deploys of images. `registry` is the address of our own registry."""

    store: Store
    targets: Mapping[str, Target]
    verdicts: Verdicts
    registry: str

    def register_revision(self, key: ActionKey) -> TaskDefinition:
        """Return a new revision of the service's task definition, with the approved image."""
        pipeline, action = read_definition(self.store, key)
        name = str(action.configuration["service"])
        artifact = pipeline_logic.find_artifact(pipeline, self.store.executions.list_runs(key.execution), action.input)
        with self.store.locks.hold(_make_lock_name(name)):
            service = self.store.services.get(name)
            definition = self.store.services.get_definition(name, service.revision)
            image = _read_image(self.store.blobs.get_path(artifact), definition.container)
            self._require_deployable(key, name, image)
            return self.store.services.register(name, replace(definition, image=image), RevisionCause(key))

    def deploy(self, key: ActionKey, definition: TaskDefinition) -> ActionResult:
        """Run the revision's tasks, and make it the service's revision.

        On failure the previous tasks run again. Whether the image may be deployed is checked again: time may have
        passed since the revision was registered.
        """
        name = definition.family
        with self.store.locks.hold(_make_lock_name(name)):
            self._require_deployable(key, name, require_image(name, definition))
            service = self.store.services.get(name)
            before = self.store.services.get_definition(name, service.revision)
            definition = self._combine_with_present(before, definition, key)
            self.store.logs.append(key, f"{name}: revision {definition.revision}, {definition.image}")
            previous = before if before.image else None
            for task in self.targets[service.target].deploy(service, definition, previous):
                self.store.logs.append(
                    key, f"{name}: task {task.id} is {task.state}, {task.digest or 'digest unknown'}"
                )
            self.store.services.set_revision(name, definition.revision, key.execution)
        return ActionResult({"SERVICE": name, "REVISION": str(definition.revision)})

    def _combine_with_present(
        self, present_definition: TaskDefinition, definition: TaskDefinition, key: ActionKey
    ) -> TaskDefinition:
        """Return the revision to deploy.

        The service may have changed since this one was registered, or this deploy may be done already.
        """
        if present_definition.settings == definition.settings:
            return definition
        if (
            present_definition.image == definition.image
            and self.store.services.find_deployed_by(present_definition.family) == key.execution
        ):
            return present_definition
        goal = replace(present_definition, image=definition.image)
        return self.store.services.register(
            present_definition.family, goal, RevisionCause(key, present_definition.revision)
        )

    def _find_last_deploy(self, service: str) -> Execution | None:
        """Return the execution that deployed the service last, or None; also None if it was removed since."""
        name = self.store.services.find_deployed_by(service)
        try:
            return self.store.executions.get(name) if name else None
        except NotFoundError:
            return None

    def _require_deployable(self, key: ActionKey, service: str, image: ImageReference) -> None:
        """Raise DeployError unless the digest may be deployed now.

        The action must run, no newer execution be deployed, and the digest be approved as of now.
        """
        if self.store.executions.get_run(key).state.is_final:
            raise DeployError(f"{key} was stopped", "Start the pipeline again to deploy.")
        last = self._find_last_deploy(service)
        if last:
            check_not_superseded(self.store.executions.get(key.execution), last, service)
        context = DeploymentContext(image.strip_registry(self.registry), service, key.execution)
        self.verdicts.require_approval(image.digest, VerdictCause.make_check(Check.DEPLOY, str(key)), context)


def _read_image(artifact: Path, container: str) -> ImageReference:
    """Return the image that imagedefinitions.json names for this container."""
    try:
        images = {item["name"]: item["imageUri"] for item in json.loads(read_image_definitions(artifact) or b"[]")}
    except (KeyError, TypeError, ValueError, tarfile.TarError) as error:
        problem = f"cannot read {IMAGE_DEFINITIONS} of the artifact: {error}"
        raise DeployError(problem, "Set the deploy action's `input` to the output of a build action.") from None
    image = images.get(container)
    if image is None:
        names = ", ".join(sorted(images)) or "none"
        raise DeployError(
            f"{IMAGE_DEFINITIONS} has no image for the container {container!r}",
            f"It names: {names}. Set the build action's `container`.",
        )
    reference = ImageReference.parse(str(image))
    if reference is None or not is_digest(reference.digest):
        raise DeployError(f"{image} is not a digest", "Deploys are by digest, never by tag.")
    return reference


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Changes of services. `registry` is the address of our own registry."""

    store: Store
    targets: Mapping[str, Target]
    verdicts: Verdicts
    clock: ServerClock
    effects: Effects
    starter: Starter
    registry: str

    def create_service(self, service: Service, definition: TaskDefinition) -> bool:
        """Create a service, and return whether it was created. One that exists does not change."""
        return self.effects.run(EffectKind.PUT_SERVICE, self.store.services.put, service, definition)

    def begin(self, service: str, change: ServiceChange, by: str) -> Rollout | None:
        """Begin the rollout of a change; None when nothing changes.

        Raises what `Rollouts.begin` of the store raises.
        """
        begin = self.store.rollouts.begin
        rollout = self.effects.run(EffectKind.CHANGE_SERVICE, begin, service, change, by, self.clock.now())
        if rollout is not None:
            self.starter.start_rollout(rollout)
        return rollout

    def run(self, name: str, number: int) -> None:
        """Carry out the rollout. Does nothing when it has ended.

        A changed definition is a deploy of the image, and so are the first tasks, and those on another target: the
        image has to be approved as of now. A restart runs the image that runs already, as a repair does.

        DeployError when the image is not approved, or when tasks do not become healthy: then the previous tasks run
        again, and the service does not change.
        """
        with self.store.locks.hold(_make_lock_name(name)):
            rollout = self.store.rollouts.get(name, number)
            if rollout.state.is_final:
                return
            service = self.store.services.get(name)
            present_definition = self.store.services.get_definition(name, service.revision)
            definition = self._register(rollout, present_definition)
            if definition.image:
                if definition.settings != present_definition.settings or not _is_already_running(service, rollout):
                    self._require_approval(rollout, definition.image)
                self._deploy(rollout, definition, service, present_definition)
            repository = self._find_repository(definition)
            end, now = self.store.rollouts.end, self.clock.now()
            end(rollout, RunState.SUCCEEDED, definition.revision, "", now, repository=repository)

    def fail(self, name: str, number: int, reason: str) -> None:
        """End the rollout as failed."""
        rollout = self.store.rollouts.get(name, number)
        service = self.store.services.get(name)
        repository = self._find_repository(self.store.services.get_definition(name, service.revision))
        self.store.rollouts.end(rollout, RunState.FAILED, None, reason, self.clock.now(), repository=repository)

    def _find_repository(self, definition: TaskDefinition) -> str | None:
        return definition.image.strip_registry(self.registry) if definition.image else None

    def _register(self, rollout: Rollout, present_definition: TaskDefinition) -> TaskDefinition:
        """The revision to deploy: the goal of the rollout with the image that the service has now.

        A restart has a revision of its own: targets know tasks by service and revision.
        """
        if rollout.definition == present_definition.settings and not rollout.is_restart:
            return present_definition
        goal = replace(rollout.definition, image=present_definition.image)
        return self.store.services.register(
            rollout.service, goal, RevisionCause(rollout.key, present_definition.revision)
        )

    def _require_approval(self, rollout: Rollout, image: ImageReference) -> None:
        repository = image.strip_registry(self.registry)
        context = DeploymentContext(repository, rollout.service, self.store.services.find_deployed_by(rollout.service))
        self.verdicts.require_approval(image.digest, VerdictCause.make_check(Check.ROLLOUT, rollout.id), context)

    def _deploy(
        self, rollout: Rollout, definition: TaskDefinition, service: Service, present_definition: TaskDefinition
    ) -> None:
        is_moved = rollout.target != service.target
        goal = replace(service, target=rollout.target, desired_count=rollout.desired_count)
        try:
            self.targets[rollout.target].deploy(goal, definition, None if is_moved else present_definition)
        except DeployError as error:
            if is_moved or goal.desired_count == service.desired_count:
                raise
            raise self._restore_count(service, present_definition, error) from error

    def _restore_count(self, service: Service, present_definition: TaskDefinition, error: DeployError) -> DeployError:
        """Run as many tasks as before. Return the error to raise, which says how that went."""
        try:
            self.targets[service.target].deploy(service, present_definition, present_definition)
        except DockgateError as second:
            return DeployError(f"{error}\nThe desired count stays {service.desired_count}: {second}", error.advice)
        return DeployError(f"{error}\nThe desired count stays {service.desired_count}", error.advice)


def _is_already_running(service: Service, rollout: Rollout) -> bool:
    """Return whether the rollout starts only the image that runs now.

    It does if some tasks run and stay on their target.
    """
    return not rollout.desired_count or bool(service.desired_count and rollout.target == service.target)


@dataclass(frozen=True, slots=True)
class ServiceRepair:
    """The repair of services. The health of tasks is remembered in memory only."""

    store: Store
    targets: Mapping[str, Target]
    clock: ServerClock
    effects: Effects
    _health: dict[str, dict[str, TaskHealth]] = field(default_factory=dict, init=False)

    def repair_all(self) -> None:
        """Repair every service. One that cannot be repaired does not block the others."""
        for service in self.store.services.list():
            try:
                self.effects.run(EffectKind.CONVERGE, self.repair, service.name)
            except DockgateError as error:
                _log.warning("%s: not all tasks are healthy: %s", service.name, error)
            except Exception as error:
                _log.error("%s: the repair failed", service.name, exc_info=error)

    def repair(self, name: str) -> None:
        """Make the tasks match the service's revision and desired count, and check their health.

        Does nothing while the service is being deployed. Waits for the health of tasks only where some were missing.
        """
        with self.store.locks.try_hold(_make_lock_name(name)) as is_free:
            if is_free:
                self._repair(name)

    def _repair(self, name: str) -> None:
        if any(rollout.service == name for rollout in self.store.rollouts.list_in_progress()):
            return
        service = self.store.services.get(name)
        definition = self.store.services.get_definition(name, service.revision)
        if not definition.image:
            return
        target = self.targets[service.target]
        tasks = target.list_tasks(name)
        if has_expected_tasks(service, definition, tasks):
            self._check_health(service, definition, tasks)
        else:
            target.deploy(service, definition, definition)

    def _check_health(self, service: Service, definition: TaskDefinition, tasks: Sequence[Task]) -> None:
        previous, self._health[service.name] = self._health.get(service.name, {}), {}
        for task in tasks:
            health, should_restart = observe_task(previous.get(task.id, TaskHealth()), task, self.clock())
            self._health[service.name][task.id] = health
            if should_restart:
                self._restart(service, definition, task)

    def _restart(self, service: Service, definition: TaskDefinition, task: Task) -> None:
        try:
            is_restarted = self.targets[service.target].restart(service.name, task.id)
            outcome = "restarted" if is_restarted else "left to the target, which replaces unhealthy tasks itself"
        except DockgateError as error:
            outcome = f"could not be restarted: {error}"
        self._announce(service, task, f"task {task.id} {outcome}: {_explain_restart(definition, task)}")

    def _announce(self, service: Service, task: Task, message: str) -> None:
        """Keep the restart as an event of the service, and in the event log."""
        now = self.clock.now()
        _log.warning("%s: %s", service.name, message)
        event = ServiceEvent(f"restart/{service.name}/{task.id}/{now}", service.name, now, message)
        unhealthy = dockgate_events.make_service_unhealthy(
            key=event.key,
            service=service.name,
            task=task.id,
            revision=task.revision,
            image=task.digest,
            reason=message,
            time=now,
        )
        self.store.services.record_event(event, [unhealthy])


def _explain_restart(definition: TaskDefinition, task: Task) -> str:
    """Return why the task was restarted."""
    if task.state is TaskState.STOPPED:
        return task.reason or "it stopped"
    check = definition.health_check
    if check is None:
        return task.reason or "it is not healthy"
    probe = " ".join(check.command) if check.command else f"GET {check.http_path} on port {check.http_port}"
    return f"{FAILED_CHECKS} health checks in a row failed ({probe})"
