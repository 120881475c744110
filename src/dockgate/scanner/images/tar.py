"""Tar headers of the forms that image builders write. Every other form is refused.

Container runtimes read tar with Go's archive/tar, other programs read the same bytes in other ways, and a file can hide
in every difference. So this module does not imitate a reader: it accepts the forms in which all readers agree, and
raises ImageError for all others. docs/reference/scanning.md lists the accepted ones ("Accepted layers").

Sources of the forms:
- Go archive/tar (PAX, USTAR, GNU): Docker, BuildKit, buildah, Podman, kaniko, ko, crane, apko, umoci
- Python tarfile (PAX, GNU): rules_docker, nix dockerTools
- Apache commons-compress (`LONGFILE_POSIX`, `BIGNUMBER_POSIX`): jib
- libarchive's bsdtar (pax): rules_oci
- GNU tar (gnu, posix): nix, debootstrap, mmdebstrap
- POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format"
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from zlib import adler32

from dockgate.scanner.images.stream_reader import StreamReader
from dockgate.shared.errors import ImageError

BLOCK = 512
# Bytes of a long name or an extended header; the runtimes' own limit.
META_LIMIT = 2**20

# Bytes of all those together: a quarter of a minute to read.
META_TOTAL = 2**28

# Name, mode, size, checksum, type flag, link name, magic with version, all after the device numbers.
_HEADER = Struct("100s8s16x12s12x8sc100s8s80x167s")
_ZEROS = bytes(BLOCK)
_USTAR, _GNU = b"ustar\x0000", b"ustar  \0"
_NO_REST = bytes(167)
# Bytes of a ustar header's prefix; what follows it is padding.
_PREFIX = 155
# Bytes of a GNU header's times of access and change; what follows belongs to sparse and split files.
_TIMES = 24
_ADLER = 65521
_LARGEST_SIZE = 2**63 - 1
_META = b"xgLK"
_ACCEPTED_TYPES = b"\x000123456"
# Links, devices, folders and fifos.
_CONTENTLESS_TYPES = frozenset(b"123456")
# Name of the global header that `git archive` writes; runtimes remove a file of that name when they meet one.
_GLOBAL = "pax_global_header"

# Bytes from which a size has no room in a header's 11 octal digits.
_DEFLATED_SIZE_FROM = 8**11

_KEYS = frozenset(
    {
        # POSIX.1-2017 pax, "pax Extended Header"
        b"atime", b"charset", b"comment", b"ctime", b"gid", b"gname", b"hdrcharset", b"linkpath", b"mtime", b"path",
        b"size", b"uid", b"uname",
        # star(5) and libarchive, tar(5)
        b"LIBARCHIVE.creationtime", b"LIBARCHIVE.symlinktype", b"RHT.security.selinux",
        b"SCHILY.acl.access", b"SCHILY.acl.ace", b"SCHILY.acl.default", b"SCHILY.dev", b"SCHILY.devmajor",
        b"SCHILY.devminor", b"SCHILY.fflags", b"SCHILY.ino", b"SCHILY.nlink",
        # hcsshim, and the checksums of apk-tools, which apko carries over from packages
        b"APK-TOOLS.checksum.SHA1", b"MSWINDOWS.fileattr", b"MSWINDOWS.rawsd",
    }
)  # fmt: skip
# Extended attributes; libarchive writes each a second time in a form of its own, which runtimes do not read.
_XATTR, _COPY = b"SCHILY.xattr.", b"LIBARCHIVE.xattr."
_ATTRIBUTES = (b"security.", b"system.posix_acl_", b"user.")
# Attributes by which a file system shows another file: with `overlay.redirect` a folder has another one's content.
_FILE_SYSTEM = (b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers.")
# What podman without root writes before version 4.4: overlayfs keeps where a file was copied from, and that a folder
# holds such files. It reads both in the layer that is written to only, for inode numbers (kernel, fs/overlayfs).
_COPIED_UP = frozenset({b"user.overlay.origin", b"user.overlay.impure"})
_CHARSETS = (b"BINARY", b"ISO-IR 10646 2000 UTF-8")
_NAME_KEYS = (b"path", b"linkpath", b"uname", b"gname")
_NEEDED_KEYS = (b"path", b"linkpath", b"size")


@dataclass(slots=True)
class Member:
    """One entry of a tar file, whose content is the `size` bytes from `offset` on.

    `type` is the header's type flag, with NUL written as "0". `link` is the target as written.
    """

    name: str
    type: str
    size: int
    mode: int
    link: str
    offset: int


def read_members(tape: StreamReader, limit: int, is_end_mark_required: bool = False) -> Iterator[Member]:
    """Yield the entries in order.

    The caller may read an entry's content from the tape before it takes the next one. Ends after the end mark or,
    without `is_end_mark_required`, at the end of the source. Raises ImageError for a file that is cut short, has more
    than `limit` headers, or has a form that is not accepted.
    """
    extended_headers = _ExtendedHeaders(tape)
    headers = 0
    while (header := _read_next_header(tape, extended_headers, is_end_mark_required)) is not None:
        headers += 1
        if headers > limit:
            raise _make_broken_error(tape, f"it has more than {limit} headers")
        name, link, flag, size, mode = header
        if flag in _META:
            extended_headers.read(flag, name, size, is_first=headers == 1)
            continue
        if flag not in _ACCEPTED_TYPES:
            raise _make_unusual_form_error(tape, f"an entry has the type {flag!r}")
        mode_bits = _parse_number(tape, mode)
        tape.advance(BLOCK)
        if extended_headers.is_pending:
            name, link, size = extended_headers.take(name, link, size)
        if flag[0] in _CONTENTLESS_TYPES:
            if size:
                raise _make_unusual_form_error(tape, f"an entry of the type {flag!r} has a size")
        elif name.endswith(b"/"):
            raise _make_unusual_form_error(tape, "a file's name ends with a slash")
        start = tape.position
        yield Member(
            name.decode("utf-8", "surrogateescape"),
            "0" if flag == b"\0" else flag.decode("latin-1"),
            size,
            mode_bits & 0o7777,
            link.decode("utf-8", "surrogateescape") if link else "",
            start,
        )
        tape.skip(start + size + (-size % BLOCK) - tape.position)


def _read_next_header(
    tape: StreamReader, extended_headers: "_ExtendedHeaders", is_end_mark_required: bool
) -> tuple[bytes, bytes, bytes, int, bytes] | None:
    """The name, link, type flag, size and mode (as written) of the header at the tape's position; None at the end."""
    if not tape.fill(BLOCK):
        if tape.end != tape.start or extended_headers.is_pending or is_end_mark_required:
            raise tape.make_truncated_error()
        return None
    at = tape.start
    block = tape.view[at : at + BLOCK]
    name, mode, size, checksum, flag, link, magic, remaining_fields = _HEADER.unpack_from(block)
    if not name[0] and block == _ZEROS:
        _skip_end(tape, extended_headers.is_pending)
        return None
    if not _has_checksum(block, checksum):
        raise _make_broken_error(tape, "a header's checksum is wrong")
    if magic not in (_USTAR, _GNU):
        raise _make_unusual_form_error(tape, f"a header of the format {magic!r} is neither ustar nor GNU")
    number = _parse_number(tape, size)
    name, link = name.rstrip(b"\0"), link.rstrip(b"\0")
    if 0 in name or 0 in link:
        raise _make_unusual_form_error(tape, "a NUL in a name")
    if remaining_fields != _NO_REST and (prefix := _parse_prefix(tape, magic, remaining_fields)):
        name = prefix + b"/" + name
    return name, link, flag, number, mode


