"""Single-file .NET applications: a host program, followed by all files of the application.

The host's data contains a signature, preceded by the offset of the bundle's header, which is zero in a host without a
bundle. The header contains the offset of the deps.json, which is never compressed. Sources: the runtime's
`src/native/corehost/bundle/header.h` and `bundle_marker.cpp`.
"""

from struct import Struct
from typing import BinaryIO

from dockgate.scanner.formats.executable import ELF, can_be_program, find_executables
from dockgate.shared.errors import UnreadableError

SIGNATURE = bytes.fromhex("8b1202b96a612038727b930214d7a03213f5b9e6efae3318ee3b2dce24b36aae")

_OFFSET_SIZE = 8
_MIN_SIZE = 64  # bytes of the smallest bundle
_ID_LIMIT = 1024  # bytes of a bundle's id; real ones have a dozen
_FIXED_FIELDS, _LOCATION = Struct("<IIi"), Struct("<qq")


def can_be_bundle(size: int, head: bytes) -> bool:
    """Return whether data follows the table of sections, as in a bundle.

    Linkers put the table last; Go's puts it first.
    """
    if head[:4] != ELF or len(head) < 64 or not can_be_program(head):
        return False
    order = ">" if head[5] == 2 else "<"
    is_wide = head[4] == 2
    (table,) = Struct(order + ("Q" if is_wide else "I")).unpack_from(head, 40 if is_wide else 32)
    entry, count = Struct(order + "HH").unpack_from(head, 58 if is_wide else 46)
    return bool(size >= table + entry * count + _MIN_SIZE)


def find_deps_json(file: BinaryIO, limit: int) -> bytes | None:
    """Return the bundle's deps.json, None if there is no bundle.

    Raises UnreadableError, also above `limit` bytes.
    """
    for program in find_executables(file, (b".data",)):
        variables = program.find_section(b".data") or program.find_data()
        content = program.read_part(variables) if variables else b""
        signature_at = content.find(SIGNATURE)
        offset = content[signature_at - _OFFSET_SIZE : signature_at] if signature_at >= _OFFSET_SIZE else b""
        if header_at := int.from_bytes(offset, "little"):
            return _read_deps_json(file, header_at, limit)
    return None


def _read_deps_json(file: BinaryIO, header_at: int, limit: int) -> bytes:
    size = file.seek(0, 2)
    header = _read_bytes(file, header_at, _FIXED_FIELDS.size + _ID_LIMIT, size)
    if len(header) < _FIXED_FIELDS.size:
        raise UnreadableError("it is a truncated .NET application in a single file")
    major, *_ = _FIXED_FIELDS.unpack_from(header)
    if major < 2:
        raise UnreadableError("it is a .NET Core 3 application in a single file, which does not state its packages")
    length, location_at = _read_text_length(header, _FIXED_FIELDS.size)
    location = header[location_at + length : location_at + length + _LOCATION.size]
    if len(location) < _LOCATION.size:
        raise UnreadableError("it is a .NET application in a single file whose header is truncated")
    start, count = _LOCATION.unpack(location)
    if not start:
        raise UnreadableError("it is a .NET application in a single file without a deps.json")
    if not 0 < count <= limit:
        raise UnreadableError(f"its deps.json has {count} bytes; no more than {limit} are read")
    content = _read_bytes(file, start, count, size)
    if len(content) < count:
        raise UnreadableError("it is a .NET application in a single file whose deps.json is truncated")
    return content


def _read_text_length(header: bytes, at: int) -> tuple[int, int]:
    """Read the length of a text (BinaryReader.Read7BitEncodedInt), and the position after it."""
    length = 0
    for shift, byte in enumerate(header[at : at + 5]):
        length |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return length, at + shift + 1
    raise UnreadableError("it is a .NET application in a single file whose header cannot be read")


def _read_bytes(file: BinaryIO, at: int, count: int, size: int) -> bytes:
    """Read these bytes of a file, fewer if it ends before."""
    if not 0 <= at < size:
        return b""
    file.seek(at)
    return file.read(count)
