"""npm packages as installed: the package.json at the root of each folder in a node_modules."""

import json
from typing import BinaryIO

from dockgate.core.errors import UncomparableError, UnreadableError
from dockgate.core.model import Distribution, Package
from dockgate.core.ports import Ecosystem, Extract
from dockgate.ecosystems._order import is_digits, number
from dockgate.ecosystems._text import check_size, quote, text

PACKAGE_LIMIT = 4 * 1024 * 1024
"""Bytes of a package.json; the largest published ones have some hundred thousand."""
VERSION_LIMIT = 256
"""Characters; node-semver's MAX_LENGTH."""
NUMBER_LIMIT = 2**53 - 1
"""node-semver's MAX_SAFE_INTEGER."""

_FILE = "/package.json"
_MODULES = "node_modules"
_IDENTIFIER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")


class Npm:
    name = "npm"
    version = 2
    orders: tuple[str, ...] = ("npm",)
    distributions: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Also the folders on the way to a package.json, so that links in their place are seen."""
        if "node_modules" not in path:
            return False
        if path.endswith(_MODULES) and path[-len(_MODULES) - 1 : -len(_MODULES)] in ("", "/"):
            return True
        root = path.endswith(_FILE)
        above, modules, folder = path.removesuffix(_FILE).rpartition("node_modules/")
        if not modules or (above and not above.endswith("/")) or not folder or folder[0] == ".":
            return False
        # A scope in a scope is reached by a link called node_modules which leads to a scope.
        depth = 0 if folder[0] != "@" else 2 if "/@" in folder else 1
        return folder.count("/") == depth or (not root and folder.count("/") < depth)

    def read(self, path: str, file: BinaryIO) -> Extract:
        """The package at the root of which the package.json stands. Anything else is nothing."""
        if not path.endswith(_FILE):
            return Extract()
        check_size(file, PACKAGE_LIMIT)
        try:
            content = json.loads(text(file.read()).removeprefix("\ufeff"))
        except RecursionError as error:
            raise UnreadableError("its JSON is nested too deeply") from error
        except ValueError as error:
            raise UnreadableError(f"it is no JSON: {error}") from error
        if not isinstance(content, dict):
            raise UnreadableError("it is no JSON object")
        name, version = content.get("name", ""), content.get("version", "")
        if not isinstance(name, str) or not isinstance(version, str):
            raise UnreadableError("its name or version is no string")
        if not name or not version:
            raise UnreadableError(f"it has no {'version' if name else 'name'}")
        purl = f"pkg:npm/{'/'.join(map(quote, name.split('/')))}@{quote(version)}"
        package = Package(name, version, purl, "npm", source_name=name, source_version=version, path=path)
        return Extract((package,), {purl: (path.removesuffix("package.json"),)})

    def settle(self, package: Package, distribution: Distribution) -> Package:
        return package

    def key(self, version: str) -> bytes:
        """Semantic Versioning 2.0.0, section 11, build data ignored; refuses what node-semver's `clean` refuses."""
        given = version.strip().lstrip("=v").strip().removeprefix("v")
        plain, plus, build = given.partition("+")
        core, dash, pre = plain.partition("-")
        numbers = core.split(".")
        if (
            len(given) > VERSION_LIMIT
            or len(numbers) != 3
            or not all(_is_number(part) and int(part) <= NUMBER_LIMIT for part in numbers)
            or (plus and not all(map(_is_identifier, build.split("."))))
        ):
            raise UncomparableError(f"The npm version {version!r} is no semantic version.")
        key = b"".join(map(number, numbers))
        if not dash:
            return key + b"\x01"
        for part in pre.split("."):
            if not _is_identifier(part) or (is_digits(part) and not _is_number(part)):
                raise UncomparableError(f"The npm version {version!r} has a malformed pre-release part.")
            key += b"\x00\x01" + number(part) if is_digits(part) else b"\x00\x02" + part.encode("ascii")
        return key + b"\x00\x00"


ECOSYSTEM: Ecosystem = Npm()


def _is_number(text: str) -> bool:
    return is_digits(text) and (text == "0" or text[0] != "0")


def _is_identifier(text: str) -> bool:
    return bool(text) and _IDENTIFIER.issuperset(text)
