"""The functions' archive: sources alone, the same bytes wherever and by whatever Python they are packed."""

from collections.abc import Iterable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable

from dockgate.aws.stack.packing import pack
from dockgate.core.errors import UsageError
from dockgate.core.policy import policy_bytes
from dockgate.core.rules import Rule
from dockgate.core.verdict import Policy

PARTS = ("core", "ecosystems", "rules", "aws/functions")
"""folders of the package that go in whole, but for READERS: what needs a library in them imports it when it is used"""
READERS = frozenset(
    (
        *("_npm_asar", "_npm_lock", "_npm_zip", "_php_phar", "_python_lock", "_rpm_bdb", "_rpm_header", "_rpm_ndb"),
        *("_sqlite", "_toml", "_yaml"),
    )
)
"""modules in `ecosystems` that stay out: what reads an image's files imports them when it does, and no function does"""
SERVER_ONLY = frozenset(
    (
        *("adapters", "approvals", "asking", "attestation", "callbacks", "contributors", "databases", "deploy"),
        *("duplicates", "events", "evidence", "feeds", "insisting", "inventory", "languages", "layer_content"),
        *("layer_tree", "layers", "notices", "overriding", "package_folders", "people", "pipeline", "policy_choice"),
        *("registry_access", "symlinks", "task_health"),
    )
)
"""modules in `core` that stay out: no function reads layers, keeps a store or runs a pipeline"""
FILES = (
    "__init__.py",
    "aws/__init__.py",
    "findings/__init__.py",
    "findings/_inspector_packages.py",
    "findings/_read.py",
    "findings/inspector.py",
    "images/__init__.py",
    "images/attestation_marks.py",
    "images/manifest.py",
    "images/reference.py",
    "reports/__init__.py",
    "reports/case.py",
    "reports/html.py",
    "reports/json.py",
)
POLICY = "dockgate/aws/policy.json"
RUNTIME = (3, 13)
"""the version of Python that the functions run under, as the template names it"""

_KINDS = (".py", ".json", ".tsv", ".txt", ".yaml")
"""files of the package: what an editor leaves in a checkout does not go in"""


def build(policy: Policy, rules: Iterable[Rule]) -> bytes:
    """The archive, with the policy in canonical form. Raises UsageError as `refuse` does."""
    refuse(policy, rules)
    package = resources.files("dockgate")
    members = {f"dockgate/{name}": data for name, data in _sources(package)}
    members[POLICY] = policy_bytes(policy)
    return pack(members)


def refuse(policy: Policy, rules: Iterable[Rule]) -> None:
    """Raises UsageError when the policy has a rule that needs more than the archive holds, by the rule's name."""
    needed = {rule.name: sorted(_libraries(rule, policy)) for rule in rules}
    lacking = [f"{name} (needs {', '.join(libraries)})" for name, libraries in needed.items() if libraries]
    if lacking:
        raise UsageError(
            f"The policy {policy.name} cannot run as a Lambda function: {'; '.join(lacking)}.",
            "Leave these rules out, or judge by them on a server of your own.",
        )


def _libraries(rule: Rule, policy: Policy) -> set[str]:
    """What the rule needs, as the policy uses it, beside what the archive holds."""
    return {need for use in policy.rules.get(rule.name, ()) for need in rule.needs(use)} - {"ecosystems"}


def _sources(package: Traversable) -> Iterator[tuple[str, bytes]]:
    left_out = {f"ecosystems/{name}.py" for name in READERS} | {f"core/{name}.py" for name in SERVER_ONLY}
    for part in PARTS:
        for name, data in _folder(package.joinpath(part), part):
            if name not in left_out and not name.startswith("core/stores/"):
                yield name, data
    for name in FILES:
        yield name, package.joinpath(name).read_bytes()
    reports = package.joinpath("reports")
    for file in reports.iterdir():
        if file.name.startswith("_") and file.name.endswith(".py") and file.name != "__init__.py":
            yield f"reports/{file.name}", file.read_bytes()


def _folder(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.is_dir() and item.name != "__pycache__":
            yield from _folder(item, f"{name}/{item.name}")
        elif item.is_file() and item.name.endswith(_KINDS):
            yield f"{name}/{item.name}", item.read_bytes()
