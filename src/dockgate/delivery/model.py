"""The nouns of delivery: pipelines and executions, approvals, services and tasks.

Pipelines have CodePipeline's nouns and meanings, deployments those of ECS.
"""

import hmac
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dockgate.identity.model import Role
from dockgate.shared.references import ImageReference

# The name of an image repository (OCI distribution specification 1.1, "Pulling manifests").
REPOSITORY = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"


class ActionType(StrEnum):
    """What an action does."""

    SOURCE = "source"
    BUILD = "build"
    APPROVAL = "approval"
    DEPLOY = "deploy"


class RunState(StrEnum):
    """The state of an execution, a stage, an action or a rollout.

    Only an action can be WAITING: for a person, a scan or another answer that no computation gives.
    """

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    WAITING = "Waiting"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def is_final(self) -> bool:
        """Whether the state never changes again."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED)


@dataclass(frozen=True, slots=True)
class Action:
    """A step of a stage.

    `input` and `output` name artifacts. Other actions refer to the action's variables by `namespace`:
    `#{BuildVariables.IMAGE_DIGEST}`. Only workers that have all `labels` run it.
    """

    name: str
    type: ActionType
    run_order: int = 1
    input: str = ""
    output: str = ""
    namespace: str = ""
    configuration: dict[str, object] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """A group of actions. Stages run one after the other."""

    name: str
    actions: tuple[Action, ...]


class FixAction(StrEnum):
    """What a pipeline does when a fix for its rejected image is found: `fixes.Fix`."""

    NOTIFY = "notify"
    BRANCH = "branch"
    REBUILD = "rebuild"


@dataclass(frozen=True, slots=True)
class FixSettings:
    """What happens with fixes, at most `per_day` times within 24 hours."""

    action: FixAction
    per_day: int = 1


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline's definition. `version` starts at 1 and grows by 1 with each change.

    `on_fix` is None where fixes are not looked for.
    """

    name: str
    stages: tuple[Stage, ...]
    version: int = 1
    on_fix: FixSettings | None = None

    def stage(self, name: str) -> Stage:
        """The stage of this name. Raises StopIteration for an unknown one."""
        return next(stage for stage in self.stages if stage.name == name)

    def action(self, stage: str, name: str) -> Action:
        """The action of this name in the stage. Raises StopIteration for an unknown one."""
        return next(action for action in self.stage(stage).actions if action.name == name)


