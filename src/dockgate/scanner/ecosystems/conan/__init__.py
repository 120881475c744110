"""C and C++ packages that Conan installed or deployed; else its lockfile.

Conan 2's cache has a database, Conan 1's cache has a folder for each package. Mostly only the lockfile remains in an
image: programs do not list the packages that they were built with. OSV has an ecosystem for them, without records.
"""

from collections.abc import Mapping
from typing import Any, BinaryIO

from dockgate.scanner.formats.content import check_size, decode_text, read_json_object
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, build_package, check_purl
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

LOCK_LIMIT = 4 * 1024 * 1024  # bytes of a lockfile; one with 100 packages has 10,000
CACHE_LIMIT = 64 * 1024 * 1024  # bytes of a cache's database; one with 100 packages has 100,000
ROW_LIMIT = 64 * 1024  # bytes of a row; real ones have a few hundred

_LOCK = "conan.lock"
_CACHE = "cache.sqlite3"
_STORAGE = "/p/"  # end of a cache's folder, unless its configuration names another
_SQLITE_LOGS = (f"{_CACHE}-wal", f"{_CACHE}-journal")
_INFO = "conaninfo.txt"
_NAMES = (_LOCK, _CACHE, *_SQLITE_LOGS, _INFO)
_DEPLOY_FOLDERS = ("full_deploy", "direct_deploy")
_REQUIRES = ("requires", "build_requires", "python_requires", "config_requires")
_LEGAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-")


class Conan(StandaloneEcosystem):
    """C and C++ packages, ecosystem ConanCenter."""

    name = "conan"
    version = 1
    osv_names: tuple[str, ...] = ("ConanCenter",)
    purl_types: tuple[str, ...] = ("conan",)
    triggers = Triggers(names=_NAMES)
    # No command changes what a project requires: its file must name the version.
    upgrade_line = UpgradeLine(
        "_+.-", "# Require {list} or later (conanfile.txt, conanfile.py), then install again.", item="{name}/{version}"
    )

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        if not path.endswith(_NAMES):
            return False
        name = path.rpartition("/")[2]
        return name in _NAMES and (name != _INFO or _find_package_folders(path) is not None)

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        """Read a lockfile, a package's info or a cache; other programs' files of its name do not count."""
        folder, slash, name = path.rpartition("/")
        if name == _LOCK:
            return _read_lock(path, read_json_object(file, LOCK_LIMIT))
        if name == _INFO:
            return _read_info(path)
        from dockgate.scanner.formats import sqlite

        try:
            if name in _SQLITE_LOGS:
                sqlite.check_log(file, path)
                return Extract()
            check_size(file, CACHE_LIMIT)
            return _read_cache(path, file)
        except UnreadableError:
            if f"/{folder}{slash}".endswith(_STORAGE):
                raise
            return Extract()

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:conan/NAME@VERSION")
        qualifiers = purl.qualifiers
        return _make_package(purl.name, purl.version, qualifiers.get("user", ""), qualifiers.get("channel", ""), "")

    @override
    def make_version_key(self, version: str) -> Any:
        """Conan 2's order; refuses what is invalid in a reference (conan/api/model/refs.py)."""
        from dockgate.scanner.ecosystems.conan.version import VERSION_LIMIT, make_version_key

        if not 0 < len(version) <= VERSION_LIMIT or not _LEGAL.issuperset(version) or version[0] in "+.-":
            raise UncomparableError(f"the Conan version {version[:80]!r} is invalid")
        return make_version_key(version)


ECOSYSTEM: Ecosystem = Conan()


def _make_package(name: str, version: str, user: str, channel: str, path: str) -> Package:
    """Build a package; a company's recipe, with user and channel, mostly builds the same sources."""
    purl = write_purl("conan", "", name, version, {"user": user, "channel": channel})
    return build_package("ConanCenter", name, version, purl, path)


