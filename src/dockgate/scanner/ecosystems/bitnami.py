"""Bitnami's components as installed: their SPDX documents, and the list in older images.

A document also names what is built into the component. Only Bitnami's own packages are read from it: the rest (jars, Go
modules) is found by its own files.
"""

from collections.abc import Sequence
from typing import Any, BinaryIO

from dockgate.scanner.formats.content import json_object
from dockgate.scanner.formats.order import is_digits, label_row, number
from dockgate.scanner.formats.shell import upgrade_command
from dockgate.scanner.formats.spdx import read_packages
from dockgate.scanner.formats.standalone import StandaloneEcosystem, check_purl
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.purl import Purl, write

# Bytes of a document; large ones have some hundred thousand.
FILE_LIMIT = 8 * 1024 * 1024

_ROOT = "opt/bitnami"
_LIST = f"{_ROOT}/.bitnami_components.json"
_PURL = "pkg:bitnami/"
_IDENTIFIER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")


class Bitnami(StandaloneEcosystem):
    """Bitnami's components, ecosystem Bitnami."""

    name = "bitnami"
    version = 1
    osv_names: tuple[str, ...] = ("Bitnami",)
    purl_types: tuple[str, ...] = ("bitnami",)
    triggers = Triggers(names=("bitnami", ".bitnami_components.json"), suffixes=(".spdx",))

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Include the folder of all components, so that a link in its place is found."""
        if not path.startswith(f"{_ROOT}/"):
            return path == _ROOT
        return path == _LIST or (path.endswith(".spdx") and path.rpartition("/")[2].startswith(".spdx-"))

    def read(self, path: str, file: BinaryIO) -> Extract:
        """A component owns the folder of its name, which contains its document.

        The list states what a build should unpack. Newer images have it in addition to the documents, so it counts as a
        lockfile.
        """
        if path == _ROOT:
            return Extract()
        content = json_object(file, FILE_LIMIT)
        return _read_list(path, content) if path == _LIST else _read_document(path, content)

    def package_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:bitnami/NAME@VERSION")
        return _package(purl.name, purl.version, purl.qualifiers, "")

    def upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Nothing in such an image installs its components."""
        return upgrade_command(upgrades, "+-._", "# Build on a newer image of Bitnami's, with {list} or later.")

    def version_key(self, version: str) -> bytes:
        """Semantic Versioning, except that a number after the hyphen is Bitnami's revision.

        A revision sorts after the plain version (bitnami/go-version): "2.4.62-3" is the third rebuild of 2.4.62, and
        2.4.62 equals "2.4.62-0". Anything else after the hyphen is an upstream pre-release ("2.6.0-rc1") and sorts
        before. Leading zeros are accepted ("2021.03.17"), because advisories have them.
        """
        core, hyphen, rest = version.partition("+")[0].partition("-")
        numbers = core.split(".")
        parts = rest.split(".") if hyphen else []
        if len(numbers) != 3 or not all(map(is_digits, numbers)) or not all(map(_is_identifier, parts)):
            raise UncomparableError(f"The Bitnami version {version[:80]!r} is not a semantic version.")
        is_revision = bool(parts) and is_digits(parts[0])
        if is_revision:
            while parts and not parts[-1].strip("0"):
                parts.pop()
        key = b"".join(map(number, numbers)) + (b"\x00" if parts and not is_revision else b"\x01")
        return key + label_row(parts)


ECOSYSTEM: Ecosystem = Bitnami()


def _is_identifier(text: str) -> bool:
    return bool(text) and _IDENTIFIER.issuperset(text)


def _package(name: str, version: str, qualifiers: Any, path: str) -> Package:
    texts = {key: qualifiers[key] for key in ("arch", "distro") if isinstance(qualifiers.get(key), str)}
    return Package(
        name=name,
        version=version,
        purl=write("bitnami", "", name, version, texts),
        ecosystem="Bitnami",
        source_name=name,
        source_version=version,
        path=path,
        arch=texts.get("arch", ""),
    )


def _read_document(path: str, content: dict[str, Any]) -> Extract:
    packages, unread = read_packages(content, _PURL, lambda purl: _package_of(purl, path))
    if not packages and not unread:
        raise UnreadableError("it names no Bitnami package")
    folder = path.rpartition("/")[0]
    component = folder.rpartition("/")[2]
    owns = {purl: (f"{folder}/",) for purl, package in packages.items() if package.name == component}
    return Extract(tuple(packages.values()), owns, unread=unread)


def _package_of(purl: str, path: str) -> Package | None:
    from urllib.parse import unquote

    rest, _, query = purl.removeprefix(_PURL).partition("#")[0].partition("?")
    name, _, version = rest.rpartition("@")
    pairs = (pair.partition("=") for pair in query.split("&"))
    qualifiers = {key: unquote(value) for key, _, value in pairs}
    return _package(unquote(name), unquote(version), qualifiers, path) if name and version else None


def _read_list(path: str, content: dict[str, Any]) -> Extract:
    packages: list[Package] = []
    unread: list[tuple[str, str]] = []
    for name, entry in content.items():
        version = entry.get("version") if isinstance(entry, dict) else None
        if name and isinstance(version, str) and version:
            packages.append(_package(name, version, entry, path))
        else:
            unread.append((name, "it has no version"))
    return Extract(tuple(packages), unread=tuple(unread), is_lockfile=True)
