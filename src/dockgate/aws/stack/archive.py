"""The functions' archive: only sources, with the same bytes on every machine and Python version."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from importlib.resources.abc import Traversable

from dockgate.aws.stack.zip_archive import pack
from dockgate.gate.model import Policy
from dockgate.gate.policy import encode_policy
from dockgate.gate.rule import Rule
from dockgate.shared.errors import UsageError

# Modules and folders below `dockgate` that the functions import by name. The archive has all that these import.
ROOTS = ("aws/functions", "gate/rules", "scanner/ecosystems", "reports/json.py", "reports/html.py", "reports/case.py")
# Suffixes of the data files that modules read.
DATA = (".json", ".tsv", ".txt")
POLICY = "dockgate/aws/policy.json"
# The Python version of the functions, as in the template.
RUNTIME = (3, 13)


def build(policy: Policy, rules: Iterable[Rule]) -> bytes:
    """The archive, with the policy in canonical form. Raises UsageError as `refuse` does."""
    refuse(policy, rules)
    package = resources.files("dockgate")
    members = {f"dockgate/{name}": data for name, data in _sources(package)}
    members[POLICY] = encode_policy(policy)
    return pack(members)


def refuse(policy: Policy, rules: Iterable[Rule]) -> None:
    """Raise UsageError for a policy with a rule that needs more than the archive has. It names the rule."""
    needed = {rule.name: sorted(_libraries(rule, policy)) for rule in rules}
    lacking = [f"{name} (needs {', '.join(libraries)})" for name, libraries in needed.items() if libraries]
    if lacking:
        raise UsageError(
            f"The policy {policy.name} cannot run as a Lambda function: {'; '.join(lacking)}.",
            "Remove these rules, or use the policy on your own server.",
        )


def _libraries(rule: Rule, policy: Policy) -> set[str]:
    """What the rule needs, as the policy uses it, beyond the archive."""
    return {need for use in policy.rules.get(rule.name, ()) for need in rule.needs(use)} - {"ecosystems"}


def _sources(package: Traversable) -> Iterator[tuple[str, bytes]]:
    """The files of every module that ROOTS import, directly or indirectly, with their data files."""
    waiting = [name for root in ROOTS for name in _modules(package, root)]
    sources: dict[str, bytes] = {}
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        sources[name] = package.joinpath(name).read_bytes()
        for module in _imports(ast.parse(sources[name])):
            waiting += _files(package, module.split(".")[1:])
    yield from sources.items()
    folders = {name.rpartition("/")[0] for name in sources}
    for folder in sorted(folders):
        for file in package.joinpath(folder).iterdir():
            if file.name.endswith(DATA):
                yield f"{folder}/{file.name}".lstrip("/"), file.read_bytes()


def _modules(package: Traversable, name: str) -> Iterator[str]:
    """A module by its file name, or all modules of a folder, except readers of files."""
    place = package.joinpath(name)
    if place.is_file():
        yield name
        return
    for item in place.iterdir():
        if item.is_dir() and item.joinpath("__init__.py").is_file():
            yield f"{name}/{item.name}/__init__.py"
        elif item.name.endswith(".py") and (name.startswith("aws/") or not item.name.startswith("_")):
            yield f"{name}/{item.name}"


def _imports(tree: ast.AST) -> Iterator[str]:
    """The dotted names below `dockgate` that a module imports anywhere, except for type checking."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "dockgate":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("dockgate."))
        yield from _imports(node)


def _files(package: Traversable, parts: Sequence[str]) -> Iterator[str]:
    """The files of a module and of its packages; `parts` may end in a name inside the module."""
    for count in range(len(parts) + 1):
        path = "/".join(parts[:count])
        for name in (f"{path}/__init__.py".lstrip("/"), f"{path}.py"):
            if package.joinpath(name).is_file():
                yield name
