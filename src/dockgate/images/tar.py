"""Tar headers, read as container runtimes read them: whoever reads them otherwise sees another image than what runs.

Formats: POSIX.1-2017 `pax` (ustar and extended headers), and the GNU tar manual, "Basic Tar Format" (long names,
base-256 numbers, sparse files). Where they leave a choice, the rule is that of Go's archive/tar, which runtimes use.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from zlib import adler32

from dockgate.core.errors import ImageError
from dockgate.images.tape import Tape

BLOCK = 512
META_LIMIT = 2**20
"""Bytes of a long name or an extended header; the runtimes' own limit."""

META_TOTAL = 2**28
"""Bytes of all those together: a quarter of a minute to read."""

_HEADER = Struct("100s8s16x12s12x8sc100s8s80x155s")
"""name, mode, size, checksum, type, link name, magic with version, prefix"""
_ZEROS = bytes(BLOCK)
_ADLER = 65521
_LARGEST = 2**63 - 1
_WITHOUT_CONTENT = frozenset(b"123456")
"""links, devices, folders and fifos: whatever size they state, nothing follows"""
_AMBIGUOUS = ("path", "linkpath", "size", "GNU.sparse.")


@dataclass(slots=True)
class Member:
    """One entry of a tar file. `stored` bytes of content start at `offset`; `size` is what the file has once unpacked.

    `type` is the header's type flag, with NUL and "7" told as "0", or as "5" for the old way to write a folder.
    `link` is as written; `sparse` says that the stored bytes are not the content.
    """

    name: str
    type: str
    size: int
    mode: int
    link: str
    offset: int
    stored: int
    sparse: bool = False


def members(tape: Tape, limit: int, marked: bool = False) -> Iterator[Member]:
    """Every entry, in order, of at most `limit` headers. While one is looked at, the tape may be read inside it.

    Ends at the end mark, with the tape behind it, or, unless it must be `marked`, at the source's end. ImageError.
    """
    pax: dict[bytes, bytes] = {}
    long_name = long_link = b""
    meta = False
    headers = extra = 0
    while True:
        if not tape.fill(BLOCK):
            if tape.end != tape.start or meta or marked:
                raise tape.cut_short()
            return
        at = tape.start
        block = tape.view[at : at + BLOCK]
        name, mode, size, checksum, flag, link, magic, prefix = _HEADER.unpack_from(block)
        if not name[0] and block == _ZEROS:
            _end(tape, meta)
            return
        if not _checks(block, checksum):
            raise _broken(tape, "a header's checksum is wrong")
        headers += 1
        if headers > limit:
            raise _broken(tape, f"it has more than {limit} headers")
        number = _number(tape, size)
        if flag in b"xgLK":
            tape.advance(BLOCK)
            extra += number
            if number > META_LIMIT or extra > META_TOTAL:
                raise _broken(tape, "its extended headers are too large")
            data = tape.take(number)
            tape.skip(-number % BLOCK)
            meta = flag != b"g"
            if flag == b"x":
                pax = _records(tape, data)
            elif flag == b"g":
                _check_global(tape, _records(tape, data))
            elif flag == b"L":
                long_name = data.partition(b"\0")[0]
            else:
                long_link = data.partition(b"\0")[0]
            continue
        name, link = name.partition(b"\0")[0], link.partition(b"\0")[0]
        if prefix[0] and (folder := _prefix(block, magic, prefix)):
            name = folder + b"/" + name
        stored = number
        sparse = flag == b"S"
        if sparse:
            if magic != b"ustar  \0":
                raise _broken(tape, "a sparse file outside of the GNU format")
            number = _number(tape, block[483:495].tobytes())
        mode_bits = _number(tape, mode)
        extended = sparse and block[482]
        tape.advance(BLOCK)
        while extended:
            extended = tape.take(BLOCK)[504]
        if meta:
            if pax:
                name, link = pax.get(b"path") or name, pax.get(b"linkpath") or link
                if pax.get(b"size"):
                    number = stored = _decimal(tape, pax[b"size"])
                if any(key.startswith(b"GNU.sparse.") for key in pax):
                    sparse = True
                    name, number = _sparse(tape, pax, name, number)
            name, link = long_name or name, long_link or link
            pax, long_name, long_link, meta = {}, b"", b"", False
        kind = flag.decode("latin-1")
        if flag[0] in _WITHOUT_CONTENT:
            number = stored = 0
        elif flag == b"\0" or flag == b"7" or sparse:
            kind = "5" if flag == b"\0" and name.endswith(b"/") else "0"
        start = tape.position
        yield Member(
            name.decode("utf-8", "surrogateescape"),
            kind,
            number,
            mode_bits & 0o7777,
            link.decode("utf-8", "surrogateescape") if link else "",
            start,
            stored,
            sparse,
        )
        tape.skip(start + stored + (-stored % BLOCK) - tape.position)


