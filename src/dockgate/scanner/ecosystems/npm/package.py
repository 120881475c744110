"""Build npm packages."""

from typing import Any

from dockgate.scanner.model import Package
from dockgate.shared.errors import UnreadableError
from dockgate.shared.purl import write_purl

PACKAGE_LIMIT = 4 * 1024 * 1024  # bytes of a package.json; the largest published ones have some hundred thousand


def make_package(name: str, version: str, path: str) -> Package:
    """Build a package; `name` includes its scope ("@vue/core")."""
    scope, _, bare = name.rpartition("/")
    return Package(name, version, write_purl("npm", scope, bare, version), "npm", name, version, path)


def read_declaration(content: dict[str, Any], path: str) -> Package:
    """Return the package that a package.json declares. Raises UnreadableError without name or version."""
    name, version = content.get("name", ""), content.get("version", "")
    if not isinstance(name, str) or not isinstance(version, str):
        raise UnreadableError("its name or version is not a string")
    if not name or not version:
        raise UnreadableError(f"it has no {'version' if name else 'name'}")
    return make_package(name, version, path)
