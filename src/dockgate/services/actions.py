"""What each type of action does. Every function is one effect: keyed, so that doing it again ends in the same state."""

import io
import json
import secrets
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from dockgate.delivery import pipeline as pipeline_logic
from dockgate.delivery.approval_request import ApprovalRequest, qualified
from dockgate.delivery.model import Action, ActionKey, ActionType, Approval, Approvers, Pipeline
from dockgate.delivery.ports import BuildRequest, BuildResult
from dockgate.delivery.registry_access import SERVER
from dockgate.delivery.webhook_delivery import made_secret
from dockgate.events.ports import Notice
from dockgate.services.contributors import ContributorFinder
from dockgate.services.dependencies import Dependencies
from dockgate.services.notifications import notify
from dockgate.services.repository_policy import policy_for
from dockgate.services.verdicts import Verdicts
from dockgate.shared import canonical
from dockgate.shared.errors import BuildError, UsageError
from dockgate.store import Store
from dockgate.store.records import PushedImage, Scan

IMAGE_DEFINITIONS = "imagedefinitions.json"
"""the artifact's file, in CodePipeline's form for ECS: [{"name": container, "imageUri": "<repository>@sha256:…"}]"""


@dataclass(frozen=True, slots=True)
class Done:
    """What an action that succeeded leaves behind."""

    variables: dict[str, str] = field(default_factory=dict)
    artifact: str = ""


def definition_of(store: Store, key: ActionKey) -> tuple[Pipeline, Action]:
    """The pipeline, in the version that the execution has, and the action in it."""
    execution = store.executions.get(key.execution)
    pipeline = store.pipelines.get(execution.pipeline, execution.pipeline_version)
    return pipeline, pipeline.action(key.stage, key.action)


