"""Parse an rpm header as stored in databases: the tags of one installed package (rpm, lib/header.c).

It is an index of 16 bytes an entry (tag, type, offset, count), followed by the data, all big-endian. Entries after the
first region replace those in it, as in `headerLoad`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from struct import iter_unpack, unpack_from

from dockgate.scanner.formats.content import decode_text
from dockgate.shared.errors import UnreadableError

SIZE_LIMIT = 32 * 1024 * 1024  # bytes; the largest real ones (a kernel's debug information) have a few million
VALUES_LIMIT = 1_000_000  # values of one tag; a package of 100,000 files is a large one
PATH_COST = 64  # bytes of memory that a path takes besides its own
TAGS_LIMIT = 0xFFFF  # HEADER_TAGS_MAX of rpm
FOLDER_LIMIT = 4096  # bytes of a folder's path; Linux' PATH_MAX

# Tags by rpm's names for them (rpmtag.h).
_NAME, _VERSION, _RELEASE, _EPOCH, _VENDOR, _ARCH, _SOURCE, _MODULE = 1000, 1001, 1002, 1003, 1011, 1022, 1044, 5096
_OLDFILENAMES, _STATES, _MODES, _FLAGS = 1027, 1029, 1030, 1037
_DIRINDEXES, _BASENAMES, _DIRNAMES = 1116, 1117, 1118
_INTEGERS = {1: "B", 2: "B", 3: "H", 4: "I"}
_STRINGS = (6, 8, 9)
_TAGS_READ = frozenset(
    (
        *(_NAME, _VERSION, _RELEASE, _EPOCH, _VENDOR, _ARCH, _SOURCE, _MODULE),
        *(_OLDFILENAMES, _STATES, _MODES, _FLAGS, _DIRINDEXES, _BASENAMES, _DIRNAMES),
    )
)
_GHOST = 1 << 6
_ABSENT = frozenset((1, 2, 4))  # RPMFILE_STATE_REPLACED (now another package's), NOTINSTALLED, WRONGCOLOR


@dataclass(frozen=True, slots=True)
class Header:
    """A header's relevant content.

    `epoch` is 0 if absent; other absent values are None. `module` is "name:stream:version:context:arch".
    """

    name: str
    epoch: int
    version: str
    release: str | None
    arch: str | None
    source_rpm: str | None
    module: str | None
    vendor: str | None
    # Relative paths of installed files, without folders and without ghosts, which other programs write.
    files: tuple[str, ...]


def parse_header(blob: bytes, paths_limit: int) -> Header:
    """Parse a header; its files' paths take at most `paths_limit` bytes of memory. Raises UnreadableError."""
    tags = _Tags(blob)
    name, version = tags.read_string(_NAME), tags.read_string(_VERSION)
    if not name or not version:
        raise UnreadableError(f"it has no {'version' if name else 'name'}")
    epoch = tags.read_integers(_EPOCH)
    return Header(
        name=name,
        epoch=epoch[0] if epoch else 0,
        version=version,
        release=tags.read_string(_RELEASE),
        arch=tags.read_string(_ARCH),
        source_rpm=tags.read_string(_SOURCE),
        module=tags.read_string(_MODULE),
        vendor=tags.read_string(_VENDOR),
        files=_list_files(tags, paths_limit),
    )


class _Tags:
    def __init__(self, blob: bytes) -> None:
        if len(blob) < 8:
            raise UnreadableError("it is truncated")
        count, size = unpack_from(">II", blob)
        self.start = 8 + 16 * count
        if count > TAGS_LIMIT or self.start + size != len(blob):
            raise UnreadableError(f"its size does not match its {count} tags and {size} bytes of data")
        self.blob = blob
        self.entries: dict[int, tuple[int, int, int]] = {
            tag: (kind, offset, item_count)
            for tag, kind, offset, item_count in iter_unpack(">IIII", blob[8 : self.start])
            if tag in _TAGS_READ
        }

    def read_string(self, tag: int) -> str | None:
        """Return the tag's first value, None if it is absent or has no characters."""
        values = self.read_strings(tag)
        return (values[0] or None) if values else None

    def read_strings(self, tag: int, *, limit: int = 0) -> list[str]:
        """Return the tag's values, [] if absent. With a `limit` of bytes each, bad UTF-8 becomes surrogates."""
        kind, offset, count = self.entries.get(tag, (_STRINGS[0], 0, 0))
        if kind not in _STRINGS or offset + self.start + count > len(self.blob):
            raise _make_invalid_tag_error(tag)
        _check_count(tag, count)
        values = self.blob[self.start + offset :].split(b"\0", count)[:-1] if count else []
        if len(values) != count:
            raise _make_invalid_tag_error(tag)
        if not limit:
            return [decode_text(value) for value in values]
        if max(map(len, values), default=0) > limit:
            raise UnreadableError(f"a path in it has more than {limit} bytes")
        return b"\0".join(values).decode("utf-8", "surrogateescape").split("\0") if values else []

    def read_integers(self, tag: int) -> Sequence[int]:
        """Return the tag's values, () if it is absent."""
        if tag not in self.entries:
            return ()
        kind, offset, count = self.entries[tag]
        width = {"B": 1, "H": 2, "I": 4}.get(_INTEGERS.get(kind, ""), 0)
        if not width or offset + self.start + width * count > len(self.blob):
            raise _make_invalid_tag_error(tag)
        _check_count(tag, count)
        return unpack_from(f">{count}{_INTEGERS[kind]}", self.blob, self.start + offset)


def _list_files(tags: _Tags, paths_limit: int) -> tuple[str, ...]:
    """Return the files, by folder and name, or by path as in rpm 3 and before."""
    paths: Iterable[str]
    if _OLDFILENAMES in tags.entries:
        paths = bases = [path.lstrip("/") for path in tags.read_strings(_OLDFILENAMES, limit=FOLDER_LIMIT)]
        size = sum(map(len, bases))
    else:
        bases = tags.read_strings(_BASENAMES, limit=FOLDER_LIMIT)
        folders = [folder.lstrip("/") for folder in tags.read_strings(_DIRNAMES, limit=FOLDER_LIMIT)]
        indexes = tags.read_integers(_DIRINDEXES)
        if len(indexes) != len(bases) or (indexes and max(indexes) >= len(folders)):
            raise UnreadableError("its files and folders do not match")
        sizes = list(map(len, folders))
        size = sum(sizes[index] for index in indexes) + sum(map(len, bases))
        paths = (folders[index] + base for index, base in zip(indexes, bases, strict=True))
    if size + PATH_COST * len(bases) > paths_limit:
        raise UnreadableError("its files' paths are too many or too long")
    if not bases:
        return ()
    modes, flags, states = (tags.read_integers(tag) or repeat(0, len(bases)) for tag in (_MODES, _FLAGS, _STATES))
    try:
        return tuple(
            path
            for path, mode, flag, state in zip(paths, modes, flags, states, strict=True)
            if mode & 0o170000 != 0o040000 and not flag & _GHOST and state not in _ABSENT
        )
    except ValueError as error:
        raise UnreadableError("its list of files is inconsistent") from error


def _check_count(tag: int, count: int) -> None:
    if count > VALUES_LIMIT:
        raise UnreadableError(f"its tag {tag} has {count} values; no more than {VALUES_LIMIT} are read")


def _make_invalid_tag_error(tag: int) -> UnreadableError:
    return UnreadableError(f"its tag {tag} has an invalid type or offset")
