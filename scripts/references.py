"""Refuse names in docstrings and comments of src that do not exist: `scripts/lint` runs it.

    python scripts/references.py

A name in backquotes is checked if its form says what it should be: `Class.attribute` of a class of ours, a path of
modules from a folder of src/dockgate (`gate.rule.Rule`), or the name of a Python file. A rename of code leaves such
names behind, where no other tool looks. Other names may be those of formats, of arguments, or of other projects.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "dockgate"
QUOTED = re.compile(r"`([A-Za-z_][\w/]*(?:\.\w+)+)(?:\(\))?`")
# What looks like a name of ours: a file of Swift's package manager, and the form of the names of revisions.
FOREIGN = frozenset(("Package.resolved", "revision_ID.py"))


def list_attributes(trees: Mapping[Path, ast.Module]) -> dict[str, set[str]]:
    """The attributes and methods of each class by its name, with those of its bases."""
    attributes: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for node in (node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        names = attributes.setdefault(node.name, set())
        names |= {entry.name for entry in node.body if isinstance(entry, ast.FunctionDef | ast.AsyncFunctionDef)}
        for entry in ast.walk(node):
            if isinstance(entry, ast.Name | ast.Attribute) and isinstance(entry.ctx, ast.Store):
                names.add(entry.id if isinstance(entry, ast.Name) else entry.attr)
        bases.setdefault(node.name, set()).update(ast.unparse(base).partition("[")[0] for base in node.bases)
    for _ in range(3):  # the deepest chain of classes
        for name, parents in bases.items():
            attributes[name] |= {entry for parent in parents for entry in attributes.get(parent, ())}
    return attributes


def list_global_names(tree: ast.Module) -> set[str]:
    """The functions, classes, constants and imports of a module."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        names |= {
            entry.id for entry in ast.walk(node) if isinstance(entry, ast.Name) and isinstance(entry.ctx, ast.Store)
        }
    return names


class References:
    """Looks up what a name in backquotes refers to."""

    def __init__(self, trees: Mapping[Path, ast.Module]) -> None:
        self._attributes = list_attributes(trees)
        self._globals = {path: list_global_names(tree) for path, tree in trees.items()}
        self._files = {path.name for path in trees}

    def has_name(self, name: str) -> bool:
        """Return whether the name exists, or has a form that is not checked."""
        if name in FOREIGN:
            return True
        if name.endswith(".py"):
            return name.rpartition("/")[2] in self._files or (ROOT / name).exists()
        first, *further_parts = name.split(".")
        if first in self._attributes:
            return further_parts[0] in self._attributes[first]
        return not (SOURCE / first).is_dir() or self._is_path(SOURCE / first, further_parts)

    def _is_path(self, folder: Path, parts: list[str]) -> bool:
        """Return whether the parts are a module below the folder, or something in one."""
        for number, part in enumerate(parts):
            module = folder / f"{part}.py"
            if module in self._globals:
                return self._has_names(module, parts[number + 1 :])
            if not (folder / part).is_dir():
                return self._has_names(folder / "__init__.py", parts[number:])
            folder /= part
        return True

    def _has_names(self, module: Path, names: list[str]) -> bool:
        is_global = not names or names[0] in self._globals.get(module, ())
        return is_global and (len(names) < 2 or names[1] in self._attributes.get(names[0], ()))


def iterate_texts(source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The docstrings and comments of a module, by line."""
    documented_nodes = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented_nodes) and (text := ast.get_docstring(node, clean=False)):
            yield node.body[0].lineno, text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def main() -> int:
    """Print the names that do not exist; exit 1 if there are any."""
    sources = {path: path.read_text("utf-8") for path in sorted(SOURCE.rglob("*.py"))}
    trees = {path: ast.parse(source) for path, source in sources.items()}
    references = References(trees)
    missing_references = [
        f"{path.relative_to(ROOT)}:{number}: `{name}` does not exist\n"
        for path, source in sources.items()
        for number, text in iterate_texts(source, trees[path])
        for name in QUOTED.findall(text)
        if not references.has_name(name)
    ]
    sys.stdout.writelines(missing_references)
    return bool(missing_references)


if __name__ == "__main__":
    sys.exit(main())