@dataclass(frozen=True, slots=True)
class ActionKey:
    """Identifies one attempt of one action. Its text is the key of every side effect of the attempt."""

    execution: str
    stage: str
    action: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.execution}/{self.stage}/{self.action}/{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> "ActionKey":
        """Read "execution/stage/action/attempt". Raises ValueError for other text."""
        execution, stage, action, attempt = text.split("/")
        return cls(execution, stage, action, int(attempt))

    def tag(self, secret: str) -> str:
        """The key as an image tag, valid by the OCI distribution specification (at most 128 characters).

        Without the secret, no one can predict the tag and push another image under it first.
        """
        return f"{self.execution}-{hmac.new(secret.encode(), str(self).encode(), 'sha256').hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class ActionRun:
    """One attempt of an action.

    `variables` are those that it exports, `artifact` is the digest of its output artifact ("" for none).
    """

    key: ActionKey
    state: RunState
    reason: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    artifact: str = ""
    started_at: str = ""
    finished_at: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a pipeline.

    `number` counts from 1 for each pipeline; `id` is "<pipeline>-<number>". `trigger` says what started it and who
    (`pipeline.starters`).
    """

    id: str
    pipeline: str
    number: int
    pipeline_version: int
    state: RunState
    trigger: dict[str, str]
    reason: str = ""
    started_at: str = ""
    finished_at: str = ""


class ApprovalId(str):
    """The id of an approval: the key of the action that waits for it, or "external/…" if an outside pipeline asked."""

    __slots__ = ()
    _EXTERNAL = "external/"

    @classmethod
    def external(cls, *parts: str) -> "ApprovalId":
        """Make the id of an approval that an outside pipeline requests."""
        return cls(cls._EXTERNAL + "/".join(parts))

    @property
    def is_external(self) -> bool:
        """Whether an outside pipeline requested the approval."""
        return self.startswith(self._EXTERNAL)

    @property
    def action(self) -> ActionKey | None:
        """The action that waits for the approval; None if an outside pipeline requested it."""
        return None if self.is_external else ActionKey.parse(self)


class ApprovalState(StrEnum):
    """The state of an approval; all but WAITING are final."""

    WAITING = "Waiting"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    EXPIRED = "Expired"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class Approvers:
    """The people who must approve in addition to the policy.

    `count` people are needed, each named in `principals` or with one of `roles` (both empty: everyone with the
    permission to decide). With `exclude_committer` the votes of contributors do not count (`contributors`).
    """

    principals: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    count: int = 1
    exclude_committer: bool = True


@dataclass(frozen=True, slots=True)
class Vote:
    """A person's vote on an approval. `yes` is False for a rejection."""

    approval: str
    who: str
    yes: bool
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class Approval:
    """A request to deploy an image that waits for an answer, or has one.

    `id` is the waiting action's key, or starts with "external/". A person must send `token` with an answer.
    `image` is the digest to evaluate, `repository` one of our registry, or one of another registry with its host
    ("quay.io/team/app"). `reference` and `pipeline` are what an outside pipeline asked for and its name ("" for our
    own pipelines), `service` is the service to deploy to, `asked_by` a principal.
    `verdict` is the digest of the verdict that settled it, or that approved while people have not voted yet.
    `decided_by` is a name or "policy". `approvers` is None when no person has to approve; `committers` are the names
    and e-mail addresses of the contributors at the time of the request.
    """

    id: str
    token: str
    image: str
    repository: str
    policy: str
    custom_data: str
    created_at: str
    expires_at: str
    state: ApprovalState = ApprovalState.WAITING
    summary: str = ""
    verdict: str = ""
    decided_by: str = ""
    settled_at: str = ""
    reference: str = ""
    pipeline: str = ""
    service: str = ""
    asked_by: str = ""
    approvers: Approvers | None = None
    committers: tuple[str, ...] = ()

    @property
    def action(self) -> ActionKey | None:
        """The waiting action; None for a request from outside."""
        return ApprovalId(self.id).action


@dataclass(frozen=True, slots=True)
class Answer:
    """How an approval ends. `summary` has at most `summaries.SUMMARY_LIMIT` characters."""

    state: ApprovalState
    summary: str
    verdict: str = ""
    decided_by: str = "policy"


class TaskState(StrEnum):
    """The state of a task, in ECS's words."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    UNHEALTHY = "UNHEALTHY"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A published port. With `host_port` 0 the engine chooses one."""

    container_port: int
    host_port: int = 0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """An HTTP GET that must answer below 400 (`http_port`, `http_path`), or a command that must exit 0.

    It runs every `interval` seconds and may take `timeout` seconds. A task that is not healthy within `start_period`
    seconds fails the deployment.
    """

    http_port: int = 0
    http_path: str = "/"
    command: tuple[str, ...] = ()
    interval: float = 1.0
    timeout: float = 5.0
    start_period: float = 60.0


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """A revision of what to run. `image` is None before the first deployment."""

    family: str
    revision: int
    container: str
    image: ImageReference | None
    ports: tuple[PortMapping, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    health_check: HealthCheck | None = None
    network: str = "bridge"

    @property
    def has_fixed_port(self) -> bool:
        """Whether a task takes a port of the host, so that a second task cannot run beside it."""
        return self.network == "host" or any(port.host_port for port in self.ports)

    @property
    def settings(self) -> "TaskDefinition":
        """The definition without image and revision, which a deployment adds."""
        return replace(self, image=None, revision=0)


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs `desired_count` tasks of a task definition's revision.

    `at_risk` is why its policy would reject the running image now ("": it would not), `at_risk_until` the deadline
    (RFC 3339). `cannot_judge`: why its policy cannot judge it now, None if it can; that alone never puts it at risk.
    """

    name: str
    target: str
    desired_count: int
    revision: int
    at_risk: str = ""
    at_risk_until: str = ""
    cannot_judge: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A container of a service.

    `digest` is the manifest digest that the engine reports; `ports` are pairs of container port and host port.
    """

    id: str
    service: str
    revision: int
    state: TaskState
    digest: str
    started_at: str
    reason: str = ""
    ports: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """The result of a deployment: the tasks that run now."""

    service: str
    revision: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """A requested change of a service; None keeps a value. Image and revision of `definition` are ignored."""

    target: str | None = None
    desired_count: int | None = None
    definition: TaskDefinition | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """A change of a service in progress: `desired_count` tasks of `definition` on `target`.

    The service changes when the rollout succeeds, and only then. `number` counts from 1 for each service. `definition`
    has neither image nor revision: it gets the image that the service has when the rollout starts. `revision` is what
    was deployed, None unless it succeeded. `state` is IN_PROGRESS, SUCCEEDED or FAILED. Times are RFC 3339, "" means
    "not yet".
    """

    service: str
    number: int
    target: str
    desired_count: int
    definition: TaskDefinition
    state: RunState = RunState.IN_PROGRESS
    reason: str = ""
    revision: int | None = None
    started_at: str = ""
    started_by: str = ""
    finished_at: str = ""

    @property
    def id(self) -> str:
        """ "<service>/<number>"."""
        return f"{self.service}/{self.number}"


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """Something that happened to a service without a person's request, such as a restart. `key` is unique to it."""

    key: str
    service: str
    at: str
    message: str
