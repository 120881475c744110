"""Implementations derive from their interfaces, so that a reader of either finds the other."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import dockgate

SOURCE = Path(dockgate.__file__).parent
# Interfaces that classes of `io` have the methods of. Who derives from one of these needs no interface of ours.
OF_IO = frozenset({"Seekable", "Source"})
BASES_OF_IO = frozenset({"RawIOBase"})
# Functions implement these. Their parameters have no names, by which a class with the same method could be recognised.
OF_FUNCTIONS = frozenset({"RunStep"})


class Signature(NamedTuple):
    """The parameters of a method: by position ("/" for one without a name), by name, and how many may be left out."""

    positional: tuple[str, ...]
    named: frozenset[str]
    optional_count: int

    def match_declaration(self, declared_signature: "Signature") -> bool:
        """Whether every call of a declared method is one of this method."""
        count = len(declared_signature.positional)
        return (
            len(self.positional) >= count
            and len(self.positional) - self.optional_count <= count
            and all(
                declared_name in ("/", name)
                for declared_name, name in zip(declared_signature.positional, self.positional, strict=False)
            )
            and declared_signature.named <= {*self.named, *self.positional}
        )


class ClassOfModule(NamedTuple):
    """A class with its module, the names of its bases and attributes, and its methods."""

    module: str
    name: str
    bases: frozenset[str]
    attributes: frozenset[str]
    methods: Mapping[str, Signature]


def read_signature(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Signature:
    arguments = method.args
    return Signature(
        (*("/" for _ in arguments.posonlyargs), *(argument.arg for argument in arguments.args)),
        frozenset(argument.arg for argument in arguments.kwonlyargs),
        len(arguments.defaults),
    )


def list_attributes(node: ast.ClassDef) -> Iterator[str]:
    """The names that a class, or a method of it for `self`, assigns or declares."""
    for child in ast.walk(node):
        targets = child.targets if isinstance(child, ast.Assign) else []
        if isinstance(child, ast.AnnAssign):
            targets = [child.target]
        for target in targets:
            if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                yield target.attr
            elif isinstance(target, ast.Name) and child in node.body:
                yield target.id


def read_methods(node: ast.ClassDef) -> Iterator[tuple[str, Signature]]:
    for method in node.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
            yield method.name, read_signature(method)


def read_classes() -> Sequence[ClassOfModule]:
    return [
        ClassOfModule(
            str(file.relative_to(SOURCE)),
            node.name,
            frozenset(ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases),
            frozenset(list_attributes(node)),
            dict(read_methods(node)),
        )
        for file in sorted(SOURCE.rglob("*.py"))
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
    ]


def list_ancestors(name: str, classes: Sequence[ClassOfModule]) -> set[str]:
    bases = {base for entry in classes if entry.name == name for base in entry.bases if base != name}
    return bases.union(*(list_ancestors(base, classes) for base in bases))


def has_members_of(interface: ClassOfModule, implementation: ClassOfModule) -> bool:
    return interface.attributes <= {*implementation.attributes, *implementation.methods} and all(
        name in implementation.methods and implementation.methods[name].match_declaration(signature)
        for name, signature in interface.methods.items()
    )


def find_missing_bases(classes: Sequence[ClassOfModule]) -> Iterator[tuple[ClassOfModule, ClassOfModule]]:
    """Each class that could derive from an interface and does not, with the interface."""
    ancestors_by_name = {entry.name: {entry.name, *list_ancestors(entry.name, classes)} for entry in classes}
    for interface in classes:
        if "Protocol" not in interface.bases or not interface.methods or interface.name in OF_FUNCTIONS:
            continue
        for implementation in classes:
            ancestors = ancestors_by_name[implementation.name]
            is_of_io = interface.name in OF_IO and not ancestors.isdisjoint(BASES_OF_IO)
            if "Protocol" in implementation.bases or interface.name in ancestors or is_of_io:
                continue
            if has_members_of(interface, implementation):
                yield implementation, interface


def test_a_class_with_all_members_of_an_interface_derives_from_it() -> None:
    classes = read_classes()
    names = {entry.name for entry in classes if "Protocol" in entry.bases}
    assert {"Target", "Blobs", "SeenLists", "Source", "PackageMatcher", "Runner", "Rule"} <= names
    missing_bases = sorted(
        f"{implementation.module}: {implementation.name}({interface.name})"
        for implementation, interface in find_missing_bases(classes)
    )
    assert missing_bases == []


def test_a_class_without_the_base_is_found_by_its_members() -> None:
    protocol, no_names = frozenset({"Protocol"}), frozenset[str]()
    fill = Signature(("/", "/"), no_names, 0)
    interface = ClassOfModule("ports.py", "Counter", protocol, frozenset({"count"}), {"fill": fill})
    named = Signature(("self", "buffer", "offset"), no_names, 1)
    counter = ClassOfModule("adapter.py", "Complete", no_names, frozenset({"count"}), {"fill": named})
    counter_without_count = counter._replace(name="Uncounted", attributes=no_names)
    counter_with_offset = counter._replace(name="Demanding", methods={"fill": named._replace(optional_count=0)})
    subclass = counter._replace(name="Subclass", bases=frozenset({"Counter"}))
    classes = (interface, counter, counter_without_count, counter_with_offset, subclass)
    assert [implementation.name for implementation, _ in find_missing_bases(classes)] == ["Complete"]