def _parse_reference(reference: str, path: str) -> Package:
    """Parse NAME/VERSION[@USER[/CHANNEL]][#REVISION][:PACKAGE…][%TIME]."""
    plain = reference.partition("%")[0].partition(":")[0].partition("#")[0]
    package_part, _, owner = plain.partition("@")
    name, _, version = package_part.partition("/")
    user, _, channel = owner.partition("/")
    if not name or not version or "/" in version:
        raise UnreadableError(f"{reference[:80]!r} is not NAME/VERSION")
    return _make_package(name, version, _drop_placeholder(user), _drop_placeholder(channel), path)


def _find_package_folders(path: str) -> list[str] | None:
    """Return the path's folders from Conan 1's cache or a deployer's folder on, None anywhere else."""
    parts = path.split("/")[:-1]
    if len(parts) > 6 and parts[-7] == "data" and parts[-2] == "package":
        return parts[-7:]
    return next((parts[at:] for at, part in enumerate(parts) if part in _DEPLOY_FOLDERS), None)


def _read_info(path: str) -> Extract:
    """Read the package from its path: Conan 1's cache, or `full_deploy/host/NAME/VERSION/…`.

    In the cache it is `data/NAME/VERSION/USER/CHANNEL/package/ID`. `direct_deploy/NAME` states no version.
    """
    match _find_package_folders(path):
        case ["data", name, version, user, channel, _, _]:
            package = _make_package(name, version, _drop_placeholder(user), _drop_placeholder(channel), path)
        case ["full_deploy", _, name, version, *_]:
            package = _make_package(name, version, "", "", path)
        case _:
            raise UnreadableError("the folder does not state the package's version")
    return Extract((package,), {package.purl: (path.removesuffix(_INFO),)})


def _read_cache(path: str, file: BinaryIO) -> Extract:
    """Read the packages of a Conan 2 cache, and their folders (conan/internal/cache)."""
    from dockgate.scanner.formats.sqlite import read_rows

    size = file.seek(0, 2)
    packages: dict[Package, None] = {}
    owns: dict[str, list[str]] = {}
    for _, row in read_rows(file, size, "packages", ROW_LIMIT):
        reference, _, _, _, folder = [*map(decode_text, row), "", "", "", "", ""][:5]
        package = _parse_reference(reference, path)
        packages[package] = None
        if folder and all(part not in ("", ".", "..") and "\0" not in part for part in folder.split("/")):
            owns.setdefault(package.purl, []).append(f"{path.removesuffix(_CACHE)}{folder}/p/")
    return Extract(tuple(packages), {purl: tuple(folders) for purl, folders in owns.items()})


def _read_lock(path: str, content: Mapping[str, Any]) -> Extract:
    """Read a lockfile of Conan 2 or 1. Conan 1 lists the project too, with a path or without a name."""
    references: list[Any]
    if "graph_lock" in content:
        graph = content["graph_lock"]
        nodes = graph.get("nodes") if isinstance(graph, dict) else None
        if not isinstance(nodes, dict) or not all(isinstance(node, dict) for node in nodes.values()):
            raise UnreadableError("it has no nodes")
        references = [node.get("ref") or node.get("pref") or "" for node in nodes.values() if not node.get("path")]
    else:
        lists = [content.get(field, []) for field in _REQUIRES]
        if not all(isinstance(requirements, list) for requirements in lists):
            raise UnreadableError("its requirements are not a list")
        references = [reference for requirements in lists for reference in requirements]
    if not all(isinstance(reference, str) for reference in references):
        raise UnreadableError("a reference in it is not text")
    named_references = (reference for reference in references if "/" in reference.partition("@")[0])
    return Extract(
        tuple(dict.fromkeys(_parse_reference(reference, path) for reference in named_references)), is_lockfile=True
    )


def _drop_placeholder(text: str) -> str:
    """Return the text without the "_" that Conan writes for no user and no channel."""
    return "" if text == "_" else text
