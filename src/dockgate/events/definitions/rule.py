"""`kind: Rule`: which events go to which targets."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from dockgate.events.input_template import compile_input
from dockgate.events.model import Rule, RuleTarget, TargetInput
from dockgate.events.pattern import compile_pattern
from dockgate.gate.definitions.fields import Name, Strict, read_seconds
from dockgate.gate.definitions.validation import translate
from dockgate.shared.errors import DefinitionError
from dockgate.shared.yaml import Document, Location

KIND = "Rule"
State = Literal["enabled", "disabled"]
_Pause = Annotated[int, BeforeValidator(read_seconds), Field(ge=1, le=86400)]


class _Transformer(Strict):
    inputPathsMap: dict[str, str] = Field(default_factory=dict)  # noqa: N815 - EventBridge's own spelling
    inputTemplate: Annotated[str, Field(min_length=1)]  # noqa: N815


class _Target(Strict):
    name: Name
    group: _Pause | None = None
    input: Any = None
    inputPath: str | None = None  # noqa: N815
    inputTransformer: _Transformer | None = None  # noqa: N815


def _read_target(value: object) -> object:
    """Return a target of a rule: a name alone is one without settings."""
    return {"name": value} if isinstance(value, str) else value


class _Rule(Strict):
    kind: Literal["Rule"]
    name: Name
    state: State = "enabled"
    pattern: dict[str, Any]
    targets: list[Annotated[_Target, BeforeValidator(_read_target)]] = Field(min_length=1, max_length=20)


def read_rule(document: Document) -> Rule:
    """The rule that a document holds. Raises DefinitionError with file, line and key."""
    try:
        model = _Rule.model_validate(document.value)
    except ValidationError as error:
        raise translate(document, error, _list_allowed_keys) from None
    try:
        compile_pattern(model.pattern)
    except DefinitionError as error:
        raise document.make_error(("pattern",), str(error), error.advice) from None
    targets = tuple(_make_target(document, index, target) for index, target in enumerate(model.targets))
    for index, target in enumerate(targets):
        if target.name in {earlier_target.name for earlier_target in targets[:index]}:
            raise document.make_error(("targets", index), f"a second target {target.name!r}", "Name a target once.")
    return Rule(model.name, model.pattern, targets, model.state == "enabled")


def _make_target(document: Document, index: int, model: _Target) -> RuleTarget:
    inputs = [name for name in ("input", "inputPath", "inputTransformer") if getattr(model, name) is not None]
    if len(inputs) > 1:
        message = f"{inputs[0]} and {inputs[1]} together"
        raise document.make_error(("targets", index, inputs[1]), message, "Write one of them.")
    transformer = model.inputTransformer
    value = TargetInput(
        constant=None if model.input is None else json.dumps(model.input, ensure_ascii=False),
        path=model.inputPath,
        template=transformer.inputTemplate if transformer else None,
        paths=transformer.inputPathsMap if transformer else {},
    )
    try:
        compile_input(value)
    except DefinitionError as error:
        raise document.make_error(("targets", index, *inputs), str(error), error.advice) from None
    if inputs and model.group is not None:
        raise document.make_error(
            ("targets", index, "group"), f"group and {inputs[0]} together", "A group is one message of many events."
        )
    return RuleTarget(model.name, value, model.group)


def _list_allowed_keys(location: Location) -> list[str]:
    model: type[Strict] = _Rule
    if "inputTransformer" in location:
        model = _Transformer
    elif "targets" in location:
        model = _Target
    return list(model.model_fields)
