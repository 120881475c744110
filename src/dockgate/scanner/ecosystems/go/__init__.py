"""Go modules: the build information that the linker puts into programs; and go.mod.

A program yields its modules, with replacements applied, and the standard library ("stdlib"); the `go` command also
yields the toolchain ("toolchain"), the name in advisories. A program without build information is unread, and so are
the modules of one that was built without modules (GOPATH), which records none.

A module that was built from a folder has the version "(devel)". This is mostly the program's own module (with its
release instead, if the build set a variable to it), or one replaced by a folder. The version compares with none: an
advisory for the module leaves it undetermined. No version is derived from the commit, because only the repository knows
which tags precede it.

go.mod counts as a lockfile. Its `go` and `toolchain` lines state what the build needs, not what is installed. Like the
go command, this skips the module cache, vendored modules and testdata.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from dockgate.scanner.ecosystems.go import buildinfo, mod, package_symbols
from dockgate.scanner.ecosystems.go.buildinfo import DEVEL_VERSION, BuildInfo, Module
from dockgate.scanner.ecosystems.go.version import make_version_key, parse_toolchain_release
from dockgate.scanner.formats import semver
from dockgate.scanner.formats.content import read_text
from dockgate.scanner.formats.executable import MAGICS, Executable, can_be_program, find_executables
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, build_package, check_purl
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

MOD_LIMIT = 1024 * 1024  # bytes of a go.mod; that of a program with 500 modules has 30,000
LDFLAGS_LIMIT = 16 * 1024  # characters of linker flags that are searched for the program's version

_PACKER = b"UPX!"
_PACKED_SECTIONS = (b"UPX0", b"UPX1")
_LIBRARY = ("stdlib", "toolchain")
_RELEASE_VARIABLES = ("version", "appversion", "buildversion", "gitversion", "releaseversion")


class Go(StandaloneEcosystem):
    """Go modules, ecosystem Go."""

    name = "go"
    version = 2
    osv_names: tuple[str, ...] = ("Go",)
    purl_types: tuple[str, ...] = ("golang",)
    triggers = Triggers(names=("go.mod",), magics=MAGICS)

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        if can_be_program(head):
            return True
        folder, _, name = path.rpartition("/")
        return name == "go.mod" and not any(
            part in ("testdata", "vendor") or part.startswith(("_", ".")) or "@" in part for part in folder.split("/")
        )

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if path.rpartition("/")[2] == "go.mod":
            return _read_mod(path, file)
        packages: dict[Package, None] = {}
        is_complete = True
        for executable in find_executables(file, buildinfo.MARKS, buildinfo.NOTES):
            if _PACKER in executable.head and (not executable.sections or executable.find_section(*_PACKED_SECTIONS)):
                raise UnreadableError("it is packed with UPX, so its components cannot be determined")
            info = buildinfo.read(executable)
            if info:
                packages.update((package, None) for package in _build_packages(info, executable, path))
                # A program of single files has no main module; Go's own programs have no modules at all.
                is_local = info.package is not None and (
                    info.package == "command-line-arguments" or info.package.startswith("cmd/")
                )
                is_complete = is_complete and bool(is_local or info.main or info.modules)
        if not packages:
            return Extract()
        unread_parts = (
            () if is_complete else (("modules", "it was built without modules, so its modules are not recorded"),)
        )
        return Extract(tuple(packages), unread_parts=unread_parts, is_self_contained=True)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        """Build a package, with the subpath that Syft writes ("github.com/a/b@v2.0.1#v2").

        With `type=package` (cyclonedx-gomod), the subpath is a package; the standard library is then named "std".
        """
        check_purl(purl, "pkg:golang/example.com/mod@v1.2.3")
        subpath = "" if purl.qualifiers.get("type") == "package" else purl.subpath
        path = "/".join(part for part in (purl.namespace, purl.name, subpath) if part)
        return _make_package(Module("stdlib" if path == "std" else path, purl.version), "")

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        selected_upgrades, remark = select_upgrades(upgrades, lambda name: is_plain(name, "/.-_~"))
        library = [upgrade.version for name, upgrade in selected_upgrades if name in ("stdlib", "toolchain")]
        advice = (f"# Build with Go {', '.join(dict.fromkeys(library))} or later.",) if library else ()
        modules = [
            f"{name}@v{upgrade.version}" for name, upgrade in selected_upgrades if name not in ("stdlib", "toolchain")
        ]
        return ((f"go get {quote_words(modules)} && go mod tidy",) if modules else ()) + advice + remark

    make_version_key = staticmethod(make_version_key)


ECOSYSTEM: Ecosystem = Go()


def _read_mod(path: str, file: BinaryIO) -> Extract:
    modules, is_complete = mod.read(read_text(file, MOD_LIMIT))
    packages = tuple(dict.fromkeys(_make_package(module, path) for module in modules))
    reason = "Go before 1.17 lists only direct requirements"
    unread_parts = () if is_complete or not packages else (("requirements", reason),)
    return Extract(packages, unread_parts=unread_parts, is_lockfile=True) if packages else Extract()


def _build_packages(info: BuildInfo, executable: Executable, path: str) -> Iterator[Package]:
    modules = [Module("stdlib", info.go)]
    if info.package == "cmd/go":
        modules.append(Module("toolchain", info.go))
    if info.main and info.main.version == DEVEL_VERSION:
        modules.append(Module(info.main.path, _find_linked_release(info) or DEVEL_VERSION))
    elif info.main:
        modules.append(info.main)
    modules += info.modules
    imports_by_module = package_symbols.group_by_module(
        (module.path for module in modules), package_symbols.read_packages(executable, info.package or "")
    )
    for module in modules:
        yield replace(_make_package(module, path), imports=" ".join(imports_by_module.get(module.path, ())) or None)


def _find_linked_release(info: BuildInfo) -> str | None:
    """Return the one semantic version that the linker's -X flags set in a version variable of the program."""
    import re

    flags = info.settings.get("-ldflags", "")[:LDFLAGS_LIMIT].replace('\\"', '"')
    values: set[str] = set()
    for variable, value in re.findall(r"-X[= ]['\"]?([^\s'\"=]+)=v?([^\s'\"]+)", flags):
        package, _, name = variable.rpartition(".")
        is_own = package == "main" or (info.main and f"{package}/".startswith(f"{info.main.path}/"))
        if is_own and name.lower() in _RELEASE_VARIABLES:
            values.add(value)
    try:
        (version,) = values
        semver.make_version_key(version, "Go")
    except (ValueError, UncomparableError):
        return None
    return f"v{version}"


def _make_package(module: Module, path: str) -> Package:
    namespace, _, name = module.path.rpartition("/")
    is_library = module.path in _LIBRARY
    version = parse_toolchain_release(module.version.removeprefix("v")) if is_library else module.version
    purl = write_purl("golang", namespace, name, version)
    source = module.path.lower(), version.removeprefix("v")
    return build_package("Go", module.path, version, purl, path, source=source)
