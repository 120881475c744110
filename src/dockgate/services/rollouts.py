"""Carrying out a rollout: a changed service is deployed, and changes when its tasks are healthy."""

import threading
from collections.abc import Mapping
from dataclasses import replace

from dockgate.delivery.model import Rollout, Service, State, TaskDefinition
from dockgate.services.dependencies import Dependencies
from dockgate.services.verdicts import Place, Verdicts
from dockgate.shared.errors import DeployError, DockgateError


class Rollouts:
    """`locks` has a lock for each service: its tasks are changed by one thread at a time."""

    def __init__(self, parts: Dependencies, verdicts: Verdicts, locks: Mapping[str, threading.Lock]) -> None:
        self._parts = parts
        self._store = parts.store
        self._verdicts = verdicts
        self._locks = locks

    def run(self, name: str, number: int) -> None:
        """Bring the service to the goal of the rollout. Does nothing when the rollout is over.

        A changed definition is a deploy of the image that runs: it has to be approved as of now. DeployError when it is
        not, or when tasks do not become healthy: then the tasks from before run again, and the service is as before.
        """
        with self._locks[name]:
            rollout = self._store.rollouts.get(name, number)
            if rollout.state.is_final:
                return
            service = self._store.services.get(name)
            present = self._store.services.definition(name, service.revision)
            definition = self._register(rollout, present)
            if definition.image:
                if definition.revision != present.revision:
                    self._require_approval(rollout, definition.image)
                self._deploy(rollout, definition, service, present)
            self._store.rollouts.end(rollout, State.SUCCEEDED, definition.revision, "", self._parts.now())

    def fail(self, name: str, number: int, reason: str) -> None:
        rollout = self._store.rollouts.get(name, number)
        self._store.rollouts.end(rollout, State.FAILED, None, reason, self._parts.now())

    def _register(self, rollout: Rollout, present: TaskDefinition) -> TaskDefinition:
        """The revision to deploy: the goal of the rollout with the image that the service has now."""
        if rollout.definition == present.settings:
            return present
        wanted = replace(rollout.definition, image=present.image)
        return self._store.services.register(rollout.service, wanted, f"rollout/{rollout.id} of {present.revision}")

    def _require_approval(self, rollout: Rollout, image: str) -> None:
        name, _, digest = image.partition("@")
        repository = name.removeprefix(f"{self._parts.registry.address}/")
        place = Place(repository, rollout.service, self._store.services.deployed_by(rollout.service))
        self._verdicts.require_approval(digest, f"rollout/{rollout.id}", place)

    def _deploy(self, rollout: Rollout, definition: TaskDefinition, service: Service, present: TaskDefinition) -> None:
        is_moved = rollout.target != service.target
        wanted = replace(service, target=rollout.target, desired_count=rollout.desired_count)
        try:
            self._parts.targets[rollout.target].deploy(wanted, definition, None if is_moved else present)
        except DeployError as error:
            if is_moved or wanted.desired_count == service.desired_count:
                raise
            raise self._restore_count(service, present, error) from error

    def _restore_count(self, service: Service, present: TaskDefinition, error: DeployError) -> DeployError:
        """Run as many tasks as before. Return the error to raise, which says how that went."""
        try:
            self._parts.targets[service.target].deploy(service, present, present)
        except DockgateError as second:
            return DeployError(f"{error}\nThe desired count stays {service.desired_count}: {second}", error.advice)
        return DeployError(f"{error}\nThe desired count stays {service.desired_count}.", error.advice)
