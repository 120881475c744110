"""npm packages as installed: package.json files in node_modules, and archives; else lockfiles.

Also the folders of Debian's Node.js, the global ones in which Node.js itself looks, and the archives from which Yarn
and Electron run without unpacking.

Any other package.json belongs to a project, whose name is not the registry's. Exceptions: Yarn 1, which the official
Node images unpack into /opt; and folders to which a link in a node_modules leads (workspaces, `npm link`, `file:` and
`portal:`), unless they are marked private.
"""

from collections.abc import Sequence
from typing import BinaryIO

from dockgate.scanner.ecosystems.npm.package import PACKAGE_LIMIT, make_package, read_declaration
from dockgate.scanner.ecosystems.npm.version import make_version_key
from dockgate.scanner.formats.content import read_json_object
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, check_purl
from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl

_FILE = "/package.json"
_MODULES = "node_modules"
_STORE = ".store/"  # Yarn 3 and 4 with `nodeLinker: pnpm` unpack into node_modules/.store/<name and digest>/package
_YARN = "opt/yarn-v"
_CACHES = (".yarn/cache", ".yarn/berry/cache")
_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock")
_ASAR = ".asar"
_ASAR_MAGIC = b"\4\0\0\0"
# In the home folder; Node.js also looks into lib/node beside its own bin ("Loading from the global folders").
_GLOBAL = (".node_modules", ".node_libraries")
_LIB_NODE = "lib/node"
_PREFIXES = ("", "usr/", "usr/local/")
_NODEJS = "/nodejs"  # Debian's Node.js looks into /usr/share/nodejs, /usr/lib/nodejs and /usr/lib/TRIPLET/nodejs


class Npm(StandaloneEcosystem):
    """npm packages, ecosystem npm."""

    name = "npm"
    version = 8
    osv_names: tuple[str, ...] = ("npm",)
    purl_types: tuple[str, ...] = ("npm",)
    triggers = Triggers(
        (*_LOCKS, "package.json"), (_ASAR,), prefixes=(_YARN,), parts=(_MODULES, ".yarn/", _NODEJS, *_GLOBAL, _LIB_NODE)
    )

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Skip the lockfile inside a package, with which its author develops."""
        if path.endswith(_ASAR) and head[:4] in (b"", _ASAR_MAGIC):
            return True
        folder = _find_global_folder(path)
        if folder is not None:
            return _is_package(folder, is_root=path.endswith(_FILE))
        if _MODULES in path:
            return _is_in_node_modules(path)
        folder = _find_nodejs_folder(path)
        if folder is not None:
            return _is_package(folder, is_root=path.endswith(_FILE))
        if path.endswith(_LOCKS):
            return path.rpartition("/")[2] in _LOCKS
        if ".yarn/" in path:
            folder = path.rpartition("/")[0] if path.endswith(".zip") else path
            return folder.endswith(_CACHES)
        if path.startswith(_YARN) and path.removesuffix(_FILE).count("/") == 1:
            return True
        return path.endswith(_FILE) and bool(head)  # a link or folder of this name is not in a package

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if path.endswith(_LOCKS):
            from dockgate.scanner.ecosystems.npm import lock

            return lock.read(path, file)
        if path.endswith(".zip"):
            from dockgate.scanner.ecosystems.npm import archives

            return archives.read_zip(path, file, lambda inner: _is_in_node_modules(inner) and inner.endswith(_FILE))
        if path.endswith(_ASAR):
            from dockgate.scanner.ecosystems.npm import archives

            return archives.read_asar(path, file, _is_in_node_modules)
        if not path.endswith(_FILE):
            return Extract()
        is_listed = _is_in_node_modules(path) or path.startswith(_YARN)
        if not (is_listed or _find_global_folder(path) is not None or _find_nodejs_folder(path) is not None):
            return _read_linked(path, file)
        return _extract_package(read_declaration(read_json_object(file, PACKAGE_LIMIT), path))

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:npm/NAME@VERSION")
        return make_package(f"{purl.namespace}/{purl.name}" if purl.namespace else purl.name, purl.version, "")

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        from dockgate.scanner.ecosystems.npm import upgrade_command

        return upgrade_command.build_commands(upgrades)

    make_version_key = staticmethod(make_version_key)


ECOSYSTEM: Ecosystem = Npm()


def _extract_package(package: Package, *, is_linked: bool = False) -> Extract:
    return Extract((package,), {package.purl: (package.path.removesuffix("package.json"),)}, is_linked_only=is_linked)


def _read_linked(path: str, file: BinaryIO) -> Extract:
    """Read a project's own package.json, or an unrelated file: an error counts only if a link leads here."""
    try:
        content = read_json_object(file, PACKAGE_LIMIT)
        if content.get("private") is True:
            return Extract(is_linked_only=True)
        return _extract_package(read_declaration(content, path), is_linked=True)
    except UnreadableError as error:
        return Extract(unread_parts=(("package", str(error)),), is_linked_only=True)


def _is_in_node_modules(path: str) -> bool:
    """Return whether the path is a node_modules folder, a package or scope in it, or a package.json."""
    if path.endswith(_MODULES) and path[-len(_MODULES) - 1 : -len(_MODULES)] in ("", "/"):
        return True
    parent, modules, folder = path.removesuffix(_FILE).rpartition("node_modules/")
    return bool(modules) and (not parent or parent.endswith("/")) and _is_package(folder, is_root=path.endswith(_FILE))


def _find_global_folder(path: str) -> str | None:
    """The path below a folder in which Node.js looks wherever it was started, without package.json; None elsewhere."""
    package_folder = path.removesuffix(_FILE)
    for name in _GLOBAL:
        parent, name_part, folder = f"/{package_folder}/".rpartition(f"/{name}/")
        if name_part and _MODULES not in folder:
            return folder.rstrip("/")
    parent, name_part, folder = f"{package_folder}/".partition(f"{_LIB_NODE}/")
    is_prefix = parent in _PREFIXES or (parent.startswith("opt/") and parent.count("/") == 2)
    return folder.rstrip("/") if name_part and is_prefix and _MODULES not in folder else None


def _find_nodejs_folder(path: str) -> str | None:
    """Return the path below a folder of Debian's Node.js, without package.json; None anywhere else."""
    parent, nodejs, folder = path.removesuffix(_FILE).partition(_NODEJS)
    is_debian = parent in ("usr/share", "usr/lib") or (parent.startswith("usr/lib/") and parent.count("/") == 2)
    return folder[1:] if nodejs and folder[:1] in ("", "/") and is_debian else None


def _is_package(folder: str, *, is_root: bool) -> bool:
    """Return whether a folder is a package's or a scope; with `is_root`, a package's."""
    if not folder:
        return not is_root
    if folder[0] == ".":
        return folder.startswith(_STORE) and folder.endswith("/package") and folder.count("/") == 2
    # A link called node_modules may lead to a scope, which then contains another.
    depth = 0 if folder[0] != "@" else 2 if "/@" in folder else 1
    return folder.count("/") == depth or (not is_root and folder.count("/") < depth)
