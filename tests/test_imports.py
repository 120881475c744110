"""The parts of the import table that no contract of the import linter can say (pyproject.toml has the others)."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from tests.statements import iterate_statements

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "dockgate"

# Folders whose own modules are pure: the standard library, no I/O, no clock.
PURE = (
    *("scanner", "scanner/integrity", "vulnerabilities", "gate", "gate/fleet", "gate/remediation", "gate/replay"),
    *("delivery", "events", "identity"),
)
STANDARD_LIBRARY_ONLY = (*PURE, "shared", "config.py", "demo")
EXCEPT = {
    "shared/aws.py": {"boto3", "botocore"},
    "shared/interfaces.py": {"typing_extensions"},  # by type checkers alone
    "shared/terminal_lines.py": {"rich"},
    "shared/yaml.py": {"yaml"},
}
IMPURE = frozenset(
    (
        *("asyncio", "fcntl", "glob", "http", "logging", "mmap", "multiprocessing", "os", "random", "secrets"),
        *("select", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time"),
    )
)
# Calls that read a clock or a file without one of these modules.
IMPURE_CALLS = frozenset((".exists", ".now", "open", ".read_bytes", ".read_text", ".stat", ".today", ".write_text"))
FORBIDDEN_IN_A_SCAN = (
    "alembic",
    "boto3",
    "cel_expr_python",
    "cryptography",
    "dbos",
    "dockgate.vulnerabilities.database.parts",
    "dockgate.vulnerabilities.database.writer",
    "dockgate.vulnerabilities.feed",
    "dockgate.gate.model",
    "dockgate.scanner.ecosystems.java.jars",
    "dockgate.scanner.formats.xml",
    "dockgate.scanner.sboms",
    "fastapi",
    "google.protobuf",
    "httpx",
    "kubernetes",
    "podman",
    "pydantic",
    "rich",
    "sqlalchemy",
    "univers",
    "urllib.parse",
    "uvicorn",
    "zstandard",
)


def _list_modules(part: str) -> list[Path]:
    """The modules directly in a folder, or the module itself."""
    path = SOURCE / part
    modules = sorted(path.glob("*.py")) if path.is_dir() else [path]
    assert modules, f"nothing in {path}"
    return modules


def _list_all_modules(part: str) -> list[Path]:
    modules = sorted((SOURCE / part).rglob("*.py"))
    assert modules, f"nothing in {part}"
    return modules


def _iterate_package_names(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The top-level packages that these nodes import, relative imports aside."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below this one that run when the module is imported: not the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _run_at_import(child)


def _list_imported_modules(module: str, file: Path, modules: set[str]) -> set[str]:
    """Those of the known modules that it imports anywhere, in functions and for types too. A package's names that are
    modules are these; other names of it are the package."""
    imported_modules = set()
    for node in iterate_statements(ast.parse(file.read_text()).body):
        if isinstance(node, ast.Import):
            imported_modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            imported_modules |= names if names <= modules else {node.module, *names}
    return imported_modules & modules - {module}


def _select_third_party(names: Iterator[str]) -> set[str]:
    return {name for name in names if name != "dockgate" and name not in sys.stdlib_module_names}


def test_the_drawing_of_the_architecture_has_the_layers_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    section = (ROOT / "docs" / "architecture.md").read_text().partition("## What may import what")[2]
    rows = (re.findall(r"([a-z]+)(?:/|\.py) ", row) for row in section.split("```")[1].splitlines())
    assert [" | ".join(row) for row in rows if row] == layers


def test_the_drawing_of_use_cases_has_the_folders_of_their_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][1]["layers"]
    names = ([name for name in layer.split(" | ") if (SOURCE / "services" / name).is_dir()] for layer in layers)
    section = (ROOT / "docs" / "architecture.md").read_text().partition("Inside `services/`")[2]
    rows = (row.split(" · ") for row in section.split("```")[1].split("\n") if row.strip())
    assert [[name.strip() for name in row] for row in rows] == [row for row in names if row]


@pytest.mark.parametrize("part", STANDARD_LIBRARY_ONLY)
def test_pure_modules_import_the_standard_library_alone(part: str) -> None:
    foreign = {
        str(file): _select_third_party(_iterate_package_names(ast.walk(ast.parse(file.read_text()))))
        - EXCEPT.get(str(file.relative_to(SOURCE)), set())
        for file in _list_modules(part)
    }
    assert {file: names for file, names in foreign.items() if names} == {}


def _iterate_called_names(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The names of called functions ("open") and, with a point, of methods (".now" of `datetime.now()`)."""
    for node in nodes:
        if isinstance(node, ast.Call):
            yield f".{node.func.attr}" if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)


