"""Deploying: a new revision for an approved digest, and what runs made to agree with it."""

import json
import tarfile
import threading
from collections import defaultdict
from pathlib import Path

from dockgate.core import pipeline as core
from dockgate.core.deploy import Service, TaskDefinition
from dockgate.core.errors import DeployError
from dockgate.core.pipeline import ActionKey
from dockgate.pipeline.actions import IMAGE_DEFINITIONS, Done, definition_of
from dockgate.pipeline.judging import Judging, Place
from dockgate.pipeline.parts import Parts


class Deploys:
    """Whatever changes a service or its tasks holds the service's lock meanwhile."""

    def __init__(self, parts: Parts, judging: Judging) -> None:
        self._parts = parts
        self._store = parts.store
        self._judging = judging
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def register_revision(self, key: ActionKey) -> TaskDefinition:
        """A new revision of the service's task definition holding the approved image."""
        pipeline, action = definition_of(self._store, key)
        name = str(action.configuration["service"])
        artifact = core.artifact(pipeline, self._store.executions.runs(key.execution), action.input)
        with self._locks[name]:
            service = self._store.services.get(name)
            definition = self._store.services.definition(name, service.revision)
            image = _image_of(self._store.blobs.path(artifact), definition.container)
            self._demand(key, name, image)
            return self._store.services.register(name, image, str(key))

    def deploy(self, key: ActionKey, definition: TaskDefinition) -> Done:
        """Brings the service to the revision, and points it there; what ran before runs again when that fails.

        It is asked again whether it may: since the revision was registered, time may have passed.
        """
        name = definition.family
        with self._locks[name]:
            self._demand(key, name, definition.image)
            service = self._store.services.get(name)
            before = self._store.services.definition(name, service.revision)
            if service.revision > definition.revision:  # the service was changed meanwhile: ours comes on top of that
                cause = f"{key} above {service.revision}"
                definition = self._store.services.register(name, definition.image, cause)
            self._store.logs.append(key, f"{name}: revision {definition.revision}, {definition.image}")
            previous = before if before.image else None
            deployment = self._parts.targets[service.target].deploy(service, definition, previous)
            for task in deployment.tasks:
                self._store.logs.append(key, f"{name}: task {task.id} is {task.state}, {task.digest}")
            self._store.services.point(name, definition.revision, key.execution)
        return Done({"SERVICE": name, "REVISION": str(definition.revision)})

    def put(self, service: Service, definition: TaskDefinition) -> Service:
        """Creates or changes a service, not while it is being deployed."""
        with self._locks[service.name]:
            return self._store.services.put(service, definition)

    def converge(self, name: str, wait: bool = True) -> None:
        """Makes what runs agree with the service's revision and desired count. Without `wait`, not during a deploy."""
        if not self._locks[name].acquire(blocking=wait):
            return
        try:
            service = self._store.services.get(name)
            definition = self._store.services.definition(name, service.revision)
            if definition.image:
                self._parts.targets[service.target].deploy(service, definition, definition)
        finally:
            self._locks[name].release()

    def _demand(self, key: ActionKey, service: str, image: str) -> None:
        """The action is still wanted, no newer execution came before it, and the digest is approved as of now."""
        if self._store.executions.run(key).state.over:
            raise DeployError(f"{key} was stopped")
        last = self._store.services.deployed_by(service)
        if last:
            ours, theirs = self._store.executions.get(key.execution), self._store.executions.get(last)
            if ours.pipeline == theirs.pipeline and ours.number < theirs.number:
                raise DeployError(
                    f"superseded: execution {theirs.number} has been deployed to {service} since",
                    "Push again, or start the pipeline again, to deploy this commit.",
                )
        name, _, digest = image.partition("@")
        place = Place(name.removeprefix(f"{self._parts.registry.address}/"), service, key.execution)
        self._judging.demand_approval(digest, f"deploy/{key}", place)


def _image_of(artifact: Path, container: str) -> str:
    """The image that imagedefinitions.json names for this container."""
    try:
        with tarfile.open(artifact) as tar:
            member = tar.extractfile(IMAGE_DEFINITIONS)
            images = {item["name"]: item["imageUri"] for item in json.load(member)} if member else {}
    except (KeyError, TypeError, ValueError, tarfile.TarError) as error:
        raise DeployError(f"the artifact's {IMAGE_DEFINITIONS} cannot be read: {error}") from None
    image = images.get(container)
    if image is None:
        names = ", ".join(sorted(images)) or "none"
        raise DeployError(
            f"{IMAGE_DEFINITIONS} has no image for the container {container!r}",
            f"It names: {names}. Set the build action's `container`.",
        )
    if "@sha256:" not in image:
        raise DeployError(f"{image} is not a digest", "Deploys are by digest, never by tag.")
    return str(image)
