"""Read Yarn's zip archives of packages, from which Plug'n'Play runs them."""

from collections.abc import Callable
from io import BytesIO
from typing import BinaryIO

from dockgate.scanner.ecosystems.npm.package import PACKAGE_LIMIT, read_declaration
from dockgate.scanner.formats.content import budget, json_object
from dockgate.scanner.formats.zip_archive import Archive, Section
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

# Bytes of one archive that are read, packed and unpacked: its directory and all package.json files.
READ_LIMIT = 128 * 1024 * 1024
# Packages of one archive: its own and bundled ones.
MEMBER_LIMIT = 2000


def read(path: str, file: BinaryIO, is_root: Callable[[str], bool]) -> Extract:
    """Read the packages of the archive at `path`; unreadable members are unread parts.

    `is_root` selects the members at the root of a package. Raises UnreadableError if this is not an archive.
    """
    archive = Archive(Section(file, 0, file.seek(0, 2)), (b"/package.json",), budget(READ_LIMIT))
    members = [entry for entry in archive.entries if is_root(entry.name)]
    if not 0 < len(members) <= MEMBER_LIMIT:
        raise UnreadableError(f"it contains {len(members) or 'no'} packages")
    packages: list[Package] = []
    unread: list[tuple[str, str]] = []
    for entry in members:
        try:
            content = json_object(BytesIO(archive.read_all(entry, PACKAGE_LIMIT)), PACKAGE_LIMIT)
            packages.append(read_declaration(content, f"{path}!/{entry.name}"))
        except UnreadableError as error:
            unread.append((entry.name, str(error)))
    return Extract(tuple(packages), unread=tuple(unread), is_self_contained=True)
