"""FreeBSD packages: pkg's database (libpkg/pkgdb.c).

OSV's schema has `FreeBSD:ports` for packages of ports, by their names, and no record yet. The names in advisories for
parts of the system itself, which are packages too (pkgbase), are not settled: no feed covers them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from dockgate.scanner.formats.content import check_size, decode_path, decode_text
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import UpgradeLine
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

DATABASE = "var/db/pkg/local.sqlite"

# Bytes. A system with 1,000 packages has 100 million.
SIZE_LIMIT = 256 * 1024 * 1024
ROW_LIMIT = 4 * 1024 * 1024  # bytes of a row, which contains a package's description
PACKAGES_LIMIT = 50_000
PATHS_LIMIT = 128 * 1024 * 1024  # bytes of memory for all listed paths
VERSION_LIMIT = 1024  # characters

_SQLITE_LOGS = (f"{DATABASE}-wal", f"{DATABASE}-journal")
_PATH_COST = 64  # bytes of memory that a path takes besides its own
_SYSTEM = "base/"  # beginning of the origin of a part of the system itself


class FreeBSD(Ecosystem):
    """FreeBSD packages."""

    name = "freebsd"
    version = 1
    osv_names: tuple[str, ...] = ("FreeBSD",)
    can_omit_epoch = False
    can_omit_local_label = False
    purl_types: tuple[str, ...] = ("bsd",)
    distributions: tuple[str, ...] = ("freebsd",)
    database_paths: tuple[str, ...] = (DATABASE,)
    triggers = Triggers(prefixes=(DATABASE,))

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        return path.startswith(DATABASE) and (path == DATABASE or path in _SQLITE_LOGS)

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if path in _SQLITE_LOGS:
            from dockgate.scanner.formats.sqlite import check_log

            check_log(file, path)
            return Extract()
        check_size(file, SIZE_LIMIT)
        return _read_database(path, file)

    @override
    def assign_distribution(self, package: Package, distribution: Distribution) -> Package:
        distro = f"freebsd-{distribution.version}" if distribution.version else ""
        return replace(package, purl=_write_bsd_purl(package.name, package.version, distro))

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        """Build a package; the type `bsd` is only a proposal (package-url/purl-spec#496)."""
        system = purl.namespace.lower() or (distribution.id if distribution else "")
        if not purl.version or system != "freebsd":
            objection = "is not a FreeBSD package" if purl.version else "has no version"
            raise UsageError(f"{purl} {objection}", "Write it as pkg:bsd/freebsd/NAME@VERSION.")
        package = _make_package(purl.name, purl.version, "", "")
        distro = purl.qualifiers.get("distro", "")
        if distribution and not distro:
            return self.assign_distribution(package, distribution)
        return replace(package, purl=_write_bsd_purl(purl.name, purl.version, distro))

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Build commands without versions: pkg accepts none, and installs the latest."""
        return UpgradeLine("+-._", "pkg update && pkg upgrade --yes {words} # {list} or later").build_commands(upgrades)

    @override
    def make_version_key(self, version: str) -> Any:
        from dockgate.scanner.ecosystems.freebsd.version import FreeBSDVersion

        if not version.strip() or len(version) > VERSION_LIMIT or "\0" in version:
            raise UncomparableError(f"the FreeBSD version {version[:80]!r} is empty, too long, or has a NUL in it")
        return FreeBSDVersion(version)


ECOSYSTEM: Ecosystem = FreeBSD()


def _make_package(name: str, version: str, origin: str, path: str) -> Package:
    is_system = origin.startswith(_SYSTEM) or name.startswith("FreeBSD-")
    ecosystem = "FreeBSD base system" if is_system else "FreeBSD:ports"
    return Package(name, version, _write_bsd_purl(name, version, ""), ecosystem, name, version, path)


def _write_bsd_purl(name: str, version: str, distro: str) -> str:
    return write_purl("bsd", "freebsd", name, version, {"distro": distro})


def _read_database(path: str, file: BinaryIO) -> Extract:
    """Read the tables `packages` (id, origin, name, version, …) and `files` (path, …, package_id)."""
    from dockgate.scanner.formats.sqlite import read_rows

    size = file.seek(0, 2)
    packages: dict[int, Package] = {}
    for number, row in read_rows(file, size, "packages", ROW_LIMIT, 4):
        if len(packages) == PACKAGES_LIMIT:
            raise UnreadableError(f"it has more than {PACKAGES_LIMIT} packages")
        _, origin, name, version = [*map(decode_text, row), "", "", "", ""][:4]
        if not name or not version:
            raise UnreadableError(f"its package {number} has no {'version' if name else 'name'}")
        packages[number] = _make_package(name, version, origin, path)
    owns: dict[str, list[str]] = {}
    paths_size = 0
    for _, row in read_rows(file, size, "files", ROW_LIMIT, 9):
        owner = packages.get(int.from_bytes(row[8], "big")) if len(row) > 8 else None
        file_path = decode_path(row[0]).lstrip("/") if row else ""
        if owner and file_path and "\0" not in file_path:
            paths_size += len(file_path) + _PATH_COST
            if paths_size > PATHS_LIMIT:
                raise UnreadableError(f"its paths would take more than {PATHS_LIMIT} bytes of memory")
            owns.setdefault(owner.name, []).append(file_path)
    return Extract(tuple(packages.values()), {name: tuple(file_paths) for name, file_paths in owns.items()})
