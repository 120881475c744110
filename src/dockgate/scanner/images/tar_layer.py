"""Read a layer entry by entry from its compressed blob.

Whiteouts follow the OCI image spec 1.1, "Image Layer Filesystem Changeset".
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, cast

from dockgate.scanner.images.blobs import VerifiedBlob
from dockgate.scanner.images.inflate import PATH_COST, InflatedStream, LayerLimits
from dockgate.scanner.images.stream_reader import StreamReader
from dockgate.scanner.images.tar import Member, read_members
from dockgate.scanner.ports import Entry, Kind, Layer
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import ImageError, UnavailableError, UnreadableError
from dockgate.shared.interfaces import override

# Bytes of a file's content in memory at most; a larger one goes to an unlinked temporary file.
MEMORY_LIMIT = 8 * 2**20

# Bytes; a larger file is not opened. Package databases have a few megabytes, the largest binaries a hundred.
CONTENT_LIMIT = 256 * 2**20

# Characters; Linux' PATH_MAX, more than which no runtime can unpack.
PATH_LIMIT = 4096

# Bytes of `Entry.head`.
HEAD = 64

_KINDS: dict[str, Kind] = {"0": "file", "1": "hardlink", "2": "symlink", "5": "directory"}
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


@dataclass(slots=True)
class TarLayer(Layer):
    """A layer as a tar file.

    `source` opens the blob from its beginning. `size` is the size of the blob, None if unknown.
    """

    digest: str
    source: Callable[[], io.RawIOBase]
    size: int | None = None
    bounds: LayerLimits = LayerLimits()  # noqa: RUF009 - frozen
    media_type: str | None = None
    compression: str | None = None
    content_digest: str | None = None

    @override
    def hash_content(self) -> str | None:
        buffer = memoryview(bytearray(2**18))
        with self.source() as source:
            blob = VerifiedBlob(source, self.digest, self.size)
            with closing(self._open_inflated(blob, should_hash=True)) as inflated_stream:
                while inflated_stream.readinto(buffer):
                    pass
                return self._finish(blob, inflated_stream)

    @override
    def read_entries(self, *, should_hash: bool = False) -> Iterator[Entry]:
        """Yield every entry, in order.

        An entry that leads out of the image, or has two readings, is an ImageError.
        """
        layer_name = f"layer {self.digest}"
        with self.source() as source:
            blob = VerifiedBlob(source, self.digest, self.size)
            with closing(self._open_inflated(blob, should_hash=should_hash)) as inflated_stream:
                tape = StreamReader(inflated_stream, layer_name)
                yield from self._read_entries(
                    tape, layer_name, is_end_mark_required=not inflated_stream.can_detect_truncation
                )
                tape.drain()
                self._finish(blob, inflated_stream)

    def _open_inflated(self, blob: VerifiedBlob, *, should_hash: bool) -> InflatedStream:
        """Open the uncompressed content. `should_hash`: also compute its digest, unless it is the blob's."""
        inflated_stream = InflatedStream(blob, f"layer {self.digest}", self.bounds)
        self.compression = inflated_stream.compression
        if should_hash and not self._is_plain():
            inflated_stream.start_hash()
        return inflated_stream

    def _finish(self, blob: VerifiedBlob, stream: InflatedStream) -> str | None:
        """Verify the blob, and return the digest of the uncompressed content, None if it was not computed."""
        blob.verify()
        digest = self.digest if self._is_plain() else stream.digest()
        self.content_digest = digest or self.content_digest
        return digest

    def _is_plain(self) -> bool:
        return self.compression == "none" and is_digest(self.digest)

    def _read_entries(self, tape: StreamReader, layer_name: str, *, is_end_mark_required: bool) -> Iterator[Entry]:
        paths = 0
        for member in read_members(tape, self.bounds.headers, is_end_mark_required=is_end_mark_required):
            entry = _convert_member(member, layer_name)
            paths += len(entry.path) + PATH_COST
            if paths > self.bounds.paths:
                raise ImageError(f"{layer_name} has too many entries with too long paths")
            if entry.kind != "file":
                yield entry
                continue
            size = member.size
            content = _Content(tape, entry.path, size)
            if size and tape.fill(min(size, HEAD)):
                entry.head = tape.view[tape.start : tape.start + min(size, HEAD)].tobytes()
            entry.open = content.open
            try:
                yield entry
            finally:
                content.close()


