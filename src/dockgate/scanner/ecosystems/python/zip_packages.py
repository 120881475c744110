"""Python packages in zip archives: eggs, single-file applications, wheels and other archives.

Python imports from them without unpacking. An application begins with a line that names its interpreter (zipapp, shiv,
PEX). Nothing in an image states which wheels and zip archives are on a search path (a variable, a .pth file or any code
can add them), so all are read. They count only if their packages are not installed.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from dockgate.scanner.ecosystems.python.package import HEADER_LIMIT, read_metadata
from dockgate.scanner.formats.content import make_budget
from dockgate.scanner.formats.executable import SHEBANGS
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

if TYPE_CHECKING:  # most scans meet no such archive
    from dockgate.scanner.formats.zip_archive import Section

SUFFIXES = (".egg", ".pex", ".pyz", ".whl", ".zip")
# Bytes of an archive that are read, packed and unpacked: its directory and its packages' metadata.
READ_LIMIT = 128 * 1024 * 1024
MEMBER_LIMIT = 2000  # packages of one archive


_EGG = "EGG-INFO/PKG-INFO"
# In lower case: importlib.metadata finds them in any case.
_METADATA = (".dist-info/metadata", _EGG.lower(), ".egg-info/pkg-info")
_INNER = (".whl", ".egg")
_METADATA_NAMES = tuple(name.encode("ascii") for name in _METADATA)
_MEMBER_NAMES = (*_METADATA_NAMES, *(name.encode("ascii") for name in _INNER))
# Python does not import from archives nested in these; applications unpack them when they start.
_PACKAGES = (".egg", ".whl", ".zip")
_BUNDLED_WHEELS = ("/ensurepip/_bundled/", "/virtualenv/seed/wheels/embed/")
# Wheels that Python and virtualenv contain for installing, never for importing.
_INSTALLERS = ("pip-", "setuptools-", "wheel-")
_MIN_SIZE = 16 * 1024  # bytes; most scripts without a suffix are smaller, and applications with packages are never


def can_be_archive(path: str, size: int, head: bytes) -> bool:
    """Return whether a file with this beginning can be such an archive.

    One without suffix is recognised by its interpreter: Python, or the shell, which starts a PEX faster (`--sh-boot`).
    """
    suffix = path[path.rfind(".") :].lower()
    if suffix in (".egg", ".whl"):
        return not _is_installer_wheel(path)
    if suffix in SUFFIXES:
        return bool(head)  # anything may precede the archive
    line = head.partition(b"\n")[0]
    return size >= _MIN_SIZE and line.startswith(SHEBANGS) and (b"python" in line or line == b"#!/bin/sh")


def read(path: str, file: BinaryIO) -> Extract:
    """Read the packages of the archive at `path`; nothing from a file that is not a zip archive."""
    from dockgate.scanner.formats.zip_archive import Section, is_zip

    section = Section(file, 0, file.seek(0, 2))
    if not is_zip(section):
        return Extract()
    packages, unread_parts = read_packages(section, path, make_budget(READ_LIMIT))
    suffix = path[path.rfind(".") :].lower()
    is_lock = suffix in (".whl", ".zip") and "/.deps/" not in f"/{path}"
    if not packages and not unread_parts:
        return Extract()
    return Extract(tuple(packages), unread_parts=tuple(unread_parts), is_self_contained=True, is_lockfile=is_lock)


def read_packages(
    section: "Section", path: str, spend: Callable[[int], None]
) -> tuple[list[Package], list[tuple[str, str]]]:
    """Return the packages of an archive and of nested ones, and its unread parts.

    Raises UnreadableError for an incomplete archive, and for an egg or wheel that does not name its package.
    """
    from dockgate.scanner.formats.zip_archive import Archive

    kind = path[path.rfind(".") :].lower()
    archive = Archive(section, _METADATA_NAMES if kind in _PACKAGES else _MEMBER_NAMES, spend, is_case_ignored=True)
    entries = [entry for entry in archive.entries if kind != ".egg" or entry.name.lower() == _EGG.lower()]
    if kind in _INNER and not any(entry.name.lower().endswith(_METADATA) for entry in entries):
        raise UnreadableError(f"it is an egg without {_EGG}" if kind == ".egg" else "it is a wheel without METADATA")
    if len(entries) > MEMBER_LIMIT:
        raise UnreadableError(f"it contains {len(entries)} packages; no more than {MEMBER_LIMIT} are read")
    packages: list[Package] = []
    unread_parts: list[tuple[str, str]] = []
    for entry in entries:
        package_path = f"{path}!/{entry.name}"
        try:
            if entry.name.lower().endswith(_METADATA):
                packages.append(read_metadata(package_path, archive.read_head(entry, HEADER_LIMIT)))
            elif not _is_installer_wheel(package_path):
                with archive.open_entry(entry) as inner_section:
                    inner_packages, inner_unread = read_packages(inner_section, package_path, spend)
                packages += inner_packages
                unread_parts += [(f"{entry.name}!/{inner_path}", reason) for inner_path, reason in inner_unread]
        except UnreadableError as error:
            unread_parts.append((entry.name, str(error)))
    return packages, unread_parts


def _is_installer_wheel(path: str) -> bool:
    folder, _, name = f"/{path}".rpartition("/")
    return f"{folder}/".endswith(_BUNDLED_WHEELS) and name.startswith(_INSTALLERS)
