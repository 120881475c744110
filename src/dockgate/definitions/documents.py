"""The YAML documents that people write: Repository, Pipeline, Service, Policy, PolicyAssignment. Each becomes a noun of
the core.

Every error names file, line and key, and says what is allowed there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dockgate.core.asking import is_qualified
from dockgate.core.deploy import HealthCheck, PortMapping, Service, TaskDefinition
from dockgate.core.errors import DefinitionError
from dockgate.core.people import PERMISSIONS, PRINCIPAL, Permission, Role
from dockgate.core.pipeline import REPOSITORY, Action, ActionType, Pipeline, Stage
from dockgate.core.policy_choice import PolicyAssignment
from dockgate.definitions import assignment as assignments
from dockgate.definitions import policy as policies
from dockgate.definitions.yaml import Document, Location, load

ECS = "ecs:"
"""how the name of a target on ECS begins; region, cluster and repository follow, with slashes between"""
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(value: object) -> object:
    """ "90s", "15m", "12h", "7d" as seconds."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+)([smhd])", value)):
        return int(found[1]) * _UNITS[found[2]]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("write a duration such as 90s, 15m, 12h or 7d")


def _own_repository(name: str) -> str:
    """Refuse a name that reads as one in another registry: what is accepted for the one would count for the other."""
    if is_qualified(name):
        first = name.partition("/")[0]
        raise ValueError(
            f"{first!r} before the first slash reads as a registry: leave it out, or write it without a dot"
        )
    return name


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Name = Annotated[str, Field(pattern=NAME)]
Seconds = Annotated[int, BeforeValidator(_seconds), Field(ge=1, le=60 * 86400)]


class _Action(_Strict):
    name: Name
    runOrder: int = Field(1, ge=1, le=999)  # noqa: N815 - CodePipeline's own spelling
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,100}$")] = ""


class SourceAction(_Action):
    type: Literal["source"]
    repository: Name
    branch: Annotated[str, Field(min_length=1, max_length=255)] = "main"
    output: Name


class BuildAction(_Action):
    type: Literal["build"]
    input: Name
    output: Name
    image: Annotated[str, Field(pattern=f"^{REPOSITORY}$", max_length=200), AfterValidator(_own_repository)]
    container: Name
    dockerfile: str = "Dockerfile"
    args: dict[str, str] = Field(default_factory=dict)


class _Approvers(_Strict):
    principals: list[Annotated[str, Field(pattern=f"^{PRINCIPAL}$")]] = Field(default_factory=list)
    roles: list[Annotated[Role, Field(strict=False)]] = Field(default_factory=list)
    count: int = Field(1, ge=1, le=20)
    exclude_committer: bool = True


class ApprovalAction(_Action):
    type: Literal["approval"]
    image: str
    policy: Name | None = None
    timeout: Seconds = 7 * 86400
    approvers: _Approvers | None = None


class DeployAction(_Action):
    type: Literal["deploy"]
    input: Name
    service: Name


AnyAction = Annotated[SourceAction | BuildAction | ApprovalAction | DeployAction, Field(discriminator="type")]


class _Stage(_Strict):
    name: Name
    actions: list[AnyAction] = Field(min_length=1)


class _Pipeline(_Strict):
    kind: Literal["Pipeline"]
    name: Name
    stages: list[_Stage] = Field(min_length=2)


class _Repository(_Strict):
    kind: Literal["Repository"]
    name: Name


class _Port(_Strict):
    containerPort: int = Field(ge=1, le=65535)  # noqa: N815 - ECS's own spelling
    hostPort: int = Field(0, ge=0, le=65535)  # noqa: N815


class _Http(_Strict):
    port: int = Field(ge=1, le=65535)
    path: Annotated[str, Field(pattern=r"^/")] = "/"


class _HealthCheck(_Strict):
    http: _Http | None = None
    command: list[str] = Field(default_factory=list)
    interval: Seconds = 1
    timeout: Seconds = 5
    startPeriod: Seconds = 60  # noqa: N815


class _TaskDefinition(_Strict):
    container: Name
    ports: list[_Port] = Field(default_factory=list)
    environment: dict[str, str] = Field(default_factory=dict)
    command: list[str] = Field(default_factory=list)
    healthCheck: _HealthCheck | None = None  # noqa: N815
    network: Literal["bridge", "host"] = "bridge"


class _Ecs(_Strict):
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$")]
    cluster: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
    repository: Annotated[str, Field(pattern=rf"^[a-z0-9.-]+\.[a-z]+(:[0-9]{{1,5}})?/{REPOSITORY}$", max_length=255)]


