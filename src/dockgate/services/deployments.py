"""Deploying: a new revision for an approved digest, and what runs made to agree with it."""

import json
import tarfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dockgate.delivery import pipeline as pipeline_logic
from dockgate.delivery.model import ActionKey, TaskDefinition
from dockgate.services.actions import IMAGE_DEFINITIONS, Done, definition_of
from dockgate.services.dependencies import Dependencies
from dockgate.services.verdicts import Place, Verdicts
from dockgate.shared.errors import DeployError


class Deploys:
    """`locks` has a lock for each service: its tasks are changed by one thread at a time."""

    def __init__(self, parts: Dependencies, verdicts: Verdicts, locks: Mapping[str, threading.Lock]) -> None:
        self._parts = parts
        self._store = parts.store
        self._verdicts = verdicts
        self._locks = locks

    def register_revision(self, key: ActionKey) -> TaskDefinition:
        """A new revision of the service's task definition holding the approved image."""
        pipeline, action = definition_of(self._store, key)
        name = str(action.configuration["service"])
        artifact = pipeline_logic.find_artifact(pipeline, self._store.executions.runs(key.execution), action.input)
        with self._locks[name]:
            service = self._store.services.get(name)
            definition = self._store.services.definition(name, service.revision)
            image = _image_of(self._store.blobs.path(artifact), definition.container)
            self._demand(key, name, image)
            return self._store.services.register(name, replace(definition, image=image), str(key))

    def deploy(self, key: ActionKey, definition: TaskDefinition) -> Done:
        """Brings the service to the revision, and points it there; what ran before runs again when that fails.

        It is asked again whether it may: since the revision was registered, time may have passed.
        """
        name = definition.family
        with self._locks[name]:
            self._demand(key, name, definition.image)
            service = self._store.services.get(name)
            before = self._store.services.definition(name, service.revision)
            definition = self._on_top_of(before, definition, key)
            self._store.logs.append(key, f"{name}: revision {definition.revision}, {definition.image}")
            previous = before if before.image else None
            deployment = self._parts.targets[service.target].deploy(service, definition, previous)
            for task in deployment.tasks:
                self._store.logs.append(key, f"{name}: task {task.id} is {task.state}, {task.digest}")
            self._store.services.set_revision(name, definition.revision, key.execution)
        return Done({"SERVICE": name, "REVISION": str(definition.revision)})

    def _on_top_of(self, present: TaskDefinition, definition: TaskDefinition, key: ActionKey) -> TaskDefinition:
        """The revision to deploy: the service may have been changed since this one was registered, or this deploy may
        be done already."""
        if present.settings == definition.settings:
            return definition
        if present.image == definition.image and self._store.services.deployed_by(present.family) == key.execution:
            return present
        wanted = replace(present, image=definition.image)
        return self._store.services.register(present.family, wanted, f"{key} above {present.revision}")

    def _demand(self, key: ActionKey, service: str, image: str) -> None:
        """The action is still wanted, no newer execution came before it, and the digest is approved as of now."""
        if self._store.executions.run(key).state.is_final:
            raise DeployError(f"{key} was stopped")
        last = self._store.services.deployed_by(service)
        if last:
            ours, theirs = self._store.executions.get(key.execution), self._store.executions.get(last)
            if ours.pipeline == theirs.pipeline and ours.number < theirs.number:
                raise DeployError(
                    f"superseded: {theirs.id} has been deployed to {service} since",
                    "To go back to this commit, push a commit that reverts the later ones.",
                )
        name, _, digest = image.partition("@")
        place = Place(name.removeprefix(f"{self._parts.registry.address}/"), service, key.execution)
        self._verdicts.require_approval(digest, f"deploy/{key}", place)


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
