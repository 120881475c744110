"""Read archives that applications run from: Electron's asar, and Yarn's zip (Plug'n'Play).

An asar archive: four 32-bit numbers (4, the size up to the files, that less 4, the size of the JSON), the JSON,
padding, the files. In the JSON, a folder has `files`, a file `size` and `offset`, a link `link`; `unpacked` files are
in a folder next to the archive. Sources: @electron/asar's `lib/disk.js` and `lib/pickle.js`.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from struct import Struct
from typing import Any, BinaryIO

from dockgate.scanner.ecosystems.npm.package import PACKAGE_LIMIT, read_declaration
from dockgate.scanner.formats.content import check_mapping, make_budget, read_json_object
from dockgate.scanner.formats.order import is_digits
from dockgate.scanner.formats.zip_archive import Archive, Section
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

HEADER_LIMIT = 8 * 1024 * 1024  # bytes of the JSON, about 260 for each file
# Bytes of one archive that are read: all its package.json, and a zip archive's directory, packed and unpacked.
READ_LIMIT = 128 * 1024 * 1024
MEMBER_LIMIT = 10_000  # packages of one asar archive; of one zip archive, its own and bundled ones
ZIP_MEMBER_LIMIT = 2000
PATH_LIMIT = 4096  # characters of a path; Linux' PATH_MAX

_FIXED_FIELDS = Struct("<4I")
_FILE = "package.json"
_MODULES = "node_modules"


def read_asar(path: str, file: BinaryIO, is_root: Callable[[str], bool]) -> Extract:
    """Read the packages of the archive whose roots `is_root` selects; unreadable members are unread parts."""
    header, files = _open_archive(file)
    # VS Code stores its node_modules folder in an archive of that name.
    parent = f"{_MODULES}/" if path.rpartition("/")[2] == f"{_MODULES}.asar" else ""
    spend = make_budget(READ_LIMIT)
    members: list[tuple[str, Callable[[], bytes]]] = []
    for inner, node in _list_members(header):
        if is_root(parent + inner) and node.get("unpacked") is not True:
            if len(members) == MEMBER_LIMIT:
                raise UnreadableError(f"it contains more than {MEMBER_LIMIT} packages")
            members.append((inner, partial(_read_content, node, files, spend)))
    return _read_members(path, members) if members else Extract()


def read_zip(path: str, file: BinaryIO, is_root: Callable[[str], bool]) -> Extract:
    """Read the packages of the archive whose roots `is_root` selects; unreadable members are unread parts."""
    archive = Archive(Section(file, 0, file.seek(0, 2)), (b"/package.json",), make_budget(READ_LIMIT))
    members = [entry for entry in archive.entries if is_root(entry.name)]
    if not 0 < len(members) <= ZIP_MEMBER_LIMIT:
        raise UnreadableError(f"it contains {len(members) or 'no'} packages")
    return _read_members(path, [(entry.name, partial(archive.read_all, entry, PACKAGE_LIMIT)) for entry in members])


def _read_members(path: str, members: Iterable[tuple[str, Callable[[], bytes]]]) -> Extract:
    """Read the package.json files by name and function that reads the content."""
    packages: list[Package] = []
    unread_parts: list[tuple[str, str]] = []
    for name, read_member in members:
        try:
            packages.append(
                read_declaration(read_json_object(BytesIO(read_member()), PACKAGE_LIMIT), f"{path}!/{name}")
            )
        except UnreadableError as error:
            unread_parts.append((name, str(error)))
    return Extract(tuple(packages), unread_parts=tuple(unread_parts), is_self_contained=True)


def _open_archive(file: BinaryIO) -> tuple[dict[str, Any], Section]:
    """Return the header's JSON and the section with the files."""
    size = file.seek(0, 2)
    file.seek(0)
    fixed_fields = file.read(_FIXED_FIELDS.size)
    if len(fixed_fields) < _FIXED_FIELDS.size:
        raise UnreadableError("it is not an asar archive")
    four, header, _, length = _FIXED_FIELDS.unpack(fixed_fields)
    start = 8 + header
    if four != 4 or _FIXED_FIELDS.size + length > start:
        raise UnreadableError("it is not an asar archive")
    if length > HEADER_LIMIT:
        raise UnreadableError(f"its header has {length} bytes; no more than {HEADER_LIMIT} are read")
    if start > size:
        raise UnreadableError("it is truncated")
    return read_json_object(BytesIO(file.read(length)), HEADER_LIMIT), Section(file, start, size - start)


def _list_members(header: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and header entry of every package.json."""
    folders = [("", _list_entries(header, "its root"))]
    while folders:
        folder, files = folders[-1]
        entry = next(files, None)
        if entry is None:
            folders.pop()
            continue
        name, node = entry
        if name == _FILE or (isinstance(node, dict) and "files" in node):
            path = folder + name
            if len(path) > PATH_LIMIT:
                raise UnreadableError(f"a path in it has more than {PATH_LIMIT} characters")
            node = check_mapping(node, f"what its header says of {path} is not a mapping")
            if "files" in node:
                folders.append((f"{path}/", _list_entries(node, path)))
            elif "link" not in node:
                yield path, node


def _list_entries(node: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    return iter(check_mapping(node.get("files"), f"its header does not state the files of {path}").items())


def _read_content(node: dict[str, Any], files: Section, spend: Callable[[int], None]) -> bytes:
    size, offset = node.get("size"), node.get("offset")
    if not isinstance(size, int) or not isinstance(offset, str) or not is_digits(offset[:20]) or len(offset) > 20:
        raise UnreadableError("the archive's header does not state its position")
    if not 0 <= size <= PACKAGE_LIMIT:
        raise UnreadableError(f"it has {size} bytes; no more than {PACKAGE_LIMIT} are read")
    spend(size)
    return files.read(int(offset), size)
