"""The nouns of pipelines, executions and approvals, with CodePipeline's names and meanings."""

import hmac
from dataclasses import dataclass, field
from enum import StrEnum

from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Role
from dockgate.shared.canonical import STORED_AS_EMPTY
from dockgate.shared.text_types import TextType

# The name of an image repository (OCI distribution specification 1.1, "Pulling manifests").
REPOSITORY = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"


class ActionType(StrEnum):
    """The kind of work that an action does."""

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
        """Return whether the state never changes again."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED)


class ExecutionResult(StrEnum):
    """The state of an execution as people see it.

    FAILED is an error. REJECTED and UNDETERMINED are answers of an approval; the state of both is FAILED. The state of
    WAITING is IN_PROGRESS.
    """

    IN_PROGRESS = RunState.IN_PROGRESS.value
    WAITING = RunState.WAITING.value
    FAILED = RunState.FAILED.value
    REJECTED = "Rejected"
    UNDETERMINED = "Undetermined"
    SUCCEEDED = RunState.SUCCEEDED.value
    STOPPED = RunState.STOPPED.value


@dataclass(frozen=True, slots=True)
class Action:
    """A step of a stage.

    `input` and `output` name artifacts, if it has any. Other actions refer to its variables by `namespace`:
    `#{BuildVariables.IMAGE_DIGEST}`. Only workers that have all `labels` run it.
    """

    name: str
    type: ActionType
    run_order: int = 1
    input: str | None = None
    output: str | None = None
    namespace: str | None = None
    configuration: dict[str, object] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """A group of actions. Stages run one after the other."""

    name: str
    actions: tuple[Action, ...]


class FixAction(StrEnum):
    """The reaction of a pipeline when a fix for its rejected image is found: `fixes.Fix`."""

    NOTIFY = "notify"
    BRANCH = "branch"
    REBUILD = "rebuild"


@dataclass(frozen=True, slots=True)
class FixSettings:
    """The settings for fixes, at most `per_day` of them within 24 hours."""

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

    def get_action(self, stage: str, name: str) -> Action:
        """Return the action of this name in the stage. Raises StopIteration for an unknown one."""
        return next(
            action for entry in self.stages if entry.name == stage for action in entry.actions if action.name == name
        )


class ExecutionId(TextType):
    """The id of an execution: "<pipeline>-<number>"."""

    __slots__ = ()

    @classmethod
    def from_number(cls, pipeline: str, number: int) -> "ExecutionId":
        """Make the id of an execution; `number` counts from 1 for each pipeline."""
        return cls(f"{pipeline}-{number}")

    @classmethod
    def parse(cls, text: str) -> "ExecutionId | None":
        """Read an id. None for text without a pipeline or a number."""
        pipeline, _, number = text.rpartition("-")
        return cls(text) if pipeline and number else None

    @property
    def pipeline(self) -> str:
        """The name of the pipeline."""
        return self.rpartition("-")[0]

    @property
    def number(self) -> str:
        """The number as text."""
        return self.rpartition("-")[2]


@dataclass(frozen=True, slots=True)
class ActionKey:
    """The identity of one attempt of one action. Its text is the key of all side effects of the attempt."""

    execution: ExecutionId
    stage: str
    action: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.execution}/{self.stage}/{self.action}/{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> "ActionKey":
        """Read "execution/stage/action/attempt". Raises ValueError for other text."""
        execution, stage, action, attempt = text.split("/")
        return cls(ExecutionId(execution), stage, action, int(attempt))

    @property
    def pipeline(self) -> str:
        """The name of the pipeline."""
        return self.execution.pipeline

    def tag(self, secret: str) -> str:
        """The key as an image tag, valid by the OCI distribution specification (at most 128 characters).

        Without the secret, no one can predict the tag and push another image under it first.
        """
        return f"{self.execution}-{hmac.new(secret.encode(), str(self).encode(), 'sha256').hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class ActionRun:
    """One attempt of an action.

    `variables` are those that it exports, `artifact` is the digest of its output artifact. `started_at` is None
    while it is PENDING.
    """

    key: ActionKey
    state: RunState
    reason: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    artifact: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a pipeline.

    `number` counts from 1 for each pipeline; `id` is "<pipeline>-<number>". `trigger` says what started it and who
    (`trigger.list_starters`).
    """

    id: ExecutionId
    pipeline: str
    number: int
    pipeline_version: int
    state: RunState
    trigger: dict[str, str]
    started_at: str = field(kw_only=True)
    reason: str | None = None
    finished_at: str | None = None


class ApprovalId(TextType):
    """The id of an approval.

    It is the key of the action that waits for it, or "external/…" if an external pipeline asked.
    """

    __slots__ = ()
    _EXTERNAL = "external/"

    @classmethod
    def make_external(cls, *parts: str) -> "ApprovalId":
        """Make the id of an approval that an external pipeline requests."""
        return cls(cls._EXTERNAL + "/".join(parts))

    @classmethod
    def from_action(cls, key: ActionKey) -> "ApprovalId":
        """Make the id of the approval that an action of our pipeline waits for."""
        return cls(str(key))

    @property
    def is_external(self) -> bool:
        """Return whether an external pipeline requested the approval."""
        return self.startswith(self._EXTERNAL)

    @property
    def action(self) -> ActionKey | None:
        """The action that waits for the approval; None if an external pipeline requested it."""
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
    """A person's vote on an approval. `is_yes` is False for a rejection."""

    approval: ApprovalId
    who: str
    is_yes: bool
    reason: str
    at: str


# `decided_by` of an approval that its verdict settled.
POLICY_DECISION = "policy"


@dataclass(frozen=True, slots=True)
class Approval:
    """A request to deploy an image that waits for an answer, or has one.

    `id` is the waiting action's key, or starts with "external/". A person must send `token` with an answer.
    `image` is the digest to judge, `repository` one of our registry, or one of another registry with its host
    ("quay.io/team/app"). `reference`, `pipeline` and `requested_by` are what an external pipeline requests, its name
    and its principal, None for our own pipelines. `service` is the service to deploy to, if one is named.
    `verdict` is the digest of the last verdict on it: the one that settled it, or that approved before people decided,
    and `summary` its reason, None before.
    `decided_by` is a name, "policy" or "timeout". `approvers` is None when no person has to approve; `committers` are
    the names and e-mail addresses of the contributors at the time of the request. `contributors_unknown` says why they
    could not all be determined then, None if they were.
    """

    id: ApprovalId
    token: str
    image: str
    repository: str
    policy: PolicyReference
    custom_data: str
    created_at: str
    expires_at: str
    state: ApprovalState = ApprovalState.WAITING
    summary: str | None = field(default=None, metadata=STORED_AS_EMPTY)
    verdict: str | None = None
    decided_by: str | None = None
    settled_at: str | None = None
    reference: str | None = None
    pipeline: str | None = None
    service: str | None = None
    requested_by: str | None = None
    approvers: Approvers | None = None
    committers: tuple[str, ...] = ()
    contributors_unknown: str | None = None

    @property
    def action(self) -> ActionKey | None:
        """The waiting action; None for the request of an external pipeline."""
        return self.id.action


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of an approval. `summary` has at most `summaries.SUMMARY_LIMIT` characters.

    `verdict` is the digest of the verdict that it follows from, None for that of a person or of the time limit.
    """

    state: ApprovalState
    summary: str
    verdict: str | None = None
    decided_by: str = POLICY_DECISION
