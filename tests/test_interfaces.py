"""Implementations derive from their interfaces, so that a reader of either finds the other."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import dockgate

SOURCE = Path(dockgate.__file__).parent
# Beside the modules `ports.py`: interfaces that lie with what uses them.
MODULES = ("aws/scans.py", "store/blobs.py")
Signature = tuple[str, ...]


class ClassOfModule(NamedTuple):
    """A class with its module, the names of its bases, and the parameters of its methods."""

    module: str
    name: str
    bases: frozenset[str]
    methods: Mapping[str, Signature]


def read_methods(node: ast.ClassDef) -> Iterator[tuple[str, Signature]]:
    for method in node.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
            yield method.name, tuple(argument.arg for argument in (*method.args.args, *method.args.kwonlyargs))


def read_classes() -> Sequence[ClassOfModule]:
    return [
        ClassOfModule(
            str(file.relative_to(SOURCE)),
            node.name,
            frozenset(ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases),
            dict(read_methods(node)),
        )
        for file in sorted(SOURCE.rglob("*.py"))
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
    ]


def list_ancestors(name: str, classes: Sequence[ClassOfModule]) -> set[str]:
    bases = {base for entry in classes if entry.name == name for base in entry.bases if base != name}
    return bases.union(*(list_ancestors(base, classes) for base in bases))


def test_a_class_with_all_methods_of_an_interface_derives_from_it() -> None:
    classes = read_classes()
    interfaces = [
        entry
        for entry in classes
        if "Protocol" in entry.bases and entry.methods and entry.module.endswith(("ports.py", *MODULES))
    ]
    assert {"Target", "Blobs", "RegistryStorage", "SeenLists"} <= {entry.name for entry in interfaces}
    missing_bases = {
        f"{implementation.module}: {implementation.name}({interface.name})"
        for interface in interfaces
        for implementation in classes
        if "Protocol" not in implementation.bases
        and interface.methods.items() <= implementation.methods.items()
        and interface.name not in {implementation.name, *list_ancestors(implementation.name, classes)}
    }
    assert sorted(missing_bases) == []
