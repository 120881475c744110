"""Deploy actions: a new revision for an approved digest, and tasks that run it."""

import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dockgate.delivery import pipeline as pipeline_logic
from dockgate.delivery.deployments import require_image
from dockgate.delivery.model import ActionKey, TaskDefinition
from dockgate.delivery.ports import Target
from dockgate.services.actions import IMAGE_DEFINITIONS, ActionResult, definition_of
from dockgate.services.baselines import DeploymentContext
from dockgate.services.rollouts import ServiceLocks
from dockgate.services.verdicts import Verdicts
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import DeployError
from dockgate.shared.references import ImageReference
from dockgate.store import Store


class Deployments:
    """Deploys images. `registry` is the address of our own registry."""

    def __init__(
        self, store: Store, targets: Mapping[str, Target], verdicts: Verdicts, locks: ServiceLocks, registry: str
    ) -> None:
        self._store = store
        self._targets = targets
        self._verdicts = verdicts
        self._locks = locks
        self._registry = registry

    def register_revision(self, key: ActionKey) -> TaskDefinition:
        """Return a new revision of the service's task definition, with the approved image."""
        pipeline, action = definition_of(self._store, key)
        name = str(action.configuration["service"])
        artifact = pipeline_logic.find_artifact(pipeline, self._store.executions.runs(key.execution), action.input)
        with self._locks[name]:
            service = self._store.services.get(name)
            definition = self._store.services.definition(name, service.revision)
            image = _image_of(self._store.blobs.path(artifact), definition.container)
            self._require_deployable(key, name, image)
            return self._store.services.register(name, replace(definition, image=str(image)), str(key))

    def deploy(self, key: ActionKey, definition: TaskDefinition) -> ActionResult:
        """Run the revision's tasks, and make it the service's revision; on failure the previous tasks run again.

        Whether the image may be deployed is checked again: time may have passed since the revision was registered.
        """
        name = definition.family
        with self._locks[name]:
            self._require_deployable(key, name, require_image(name, definition))
            service = self._store.services.get(name)
            before = self._store.services.definition(name, service.revision)
            definition = self._on_top_of(before, definition, key)
            self._store.logs.append(key, f"{name}: revision {definition.revision}, {definition.image}")
            previous = before if before.image else None
            deployment = self._targets[service.target].deploy(service, definition, previous)
            for task in deployment.tasks:
                self._store.logs.append(key, f"{name}: task {task.id} is {task.state}, {task.digest}")
            self._store.services.set_revision(name, definition.revision, key.execution)
        return ActionResult({"SERVICE": name, "REVISION": str(definition.revision)})

    def _on_top_of(self, present: TaskDefinition, definition: TaskDefinition, key: ActionKey) -> TaskDefinition:
        """The revision to deploy.

        The service may have changed since this one was registered, or this deploy may be done already.
        """
        if present.settings == definition.settings:
            return definition
        if present.image == definition.image and self._store.services.deployed_by(present.family) == key.execution:
            return present
        goal = replace(present, image=definition.image)
        return self._store.services.register(present.family, goal, f"{key} above {present.revision}")

    def _require_deployable(self, key: ActionKey, service: str, image: ImageReference) -> None:
        """DeployError unless the action runs, no newer execution was deployed, and the digest is approved as of now."""
        if self._store.executions.run(key).state.is_final:
            raise DeployError(f"{key} was stopped")
        last = self._store.services.deployed_by(service)
        if last:
            execution, deployed = self._store.executions.get(key.execution), self._store.executions.get(last)
            if execution.pipeline == deployed.pipeline and execution.number < deployed.number:
                raise DeployError(
                    f"superseded: {deployed.id} has been deployed to {service} since",
                    "To go back to this commit, push a commit that reverts the later ones.",
                )
        context = DeploymentContext(image.repository_in(self._registry), service, key.execution)
        self._verdicts.require_approval(image.digest, f"deploy/{key}", context)


def _image_of(artifact: Path, container: str) -> ImageReference:
    """The image that imagedefinitions.json names for this container."""
    try:
        with tarfile.open(artifact) as tar:
            member = tar.extractfile(IMAGE_DEFINITIONS)
            images = {item["name"]: item["imageUri"] for item in json.load(member)} if member else {}
    except (KeyError, TypeError, ValueError, tarfile.TarError) as error:
        raise DeployError(f"cannot read {IMAGE_DEFINITIONS} of the artifact: {error}") from None
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