@pytest.mark.parametrize("part", PURE)
def test_pure_modules_do_no_io_and_read_no_clock(part: str) -> None:
    impure = {}
    for file in _list_modules(part):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        impure[str(file)] = IMPURE & set(_iterate_package_names(iter(nodes)))
        impure[str(file)] |= IMPURE_CALLS & set(_iterate_called_names(iter(nodes)))
    assert {file: names for file, names in impure.items() if names} == {}


def test_a_rule_imports_the_standard_library_alone_except_expressions() -> None:
    foreign = {
        file.stem: _select_third_party(_iterate_package_names(ast.walk(ast.parse(file.read_text()))))
        for file in _list_modules("gate/rules")
    }
    assert {name: names for name, names in foreign.items() if names} == {
        "_cel": {"cel_expr_python"},
        "_cel_ast": {"google"},
        "_cel_messages": {"google"},
    }


@pytest.mark.parametrize("part", ["scanner/ecosystems", "scanner/formats", "gate/rules"])
def test_a_plugin_imports_its_library_at_first_use(part: str) -> None:
    files = _list_all_modules(part)
    foreign = {
        str(file): _select_third_party(_iterate_package_names(_run_at_import(ast.parse(file.read_text()))))
        for file in files
    }
    assert {file: names for file, names in foreign.items() if names} == {}


def test_plugins_compile_no_pattern_when_they_are_imported() -> None:
    compiling = [
        f"{file}:{node.lineno}"
        for part in ("scanner/ecosystems", "scanner/formats", "gate/rules")
        for file in _list_all_modules(part)
        for node in _run_at_import(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile"
    ]
    assert compiling == []


def test_no_modules_import_each_other_not_even_in_functions() -> None:
    files = {".".join(file.relative_to(SOURCE.parent).with_suffix("").parts): file for file in SOURCE.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): file for name, file in files.items()}
    graph = {name: _list_imported_modules(name, file, set(modules)) for name, file in modules.items()}
    list(TopologicalSorter(graph).static_order())  # CycleError names them


def test_modules_have_the_names_that_they_export() -> None:  # ruff does not look into `__init__.py`
    files = [file for file in SOURCE.rglob("*.py") if "\n__all__ = " in file.read_text()]
    names = [".".join(file.relative_to(SOURCE.parent).with_suffix("").parts) for file in files]
    modules = [importlib.import_module(name.removesuffix(".__init__")) for name in names]
    assert "dockgate.web.api" in {module.__name__ for module in modules}
    missing_names = {module.__name__: set(module.__all__) - set(vars(module)) for module in modules}
    assert {name: names for name, names in missing_names.items() if names} == {}


def test_a_command_loads_only_what_it_needs() -> None:
    program = (
        "import sys, dockgate.cli.main, dockgate.cli.scan, dockgate.services.images.image_inventory\n"
        "import dockgate.scanner.ecosystems\n"
        "dockgate.scanner.ecosystems.load()\n"
        f"print(sorted(set({FORBIDDEN_IN_A_SCAN!r}) & set(sys.modules)))\n"
        "import dockgate.cli.registry, dockgate.server.registry_logins\n"  # `registry authfile`
        "import dockgate.cli.up, dockgate.server.daemon, dockgate.shared.addresses\n"  # `up --detach`
        "print(sorted({'httpx', 'pydantic', 'sqlalchemy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n[]\n", "")
