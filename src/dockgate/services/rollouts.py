"""Rollouts: a changed service is deployed, and the change is kept when its tasks are healthy."""

import threading
from collections.abc import Mapping
from dataclasses import replace

from dockgate.delivery.model import Rollout, Service, ServiceChange, State, TaskDefinition
from dockgate.delivery.ports import Target
from dockgate.services.baselines import DeploymentContext
from dockgate.services.clock import ServerClock
from dockgate.services.effects import Effects, Starter, Step
from dockgate.services.verdicts import Verdicts
from dockgate.shared.errors import DeployError, DockgateError
from dockgate.shared.references import ImageReference
from dockgate.store import Store

# A lock for each service: one thread at a time changes its tasks.
ServiceLocks = Mapping[str, threading.Lock]


class Rollouts:
    """Changes services. `registry` is the address of our own registry."""

    def __init__(
        self,
        store: Store,
        targets: Mapping[str, Target],
        verdicts: Verdicts,
        locks: ServiceLocks,
        clock: ServerClock,
        effects: Effects,
        starter: Starter,
        registry: str,
    ) -> None:
        self._store = store
        self._targets = targets
        self._verdicts = verdicts
        self._locks = locks
        self._clock = clock
        self._effects = effects
        self._starter = starter
        self._registry = registry

    def create_service(self, service: Service, definition: TaskDefinition) -> Service:
        """Create a service. One that exists does not change."""
        return self._effects.run(Step.PUT_SERVICE, self._store.services.put, service, definition)

    def begin(self, service: str, change: ServiceChange, by: str) -> Rollout | None:
        """Begin the rollout of a change; None when nothing changes. Raises what `store.rollouts.begin` raises."""
        begin = self._store.rollouts.begin
        rollout = self._effects.run(Step.CHANGE_SERVICE, begin, service, change, by, self._clock.now())
        if rollout is not None:
            self._starter.start_rollout(rollout)
        return rollout

    def run(self, name: str, number: int) -> None:
        """Carry out the rollout. Does nothing when it has ended.

        A changed definition is a deploy of the image that runs: it has to be approved as of now. DeployError when it is
        not, or when tasks do not become healthy: then the previous tasks run again, and the service does not change.
        """
        with self._locks[name]:
            rollout = self._store.rollouts.get(name, number)
            if rollout.state.is_final:
                return
            service = self._store.services.get(name)
            present = self._store.services.definition(name, service.revision)
            definition = self._register(rollout, present)
            if definition.reference:
                if definition.revision != present.revision:
                    self._require_approval(rollout, definition.reference)
                self._deploy(rollout, definition, service, present)
            self._store.rollouts.end(rollout, State.SUCCEEDED, definition.revision, "", self._clock.now())

    def fail(self, name: str, number: int, reason: str) -> None:
        """End the rollout as failed."""
        rollout = self._store.rollouts.get(name, number)
        self._store.rollouts.end(rollout, State.FAILED, None, reason, self._clock.now())

    def _register(self, rollout: Rollout, present: TaskDefinition) -> TaskDefinition:
        """The revision to deploy: the goal of the rollout with the image that the service has now."""
        if rollout.definition == present.settings:
            return present
        goal = replace(rollout.definition, image=present.image)
        return self._store.services.register(rollout.service, goal, f"rollout/{rollout.id} of {present.revision}")

    def _require_approval(self, rollout: Rollout, image: ImageReference) -> None:
        repository = image.repository_in(self._registry)
        context = DeploymentContext(repository, rollout.service, self._store.services.deployed_by(rollout.service))
        self._verdicts.require_approval(image.digest, f"rollout/{rollout.id}", context)

    def _deploy(self, rollout: Rollout, definition: TaskDefinition, service: Service, present: TaskDefinition) -> None:
        is_moved = rollout.target != service.target
        goal = replace(service, target=rollout.target, desired_count=rollout.desired_count)
        try:
            self._targets[rollout.target].deploy(goal, definition, None if is_moved else present)
        except DeployError as error:
            if is_moved or goal.desired_count == service.desired_count:
                raise
            raise self._restore_count(service, present, error) from error

    def _restore_count(self, service: Service, present: TaskDefinition, error: DeployError) -> DeployError:
        """Run as many tasks as before. Return the error to raise, which says how that went."""
        try:
            self._targets[service.target].deploy(service, present, present)
        except DockgateError as second:
            return DeployError(f"{error}\nThe desired count stays {service.desired_count}: {second}", error.advice)
        return DeployError(f"{error}\nThe desired count stays {service.desired_count}.", error.advice)