def _end(tape: Tape, meta: bool) -> None:
    """A block of zeros: the end mark is two of them, and one at the very end is let pass."""
    tape.advance(BLOCK)
    if meta:
        raise _broken(tape, "an extended header that no entry follows")
    if tape.fill(BLOCK):
        if tape.view[tape.start : tape.start + BLOCK] != _ZEROS:
            raise _broken(tape, "a block of zeros between entries")
        tape.advance(BLOCK)
    elif tape.end != tape.start:
        raise tape.cut_short()


def _checks(block: memoryview, checksum: bytes) -> bool:
    """Whether the header's checksum is right: the sum of its bytes, the checksum's own counted as blanks.

    Adler-32's low half is that sum, plus 1, modulo a prime, and thirty times as fast as summing in Python.
    """
    stated = _octal(checksum)
    if stated is None:
        return False
    low = adler32(block[156:], adler32(b"        ", adler32(block[:148]))) & 0xFFFF
    if low == (stated + 1) % _ADLER:
        return True
    signed = sum(byte - 256 if byte > 127 else byte for byte in (*block[:148], *block[156:])) + 8 * 32
    return signed == stated


def _octal(field: bytes) -> int | None:
    """An octal number, or GNU's base-256 when the first bit is set; None for all else, and for what is no size."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
        return None if field[0] & 0x40 or value > _LARGEST else value
    try:
        value = int(field.strip(b" \0").partition(b"\0")[0] or b"0", 8)
    except ValueError:
        return None
    return None if value < 0 else value


def _number(tape: Tape, field: bytes) -> int:
    value = _octal(field)
    if value is None:
        raise _broken(tape, f"{field!r} in a header is no number")
    return value


def _decimal(tape: Tape, text: bytes) -> int:
    if not text.isdigit() or len(text) > 19 or int(text) > _LARGEST:
        raise _broken(tape, f"{text[:40]!r} in an extended header is no number")
    return int(text)


def _prefix(block: memoryview, magic: bytes, prefix: bytes) -> bytes:
    """The name's first part, "" for none. GNU has times in its place, save for what old Docker versions wrote."""
    if magic.startswith(b"ustar\0"):
        return (prefix[:131] if bytes(block[508:512]) == b"tar\0" else prefix).partition(b"\0")[0]
    if magic == b"ustar  \0" and (_octal(prefix[:12]) is None or (prefix[12] and _octal(prefix[12:24]) is None)):
        text = prefix.partition(b"\0")[0]
        return text if text.isascii() else b""
    return b""


def _records(tape: Tape, data: bytes) -> dict[bytes, bytes]:
    """The records of an extended header, each "LENGTH KEY=VALUE" and a line feed."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        length, blank, _ = data[at : at + 20].partition(b" ")
        size = int(length) if blank and length.isdigit() else 0
        record = data[at + len(length) + 1 : at + size]
        key, equals, value = record.partition(b"=")
        named = key in (b"path", b"linkpath")
        if len(record) != size - len(length) - 1 or not record.endswith(b"\n") or not key or not equals:
            raise _broken(tape, "an extended header cannot be read")
        if b"\0" in key or (named and b"\0" in value):
            raise _broken(tape, "a NUL in a name")
        records[key] = value[:-1]
        at += size
    return records


def _check_global(tape: Tape, records: dict[bytes, bytes]) -> None:
    """Tar programs apply a global header to all that follows, container runtimes ignore it. Where that would show two
    images, neither is believed."""
    for key in records:
        if key.decode("latin-1").startswith(_AMBIGUOUS):
            raise _broken(tape, f"a global header sets {key.decode('latin-1')}, which runtimes ignore and tar does not")


def _sparse(tape: Tape, pax: dict[bytes, bytes], name: bytes, size: int) -> tuple[bytes, int]:
    """Name and size of a sparse file in an extended header (GNU tar manual, "Storing Sparse Files")."""
    version = pax.get(b"GNU.sparse.major", b""), pax.get(b"GNU.sparse.minor", b"")
    known = version in ((b"0", b"0"), (b"0", b"1"), (b"1", b"0"))
    if not known and (any(version) or not (b"GNU.sparse.map" in pax or b"GNU.sparse.offset" in pax)):
        return name, size
    real = pax.get(b"GNU.sparse.size") or pax.get(b"GNU.sparse.realsize")
    return pax.get(b"GNU.sparse.name") or name, _decimal(tape, real) if real else size


def _broken(tape: Tape, reason: str) -> ImageError:
    return ImageError(f"{tape.where} is no whole tar file: {reason}, at byte {tape.position}.")