class _ExtendedHeaders:
    """The extended headers of the entry that follows them: its name, link and size.

    `is_pending`: they do.
    """

    __slots__ = ("_long_link", "_long_name", "_pax", "_tape", "_total", "is_pending")

    def __init__(self, tape: StreamReader) -> None:
        self._tape = tape
        self._pax: dict[bytes, bytes] = {}
        self._long_name = self._long_link = b""
        self._total = 0
        self.is_pending = False

    def read(self, flag: bytes, name: bytes, size: int, *, is_first: bool) -> None:
        """Read the header at the tape's position and its `size` bytes."""
        tape = self._tape
        tape.advance(BLOCK)
        self._total += size
        if size > META_LIMIT or self._total > META_TOTAL:
            raise _make_broken_error(tape, "its extended headers are too large")
        data = tape.take(size)
        tape.skip(-size % BLOCK)
        if flag == b"g":
            _check_global(tape, name, data, is_first=is_first)
        elif self._is_repeated(flag):
            raise _make_unusual_form_error(tape, "two extended headers are followed by one entry")
        elif flag == b"x":
            self._pax = _parse_pax_records(tape, data)
        elif flag == b"L":
            self._long_name = _parse_long_text(tape, data)
        else:
            self._long_link = _parse_long_text(tape, data)
        self.is_pending = bool(self._pax or self._long_name or self._long_link)

    def _is_repeated(self, flag: bytes) -> bool:
        """Return whether such an entry would have two of them; a long name and a long link go together."""
        if flag == b"x":
            return self.is_pending
        return bool(self._pax or (self._long_name if flag == b"L" else self._long_link))

    def take(self, name: bytes, link: bytes, size: int) -> tuple[bytes, bytes, int]:
        """Return name, link and size of the entry with these in its own header, and forget the extended ones."""
        if self._pax:
            name, link = self._pax.get(b"path", name), self._pax.get(b"linkpath", link)
            if b"size" in self._pax:
                size = _parse_pax_size(self._tape, self._pax[b"size"], size)
            self._pax = {}
        else:
            name, link = self._long_name or name, self._long_link or link
            self._long_name = self._long_link = b""
        self.is_pending = False
        return name, link, size


