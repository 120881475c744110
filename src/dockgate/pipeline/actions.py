"""What each type of action does. Every function is one effect: keyed, so that doing it again ends in the same state."""

import json
import secrets
import subprocess
import tarfile
import tempfile
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from dockgate.core import pipeline as core
from dockgate.core.approvals import Approval
from dockgate.core.deploy import TaskDefinition
from dockgate.core.errors import BuildError, DeployError, UsageError
from dockgate.core.pipeline import Action, ActionKey, Pipeline
from dockgate.core.ports import BuildRequest, Notice
from dockgate.core.stores import PushedImage, Scan
from dockgate.pipeline.judging import Judging
from dockgate.pipeline.parts import Parts

IMAGE_DEFINITIONS = "imagedefinitions.json"
"""the artifact's file, in CodePipeline's form for ECS: [{"name": container, "imageUri": "<repository>@sha256:…"}]"""


@dataclass(frozen=True, slots=True)
class Done:
    """What an action that succeeded leaves behind."""

    variables: dict[str, str] = field(default_factory=dict)
    artifact: str = ""


class Actions:
    def __init__(self, parts: Parts, judging: Judging) -> None:
        self._parts = parts
        self._store = parts.store
        self._judging = judging
        self._deploying: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def definition(self, key: ActionKey) -> tuple[Pipeline, Action]:
        execution = self._store.executions.get(key.execution)
        pipeline = self._store.pipelines.get(execution.pipeline, execution.pipeline_version)
        return pipeline, pipeline.action(key.stage, key.action)

    # --- source --------------------------------------------------------------------------------------------------

    def source(self, key: ActionKey) -> Done:
        """The commit that triggered the execution, or the branch's head, as an artifact."""
        _, action = self.definition(key)
        repository, branch = str(action.configuration["repository"]), str(action.configuration["branch"])
        trigger = self._store.executions.get(key.execution).trigger
        ours = trigger.get("repository") == repository and trigger.get("branch") == branch
        commit = self._parts.source.commit(repository, trigger["commit"] if ours else branch)
        artifact = self._store.blobs.put(lambda into: self._parts.source.archive(repository, commit.id, into))
        return Done(
            {
                "RepositoryName": repository,
                "BranchName": branch,
                "CommitId": commit.id,
                "CommitMessage": commit.message.strip(),
                "Author": commit.author,
                "AuthorDate": commit.time,
            },
            artifact,
        )

    # --- build ---------------------------------------------------------------------------------------------------

    def build(self, key: ActionKey) -> str:
        """Builds and pushes; returns the digest."""
        pipeline, action = self.definition(key)
        runs = self._store.executions.runs(key.execution)
        artifact = core.artifact(pipeline, runs, action.input)
        known = core.variables(pipeline, runs)
        arguments = action.configuration["args"]
        if not isinstance(arguments, dict):
            raise UsageError(f"{key}: args is not a mapping")
        with tempfile.TemporaryDirectory(prefix="dockgate-build-") as folder:
            context = Path(folder)
            _unpack(self._store.blobs.path(artifact), context)
            request = BuildRequest(
                key=key.tag,
                repository=str(action.configuration["image"]),
                context=context,
                dockerfile=str(action.configuration["dockerfile"]),
                args={name: core.resolve(value, known) for name, value in arguments.items()},
            )
            return self._parts.builder.build(request, lambda line: self._store.logs.append(key, line))

    def image_definitions(self, key: ActionKey, digest: str) -> Done:
        """Writes imagedefinitions.json and exports the digest, as the reference solution's build does.

        What was pushed is written down here too: the registry's notification may be lost with the registry.
        """
        _, action = self.definition(key)
        repository = f"{self._parts.registry.address}/{action.configuration['image']}"
        body = json.dumps([{"name": action.configuration["container"], "imageUri": f"{repository}@{digest}"}])

        def write(into: Path) -> None:
            with tempfile.TemporaryDirectory(prefix="dockgate-artifact-") as folder:
                file = Path(folder, IMAGE_DEFINITIONS)
                file.write_text(body, encoding="utf-8")
                with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as tar:
                    tar.add(file, IMAGE_DEFINITIONS, filter=_anonymous)

        artifact = self._store.blobs.put(write)
        name = str(action.configuration["image"])
        self._store.images.pushed(PushedImage(name, key.tag, digest, self._parts.now()))
        return Done({"IMAGE_DIGEST": digest, "IMAGE_REPOSITORY": name, "IMAGE_TAG": key.tag}, artifact)

    # --- approval ------------------------------------------------------------------------------------------------

    def request_approval(self, key: ActionKey) -> tuple[Approval, Scan]:
        """Writes the approval's half of the rendezvous: the row with its token, and the wish for a scan."""
        pipeline, action = self.definition(key)
        known = core.variables(pipeline, self._store.executions.runs(key.execution))
        image = core.resolve(str(action.configuration["image"]), known)
        if not image.startswith("sha256:"):
            raise UsageError(
                f"{image!r} is no digest", "Set `image` to a variable such as #{BuildVariables.IMAGE_DIGEST}."
            )
        policy = self._parts.policies(str(action.configuration["policy"]))
        timeout = action.configuration["timeout"]
        approval = self._store.approvals.add(
            Approval(
                id=str(key),
                token=secrets.token_urlsafe(24),
                image=image,
                repository=self._repository(image, known),
                policy=policy.name,
                custom_data=f"Image_Digest={image}",
                created_at=self._parts.now(),
                expires_at=self._parts.later(float(str(timeout))),
            )
        )
        self._store.executions.wait(key)
        return approval, self._store.images.request_scan(image, approval.repository, self._parts.now())

    def _repository(self, image: str, known: dict[str, dict[str, str]]) -> str:
        """Where the image lies: the namespace that gave its digest says, else any push of it that we saw."""
        for variables in known.values():
            if variables.get("IMAGE_DIGEST") == image:
                return variables["IMAGE_REPOSITORY"]
        for pushed in self._store.images.images():
            if pushed.digest == image:
                return pushed.repository
        raise UsageError(
            f"nothing is known of {image}", "Push the image to the registry before asking for its approval."
        )

    def announce(self, approval: Approval) -> None:
        """The message that the reference solution sends to its topic, without the token: that is for `approval
        show`."""
        pipeline, stage, action = approval.id.split("/")[:3]
        self._judging.tell(
            Notice(
                key=f"approval/{approval.id}",
                kind="Approval Needed",
                title=f"{pipeline}: {stage}/{action} waits for a verdict on {approval.repository}",
                body=approval.custom_data,
                detail={"approval": approval.id, "image": approval.image, "expires": approval.expires_at},
            )
        )

    # --- deploy --------------------------------------------------------------------------------------------------

    def register_revision(self, key: ActionKey) -> TaskDefinition:
        """A new revision of the service's task definition holding the approved image."""
        pipeline, action = self.definition(key)
        service = self._store.services.get(str(action.configuration["service"]))
        self._in_order(key, service.name)
        artifact = core.artifact(pipeline, self._store.executions.runs(key.execution), action.input)
        definition = self._store.services.definition(service.name, service.revision)
        image = _image_of(self._store.blobs.path(artifact), definition.container)
        self._judging.demand_approval(image.partition("@")[2], f"deploy/{key}")
        return self._store.services.register(service.name, image, str(key))

    def _in_order(self, key: ActionKey, service: str) -> None:
        """An older execution never replaces what a newer one of the same pipeline deployed."""
        last = self._store.services.deployed_by(service)
        if not last:
            return
        ours, theirs = self._store.executions.get(key.execution), self._store.executions.get(last)
        if ours.pipeline == theirs.pipeline and ours.number < theirs.number:
            raise DeployError(
                f"superseded: execution {theirs.number} has been deployed to {service} since",
                "Push again, or start the pipeline again, to deploy this commit.",
            )

    def deploy(self, key: ActionKey, definition: TaskDefinition) -> None:
        """Brings the service to the revision; what ran before runs again when that fails."""
        name = definition.family
        with self._deploying[name]:
            service = self._store.services.get(name)
            before = self._store.services.definition(name, service.revision)
            previous = before if before.image else None
            self._store.logs.append(key, f"{name}: revision {definition.revision}, {definition.image}")
            deployment = self._parts.targets[service.target].deploy(service, definition, previous)
            for task in deployment.tasks:
                self._store.logs.append(key, f"{name}: task {task.id} is {task.state}, {task.digest}")

    def point(self, key: ActionKey, definition: TaskDefinition) -> Done:
        self._store.services.point(definition.family, definition.revision, key.execution)
        return Done({"SERVICE": definition.family, "REVISION": str(definition.revision)})

    def converge(self, name: str, wait: bool = True) -> None:
        """Makes what runs agree with the service's revision and desired count. Without `wait`, not during a deploy."""
        lock = self._deploying[name]
        if not lock.acquire(blocking=wait):
            return
        try:
            service = self._store.services.get(name)
            definition = self._store.services.definition(name, service.revision)
            if definition.image:
                self._parts.targets[service.target].deploy(service, definition, definition)
        finally:
            lock.release()


def _unpack(archive: Path, into: Path) -> None:
    """Unpacks a source artifact with tar(1), which never writes outside the folder; modes and owners are ours."""
    command = [
        "tar",
        "--extract",
        "--no-same-owner",
        "--no-same-permissions",
        f"--file={archive}",
        f"--directory={into}",
    ]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode:
        raise BuildError(
            f"the source cannot be unpacked: {result.stderr.strip()[-500:]}", "Remove that file from the repository."
        )


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same bytes every time."""
    member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
    return member


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
