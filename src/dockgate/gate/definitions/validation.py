"""Pydantic's errors in the words of documents."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from dockgate.shared.errors import DefinitionError
from dockgate.shared.yaml import Document, Location

# Values of these keys are never repeated in a message.
_SECRET_KEYS = ("url", "secret")
# What is needed instead, by pydantic's type of error, with parts of its context.
_NEEDED_VALUES = {
    "model_type": "keys with values",
    "dict_type": "keys with values",
    "list_type": "a list",
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "enum": "{expected}",
    "literal_error": "{expected}",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} or fewer entries",
    "string_too_short": "a text of {min_length} or more characters",
    "string_too_long": "a text of {max_length} or fewer characters",
    "string_pattern_mismatch": "a text that matches {pattern}",
    "union_tag_invalid": "one of {expected_tags} as {discriminator}, not {tag!r},",
    "union_tag_not_found": "the key {discriminator}",
}


def translate(
    document: Document, error: ValidationError, allowed_keys: Callable[[Location], list[str]]
) -> DefinitionError:
    """Pydantic's first complaint, in our words, at its line.

    `allowed_keys` returns the keys at a location. An unknown key comes first: often it is a missing one, misspelt.
    """
    problems = error.errors(include_url=False)
    problem = next((item for item in problems if item["type"] == "extra_forbidden"), problems[0])
    location = tuple(_find_existing_location(document.value, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        keys = ", ".join(allowed_keys(problem["loc"][:-1]))
        return document.make_error(location, f"unknown key {problem['loc'][-1]!r}", f"Allowed here: {keys}.")
    if problem["type"] == "missing":
        return document.make_error(location, f"the key {problem['loc'][-1]!r} is missing", "Add it.")
    if problem["type"] == "model_type":
        keys = ", ".join(allowed_keys(problem["loc"]))
        return document.make_error(location, describe_problem(problem), f"Allowed here: {keys}." if keys else "")
    return document.make_error(location, describe_problem(problem), "")


def describe_problem(problem: Mapping[str, Any]) -> str:
    """What to write instead, by pydantic's description, and the present value unless it is long or secret."""
    needed_value = _NEEDED_VALUES.get(problem["type"])
    sentence = f"write {needed_value.format_map(problem.get('ctx', {}))} here" if needed_value else problem["msg"]
    is_kind_wrong = problem["type"] in ("model_type", "dict_type", "list_type")
    is_hidden = isinstance(problem.get("input"), dict | list) or problem["loc"][-1] in _SECRET_KEYS
    value = "" if is_hidden or is_kind_wrong else f" (found {problem.get('input')!r})"
    return f"{sentence.removeprefix('Value error, ')}{value}"


def _find_existing_location(value: Any, location: tuple[int | str, ...]) -> Iterator[int | str]:
    """The location without the union tags that pydantic puts in, as far as it exists in the document."""
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            continue
        yield part
