"""Extended headers of tar files: which records are accepted, as image builders write them."""

from collections.abc import Callable

from dockgate.shared.errors import ImageError

# Bytes from which a size has no room in a header's 11 octal digits.
DEFLATED_SIZE_FROM = 8**11

_REFUSED = "has a tar form that no image builder writes"
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
_CHARSETS = (b"BINARY", b"ISO-IR 10646 2000 UTF-8")
_NAMED = (b"path", b"linkpath", b"uname", b"gname")
_NEEDED = (b"path", b"linkpath", b"size")


def pax_records(data: bytes, fault: Callable[[str], ImageError]) -> dict[bytes, bytes]:
    """The records of an extended header by key, each written as "LENGTH KEY=VALUE" and a line feed.

    Raises the ImageError that `fault` makes of a reason, for a record that is broken or not accepted.
    """
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        length, blank, _ = data[at : at + 20].partition(b" ")
        size = int(length) if blank and length.isdigit() else 0
        record = data[at + len(length) + 1 : at + size]
        key, equals, value = record.partition(b"=")
        if len(record) != size - len(length) - 1 or not record.endswith(b"\n") or not key or not equals:
            raise fault("is no whole tar file: an extended header cannot be read")
        records_before = len(records)
        records[key] = value[:-1]
        if len(records) == records_before:
            raise fault(f"{_REFUSED}: an extended header has {key[:80].decode('latin-1')!r} twice")
        at += size
    for key, value in records.items():
        _check(key, value, fault)
    if not records:
        raise fault(f"{_REFUSED}: an extended header is empty")
    return records


def _check(key: bytes, value: bytes, fault: Callable[[str], ImageError]) -> None:
    if key not in _KEYS and not key.startswith(_COPY) and not _is_attribute(key):
        raise fault(f"{_REFUSED}: an extended header has {key[:80].decode('latin-1')!r}")
    if key in _NAMED and b"\0" in value:
        raise fault(f"{_REFUSED}: a NUL in a name")
    if key in _NEEDED and not value:
        raise fault(f"{_REFUSED}: an extended header has an empty {key.decode()}")
    if key == b"hdrcharset" and value not in _CHARSETS:
        raise fault(f"{_REFUSED}: names are of the character set {value[:40].decode('latin-1')!r}")


def _is_attribute(key: bytes) -> bool:
    name = key.removeprefix(_XATTR)
    return name != key and name.startswith(_ATTRIBUTES) and not name.startswith(_FILE_SYSTEM) and b"\0" not in name


def largest(size: int) -> int:
    """What is left of a size in a header that has no room for it: its last 11 octal digits."""
    return size % DEFLATED_SIZE_FROM
