"""Which lines of a parser inputs reach: those of its modules' functions, as the interpreter counts lines."""

import importlib
import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.target import Target

Lines = set[tuple[str, int]]
"""A file's path and the number of a line, from 1."""


def lines(target: Target) -> Lines:
    """Every line that can be reached."""
    found: Lines = set()
    for name in target.modules:
        path = importlib.import_module(name).__file__
        assert path is not None
        with open(path, "rb") as source:
            module = compile(source.read(), path, "exec")
        found.update((path, line) for code in _functions(module) for _, _, line in code.co_lines() if line)
    return found


def _functions(code: CodeType) -> Iterator[CodeType]:
    """The code of functions at any depth; that of modules and classes runs when they are imported."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & 2:  # CO_NEWLOCALS: a function's
                yield constant
            yield from _functions(constant)


def reached(target: Target, inputs: Iterable[bytes]) -> Lines:
    """The lines that are reached by these inputs, whatever comes of them."""
    wanted = lines(target)
    paths = {path for path, _ in wanted}
    found: Lines = set()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        path = frame.f_code.co_filename
        if path not in paths:
            return None
        found.add((path, frame.f_lineno))
        return trace

    before = sys.gettrace()
    try:
        for data in inputs:
            sys.settrace(trace)
            try:
                target.run(data)
            except Exception:  # noqa: S112 - bugs are the fuzzer's to tell
                continue
            finally:
                sys.settrace(before)
    finally:
        sys.settrace(before)
    return found & wanted
