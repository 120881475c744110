"""Read the YAML documents that people write.

Repository, Pipeline, Service, Policy, PolicyAssignment, Rule, Target. Each becomes a noun of the core.

Every error names file, line and key, and says what is allowed there.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from dockgate.delivery.definitions.service import (
    EcsModel,
    HealthCheckModel,
    HttpModel,
    PortModel,
    ServiceDefinition,
    ServiceModel,
    TaskDefinitionModel,
    make_service_definition,
)
from dockgate.delivery.labels import LABEL_KEY, LABEL_VALUE, MOST_LABELS
from dockgate.delivery.model import REPOSITORY, Action, ActionType, FixAction, FixSettings, Pipeline, Stage
from dockgate.events.definitions import rule as rules
from dockgate.events.definitions import target as targets
from dockgate.events.definitions.target import TargetDefinition
from dockgate.events.model import Rule
from dockgate.gate.definitions import assignment as assignments
from dockgate.gate.definitions import policy as policies
from dockgate.gate.definitions.fields import Name, Seconds, Strict
from dockgate.gate.definitions.validation import translate
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.identity.model import PERMISSIONS, PRINCIPAL, Permission, Role
from dockgate.shared.references import RepositoryReference
from dockgate.shared.yaml import Document, Location


def _require_own_name(name: str) -> str:
    """Refuse a name that reads as one in another registry.

    What is accepted for the one would count for the other.
    """
    if registry := RepositoryReference.parse(name).registry:
        raise ValueError(
            f"{registry!r} before the first slash reads as a registry: leave it out, or write it without a dot"
        )
    return name


LabelKey = Annotated[str, Field(pattern=f"^{LABEL_KEY}$")]
LabelValue = Annotated[str, Field(pattern=f"^{LABEL_VALUE}$")]


class _Action(Strict):
    name: Name
    runOrder: int = Field(1, ge=1, le=999)  # noqa: N815 - CodePipeline's own spelling
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,100}$")] = ""


class SourceAction(_Action):
    """An action of type `source`."""

    type: Literal["source"]
    repository: Name
    branch: Annotated[str, Field(min_length=1, max_length=255)] = "main"
    output: Name


class BuildAction(_Action):
    """An action of type `build`."""

    type: Literal["build"]
    input: Name
    output: Name
    image: Annotated[str, Field(pattern=f"^{REPOSITORY}$", max_length=200), AfterValidator(_require_own_name)]
    container: Name
    dockerfile: str = "Dockerfile"
    args: dict[str, str] = Field(default_factory=dict)
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=MOST_LABELS)


class _Approvers(Strict):
    principals: list[Annotated[str, Field(pattern=f"^{PRINCIPAL}$")]] = Field(default_factory=list)
    roles: list[Annotated[Role, Field(strict=False)]] = Field(default_factory=list)
    count: int = Field(1, ge=1, le=20)
    exclude_committer: bool = True


class ApprovalAction(_Action):
    """An action of type `approval`."""

    type: Literal["approval"]
    image: str
    policy: Name | None = None
    timeout: Seconds = 7 * 86400
    approvers: _Approvers | None = None


class DeployAction(_Action):
    """An action of type `deploy`."""

    type: Literal["deploy"]
    input: Name
    service: Name


AnyAction = Annotated[SourceAction | BuildAction | ApprovalAction | DeployAction, Field(discriminator="type")]


class _Stage(Strict):
    name: Name
    actions: list[AnyAction] = Field(min_length=1)


class _Pipeline(Strict):
    kind: Literal["Pipeline"]
    name: Name
    onFix: FixAction | None = Field(None, strict=False)  # noqa: N815 - as CodePipeline spells its keys
    fixesPerDay: int | None = Field(None, ge=1, le=24)  # noqa: N815
    stages: list[_Stage] = Field(min_length=2)


class _Repository(Strict):
    kind: Literal["Repository"]
    name: Name


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository that the server hosts."""

    name: str


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A document that is a policy: `definitions.policy` reads it, who knows the rules."""

    document: Document


Definition = Repository | Pipeline | ServiceDefinition | PolicyDocument | PolicyAssignment | Rule | TargetDefinition

_KINDS: dict[str, type[BaseModel]] = {
    "Pipeline": _Pipeline,
    "Repository": _Repository,
    "Service": ServiceModel,
    assignments.KIND: assignments.Assignment,
}
_ALLOWED_KINDS = ", ".join((*_KINDS, policies.KIND, rules.KIND, targets.KIND))


def parse_definition(document: Document) -> Definition:
    """Return the definition that a document holds. Raises DefinitionError."""
    value = document.value
    if not isinstance(value, dict):
        raise document.make_error((), "a document is a mapping with a `kind`", f"kind: one of {_ALLOWED_KINDS}.")
    kind = value.get("kind")
    if kind == policies.KIND:
        return PolicyDocument(document)
    if kind == rules.KIND:
        return rules.read_rule(document)
    if kind == targets.KIND:
        return targets.read_target(document)
    if kind not in _KINDS:
        raise document.make_error(("kind",), f"unknown kind {kind!r}", f"Allowed here: {_ALLOWED_KINDS}.")
    try:
        model = _KINDS[kind].model_validate(value)
    except ValidationError as error:
        raise translate(document, error, partial(_list_allowed_keys, _KINDS[kind])) from None
    if isinstance(model, _Pipeline):
        return _make_pipeline(document, model)
    if isinstance(model, ServiceModel):
        return make_service_definition(document, model)
    if isinstance(model, assignments.Assignment):
        return model.to_assignment()
    return Repository(value["name"])


def _make_pipeline(document: Document, model: _Pipeline) -> Pipeline:
    if model.fixesPerDay is not None and model.onFix is None:
        advice = f"onFix: one of {', '.join(FixAction)}."
        raise document.make_error(("fixesPerDay",), "a limit of fixes without onFix", advice)
    stages: set[str] = set()
    outputs: set[str] = set()
    for index, stage in enumerate(model.stages):
        stage_location = ("stages", index)
        if stage.name in stages:
            raise document.make_error(
                (*stage_location, "name"), f"a second stage {stage.name!r}", "Stage names are unique."
            )
        stages.add(stage.name)
        actions: set[str] = set()
        for number, action in enumerate(stage.actions):
            location = (*stage_location, "actions", number)
            if action.name in actions:
                raise document.make_error(
                    (*location, "name"), f"a second action {action.name!r}", "Names are unique in a stage."
                )
            actions.add(action.name)
            if (index == 0) != isinstance(action, SourceAction):
                raise document.make_error(
                    (*location, "type"),
                    f"a {action.type} action in stage {index + 1}",
                    "The first stage holds source actions, and only the first.",
                )
            if isinstance(action, ApprovalAction) and action.approvers is not None:
                _check_approvers(document, (*location, "approvers"), action.approvers)
            input_name = getattr(action, "input", None)
            if input_name and input_name not in outputs:
                names = ", ".join(sorted(outputs))
                raise document.make_error(
                    (*location, "input"), f"nothing before this puts out {input_name!r}", f"Known: {names}."
                )
        for number, action in enumerate(stage.actions):
            output = getattr(action, "output", None)
            if output in outputs:
                raise document.make_error(
                    (*stage_location, "actions", number, "output"),
                    f"a second output {output!r}",
                    "Output names are unique.",
                )
            if output:
                outputs.add(output)
    on_fix = FixSettings(model.onFix, model.fixesPerDay or 1) if model.onFix else None
    parts = tuple(Stage(stage.name, tuple(map(_make_action, stage.actions))) for stage in model.stages)
    return Pipeline(model.name, parts, on_fix=on_fix)


def _check_approvers(document: Document, location: Location, approvers: _Approvers) -> None:
    """Refuse approvers of whom there can never be enough."""
    if approvers.principals and not approvers.roles and approvers.count > len(set(approvers.principals)):
        raise document.make_error(
            (*location, "count"),
            f"{approvers.count} approvals of {len(set(approvers.principals))} principals",
            "Name more of them, or a role.",
        )
    deciders = [role for role, permissions in PERMISSIONS.items() if Permission.DECIDE in permissions]
    for index, role in enumerate(approvers.roles):
        if role not in deciders:
            raise document.make_error(
                (*location, "roles", index), f"a {role} may not decide", f"Allowed here: {', '.join(deciders)}."
            )


def _make_action(model: AnyAction) -> Action:
    common = {"name", "type", "runOrder", "namespace", "input", "output", "labels"}
    return Action(
        name=model.name,
        type=ActionType(model.type),
        run_order=model.runOrder,
        input=getattr(model, "input", None),
        output=getattr(model, "output", None),
        namespace=model.namespace or None,
        configuration=model.model_dump(exclude=common, exclude_none=True),
        labels=getattr(model, "labels", {}),
    )


def _list_allowed_keys(model: type[BaseModel], location: Location) -> list[str]:
    """Return the keys that the model at this location knows."""
    tags: dict[str, type[BaseModel]] = {
        "source": SourceAction,
        "build": BuildAction,
        "approval": ApprovalAction,
        "deploy": DeployAction,
    }
    inner: dict[str, type[BaseModel]] = {
        "stages": _Stage,
        "approvers": _Approvers,
        "allowed": assignments.AllowedChoice,
        "taskDefinition": TaskDefinitionModel,
        "healthCheck": HealthCheckModel,
        "http": HttpModel,
        "ecs": EcsModel,
        "ports": PortModel,
    }
    for part in location:
        if isinstance(part, str):
            model = tags.get(part) or inner.get(part) or model
    return list(model.model_fields)