def _skip_end(tape: StreamReader, has_meta: bool) -> None:
    """Skip the end mark: two blocks of zeros, or one at the end of the source."""
    tape.advance(BLOCK)
    if has_meta:
        raise _make_broken_error(tape, "an extended header that no entry follows")
    if tape.fill(BLOCK):
        if tape.view[tape.start : tape.start + BLOCK] != _ZEROS:
            raise _make_broken_error(tape, "a block of zeros between entries")
        tape.advance(BLOCK)
    elif tape.end != tape.start:
        raise tape.make_truncated_error()


def _has_checksum(block: memoryview, checksum: bytes) -> bool:
    """Return whether the checksum is the sum of the header's bytes, with its own field counted as blanks.

    The low half of Adler-32 is this sum plus 1, modulo a prime: thirty times as fast as a sum in Python.
    """
    low = adler32(block[156:], adler32(b"        ", adler32(block[:148]))) & 0xFFFF
    stated_sum = _parse_octal(checksum)
    return stated_sum is not None and low == (stated_sum + 1) % _ADLER and stated_sum < 2**18


def _parse_octal(field: bytes) -> int | None:
    """Parse an octal number, or GNU's base-256 if the first bit is set; None for other or too large values."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
        return None if field[0] & 0x40 or value > _LARGEST_SIZE else value
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if not digits.isdigit():
        return None
    try:
        return int(digits, 8)
    except ValueError:
        return None


def _parse_number(tape: StreamReader, field: bytes) -> int:
    value = _parse_octal(field)
    if value is None:
        raise _make_broken_error(tape, f"{field!r} in a header is not a number")
    return value


def _parse_pax_size(tape: StreamReader, text: bytes, stated_size: int) -> int:
    """Parse the size in an extended header. It must equal the header's size if that has room for it."""
    if not text.isdigit() or len(text) > 19 or int(text) > _LARGEST_SIZE:
        raise _make_broken_error(tape, f"{text[:40]!r} in an extended header is not a number")
    size = int(text)
    low_digits = size % _DEFLATED_SIZE_FROM
    if size != stated_size and (
        size < _DEFLATED_SIZE_FROM or stated_size not in (0, _DEFLATED_SIZE_FROM - 1, low_digits)
    ):
        raise _make_unusual_form_error(tape, f"a header has the size {stated_size}, and its extended header {size}")
    return size