class _Service(_Strict):
    kind: Literal["Service"]
    name: Name
    target: Literal["podman", "ecs"] = "podman"
    ecs: _Ecs | None = None
    desiredCount: int = Field(0, ge=0, le=100)  # noqa: N815
    taskDefinition: _TaskDefinition  # noqa: N815


@dataclass(frozen=True, slots=True)
class Repository:
    name: str


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    service: Service
    definition: TaskDefinition


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A document that is a policy: `definitions.policy` reads it, who knows the rules."""

    document: Document


Definition = Repository | Pipeline | ServiceDefinition | PolicyDocument | PolicyAssignment

_KINDS: dict[str, type[BaseModel]] = {
    "Pipeline": _Pipeline,
    "Repository": _Repository,
    "Service": _Service,
    assignments.KIND: assignments.Assignment,
}
_ALLOWED = ", ".join((*_KINDS, policies.KIND))


def read(text: str, name: str) -> Definition:
    """The definition that a YAML text holds. `name` is the file's, for errors. Raises DefinitionError."""
    return of(load(text, name))


def is_about_policies(document: Document) -> bool:
    """Whether it says that it is a policy, or an assignment of policies: those who accept risks change these."""
    return isinstance(document.value, dict) and document.value.get("kind") in (policies.KIND, assignments.KIND)


def of(document: Document) -> Definition:
    """The definition that a document holds. Raises DefinitionError."""
    value = document.value
    if not isinstance(value, dict):
        raise document.error((), "a document is a mapping with a `kind`", f"kind: one of {_ALLOWED}.")
    kind = value.get("kind")
    if kind == policies.KIND:
        return PolicyDocument(document)
    if kind not in _KINDS:
        raise document.error(("kind",), f"unknown kind {kind!r}", f"Allowed here: {_ALLOWED}.")
    try:
        model = _KINDS[kind].model_validate(value)
    except ValidationError as error:
        raise _translate(document, error, _KINDS[kind]) from None
    if isinstance(model, _Pipeline):
        return _pipeline(document, model)
    if isinstance(model, _Service):
        return _service(document, model)
    if isinstance(model, assignments.Assignment):
        return model.noun()
    return Repository(value["name"])


def _pipeline(document: Document, model: _Pipeline) -> Pipeline:
    stages: set[str] = set()
    outputs: set[str] = set()
    for index, stage in enumerate(model.stages):
        at = ("stages", index)
        if stage.name in stages:
            raise document.error((*at, "name"), f"a second stage {stage.name!r}", "Stage names are unique.")
        stages.add(stage.name)
        actions: set[str] = set()
        for number, action in enumerate(stage.actions):
            here = (*at, "actions", number)
            if action.name in actions:
                raise document.error(
                    (*here, "name"), f"a second action {action.name!r}", "Names are unique in a stage."
                )
            actions.add(action.name)
            if (index == 0) != isinstance(action, SourceAction):
                raise document.error(
                    (*here, "type"),
                    f"a {action.type} action in stage {index + 1}",
                    "The first stage holds source actions, and only the first.",
                )
            if isinstance(action, ApprovalAction) and action.approvers is not None:
                _check_approvers(document, (*here, "approvers"), action.approvers)
            wanted = getattr(action, "input", "")
            if wanted and wanted not in outputs:
                known = ", ".join(sorted(outputs))
                raise document.error((*here, "input"), f"nothing before this puts out {wanted!r}", f"Known: {known}.")
        for number, action in enumerate(stage.actions):
            output = getattr(action, "output", "")
            if output in outputs:
                raise document.error(
                    (*at, "actions", number, "output"), f"a second output {output!r}", "Output names are unique."
                )
            if output:
                outputs.add(output)
    return Pipeline(model.name, tuple(Stage(s.name, tuple(map(_action, s.actions))) for s in model.stages))


def _check_approvers(document: Document, here: Location, approvers: _Approvers) -> None:
    """Nobody waits for people who cannot be enough."""
    if approvers.principals and not approvers.roles and approvers.count > len(set(approvers.principals)):
        raise document.error(
            (*here, "count"),
            f"{approvers.count} approvals of {len(set(approvers.principals))} principals",
            "Name more of them, or a role.",
        )
    deciders = [role for role, held in PERMISSIONS.items() if Permission.DECIDE in held]
    for index, role in enumerate(approvers.roles):
        if role not in deciders:
            raise document.error(
                (*here, "roles", index), f"a {role} may not decide", f"Allowed here: {', '.join(deciders)}."
            )


