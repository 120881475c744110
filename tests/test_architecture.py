"""docs/architecture.md names functions and calls that exist."""

import ast
import importlib
import inspect
import re
import textwrap
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text("utf-8")
FUNCTION = r"[a-z_/]+\.py:[A-Za-z_.]+[A-Za-z_]"


class Call(NamedTuple):
    """A caller, what it calls, and the name that it has it as."""

    caller: str
    function: str
    name: str


def get_function(text: str) -> Any:
    """Return what `module.py:name` is, below `src/dockgate`."""
    module, name = text.split(".py:")
    value: Any = importlib.import_module(f"dockgate.{module.replace('/', '.')}")
    for attribute in name.split("."):
        value = getattr(value, attribute)
    return value


def read_walk() -> dict[int, tuple[int | None, str]]:
    """The steps of the walk from a push to its answer: by number the number of the line above it, and the function."""
    walk: dict[int, tuple[int | None, str]] = {}
    lines_above: list[tuple[int, int]] = []
    for number, indent, function in re.findall(rf"(?m)^([ \d]\d)( +)({FUNCTION})", PAGE):
        while lines_above and lines_above[-1][0] >= len(indent):
            lines_above.pop()
        walk[int(number)] = (lines_above[-1][1] if lines_above else None, function)
        lines_above.append((len(indent), int(number)))
    return walk


def read_intermediates() -> dict[int, tuple[int | None, list[tuple[str, str]]]]:
    """The rows of the table below the walk: by step the step that it names as "from", and functions with their names.

    A function "has" the next one "as" another name where that is handed in.
    """
    rows: dict[int, tuple[int | None, list[tuple[str, str]]]] = {}
    for steps, start, text in re.findall(r"(?m)^\| (\d[\d, to]*) \| (?:from (\d+): )?(`.+) \|$", PAGE):
        numbers = [int(number) for number in re.findall(r"\d+", steps)]
        if "to" in steps:
            numbers = [*range(numbers[0], numbers[1] + 1)]
        functions = re.findall(rf"`({FUNCTION})`(?:, which has (?:it|`[^`]+`) as `(\w+)`)?", text)
        # With "which has F as `name`", F is the next function.
        functions += [(function, "") for function in re.findall(rf"which has `({FUNCTION})` as", text)]
        for number in numbers:
            rows[number] = (int(start) if start else None, functions)
    return rows


def list_calls() -> list[Call]:
    """The calls of the walk, those of dbos apart, which starts the first function of each workflow."""
    walk, rows = read_walk(), read_intermediates()
    calls = []
    for number, (step_above, function) in walk.items():
        start, intermediates = rows.get(number, (None, []))
        first = start or step_above
        if first is None:
            continue
        path = [(walk[first][1], ""), *intermediates, (function, "")]
        calls += [
            Call(caller, callee, alias or callee.rpartition(".")[2].rpartition(":")[2])
            for (caller, alias), (callee, _) in pairwise(path)
        ]
    return calls


def test_every_function_that_the_page_names_exists() -> None:
    functions = re.findall(FUNCTION, PAGE)
    assert len(functions) > 40
    for function in functions:
        assert get_function(function)


def test_the_walk_has_no_more_steps_than_promised() -> None:
    assert [*read_walk()] == [*range(1, 26)]


def test_the_page_counts_the_functions_of_the_walk() -> None:
    functions = {function for call in list_calls() for function in (call.caller, call.function)}
    effects = {"services/durable_effects.py:Effects.run"}
    assert f"a push calls {len(functions | effects)} functions in {len(read_walk())} steps" in PAGE


def test_no_call_of_the_walk_leads_back_into_a_module_that_it_has_left() -> None:
    walk, rows = read_walk(), read_intermediates()

    def list_modules(step: int) -> list[str]:
        step_above, function = walk[step]
        start, intermediates = rows.get(step, (None, []))
        first = start or step_above
        functions = [*(name for name, _ in intermediates), function]
        return [*(list_modules(first) if first else ()), *(name.partition(".py:")[0] for name in functions)]

    for step in walk:
        modules = [module for module, _ in groupby(list_modules(step))]
        assert len(modules) == len(set(modules)), modules


@pytest.mark.parametrize("call", dict.fromkeys(list_calls()), ids=lambda call: f"{call.caller} {call.function}")
def test_each_step_of_the_walk_is_called_by_the_one_before(call: Call) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(get_function(call.caller))))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert call.name in attributes | names
