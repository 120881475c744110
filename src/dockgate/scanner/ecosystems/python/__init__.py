"""Python distributions as installed: dist-info, egg-info, eggs and zip archives; else lockfiles.

Any folder can be on the import path, so all folders count; lockfiles are those of pip, uv, Poetry, PDM and Pipenv.

The egg-info of a source checkout counts, because `import` finds it, and so does what was installed from git or a folder
(direct_url.json): a fork shares code, and so advisories. Wheels and zip archives count if their packages are not
installed. A package in another's `_vendor` is upgraded with that one.
"""

from collections.abc import Sequence
from typing import BinaryIO

from dockgate.scanner.ecosystems.python import zip_packages
from dockgate.scanner.ecosystems.python.package import (
    HEADER_LIMIT,
    find_contradictions,
    make_package,
    read_metadata,
    write_pypi_purl,
)
from dockgate.scanner.ecosystems.python.version import make_version_key
from dockgate.scanner.formats.content import check_size, decode_path, join_path
from dockgate.scanner.formats.executable import SHEBANGS
from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, check_purl
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl

RECORD_LIMIT = 16 * 1024 * 1024  # bytes of a RECORD or installed-files.txt

# In lower case, like the following: importlib.metadata and pip find metadata folders in any case.
_METADATA = (".dist-info/metadata", ".egg-info/pkg-info", "/egg-info/pkg-info", ".egg-info")
_RECORDS = (".dist-info/record", ".egg-info/installed-files.txt")
_INSTALLED_ENDINGS = (*_METADATA, *_RECORDS)
_FOLDERS = (".dist-info", ".egg/egg-info")  # folders of metadata; .egg-info is a folder or a file
_LOCKS = ("requirements.txt", "Pipfile.lock", "poetry.lock", "uv.lock", "pdm.lock", "pylock.toml")
_SITES = ("/site-packages/", "/dist-packages/")


class Python(StandaloneEcosystem):
    """Python distributions, ecosystem PyPI."""

    name = "python"
    version = 6
    osv_names: tuple[str, ...] = ("PyPI",)
    can_omit_local_label = True
    purl_types: tuple[str, ...] = ("pypi",)
    triggers = Triggers(
        names=("METADATA", "PKG-INFO", "RECORD", "installed-files.txt", "EGG-INFO", "egg-info", *_LOCKS),
        suffixes=(".dist-info", ".egg-info", ".toml", *zip_packages.SUFFIXES),
        magics=SHEBANGS,
    )

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Skip the lockfile inside an installed package, with which its author develops."""
        if path.lower().endswith((*_INSTALLED_ENDINGS, *_FOLDERS)) or zip_packages.can_be_archive(path, size, head):
            return True
        return _is_lock(path) and not any(folder in f"/{path}" for folder in _SITES)

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        lower = path.lower()
        if lower.endswith(_FOLDERS):  # a file of such a name is not a folder, and says nothing
            return Extract()
        if lower.endswith(_RECORDS):
            return _read_record(path, file)
        if lower.endswith(_METADATA):
            package = read_metadata(path, file.read(HEADER_LIMIT))
            return Extract((package,), unread_parts=tuple(find_contradictions(path, package, self.make_version_key)))
        if not _is_lock(path):
            return zip_packages.read(path, file)
        from dockgate.scanner.ecosystems.python import lock

        return lock.read(path, file)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:pypi/NAME@VERSION")
        return make_package(purl.name, purl.version, "")

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Use the interpreter that has the packages; a lockfile must be locked again."""
        selected_upgrades, remark = select_upgrades(upgrades, lambda name: is_plain(name, "._-"))
        by_interpreter: dict[str, list[str]] = {}
        locked_names: list[str] = []
        for name, upgrade in selected_upgrades:
            python = _find_interpreter(upgrade.package.path)
            requirements = locked_names if python is None else by_interpreter.setdefault(python, [])
            requirements.append(f"{name}>={upgrade.version}")
        advice = (f"# Raise {', '.join(locked_names)}, and lock the dependencies again.",) if locked_names else ()
        installs = sorted((python, quote_words(requirements)) for python, requirements in by_interpreter.items())
        return (*(f"{python} -m pip install --upgrade {words}" for python, words in installs), *advice, *remark)

    make_version_key = staticmethod(make_version_key)


ECOSYSTEM: Ecosystem = Python()


def _is_lock(path: str) -> bool:
    """Include pylock.<name>.toml (PEP 751)."""
    name = path.rpartition("/")[2]
    return name in _LOCKS or (name.startswith("pylock.") and name.endswith(".toml") and name.count(".") == 2)


def _read_record(path: str, file: BinaryIO) -> Extract:
    """Return the files that the distribution owns, except compiled ones, which come and go.

    RECORD is relative to the folder that contains the dist-info, installed-files.txt to the egg-info itself.
    """
    check_size(file, RECORD_LIMIT)
    folder_path, _, name = path.rpartition("/")
    parent, _, folder = folder_path.rpartition("/")
    is_record = name == "RECORD"
    base = parent if is_record else folder_path
    owned_paths: list[str] = []
    is_self_listed = not is_record
    for raw in file:
        line = decode_path(raw).strip("\r\n")
        if is_record:
            line = line.rsplit(",", 2)[0]
            if line.startswith('"'):
                line = line[1:-1].replace('""', '"')
        if not line or line.endswith(".pyc"):
            continue
        target = _join_path(base, line)
        if target and not target.startswith(folder_path + "/"):
            owned_paths.append(target)
        elif target.endswith("/METADATA"):
            is_self_listed = True
    distribution, _, version = folder.rpartition(".")[0].partition("-")
    # Every installer lists the metadata too: a list without it was edited.
    unread_parts = () if is_self_listed else (("METADATA", "it does not list the METADATA next to it"),)
    return Extract(
        owns={write_pypi_purl(distribution, version.partition("-")[0]): tuple(owned_paths)}, unread_parts=unread_parts
    )


def _join_path(base: str, path: str) -> str:
    """Join as `join_path` does. Hot path: nearly all paths are normalised."""
    if path.startswith(("/", ".")) or "/." in path or "//" in path:
        return join_path(base, path)
    return f"{base}/{path}" if base else path


def _find_interpreter(path: str) -> str | None:
    """The interpreter that has the packages: the system's or a virtual environment's; None for a lockfile."""
    parent, lib, inner_path = path.partition("lib/python")
    if not lib or not ("site-packages/" in inner_path or "dist-packages/" in inner_path):
        return None
    prefix = parent.rstrip("/")
    return "python3" if prefix in ("", "usr", "usr/local") else quote_words([f"/{prefix}/bin/python"])