def _action(model: AnyAction) -> Action:
    common = {"name", "type", "runOrder", "namespace", "input", "output"}
    return Action(
        name=model.name,
        type=ActionType(model.type),
        run_order=model.runOrder,
        input=getattr(model, "input", ""),
        output=getattr(model, "output", ""),
        namespace=model.namespace,
        configuration=model.model_dump(exclude=common, exclude_none=True),
    )


def _service(document: Document, model: _Service) -> ServiceDefinition:
    definition = model.taskDefinition
    check = definition.healthCheck
    place = model.ecs
    if (model.target == "ecs") != (place is not None):
        raise document.error(("target",), "`ecs` says where a service of target ecs is", "Give both, or neither.")
    if place is not None:
        _only_ecs(document, model)
    elif check is not None and (check.http is None) == (not check.command):
        raise document.error(
            ("taskDefinition", "healthCheck"),
            "a health check is either http or command",
            "Give exactly one of the two.",
        )
    for index, port in enumerate(definition.ports):
        if port.hostPort and model.desiredCount > 1:
            raise document.error(
                ("taskDefinition", "ports", index, "hostPort"),
                "two tasks cannot share one host port",
                "Use hostPort 0, or desiredCount 1.",
            )
    return ServiceDefinition(
        Service(model.name, _target(place), model.desiredCount, revision=1),
        TaskDefinition(
            family=model.name,
            revision=1,
            container=definition.container,
            image="",
            ports=tuple(PortMapping(port.containerPort, port.hostPort) for port in definition.ports),
            environment=dict(definition.environment),
            command=tuple(definition.command),
            health_check=_health_check(check) if check else None,
            network=definition.network,
        ),
    )


def _target(place: _Ecs | None) -> str:
    return f"{ECS}{place.region}/{place.cluster}/{place.repository}" if place else "podman"


def _only_ecs(document: Document, model: _Service) -> None:
    """How a task runs on ECS is said in its task definition there: here it would not be heeded."""
    for key in sorted(model.taskDefinition.model_fields_set - {"container", "healthCheck"}):
        raise document.error(("taskDefinition", key), f"{key} is of no use on ECS", "Say it in ECS's task definition.")
    check = model.taskDefinition.healthCheck
    if check is not None and check.model_fields_set - {"startPeriod"}:
        raise document.error(
            ("taskDefinition", "healthCheck"), "ECS looks at its own health checks", "Give startPeriod alone."
        )
    if "." in model.name:
        raise document.error(("name",), f"{model.name!r} can be no service on ECS", "Leave out the dots.")


def _health_check(model: _HealthCheck) -> HealthCheck:
    return HealthCheck(
        http_port=model.http.port if model.http else 0,
        http_path=model.http.path if model.http else "/",
        command=tuple(model.command),
        interval=model.interval,
        timeout=model.timeout,
        start_period=model.startPeriod,
    )


def _translate(document: Document, error: ValidationError, model: type[BaseModel]) -> DefinitionError:
    """pydantic's first complaint, in our words, at its line. An unknown key comes first: often it is a missing one,
    misspelt."""
    problems = error.errors(include_url=False)
    problem = next((item for item in problems if item["type"] == "extra_forbidden"), problems[0])
    location = tuple(_present(document.value, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(_allowed(model, problem["loc"][:-1]))
        return document.error(location, f"unknown key {problem['loc'][-1]!r}", f"Allowed here: {allowed}.")
    if problem["type"] == "missing":
        return document.error(location, f"the key {problem['loc'][-1]!r} is missing", "Add it.")
    given = "" if isinstance(problem.get("input"), dict | list) else f" (found {problem.get('input')!r})"
    return document.error(location, f"{problem['msg'].removeprefix('Value error, ')}{given}", "")


def _present(value: Any, location: tuple[int | str, ...]) -> Iterator[int | str]:
    """The location without the union tags that pydantic puts in, as far as it exists in the document."""
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            continue
        yield part


def _allowed(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that the model at this location knows."""
    tags: dict[str, type[BaseModel]] = {
        "source": SourceAction,
        "build": BuildAction,
        "approval": ApprovalAction,
        "deploy": DeployAction,
    }
    inner: dict[str, type[BaseModel]] = {
        "stages": _Stage,
        "approvers": _Approvers,
        "allowed": assignments.Allowed,
        "taskDefinition": _TaskDefinition,
        "healthCheck": _HealthCheck,
        "http": _Http,
        "ecs": _Ecs,
        "ports": _Port,
    }
    for part in location:
        if isinstance(part, str):
            model = tags.get(part) or inner.get(part) or model
    return list(model.model_fields)
