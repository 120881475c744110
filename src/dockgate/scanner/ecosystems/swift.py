"""Swift packages by the package manager's lockfile, `Package.resolved`, versions 1 to 3.

A compiled program does not list its packages. A package is its repository, in OSV's schema (SwiftURL) as in the package
manager, regardless of case. One that is pinned to a branch or revision has no version to compare. One from a registry
does not state its repository, so no advisory would match: it is unread.
"""

from collections.abc import Sequence
from typing import Any, BinaryIO

from dockgate.scanner.formats import semver
from dockgate.scanner.formats.content import read_json_object
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, build_package, check_purl
from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

LOCK_LIMIT = 4 * 1024 * 1024  # bytes of a lockfile; one with 100 packages has 30,000

_LOCK = "Package.resolved"
_CHECKOUTS = ".build/checkouts/"


class Swift(StandaloneEcosystem):
    """Swift packages, ecosystem SwiftURL."""

    name = "swift"
    version = 1
    osv_names: tuple[str, ...] = ("SwiftURL",)
    purl_types: tuple[str, ...] = ("swift",)
    triggers = Triggers(names=(_LOCK,))

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Skip lockfiles in checkouts: the authors of packages develop with them."""
        return (path == _LOCK or path.endswith(f"/{_LOCK}")) and _CHECKOUTS not in path

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        content = read_json_object(file, LOCK_LIMIT)
        inner = content.get("object", content)  # of version 1
        pins = inner.get("pins") if isinstance(inner, dict) else None
        if not isinstance(pins, list):
            raise UnreadableError("it has no list of pins")
        packages: list[Package] = []
        unread_parts: list[tuple[str, str]] = []
        for position, pin in enumerate(pins):
            fields = pin if isinstance(pin, dict) else {}
            try:
                if package := _make_pinned_package(fields, path):
                    packages.append(package)
            except UnreadableError as error:
                name = fields.get("identity")
                unread_parts.append((name if isinstance(name, str) and name else f"pins/{position}", str(error)))
        return Extract(tuple(packages), unread_parts=tuple(unread_parts), is_lockfile=True)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:swift/HOST/OWNER/NAME@VERSION", namespace="host")
        return _make_package(f"{purl.namespace}/{purl.name}", purl.version, "")

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Update by the last parts of repositories; the package manager takes versions from Package.swift."""
        selected_upgrades, remark = select_upgrades(upgrades, lambda name: is_plain(name, "/._-~"))
        items = ", ".join(f"{name} {upgrade.version}" for name, upgrade in selected_upgrades)
        words = quote_words(dict.fromkeys(name.rpartition("/")[2] for name, _ in selected_upgrades))
        return ((f"swift package update {words} # {items} or later",) if selected_upgrades else ()) + remark

    @override
    def make_version_key(self, version: str) -> bytes:
        return semver.make_version_key(version, "Swift")


ECOSYSTEM: Ecosystem = Swift()


def _make_pinned_package(pin: dict[str, Any], path: str) -> Package | None:
    """Build the package of a pin; None for a local repository. Raises UnreadableError if data is missing."""
    location, state = pin.get("location", pin.get("repositoryURL")), pin.get("state")
    if pin.get("kind") == "localSourceControl":
        return None
    if isinstance(location, str) and location and isinstance(state, dict):
        if location.startswith(("/", "file:")):
            return None
        repository = _normalize_location(location)
        for kind in ("version", "branch", "revision"):
            if isinstance(state.get(kind), str) and state[kind] and "/" in repository:
                return _make_package(repository, state[kind] if kind == "version" else f"{kind} {state[kind]}", path)
    raise UnreadableError("it has no repository and version, branch or revision")


def _normalize_location(location: str) -> str:
    """Normalise a URL, or scp's form, to HOST/OWNER/NAME (`computeCanonicalLocation` of the package manager)."""
    scheme, separator, remaining_location = location.partition("://")
    if not separator:
        remaining_location = scheme
    host, _, way = remaining_location.partition("#")[0].partition("?")[0].partition("/")
    host, colon, port = host.rpartition("@")[2].partition(":")
    first = port if colon and not port.isdigit() else ""
    parts = [part for part in (host.lower(), first, *way.split("/")) if part]
    return "/".join(parts).removesuffix(".git")


def _make_package(repository: str, version: str, path: str) -> Package:
    owner, _, name = repository.rpartition("/")
    purl = write_purl("swift", owner, name, version)
    return build_package("SwiftURL", repository, version, purl, path, source=(repository.lower(), version))
