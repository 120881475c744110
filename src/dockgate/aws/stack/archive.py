"""The archives that a deployment uploads.

They are the functions' sources, and the first commit of the source repository. They have the same bytes on every
machine and Python version.
"""

import ast
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

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
# Suffixes of the demo application's files.
_APPLICATION_FILES = (".html", ".py", ".txt")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build_archive(policy: Policy, rules: Iterable[Rule]) -> bytes:
    """The archive, with the policy in canonical form. Raises UsageError as `refuse_policy` does."""
    refuse_policy(policy, rules)
    return pack_files({**_read_sources(), POLICY: encode_policy(policy)})


def refuse_policy(policy: Policy, rules: Iterable[Rule]) -> None:
    """Raise UsageError for a policy with a rule that needs more than the archive has. It names the rule."""
    lacking = []
    for rule in rules:
        needs = {need for use in policy.rules.get(rule.name, ()) for need in rule.list_requirements(use)} - {
            "ecosystems"
        }
        if needs:
            lacking.append(f"{rule.name} (needs {', '.join(sorted(needs))})")
    if lacking:
        raise UsageError(
            f"the policy {policy.name} cannot run as a Lambda function: {'; '.join(lacking)}",
            "Remove these rules, or use the policy on your own server.",
        )


@cache
def _read_sources() -> Mapping[str, bytes]:
    """The files of every module that ROOTS import, directly or indirectly, with their data files, by their names.

    They are looked for once in a process: it takes seconds.
    """
    package = resources.files("dockgate")
    waiting = [name for root in ROOTS for name in _list_modules(package, root)]
    sources: dict[str, bytes] = {}
    seen_modules: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        sources[name] = package.joinpath(name).read_bytes()
        for module in {*_list_imports(ast.parse(sources[name]))} - seen_modules:
            seen_modules.add(module)
            waiting += _list_files(package, module.split(".")[1:])
    folders = {name.rpartition("/")[0] for name in sources}
    for folder in sorted(folders):
        for file in package.joinpath(folder).iterdir():
            if file.name.endswith(DATA):
                sources[f"{folder}/{file.name}".lstrip("/")] = file.read_bytes()
    return {f"dockgate/{name}": data for name, data in sources.items()}


def _list_modules(package: Traversable, name: str) -> Iterator[str]:
    """A module by its file name, or all modules of a folder, except readers of files."""
    resource = package.joinpath(name)
    if resource.is_file():
        yield name
        return
    for item in resource.iterdir():
        if item.is_dir() and item.joinpath("__init__.py").is_file():
            yield f"{name}/{item.name}/__init__.py"
        elif item.name.endswith(".py") and (name.startswith("aws/") or not item.name.startswith("_")):
            yield f"{name}/{item.name}"


def _list_imports(tree: ast.AST) -> Iterator[str]:
    """The dotted names below `dockgate` that a module imports anywhere, except for type checking."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):  # imports are statements, and no expression has some
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "dockgate":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("dockgate."))
        yield from _list_imports(node)


def _list_files(package: Traversable, parts: Sequence[str]) -> Iterator[str]:
    """The files of a module and of its packages; `parts` may end in a name inside the module."""
    for count in range(len(parts) + 1):
        path = "/".join(parts[:count])
        for name in (f"{path}/__init__.py".lstrip("/"), f"{path}.py"):
            if package.joinpath(name).is_file():
                yield name


def pack_first_commit(application: Traversable) -> bytes:
    """The demo application, which the gate rejects, on a base image that CodeBuild can pull.

    A Dockerfile is in it.
    """
    dockerfile = resources.files("dockgate.aws.stack").joinpath("application", "Dockerfile").read_bytes()
    return pack_files({**dict(_read_application_files(application)), "Dockerfile": dockerfile})


def _read_application_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.is_dir() and item.name != "__pycache__":
            yield from _read_application_files(item, f"{prefix}{item.name}/")
        elif item.is_file() and item.name.endswith(_APPLICATION_FILES):
            yield f"{prefix}{item.name}", item.read_bytes()


def pack_files(members: Mapping[str, bytes]) -> bytes:
    """A zip archive of these files, by name.

    Sorted, with one date and one mode (Lambda unpacks as another user), and not compressed: deflate output depends on
    the library that Python was built with.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, members[name])
    return buffer.getvalue()