class Actions:
    def __init__(self, parts: Dependencies, verdicts: Verdicts) -> None:
        self._parts = parts
        self._store = parts.store
        self._verdicts = verdicts

    # --- source --------------------------------------------------------------------------------------------------

    def source(self, key: ActionKey) -> Done:
        """The commit that triggered the execution, or the branch's head, as an artifact."""
        _, action = definition_of(self._store, key)
        repository, branch = str(action.configuration["repository"]), str(action.configuration["branch"])
        trigger = self._store.executions.get(key.execution).trigger
        ours = trigger.get("repository") == repository and trigger.get("branch") == branch
        commit = self._parts.source.commit(repository, trigger["commit"] if ours else branch)
        blobs, archive = self._store.blobs, self._parts.source.archive
        artifact = blobs.put(lambda into: archive(repository, commit.id, into, blobs.room))
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

    def build(self, key: ActionKey) -> BuildResult:
        """Build and push."""
        pipeline, action = definition_of(self._store, key)
        runs = self._store.executions.runs(key.execution)
        artifact = pipeline_logic.find_artifact(pipeline, runs, action.input)
        known = pipeline_logic.collect_variables(pipeline, runs)
        arguments = action.configuration["args"]
        if not isinstance(arguments, dict):
            raise UsageError(f"{key}: args is not a mapping")
        with tempfile.TemporaryDirectory(prefix="build-", dir=self._parts.scratch) as folder:
            context = Path(folder)
            _unpack(self._store.blobs.path(artifact), context)
            request = BuildRequest(
                key=key.tag(self._parts.secret),
                repository=str(action.configuration["image"]),
                context=context,
                dockerfile=str(action.configuration["dockerfile"]),
                args={name: pipeline_logic.resolve_variables(value, known) for name, value in arguments.items()},
            )
            return self._parts.builder.build(request, lambda line: self._store.logs.append(key, line))

    def image_definitions(self, key: ActionKey, built: BuildResult) -> Done:
        """Writes imagedefinitions.json and exports the digest, as the reference solution's build does.

        What was pushed is written down here too: the registry's notification may be lost with the registry.
        """
        pipeline, action = definition_of(self._store, key)
        digest = built.digest
        repository = f"{self._parts.registry.address}/{action.configuration['image']}"
        body = json.dumps([{"name": action.configuration["container"], "imageUri": f"{repository}@{digest}"}]).encode()

        def write(into: Path) -> None:
            with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as tar:
                member = tarfile.TarInfo(IMAGE_DEFINITIONS)
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))

        artifact = self._store.blobs.put(write)
        name = str(action.configuration["image"])
        tag = key.tag(self._parts.secret)
        self._store.images.add_push(PushedImage(name, tag, digest, self._parts.now(), SERVER))
        self._verdicts.provenance.record(key, pipeline, action, built)
        return Done({"IMAGE_DIGEST": digest, "IMAGE_REPOSITORY": name, "IMAGE_TAG": tag}, artifact)

    # --- approval ------------------------------------------------------------------------------------------------

    def request_approval(self, key: ActionKey) -> Scan:
        """Writes the approval's half of the rendezvous: the wish for a scan, the notice that an approval is needed, and
        then the row with its token, which may be answered from that moment on. A sweep answers what waits beside a scan
        that has failed."""
        pipeline, action = definition_of(self._store, key)
        known = pipeline_logic.collect_variables(pipeline, self._store.executions.runs(key.execution))
        image = pipeline_logic.resolve_variables(str(action.configuration["image"]), known)
        if not image.startswith("sha256:"):
            raise UsageError(
                f"{image!r} is not a digest", "Set `image` to a variable such as #{BuildVariables.IMAGE_DIGEST}."
            )
        timeout = action.configuration["timeout"]
        repository = qualified(self._repository(image, known), self._parts.registry.address)
        named = self._verdicts.choose_for_pipeline(repository, str(action.configuration.get("policy", "")))
        policy = policy_for(self._parts, pipeline, key, named)
        scan = self._store.images.request_scan(image, repository, self._parts.now())
        approval = Approval(
            id=str(key),
            token=secrets.token_urlsafe(24),
            image=image,
            repository=repository,
            policy=policy,
            custom_data=f"Image_Digest={image}",
            created_at=self._parts.now(),
            expires_at=self._parts.later(float(str(timeout))),
            service=_service(pipeline),
            approvers=_approvers(action.configuration.get("approvers")),
            committers=ContributorFinder(self._parts).of(key).listed,
        )
        self._verdicts.provenance.look(repository, image, policy)
        notify(self._parts, _needed(approval))
        self._store.approvals.add(approval)
        self._store.executions.wait(key)
        return scan

    def ask(self, question: ApprovalRequest, repository: str, digest: str, who: str) -> Approval:
        """The approval of a question from outside, and the delivery of its answer; it finishes no action."""
        approval_id = question.id(repository, digest)
        self._verdicts.provenance.look(repository, digest, question.policy)
        callback = question.callback
        if callback is not None and not callback.secret:
            callback = replace(callback, secret=made_secret(self._parts.secret, approval_id))
        return self._store.approvals.add(
            Approval(
                id=approval_id,
                token=secrets.token_urlsafe(24),
                image=digest,
                repository=repository,
                policy=question.policy,
                custom_data=f"Image_Digest={digest}",
                created_at=self._parts.now(),
                expires_at=self._parts.later(question.timeout),
                reference=question.reference,
                pipeline=question.pipeline,
                service=question.service,
                asked_by=who,
            ),
            callback,
        )

    def _repository(self, image: str, known: dict[str, dict[str, str]]) -> str:
        """Where the image lies: the namespace that gave its digest says, else any push of it that we saw."""
        for variables in known.values():
            if variables.get("IMAGE_DIGEST") == image:
                return variables["IMAGE_REPOSITORY"]
        for pushed in self._store.images.pushed_images():
            if pushed.digest == image:
                return pushed.repository
        raise UsageError(
            f"nothing is known of {image}", "Push the image to the registry before asking for its approval."
        )


def _needed(approval: Approval) -> Notice:
    """The message that the reference solution sends to its topic, without the token: that is for `approval show`."""
    pipeline, stage, action = approval.id.split("/")[:3]
    return Notice(
        key=f"approval/{approval.id}",
        kind="Approval Needed",
        title=f"{pipeline}: {stage}/{action} waits for a verdict on {approval.repository}",
        body=approval.custom_data,
        detail={"approval": approval.id, "image": approval.image, "expires": approval.expires_at},
    )


def _service(pipeline: Pipeline) -> str:
    """What the pipeline deploys to: the service of its first deploy action, "" for none."""
    actions = (action for stage in pipeline.stages for action in stage.actions)
    return next((str(one.configuration["service"]) for one in actions if one.type is ActionType.DEPLOY), "")


def _approvers(configured: object) -> Approvers | None:
    """As the pipeline's definition has them."""
    return None if configured is None else canonical.build(Approvers, configured)


def _unpack(archive: Path, into: Path) -> None:
    """Unpacks a source artifact with tar(1), which never writes outside the folder; modes and owners are ours: a build
    reads the files as another user."""
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
            f"the source cannot be unpacked: {result.stderr.strip()[-500:]}", "Remove that file from the repository."
        )
