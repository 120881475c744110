"""Sentences about malformed parameters: they name the field, and the next step."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from dockgate.identity.model import Role
from dockgate.web.validation_messages import describe_problem


@dataclass
class Body:
    __pydantic_config__ = ConfigDict(extra="forbid")

    sort: Literal["name", "-name"] = "name"
    role: Role = Role.VIEWER
    limit: Annotated[int, Field(ge=1, le=100)] = 1
    is_fresh: bool = False
    name: Annotated[str, Field(max_length=3, pattern="^[a-z]*$")] = ""
    names: Annotated[list[str], Field(max_length=1)] = field(default_factory=list)
    epss: float = 0


@pytest.mark.parametrize(
    ("body", "message", "advice"),
    [
        ({"sort": "x"}, "sort is 'x', which is not one of its values", "Use 'name' or '-name'."),
        (
            {"role": "x" * 99},
            f"role is '{'x' * 59}…, which is not one of its values",
            "Use 'viewer', 'developer', 'approver', 'security' or 'admin'.",
        ),
        ({"limit": "1.5x"}, "limit is '1.5x', which is not a whole number", "Use digits only."),
        ({"limit": 0}, "limit is 0, which is too small", "Use 1 or more."),
        ({"limit": 101}, "limit is 101, which is too large", "Use 100 or less."),
        ({"is_fresh": "x"}, "is_fresh is 'x', which is neither true nor false", "Use true or false."),
        ({"name": "abcd"}, "name is too long", "Use at most 3 characters."),
        ({"name": "A"}, "name is 'A', which is malformed", "Correct it."),
        ({"names": [1]}, "names.0 is not a text", "Use a text."),
        ({"names": "a"}, "names is not a list", "Use a list."),
        ({"names": ["a", "b"]}, "names has too many entries", "Use at most 1."),
        ({"epss": "x"}, "epss is 'x', which is not a number", "Use a number, such as 0.5."),
        ({"other": 1}, "other is not known", "Remove it."),
        ([], "the body is not an object", "Use an object."),
    ],
)
def test_a_problem_is_a_sentence_with_the_field_and_the_next_step(body: object, message: str, advice: str) -> None:
    with pytest.raises(ValidationError) as error_info:
        TypeAdapter(Body).validate_python(body)
    (problem, *_) = error_info.value.errors()
    assert describe_problem({**problem, "loc": ("body", *problem["loc"])}) == (message, advice)


def test_a_missing_parameter_and_broken_json_are_named() -> None:
    assert describe_problem({"type": "missing", "loc": ("query", "q"), "input": None}) == ("q is missing", "Add it.")
    json_problem = {"type": "json_invalid", "loc": ("body", 7), "input": {}, "ctx": {"error": "Expecting value"}}
    assert describe_problem(json_problem) == ("the body is not JSON", "Check the body: Expecting value.")
