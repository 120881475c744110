"""Composer packages as installed: `<vendor>/composer/installed.json`, also in phars; and lockfiles.

Lockfiles list development packages separately, and these do not count; in installed.json they count, because they are
installed. The installed.php next to it has the same content, and is not read.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any, BinaryIO

from dockgate.scanner.ecosystems.php.version import make_version_key
from dockgate.scanner.formats.content import is_script_of, join_path, read_json
from dockgate.scanner.formats.executable import SHEBANGS
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, build_package, check_purl
from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

FILE_LIMIT = 8 * 1024 * 1024  # bytes of an installed.json or lockfile; with 300 packages they have 600,000

_INSTALLED_JSON = "composer/installed.json"
_LOCK = "composer.lock"
_FOLDER = "vendor/composer"
_LOADER = "composer/autoload_real.php"
_PHAR = ".phar"


class Php(StandaloneEcosystem):
    """Composer packages, ecosystem Packagist."""

    name = "php"
    version = 3
    osv_names: tuple[str, ...] = ("Packagist",)
    purl_types: tuple[str, ...] = ("composer",)
    triggers = Triggers(names=("installed.json", _LOCK, "composer"), suffixes=(_PHAR,), magics=SHEBANGS)

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Match any vendor folder; at the usual name, also a link instead of its composer folder."""
        if path.endswith(_PHAR) or (head.startswith(SHEBANGS) and is_script_of(head, b"php")):
            return True
        return _has_ending(path, _INSTALLED_JSON) or _has_ending(path, _LOCK) or _has_ending(path, _FOLDER)

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if _has_ending(path, _FOLDER):
            return Extract()
        if _has_ending(path, _INSTALLED_JSON) or _has_ending(path, _LOCK):
            return _read_list(path, read_json(file, FILE_LIMIT), is_lockfile=_has_ending(path, _LOCK))
        return _read_archive(path, file)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:composer/VENDOR/NAME@VERSION", namespace="vendor")
        return _make_package(f"{purl.namespace}/{purl.name}", purl.version, "")

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        selected_upgrades, remark = select_upgrades(
            upgrades, lambda name: name.count("/") == 1 and is_plain(name, "/._-")
        )
        words = quote_words(f"{name}:>={upgrade.version}" for name, upgrade in selected_upgrades)
        return ((f"composer update --with-all-dependencies {words}",) if selected_upgrades else ()) + remark

    make_version_key = staticmethod(make_version_key)


ECOSYSTEM: Ecosystem = Php()


def _read_list(path: str, content: Any, *, is_lockfile: bool) -> Extract:
    """Read the packages of an installed.json or lockfile."""
    # Composer 1 wrote a bare list.
    listed_packages = content.get("packages") if isinstance(content, dict) else None if is_lockfile else content
    if not isinstance(listed_packages, list):
        raise UnreadableError("it has no list of packages")
    folder = path.rpartition("/")[0]
    packages: list[Package] = []
    owns: dict[str, tuple[str, ...]] = {}
    unread_parts: list[tuple[str, str]] = []
    for position, entry in enumerate(listed_packages):
        name, version = (entry.get("name"), entry.get("version")) if isinstance(entry, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(version, str) or not name or not version:
            part_name = name if isinstance(name, str) and name else f"packages/{position}"
            unread_parts.append((part_name, "it has no name and version"))
            continue
        package = _make_package(name, version, path)
        packages.append(package)
        if not is_lockfile and (owned_folder := _find_own_folder(folder, name, entry)):
            owns[package.purl] = (owned_folder,)
    return Extract(tuple(packages), owns, unread_parts=tuple(unread_parts), is_lockfile=is_lockfile)


def _read_archive(path: str, file: BinaryIO) -> Extract:
    """Read the installed.json files in an archive. Box omits them by default, which hides packages."""
    from dockgate.scanner.ecosystems.php import phar

    packages: list[Package] = []
    unread_parts: list[tuple[str, str]] = []
    has_list = has_loader = False
    for member in phar.read_members(path, file, (_INSTALLED_JSON, _LOADER)):
        has_loader = has_loader or _has_ending(member.name, _LOADER)
        if _has_ending(member.name, _INSTALLED_JSON):
            has_list = True
            try:
                content = read_json(BytesIO(member.content(FILE_LIMIT)), FILE_LIMIT)
                extract = _read_list(f"{path}!/{member.name}", content, is_lockfile=False)
            except UnreadableError as error:
                unread_parts.append((member.name, str(error)))
                continue
            packages += extract.packages
            unread_parts += [(f"{member.name}/{inner_path}", reason) for inner_path, reason in extract.unread_parts]
    if has_loader and not has_list:
        raise UnreadableError(f"it contains Composer packages, but no {_INSTALLED_JSON} that lists them")
    if not packages and not unread_parts:
        return Extract()
    return Extract(tuple(packages), unread_parts=tuple(unread_parts), is_self_contained=True)


def _has_ending(path: str, name: str) -> bool:
    """Return whether the path ends with these complete parts."""
    return path.endswith(name) and path[-len(name) - 1 : -len(name)] in ("", "/")


def _make_package(name: str, version: str, path: str) -> Package:
    vendor, _, own_name = name.lower().rpartition("/")
    purl = write_purl("composer", vendor, own_name, version)
    return build_package("Packagist", name, version, purl, path, source=(name.lower(), version))


def _find_own_folder(folder: str, name: str, entry: dict[str, Any]) -> str | None:
    """Return the package's own folder, None if it has none.

    `install-path` is relative to the folder of installed.json, and null for a package without files. Composer 1 omits
    it: packages are next to that folder under their names, unless a plugin moves them.
    """
    install_path = entry.get("install-path", f"../{name}")
    if not isinstance(install_path, str) or not install_path or "\0" in install_path:
        return None
    owned_folder = f"{join_path(folder, install_path)}/"
    # A package that claims all of the vendor folder, or a parent, would own the files of all other packages.
    return None if owned_folder == "/" or f"{folder}/".startswith(owned_folder) else owned_folder
