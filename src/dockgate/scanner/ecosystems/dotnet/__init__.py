""".NET packages as installed: deps.json of applications and frameworks; NuGet's lockfiles.

A single-file application contains its deps.json. Not found are applications compiled ahead of time, and those of the
old .NET Framework without a packages.config. NuGet's packages folder is only a cache.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any, BinaryIO

from dockgate.scanner.ecosystems.dotnet import single_file
from dockgate.scanner.ecosystems.dotnet.version import make_version_key
from dockgate.scanner.formats.content import check_mapping, check_size, read_json_object
from dockgate.scanner.formats.executable import ELF
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, check_purl
from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

# Bytes of any of these files; the deps.json of the biggest applications have some hundred thousand.
FILE_LIMIT = 16 * 1024 * 1024

_DEPS = ".deps.json"
_LOCK = "packages.lock.json"
_CONFIG = "packages.config"
_RUNTIME_PACK = "runtimepack."

_FRAMEWORKS = ("Microsoft.NETCore.App", "Microsoft.AspNetCore.App", "Microsoft.WindowsDesktop.App")


class Dotnet(StandaloneEcosystem):
    """.NET packages, ecosystem NuGet."""

    name = "dotnet"
    version = 2
    osv_names: tuple[str, ...] = ("NuGet",)
    purl_types: tuple[str, ...] = ("nuget",)
    triggers = Triggers(names=(_CONFIG,), suffixes=(".json",), magics=(ELF,))

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        return _is_list_file(path) or single_file.can_be_bundle(size, head)

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if not _is_list_file(path):
            raw = single_file.find_deps_json(file, FILE_LIMIT)
            if raw is None:
                return Extract()
            return Extract(
                _read_deps(path, read_json_object(BytesIO(raw), FILE_LIMIT)).packages, is_self_contained=True
            )
        if path.endswith(_CONFIG):
            check_size(file, FILE_LIMIT)
            return _read_config(path, file.read())
        content = read_json_object(file, FILE_LIMIT)
        return _read_deps(path, content) if path.endswith(_DEPS) else _read_lock(path, content)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:nuget/NAME@VERSION")
        return _make_package(purl.name, purl.version, "")

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Name the runtime for shared frameworks, which do not belong to a project."""
        selected_upgrades, remark = select_upgrades(upgrades, lambda name: is_plain(name, "._-"))
        runtime = [f"{name} {upgrade.version}" for name, upgrade in selected_upgrades if name.startswith(_FRAMEWORKS)]
        advice = (f"# Build on a newer .NET runtime, with {', '.join(runtime)} or later.",) if runtime else ()
        packages = [
            f"dotnet add package {quote_words([name])} --version {quote_words([upgrade.version])}"
            for name, upgrade in selected_upgrades
            if not name.startswith(_FRAMEWORKS)
        ]
        return ((" && ".join(packages),) if packages else ()) + advice + remark

    make_version_key = staticmethod(make_version_key)


ECOSYSTEM: Ecosystem = Dotnet()


def _make_package(name: str, version: str, path: str) -> Package:
    """Build a package; NuGet's names ignore case, and advisories are looked up in lower case."""
    purl = write_purl("nuget", "", name, version)
    return Package(name, version, purl, "NuGet", source_name=name.lower(), source_version=version, path=path)


def _is_list_file(path: str) -> bool:
    return path.endswith(_DEPS) or path.rpartition("/")[2] in (_LOCK, _CONFIG)


def _read_deps(path: str, content: dict[str, Any]) -> Extract:
    """Read an application's libraries, and the framework if the file belongs to one.

    A library without files for the target is only compiled against: the framework brings its assemblies. A
    self-contained application lists its frameworks as runtime packs. Sources: the runtime's
    documentation/design-docs/host-probing.md and the SDK's documentation/specs/runtime-configuration-file.md.
    """
    runtime = _get_object(content, "runtimeTarget").get("name", "")
    if not isinstance(runtime, str):
        raise UnreadableError("its target's name is not a string")
    target = _get_object(_get_object(content, "targets"), runtime)
    folder, _, file = path.rpartition("/")
    framework = _find_framework(path, runtime.partition("/")[2])
    owns: dict[Package, tuple[str, ...]] = {framework: ()} if framework else {}
    for library, description in _get_object(content, "libraries").items():
        kind = description.get("type") if isinstance(description, dict) else None
        name, slash, version = library.partition("/")
        if not slash or not name or kind not in ("package", "runtimepack"):
            continue
        assets = target.get(library)
        files = _list_files(folder, assets) if isinstance(assets, dict) else ()
        if framework and file.removesuffix(_DEPS).lower() in name.lower():
            owns[framework] += files
        elif files or not isinstance(assets, dict):
            owns[_make_package(name.removeprefix(_RUNTIME_PACK), version, path)] = files
    return Extract(tuple(owns), {package.purl: files for package, files in owns.items() if files})


def _find_framework(path: str, platform: str) -> Package | None:
    """Return the framework itself, if the file is shared/NAME/VERSION/NAME.deps.json.

    The folder has the released version, the file may have that of a build. Since .NET Core 3.0, frameworks and their
    advisories are named NAME.Runtime.PLATFORM.
    """
    shared_folder, name, version, file = ["", "", "", *path.split("/")][-4:]
    if shared_folder != "shared" or file != name + _DEPS:
        return None
    is_old = version.startswith(("1.", "2.")) or not platform
    return _make_package(name if is_old else f"{name}.Runtime.{platform}", version, path)


def _list_files(folder: str, assets: dict[str, Any]) -> tuple[str, ...]:
    """Return paths at which the host looks for a library's files.

    They are next to the deps.json; files for one culture in a folder of its name, files for one of several platforms in
    the package's own folders.
    """
    paths: list[str] = []
    for kind in ("runtime", "native", "resources", "runtimeTargets"):
        for path, description in _get_object(assets, kind).items():
            last = path.rpartition("/")[2]
            locale = description.get("locale") if isinstance(description, dict) else None
            inner = path if kind == "runtimeTargets" else f"{locale}/{last}" if kind == "resources" else last
            # "_._" marks an empty folder.
            if last != "_._" and ".." not in inner and "\0" not in inner:
                paths.append(f"{folder}/{inner}" if folder else inner)
    return tuple(paths)


def _read_lock(path: str, content: dict[str, Any]) -> Extract:
    """Read each resolved version; projects have none.

    Development dependencies are not marked, so they count.
    """
    packages: dict[Package, None] = {}
    for target in _get_object(content, "dependencies").values():
        for name, description in target.items() if isinstance(target, dict) else ():
            version = description.get("resolved") if isinstance(description, dict) else None
            if name and isinstance(version, str) and version and description.get("type") != "Project":
                packages[_make_package(name, version, path)] = None
    return Extract(tuple(packages), is_lockfile=True)


def _read_config(path: str, raw: bytes) -> Extract:
    """Read the older XML list, without packages marked as development dependencies."""
    from dockgate.scanner.formats.xml import parse_elements

    packages: dict[Package, None] = {}
    for element in parse_elements(raw):
        attributes = element.attributes
        if element.path == "packages/package" and attributes.get("developmentDependency", "").lower() != "true":
            if not attributes.get("id") or not attributes.get("version"):
                raise UnreadableError("it has a package without its id or version")
            packages[_make_package(attributes["id"], attributes["version"], path)] = None
    return Extract(tuple(packages), is_lockfile=True) if packages else Extract()


def _get_object(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the object under a name, {} if it is missing. Raises UnreadableError for another value."""
    return check_mapping(content.get(name) or {}, f"its {name!r} is not a JSON object")
