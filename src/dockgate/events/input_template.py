"""The input of a target: a whole event, a part, a constant, or a text made of parts.

Source: the user guide of Amazon EventBridge, "Input transformation". A template that begins with {, [ or " is JSON: a
variable outside of quotes becomes a JSON value, inside of quotes its text. Any other template is text.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.events.model import ACCOUNT, REGION, TargetInput
from dockgate.shared.errors import DefinitionError, UsageError

# Limits of EventBridge: variables, and characters of a template.
VARIABLES_LIMIT = 100
TEMPLATE_LIMIT = 8192
# Bytes of what a target gets; the limit of EventBridge, SNS and SQS.
OUTPUT_LIMIT = 256 << 10

# Values that a template has without a path: the event without its detail, the whole event, the name and the ARN of the
# rule, and when the event was recorded.
EVENT, EVENT_JSON = "aws.events.event", "aws.events.event.json"
RULE_NAME, RULE_ARN = "aws.events.rule-name", "aws.events.rule-arn"
TIME = "aws.events.event.ingestion-time"
PREDEFINED_NAMES = (EVENT, EVENT_JSON, RULE_NAME, RULE_ARN, TIME)

_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\['([^'\]]+)'\]|\[(\d{1,6})\]|(\[\*\])")
_VARIABLE = re.compile(r"<([A-Za-z0-9._-]{1,256})>")


class OutputTooLargeError(UsageError):
    """The input of the target is too large."""


def compile_input(target_input: TargetInput) -> Callable[[Mapping[str, Any], str], str]:
    """A function that makes the text for a target of an event and the name of the rule.

    Raises DefinitionError for an invalid path, template or constant. The function raises OutputTooLargeError.
    """
    if target_input.constant is not None:
        constant = _check_constant(target_input.constant)
        return lambda event, rule: constant
    if target_input.path is not None:
        steps = parse_path(target_input.path)
        return lambda event, rule: _require_short(_to_json(_find_value(event, steps)))
    if target_input.template is not None:
        return _compile_template(target_input.template, target_input.paths)
    return lambda event, rule: _require_short(_to_json(event))


def parse_path(path: str) -> tuple[str | int | None, ...]:
    """The steps of a JSON path: a key, an index, or None for all items.

    Raises DefinitionError naming the location.
    """
    if not path.startswith("$") or len(path) > 1000:
        raise DefinitionError(f"the path {path[:100]!r} does not begin with $", "Write it as $.detail.state.")
    steps: list[str | int | None] = []
    position = 1
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            raise DefinitionError(
                f"the path {path!r} is wrong at character {position + 1}: {path[position : position + 20]!r}",
                "A path has keys and indices: $.resources[0], $.detail['finding-severity-counts'].",
            )
        name, quoted_name, index, _ = step.groups()
        steps.append(name or quoted_name or (int(index) if index else None))
        position = step.end()
    return tuple(steps)


def _check_constant(text: str) -> str:
    try:
        json.loads(text)
    except ValueError as error:
        raise DefinitionError(
            f"the input is not JSON: {error}", 'Write a JSON value such as {"reason": "scan"}.'
        ) from None
    return _require_short(text)


def _find_value(event: Any, steps: tuple[str | int | None, ...]) -> Any:
    """The value at a path, or None."""
    for number, step in enumerate(steps):
        if step is None:
            return [_find_value(item, steps[number + 1 :]) for item in event] if isinstance(event, list) else None
        try:
            event = event[step]
        except (KeyError, IndexError, TypeError):
            return None
    return event


@dataclass(frozen=True, slots=True)
class _Variable:
    """A placeholder in a template. `is_quoted`: it is inside of a JSON string."""

    name: str
    is_quoted: bool


def _compile_template(template: str, paths: Mapping[str, str]) -> Callable[[Mapping[str, Any], str], str]:
    if len(template) > TEMPLATE_LIMIT:
        raise DefinitionError(f"the template has {len(template)} characters", f"Allowed: {TEMPLATE_LIMIT}.")
    if len(paths) > VARIABLES_LIMIT:
        raise DefinitionError(f"the template has {len(paths)} variables", f"Allowed: {VARIABLES_LIMIT}.")
    for name in paths:
        if not _VARIABLE.fullmatch(f"<{name}>") or name.lower().startswith("aws"):
            raise DefinitionError(f"{name!r} cannot be a variable", "Use letters, digits, - and _; not AWS in front.")
    steps = {name: parse_path(path) for name, path in paths.items()}
    is_json = template.lstrip()[:1] in ("{", "[", '"')
    parts = list(_split_template(template, is_json))
    for part in parts:
        if isinstance(part, _Variable) and part.name not in steps and part.name not in PREDEFINED_NAMES:
            names = ", ".join((*steps, *PREDEFINED_NAMES))
            raise DefinitionError(f"the template has the unknown variable <{part.name}>", f"Known: {names}.")
    if is_json:
        _check_json(template, parts)

    def render(event: Mapping[str, Any], rule: str) -> str:
        values: dict[str, Any] = {name: _find_value(event, path) for name, path in steps.items()}
        values |= {EVENT: {name: event[name] for name in event if name != "detail"}, EVENT_JSON: dict(event)}
        values |= {RULE_NAME: rule, RULE_ARN: f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}", TIME: event.get("time")}
        pieces: list[str] = []
        size = 0
        for part in parts:
            piece = (
                part if isinstance(part, str) else _insert(values[part.name], part.is_quoted or not is_json, is_json)
            )
            size += len(piece)
            if size > OUTPUT_LIMIT:
                raise _make_too_large_error()
            pieces.append(piece)
        return _require_short("".join(pieces))

    return render


def _split_template(template: str, is_json: bool) -> Iterator[str | _Variable]:
    """Text and variables in turn. `\\<` is a plain `<`, as in EventBridge."""
    text, is_quoted, position = "", False, 0
    while position < len(template):
        character = template[position]
        if character == "\\" and position + 1 < len(template):
            next_character = template[position + 1]
            text += next_character if next_character in "<>" else character + next_character
            position += 2
            continue
        if character == '"':
            is_quoted = not is_quoted
        variable = _VARIABLE.match(template, position) if character == "<" else None
        if variable is None:
            text += character
            position += 1
            continue
        if text:
            yield text
        yield _Variable(variable[1], is_quoted and is_json)
        text, position = "", variable.end()
    if text:
        yield text


def _check_json(template: str, parts: list[str | _Variable]) -> None:
    """Raise DefinitionError where the template cannot become JSON. Several JSON values, such as lines, are allowed."""
    sample = "".join(part if isinstance(part, str) else "0" for part in parts)
    decoder, position = json.JSONDecoder(), 0
    while position < len(sample):
        try:
            _, position = decoder.raw_decode(sample, position)
        except ValueError as error:
            raise DefinitionError(
                f"the template is not JSON: {error}", "Put variables where a value or a text can be."
            ) from None
        while position < len(sample) and sample[position] in " \t\r\n":
            position += 1


def _insert(value: Any, is_text: bool, is_json: bool) -> str:
    if value is None:
        return "" if is_text else '""'
    if not is_text:
        return _to_json(value)
    text = value if isinstance(value, str) else _to_json(value)
    return json.dumps(text, ensure_ascii=False)[1:-1] if is_json else text


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _require_short(text: str) -> str:
    if len(text) > OUTPUT_LIMIT or len(text.encode("utf-8", "backslashreplace")) > OUTPUT_LIMIT:
        raise _make_too_large_error()
    return text


def _make_too_large_error() -> OutputTooLargeError:
    return OutputTooLargeError(
        f"the target would get more than {OUTPUT_LIMIT} bytes", "Take fewer or smaller parts of the event."
    )
