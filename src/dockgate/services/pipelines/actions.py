"""The actions source and build.

Each method is one effect: keyed, so that a repetition ends in the same state. `approvals/requests.py` has the approval
action, `deployments.py` the deploy action.
"""

import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dockgate.delivery import pipeline as pipeline_logic
from dockgate.delivery.model import Action, ActionKey, Pipeline
from dockgate.delivery.ports import Builder, BuildRequest, BuildResult
from dockgate.delivery.registry_access import SERVER
from dockgate.delivery.source_ports import Source
from dockgate.delivery.trigger import is_fresh
from dockgate.services.clock import ServerClock
from dockgate.services.verdicts.provenance import Provenance
from dockgate.shared.errors import BuildError, ConflictError, UsageError
from dockgate.shared.references import (
    ImageReference,
    RepositoryReference,
    name_own_repository,
    parse_repository,
    strip_registry,
)
from dockgate.store import Store
from dockgate.store.records import PushedImage

# The file of a build's artifact, in CodePipeline's format for ECS:
# [{"name": container, "imageUri": "<repository>@sha256:…"}]
IMAGE_DEFINITIONS = "imagedefinitions.json"


@dataclass(frozen=True, slots=True)
class ActionResult:
    """The results of an action that succeeded: variables, and its artifact's digest."""

    variables: dict[str, str] = field(default_factory=dict)
    artifact: str | None = None


def read_definition(store: Store, key: ActionKey) -> tuple[Pipeline, Action]:
    """Return the pipeline, in the execution's version of it, and the action."""
    execution = store.executions.get(key.execution)
    pipeline = store.pipelines.get(execution.pipeline, execution.pipeline_version)
    return pipeline, pipeline.get_action(key.stage, key.action)


@dataclass(frozen=True, slots=True)
class Actions:
    """The work of source and build actions.

    `registry` is the address of our own registry, `secret` makes tags that a client cannot guess, and `scratch` is a
    folder for build contexts. `fence` waits until this process may push what it has built.
    """

    store: Store
    source: Source
    builder: Builder
    provenance: Provenance
    clock: ServerClock
    registry: str
    secret: str = field(repr=False)
    scratch: Path
    fence: Callable[[], None] = lambda: None

    def fetch_source(self, key: ActionKey) -> ActionResult:
        """Store the commit that triggered the execution, or the branch's head, as an artifact."""
        _, action = read_definition(self.store, key)
        repository, branch = str(action.configuration["repository"]), str(action.configuration["branch"])
        trigger = self.store.executions.get(key.execution).trigger
        is_triggered = trigger.get("repository") == repository and trigger.get("branch") == branch
        commit = self.source.get_commit(repository, trigger["commit"] if is_triggered else branch)
        blobs, archive = self.store.blobs, self.source.archive
        artifact = blobs.put(lambda into: archive(repository, commit.id, into, blobs.count_free_bytes))
        return ActionResult(
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

    def build(self, key: ActionKey) -> BuildResult:
        """Build and push the image. ConflictError if the action was stopped while it waited for a worker."""
        if self.store.executions.get_run(key).state.is_final:
            raise ConflictError(f"{key} was stopped", "Start the pipeline again to build.")
        pipeline, action = read_definition(self.store, key)
        runs = self.store.executions.list_runs(key.execution)
        artifact = pipeline_logic.find_artifact(pipeline, runs, action.input)
        variables = pipeline_logic.collect_variables(pipeline, runs)
        arguments = action.configuration["args"]
        if not isinstance(arguments, dict):
            raise UsageError(f"{key}: args is not a mapping", "Write `args: {NAME: value}` in the pipeline.")
        with tempfile.TemporaryDirectory(prefix="build-", dir=self.scratch) as folder:
            context = Path(folder)
            unpack_source(self.store.blobs.get_path(artifact), context)
            request = BuildRequest(
                key=key.tag(self.secret),
                repository=str(action.configuration["image"]),
                context=context,
                dockerfile=str(action.configuration["dockerfile"]),
                args={name: pipeline_logic.resolve_variables(value, variables) for name, value in arguments.items()},
                fence=self.fence,
                is_fresh=is_fresh(self.store.executions.get(key.execution).trigger),
            )
            return self.builder.build(request, lambda lines: self.store.logs.append(key, *lines))

    def record_build(self, key: ActionKey, result: BuildResult) -> ActionResult:
        """Write imagedefinitions.json, and record the push, pulled bases and provenance.

        The push is recorded here too, because the registry's notification may be lost with the registry.
        """
        pipeline, action = read_definition(self.store, key)
        digest = result.digest
        repository = str(RepositoryReference(str(action.configuration["image"]), self.registry))
        image = str(ImageReference(repository, digest))
        body = json.dumps([{"name": action.configuration["container"], "imageUri": image}]).encode()

        def write(into: Path) -> None:
            with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as tar:
                member = tarfile.TarInfo(IMAGE_DEFINITIONS)
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))

        artifact = self.store.blobs.put(write)
        name = str(action.configuration["image"])
        tag = key.tag(self.secret)
        self.store.images.add_push(PushedImage(name, tag, digest, self.clock.now(), SERVER))
        for base in result.bases:
            base_repository = parse_repository(base.reference)
            name_in_registry = strip_registry(base_repository, self.registry)
            if name_in_registry != base_repository:
                own_name = name_own_repository(name_in_registry, self.registry)
                self.store.image_uses.record_pull(own_name, base.digest, self.clock.now())
        self.provenance.record(key, pipeline, action, result)
        return ActionResult({"IMAGE_DIGEST": digest, "IMAGE_REPOSITORY": name, "IMAGE_TAG": tag}, artifact)


def read_image_definitions(artifact: Path) -> bytes | None:
    """The file imagedefinitions.json of a build's artifact, None if it is not a file.

    Raises KeyError for an artifact without one, tarfile.TarError for one that is not an archive.
    """
    with tarfile.open(artifact) as tar:
        member = tar.extractfile(IMAGE_DEFINITIONS)
        return member.read() if member else None


def unpack_source(archive: Path, into: Path) -> None:
    """Unpack a source artifact with tar(1), which never writes outside the folder.

    Modes and owners are not restored: a build reads the files as another user.
    """
    command = [
        "tar",
        "--extract",
        "--no-same-owner",
        "--no-same-permissions",
        f"--file={archive}",
        f"--directory={into}",
    ]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, umask=0o022)
    if result.returncode:
        raise BuildError(
            f"cannot unpack the source: {result.stderr.strip()[-500:]}",
            "Remove the file that the message names from the repository.",
        )
