"""Pipeline definitions, executions, and the one function that says what happens next. CodePipeline's nouns and
meanings."""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dockgate.shared.errors import UsageError

REPOSITORY = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
"""an image repository's name as the OCI distribution specification has it"""

_VARIABLE = re.compile(r"#\{([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\}")


class ActionType(StrEnum):
    SOURCE = "source"
    BUILD = "build"
    APPROVAL = "approval"
    DEPLOY = "deploy"


class State(StrEnum):
    """Of an execution, a stage or an action. WAITING: for an answer that is not a computation's (only actions)."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    WAITING = "Waiting"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def over(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED, State.STOPPED)


@dataclass(frozen=True, slots=True)
class Action:
    """`input` and `output` name artifacts; `namespace` is where its variables appear, as in
    `#{BuildVariables.IMAGE_DIGEST}`."""

    name: str
    type: ActionType
    run_order: int = 1
    input: str = ""
    output: str = ""
    namespace: str = ""
    configuration: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`version` counts up from 1 with each change of the definition."""

    name: str
    stages: tuple[Stage, ...]
    version: int = 1

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def action(self, stage: str, name: str) -> Action:
        return next(action for action in self.stage(stage).actions if action.name == name)


@dataclass(frozen=True, slots=True)
class ActionKey:
    """Names one try of one action. Its text is the key of every side effect that the try has."""

    execution: str
    stage: str
    action: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.execution}/{self.stage}/{self.action}/{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> "ActionKey":
        execution, stage, action, attempt = text.split("/")
        return cls(execution, stage, action, int(attempt))

    def tag(self, secret: str) -> str:
        """The key as an image tag, valid by the OCI distribution specification (at most 128 characters).

        Nobody without the secret can tell it before it is pushed, and so put an image of their own in its place.
        """
        return f"{self.execution}-{hmac.new(secret.encode(), str(self).encode(), 'sha256').hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class ActionRun:
    """One try of an action. `variables` are its exported ones, `artifact` the digest of its output artifact ("" for
    none)."""

    key: ActionKey
    state: State
    reason: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    artifact: str = ""
    started_at: str = ""
    finished_at: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a pipeline. `number` counts from 1 per pipeline; `id` is "<pipeline>-<number>"; `trigger` says what
    started it, and who (`starters`)."""

    id: str
    pipeline: str
    number: int
    pipeline_version: int
    state: State
    trigger: dict[str, str]
    reason: str = ""
    started_at: str = ""
    finished_at: str = ""


def started_by_hand(by: str) -> dict[str, str]:
    """The trigger of an execution that a principal started ("" before there are any)."""
    return {"cause": "started by hand", **({"started_by": by} if by else {})}


def retried(trigger: Mapping[str, str], by: str) -> dict[str, str]:
    """The trigger, with a principal who had what failed tried again. Names of principals have no comma."""
    names = dict.fromkeys(filter(None, [*trigger.get("retried_by", "").split(","), by]))
    return {**trigger, **({"retried_by": ",".join(names)} if names else {})}


def starters(trigger: Mapping[str, str]) -> tuple[str, ...]:
    """The principals who pushed what triggered an execution, started it, or had it tried again."""
    names = [trigger.get("by", ""), trigger.get("started_by", ""), *trigger.get("retried_by", "").split(",")]
    return tuple(dict.fromkeys(filter(None, names)))


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens next: actions to start, and the execution's new state (None: unchanged) with its reason."""

    start: tuple[ActionKey, ...] = ()
    state: State | None = None
    reason: str = ""


def latest(runs: Sequence[ActionRun]) -> dict[tuple[str, str], ActionRun]:
    """The last try of each action, by (stage, action)."""
    found: dict[tuple[str, str], ActionRun] = {}
    for run in sorted(runs, key=lambda run: run.key.attempt):
        found[run.key.stage, run.key.action] = run
    return found


def plan(pipeline: Pipeline, execution: Execution, runs: Sequence[ActionRun]) -> Plan:
    """What follows from the runs so far. Pure; asked again with the same runs it says the same.

    Stages go one after the other. In a stage, actions of one run order start together, the next order when all have
    succeeded. A failed action lets its neighbours finish, then fails stage and execution.
    """
    if execution.state.over:
        return Plan()
    last = latest(runs)
    for stage in pipeline.stages:
        for order in sorted({action.run_order for action in stage.actions}):
            group = [action for action in stage.actions if action.run_order == order]
            here = [last.get((stage.name, action.name)) for action in group]
            started = [run for run in here if run is not None]
            failed = [run for run in started if run.state in (State.FAILED, State.STOPPED)]
            if failed:
                if any(not run.state.over for run in started):
                    return Plan()
                return Plan(state=State.FAILED, reason=f"{stage.name}/{failed[0].key.action}: {failed[0].reason}")
            start = tuple(
                ActionKey(execution.id, stage.name, action.name, 1)
                for action, run in zip(group, here, strict=True)
                if run is None
            )
            if start:
                return Plan(start=start, state=State.IN_PROGRESS)
            if not all(run.state is State.SUCCEEDED for run in started):
                return Plan()
    return Plan(state=State.SUCCEEDED)


def retry(pipeline: Pipeline, runs: Sequence[ActionRun]) -> tuple[ActionKey, ...]:
    """The next tries of what failed in the stage that failed; empty when nothing did."""
    last = latest(runs)
    for stage in pipeline.stages:
        keys = tuple(
            replace(run.key, attempt=run.key.attempt + 1)
            for action in stage.actions
            if (run := last.get((stage.name, action.name))) and run.state in (State.FAILED, State.STOPPED)
        )
        if keys:
            return keys
    return ()


def stage_state(stage: Stage, runs: Sequence[ActionRun]) -> State:
    """The stage as a whole, from its actions' last tries."""
    last = latest(runs)
    states = [last[stage.name, action.name].state for action in stage.actions if (stage.name, action.name) in last]
    if not states:
        return State.PENDING
    for state in (State.IN_PROGRESS, State.WAITING, State.FAILED, State.STOPPED):
        if state in states:
            return state
    return State.SUCCEEDED if len(states) == len(stage.actions) else State.IN_PROGRESS


def variables(pipeline: Pipeline, runs: Sequence[ActionRun]) -> dict[str, dict[str, str]]:
    """Namespace -> variable -> value, of all actions that have succeeded."""
    last = latest(runs)
    return {
        action.namespace: last[stage.name, action.name].variables
        for stage in pipeline.stages
        for action in stage.actions
        if action.namespace and (stage.name, action.name) in last
    }


def artifact(pipeline: Pipeline, runs: Sequence[ActionRun], name: str) -> str:
    """The digest of the artifact that an earlier action put out under this name. UsageError when there is none."""
    last = latest(runs)
    for stage in pipeline.stages:
        for action in stage.actions:
            run = last.get((stage.name, action.name))
            if action.output == name and run is not None and run.artifact:
                return run.artifact
    raise UsageError(f"no action before this one put out the artifact {name!r}", "Name an earlier action's output.")


def resolve(text: str, known: Mapping[str, Mapping[str, str]]) -> str:
    """`text` with every `#{Namespace.Variable}` replaced. UsageError for one that is not known."""

    def value(found: re.Match[str]) -> str:
        namespace, name = found.groups()
        if name not in known.get(namespace, {}):
            there = ", ".join(f"{space}.{key}" for space, values in sorted(known.items()) for key in sorted(values))
            raise UsageError(f"no variable {namespace}.{name}", f"Known here: {there or 'none'}.")
        return known[namespace][name]

    return _VARIABLE.sub(value, text)
