"""Dart packages by pub's lockfile, `pubspec.lock`.

A compiled program does not list its packages, and pub's cache contains what any project ever downloaded.

The lockfile marks a project's own development dependencies, although other packages may need them too (pub,
lib/src/lock_file.dart). So all packages count, except those from an SDK or a local folder. A package from git shares
code, and so advisories, with the original.
"""

import re
from typing import BinaryIO

from dockgate.scanner.formats.content import read_text
from dockgate.scanner.formats.order import encode_labels, encode_number, is_at_most
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, build_package, check_purl
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

LOCK_LIMIT = 4 * 1024 * 1024  # bytes of a lockfile; one with 100 packages has 25,000
VERSION_LIMIT = 1024  # characters
# Dart's largest int. Versions have no larger number; a larger label is text.
INT_MAX = 2**63 - 1

_LABELS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*+"
_PATTERN = rf"([0-9]+)\.([0-9]+)\.([0-9]+)(?:-(?P<pre>{_LABELS}))?(?:\+(?P<build>{_LABELS}))?"
_LOCK = "pubspec.lock"
_CACHE = ".pub-cache/"
_PUBLISHED_SOURCES = ("hosted", "git")
_LOCAL_SOURCES = ("path", "sdk")


class Pub(StandaloneEcosystem):
    """Dart packages, ecosystem Pub."""

    name = "pub"
    version = 1
    osv_names: tuple[str, ...] = ("Pub",)
    purl_types: tuple[str, ...] = ("pub",)
    triggers = Triggers(names=(_LOCK,))
    # Pub takes the versions from pubspec.yaml.
    upgrade_line = UpgradeLine("_", "dart pub upgrade {words} # {list} or later")

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Skip lockfiles in pub's cache: the authors of packages develop with them."""
        return (path == _LOCK or path.endswith(f"/{_LOCK}")) and _CACHE not in path

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        from dockgate.scanner.formats.yaml import parse_document

        listed_packages = parse_document(read_text(file, LOCK_LIMIT)).get("packages", {})
        if not isinstance(listed_packages, dict):
            raise UnreadableError("it has no packages by name")
        packages: list[Package] = []
        unread_parts: list[tuple[str, str]] = []
        for name, entry in listed_packages.items():
            fields = entry if isinstance(entry, dict) else {}
            source, version = fields.get("source"), fields.get("version")
            if source in _PUBLISHED_SOURCES and name and isinstance(version, str) and version:
                packages.append(_make_package(name, version, path))
            elif source not in _LOCAL_SOURCES:
                unread_parts.append((name, "it has no source and version"))
        return Extract(tuple(packages), unread_parts=tuple(unread_parts), is_lockfile=True)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:pub/NAME@VERSION")
        return _make_package(purl.name, purl.version, "")

    @override
    def make_version_key(self, version: str) -> bytes:
        """The order of pub_semver (lib/src/version.dart): Semantic Versioning with builds and leading zeros.

        A version sorts before its builds ("1.0.0" before "1.0.0+1"), and builds sort like pre-releases.
        """
        match = re.fullmatch(_PATTERN, version) if len(version) <= VERSION_LIMIT else None
        if not match or not all(is_at_most(part, INT_MAX) for part in match.groups()[:3]):
            raise UncomparableError(f"the pub version {version[:80]!r} is invalid")
        numbers = b"".join(map(encode_number, match.groups()[:3]))
        pre = b"\x00" + encode_labels(match["pre"].split("."), INT_MAX) if match["pre"] else b"\x01"
        return (
            numbers + pre + (b"\x01" + encode_labels(match["build"].split("."), INT_MAX) if match["build"] else b"\x00")
        )


ECOSYSTEM: Ecosystem = Pub()


def _make_package(name: str, version: str, path: str) -> Package:
    """Normalise the name: lower case, underscores for other characters (purl-spec)."""
    plain = "".join(char if char.isascii() and char.isalnum() else "_" for char in name.lower())
    return build_package("Pub", name, version, write_purl("pub", "", plain, version), path, source=(plain, version))
