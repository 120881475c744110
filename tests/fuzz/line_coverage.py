"""Measure which lines of a parser's functions the inputs reach."""

import ast
import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.target import Target

# A file's path and the number of a line, from 1.
Lines = set[tuple[str, int]]


def list_reachable_lines(target: Target) -> Lines:
    """Return every line that can be reached."""
    every_line: Lines = set()
    for name in target.modules:
        path = importlib.import_module(name).__file__
        assert path is not None
        with open(path, "rb") as source:
            tree = ast.parse(source.read(), path)
        promised_lines = {line for function in ast.walk(tree) if _is_promise(function) for line in _get_span(function)}
        for code in _list_functions(compile(tree, path, "exec")):
            every_line.update((path, line) for _, _, line in code.co_lines() if line and line not in promised_lines)
    return every_line


def _is_promise(node: ast.AST) -> bool:
    """Whether it is a function of a Protocol, which does nothing."""
    if not isinstance(node, ast.FunctionDef):
        return False
    last = node.body[-1]
    return isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant) and last.value.value is Ellipsis


def _get_span(node: ast.AST) -> range:
    assert isinstance(node, ast.FunctionDef)
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _list_functions(code: CodeType, within: bool = False) -> Iterator[CodeType]:
    """Return the code of functions, and with `within` all code inside them; modules and classes run at import."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            function = within or bool(constant.co_flags & inspect.CO_NEWLOCALS and constant.co_name[0] != "<")
            if function:
                yield constant
            yield from _list_functions(constant, function)


def list_reached_lines(target: Target, inputs: Iterable[bytes]) -> Lines:
    """Return the lines that these inputs reach, whatever the result."""
    reachable = list_reachable_lines(target)
    paths = {path for path, _ in reachable}
    reached_lines: Lines = set()

    def trace_line(frame: FrameType, event: str, argument: Any) -> Any:
        path = frame.f_code.co_filename
        if path not in paths:
            return None
        reached_lines.add((path, frame.f_lineno))
        return trace_line

    before = sys.gettrace()
    try:
        for data in inputs:
            sys.settrace(trace_line)
            try:
                target.run(data)
            except Exception:  # noqa: S112 - bugs are the fuzzer's to tell
                continue
            finally:
                sys.settrace(before)
    finally:
        sys.settrace(before)
    return reached_lines & reachable
