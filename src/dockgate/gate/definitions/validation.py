"""Pydantic's errors in the words of documents."""

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from dockgate.shared.errors import DefinitionError
from dockgate.shared.yaml import Document, Location

# Values of these keys are never repeated in a message.
_SECRET_KEYS = ("url", "secret")
# What is needed instead of a value of another kind, by pydantic's type of error. Its messages name our classes.
_NEEDED_TYPES = {"model_type": "keys with values", "dict_type": "keys with values", "list_type": "a list"}


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
    if needed_type := _NEEDED_TYPES.get(problem["type"]):
        keys = ", ".join(allowed_keys(problem["loc"])) if problem["type"] == "model_type" else ""
        return document.make_error(location, f"write {needed_type} here", f"Allowed here: {keys}." if keys else "")
    is_hidden = isinstance(problem.get("input"), dict | list) or problem["loc"][-1] in _SECRET_KEYS
    value = "" if is_hidden else f" (found {problem.get('input')!r})"
    return document.make_error(location, f"{problem['msg'].removeprefix('Value error, ')}{value}", "")


def _find_existing_location(value: Any, location: tuple[int | str, ...]) -> Iterator[int | str]:
    """The location without the union tags that pydantic puts in, as far as it exists in the document."""
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            continue
        yield part