def _parse_long_text(tape: StreamReader, data: bytes) -> bytes:
    """Parse a GNU long name, which ends with NUL."""
    text = data.rstrip(b"\0")
    if not text or b"\0" in text:
        raise _make_unusual_form_error(tape, "a NUL in a long name, or no name in it")
    return text


def _parse_prefix(tape: StreamReader, magic: bytes, remaining_fields: bytes) -> bytes:
    """Parse the first part of the name in ustar. GNU's format has times there and gives b""."""
    if magic == _USTAR:
        if any(remaining_fields[_PREFIX:]):
            raise _make_unusual_form_error(tape, "data behind a header's prefix")
        prefix = remaining_fields[:_PREFIX].rstrip(b"\0")
        if 0 in prefix:
            raise _make_unusual_form_error(tape, "a NUL in a name")
        return prefix
    times = remaining_fields[:12], remaining_fields[12:_TIMES]
    if any(remaining_fields[_TIMES:]) or any(_parse_octal(time) is None for time in times):
        raise _make_unusual_form_error(tape, "a prefix, or a part of a sparse or split file, in a GNU header")
    return b""


def _check_global(tape: StreamReader, name: bytes, data: bytes, *, is_first: bool) -> None:
    """Accept only the global header of `git archive`: first in the file, with a comment and nothing else.

    Tar programs apply a global header to all later entries, and container runtimes ignore it. Runtimes treat its name
    as a path: a header named "etc/.wh.passwd" removes a file.
    """
    if not is_first or name != _GLOBAL.encode():
        raise _make_unusual_form_error(tape, "a global header that `git archive` does not write")
    for key in _parse_pax_records(tape, data):
        if key != b"comment":
            raise _make_unusual_form_error(tape, f"a global header sets {key.decode('latin-1')}")


def _parse_pax_records(tape: StreamReader, data: bytes) -> dict[bytes, bytes]:
    """Parse the records of an extended header, each "LENGTH KEY=VALUE" and a line feed.

    Raises ImageError for a record that is broken or not accepted.
    """
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        length, blank, _ = data[at : at + 20].partition(b" ")
        size = int(length) if blank and length.isdigit() else 0
        record = data[at + len(length) + 1 : at + size]
        key, equals, value = record.partition(b"=")
        if len(record) != size - len(length) - 1 or not record.endswith(b"\n") or not key or not equals:
            raise _make_broken_error(tape, "an extended header cannot be read")
        records_before = len(records)
        records[key] = value[:-1]
        if len(records) == records_before:
            raise _make_unusual_form_error(tape, f"an extended header has {key[:80].decode('latin-1')!r} twice")
        at += size
    for key, value in records.items():
        _check_record(tape, key, value)
    if not records:
        raise _make_unusual_form_error(tape, "an extended header is empty")
    return records


def _check_record(tape: StreamReader, key: bytes, value: bytes) -> None:
    if key not in _KEYS and not key.startswith(_COPY) and not _is_attribute(key):
        raise _make_unusual_form_error(tape, f"an extended header has {key[:80].decode('latin-1')!r}")
    if key in _NAME_KEYS and b"\0" in value:
        raise _make_unusual_form_error(tape, "a NUL in a name")
    if key in _NEEDED_KEYS and not value:
        raise _make_unusual_form_error(tape, f"an extended header has an empty {key.decode()}")
    if key == b"hdrcharset" and value not in _CHARSETS:
        raise _make_unusual_form_error(tape, f"names are of the character set {value[:40].decode('latin-1')!r}")


def _is_attribute(key: bytes) -> bool:
    name = key.removeprefix(_XATTR)
    if name == key or b"\0" in name:
        return False
    return name in _COPIED_UP or (name.startswith(_ATTRIBUTES) and not name.startswith(_FILE_SYSTEM))


def _make_broken_error(tape: StreamReader, reason: str) -> ImageError:
    return tape.make_error(f"is not a whole tar file: {reason}")


def _make_unusual_form_error(tape: StreamReader, reason: str) -> ImageError:
    return tape.make_error(f"has a tar form that no image builder writes: {reason}")