def _convert_member(member: Member, layer_name: str) -> Entry:
    """Convert a tar member. Raises ImageError for names that runtimes read in different ways."""
    path = _normalize(member.name, layer_name)
    kind = _KINDS.get(member.type, "other")
    if not path and kind != "directory":
        raise ImageError(f"{layer_name} has an entry without a name")
    if path.startswith(_WHITEOUT) or f"/{_WHITEOUT}" in path:
        return _convert_whiteout(path, member, layer_name)
    if kind == "file":
        return Entry(path, kind, member.size, member.mode)
    if kind == "symlink":
        return Entry(path, kind, 0, member.mode, member.link)
    if kind != "hardlink":
        return Entry(path, kind, 0, member.mode)
    target = _normalize(member.link, layer_name)
    if not target:
        raise ImageError(f"{layer_name} has a hard link without a target: {path!r}")
    return Entry(path, kind, 0, member.mode, target)


def _convert_whiteout(path: str, member: Member, layer_name: str) -> Entry:
    """Convert a whiteout, or the mark of an opaque folder.

    Raises ImageError for forms that runtimes read differently. Both are empty files. AUFS, Docker's first storage
    driver, made them hard links to one file.
    """
    folder, _, name = path.rpartition("/")
    if folder.startswith(_WHITEOUT) or f"/{_WHITEOUT}" in folder or not name.startswith(_WHITEOUT):
        raise ImageError(f"{layer_name} has an entry below a whiteout: {path!r}")
    if member.type not in "01" or member.size:
        raise ImageError(f"{layer_name} has a whiteout that is not an empty file: {path!r}")
    if name == _OPAQUE:
        if not folder:
            raise ImageError(f"{layer_name} marks the root of the image as opaque, which overlayfs does not honour")
        return Entry(folder, "opaque")
    removed_name = name[len(_WHITEOUT) :]
    if removed_name in ("", ".", ".."):
        raise ImageError(f"{layer_name} has a whiteout without a file name: {path!r}")
    if removed_name.startswith(_WHITEOUT):
        raise ImageError(f"{layer_name} has AUFS' own metadata, which runtimes read in different ways: {path!r}")
    return Entry(f"{folder}/{removed_name}" if folder else removed_name, "whiteout")


def _normalize(name: str, layer_name: str) -> str:
    """Remove "." and empty parts from a path. Raises ImageError for "..", which no builder writes."""
    path = name.removeprefix("./").rstrip("/")
    if len(path) > PATH_LIMIT:
        raise ImageError(f"{layer_name} has an entry whose path is longer than {PATH_LIMIT} characters: {path[:80]!r}…")
    if "//" not in path and "/." not in path and not path.startswith((".", "/")):
        return path
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ImageError(f'{layer_name} has an entry whose path has ".." in it: {name!r}')
    return "/".join(parts)


class _Content:
    """A file's content while its entry is the current one. It is read from the tape when first opened."""

    __slots__ = ("_data", "_opened_files", "_path", "_size", "_spill_file", "_tape")

    def __init__(self, tape: StreamReader, path: str, size: int) -> None:
        self._tape: StreamReader | None = tape
        self._path = path
        self._size = size
        self._data: bytes | None = None
        self._spill_file: BinaryIO | None = None
        self._opened_files: list[BinaryIO] = []

    def open(self) -> BinaryIO:
        """Open the content at position 0; large files share one position.

        Raises UnreadableError if it is too large.
        """
        if self._tape is None:
            raise RuntimeError(f"{self._path} was opened after the next entry had been asked for")
        if self._size > CONTENT_LIMIT:
            raise UnreadableError(f"it has {self._size} bytes; at most {CONTENT_LIMIT} are read")
        if self._size <= MEMORY_LIMIT:
            if self._data is None:
                self._data = self._tape.take(self._size)
            return io.BytesIO(self._data)
        try:
            if self._spill_file is None:
                import tempfile  # which loads much, and most layers hold no such file

                self._spill_file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - `close` closes it
                self._tape.copy(self._size, self._spill_file)
                self._spill_file.flush()
            file = os.fdopen(os.dup(self._spill_file.fileno()), "rb")
            file.seek(0)
        except OSError as error:
            raise UnavailableError(
                f"{self._path} cannot be written to a temporary file: {error}",
                "Set TMPDIR to a folder with free space.",
            ) from error
        self._opened_files.append(file)
        return file

    def close(self) -> None:
        self._tape = self._data = None
        for file in self._opened_files:
            file.close()
        if self._spill_file is not None:
            self._spill_file.close()
