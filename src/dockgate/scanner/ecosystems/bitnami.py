"""Bitnami's components as installed: their SPDX documents, and the list in older images.

A document also names what is built into the component. Only Bitnami's own packages are read from it: the rest (jars, Go
modules) is found by its own files.
"""

from typing import Any, BinaryIO

from dockgate.scanner.formats.content import read_json_object
from dockgate.scanner.formats.order import encode_labels, encode_number, is_digits, is_label
from dockgate.scanner.formats.spdx import read_packages
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, check_purl
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

FILE_LIMIT = 8 * 1024 * 1024  # bytes of a document; large ones have some hundred thousand

_ROOT = "opt/bitnami"
_LIST = f"{_ROOT}/.bitnami_components.json"


class Bitnami(StandaloneEcosystem):
    """Bitnami's components, ecosystem Bitnami."""

    name = "bitnami"
    version = 1
    osv_names: tuple[str, ...] = ("Bitnami",)
    purl_types: tuple[str, ...] = ("bitnami",)
    triggers = Triggers(names=("bitnami", ".bitnami_components.json"), suffixes=(".spdx",))
    # Nothing in such an image installs its components.
    upgrade_line = UpgradeLine("+-._", "# Build on a newer image of Bitnami's, with {list} or later.")

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        if not path.startswith(f"{_ROOT}/"):
            return path == _ROOT
        return path == _LIST or (path.endswith(".spdx") and path.rpartition("/")[2].startswith(".spdx-"))

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        """Read a document, whose component owns the folder of its name, or the list.

        The list states what a build should unpack. Newer images have both, so the list counts as a lockfile.
        """
        if path == _ROOT:
            return Extract()
        content = read_json_object(file, FILE_LIMIT)
        return _read_list(path, content) if path == _LIST else _read_document(path, content)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:bitnami/NAME@VERSION")
        return _make_package(purl.name, purl.version, purl.qualifiers, "")

    @override
    def make_version_key(self, version: str) -> bytes:
        """Make a key by Semantic Versioning, but for numbers after the hyphen: they are Bitnami's revisions.

        A revision sorts after the plain version (bitnami/go-version): "2.4.62-3" is the third rebuild of 2.4.62, and
        2.4.62 equals "2.4.62-0". Anything else after the hyphen is an upstream pre-release ("2.6.0-rc1") and sorts
        before. Leading zeros are accepted ("2021.03.17"), because advisories have them.
        """
        core, hyphen, prerelease = version.partition("+")[0].partition("-")
        numbers = core.split(".")
        parts = prerelease.split(".") if hyphen else []
        if len(numbers) != 3 or not all(map(is_digits, numbers)) or not all(map(is_label, parts)):
            raise UncomparableError(f"the Bitnami version {version[:80]!r} is not a semantic version")
        is_revision = bool(parts) and is_digits(parts[0])
        if is_revision:
            while parts and not parts[-1].strip("0"):
                parts.pop()
        key = b"".join(map(encode_number, numbers)) + (b"\x00" if parts and not is_revision else b"\x01")
        return key + encode_labels(parts)


ECOSYSTEM: Ecosystem = Bitnami()


def _make_package(name: str, version: str, qualifiers: Any, path: str) -> Package:
    texts = {key: qualifiers[key] for key in ("arch", "distro") if isinstance(qualifiers.get(key), str)}
    purl = write_purl("bitnami", "", name, version, texts)
    return Package(name, version, purl, "Bitnami", name, version, path, arch=texts.get("arch") or None)


def _read_document(path: str, content: dict[str, Any]) -> Extract:
    packages, unread_parts = read_packages(
        content, "bitnami", lambda name, version, texts: _make_package(name, version, texts, path)
    )
    if not packages and not unread_parts:
        raise UnreadableError("it names no Bitnami package")
    folder = path.rpartition("/")[0]
    component = folder.rpartition("/")[2]
    owns = {purl: (f"{folder}/",) for purl, package in packages.items() if package.name == component}
    return Extract(tuple(packages.values()), owns, unread_parts=unread_parts)


def _read_list(path: str, content: dict[str, Any]) -> Extract:
    packages: list[Package] = []
    unread_parts: list[tuple[str, str]] = []
    for name, entry in content.items():
        version = entry.get("version") if isinstance(entry, dict) else None
        if name and isinstance(version, str) and version:
            packages.append(_make_package(name, version, entry, path))
        else:
            unread_parts.append((name, "it has no version"))
    return Extract(tuple(packages), unread_parts=tuple(unread_parts), is_lockfile=True)
