"""The interface of image sources, and blobs that are verified while they are read."""

import hashlib
import io
import os
import threading
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from dockgate.scanner.images.stream_reader import CountedSource
from dockgate.shared.digest import Digest
from dockgate.shared.errors import ImageError, UnavailableError
from dockgate.shared.interfaces import override

if TYPE_CHECKING:
    from _typeshed import SupportsWrite, WriteableBuffer

# Bytes of a manifest, an index or a config: what registries must accept (OCI distribution spec 1.1), and no more.
DOCUMENT_LIMIT = 4 * 2**20

# Bytes up to which a blob is hashed where it is read.
_SMALL_SIZE = 2**20
# Bytes of a document that are read at once.
_CHUNK = 2**20
# Chunks that may wait to be hashed.
_MAX_QUEUED = 32


class ImageSource(Protocol):
    """A source of one image or index, and all manifests and blobs that it references."""

    # For messages: the reference.
    name: str

    def read_root(self) -> tuple[str, bytes]:
        """Return digest and bytes of the manifest or index. Raises NotFoundError, UnavailableError."""
        ...

    def read_manifest(self, digest: str) -> bytes:
        """Return a manifest that matches its digest. Raises ImageError without one, UnavailableError."""
        ...

    def open_blob(self, digest: str) -> io.RawIOBase:
        """Open a blob, not verified; the caller closes it.

        Raises ImageError if it is missing, UnavailableError.
        """
        ...

    def read_base_manifest(self, name: str | None, digest: str) -> bytes:
        """Return the manifest of the base image `name` (None if unknown), verified.

        Raises DockgateError if it is not available; no request is retried for it.
        """
        ...

    def close(self) -> None:
        """Close the source and everything that it opened."""
        ...


class VerifiedBlob(CountedSource):
    """A blob that is hashed and counted while it is read.

    `size` is stated by the manifest, None if it is not.
    """

    def __init__(self, source: io.RawIOBase, digest: str, size: int | None) -> None:
        super().__init__(source, f"blob {digest}")
        self._digest = digest
        self._size = size
        self._hash = BackgroundHash(Digest.parse(digest).algorithm)

    @override
    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        count = super().readinto(buffer)
        self._hash.update(memoryview(buffer)[:count], is_in_thread=self.count > _SMALL_SIZE)
        if self._size is not None and self.count > self._size:
            raise ImageError(f"blob {self._digest} is larger than the {self._size} bytes that its manifest states")
        return count

    def verify(self) -> None:
        """Raise ImageError unless the whole blob was read and matches its digest."""
        if self._size is not None and self.count != self._size:
            raise ImageError(f"blob {self._digest} has {self.count} bytes; its manifest states {self._size}")
        actual = self._hash.digest()
        if actual != self._digest:
            raise ImageError(f"blob {self._digest} does not match its digest: its content has {actual}")

    @override
    def close(self) -> None:
        self._hash.stop_thread()
        super().close()


class BackgroundHash:
    """A digest that is computed in a thread: hashing and inflating release the interpreter lock."""

    def __init__(self, algorithm: str) -> None:
        self._hash = hashlib.new(algorithm)
        self._chunks: SimpleQueue[bytes] | None = None
        self._room = threading.Semaphore(_MAX_QUEUED)
        self._thread: threading.Thread | None = None

    def update(self, chunk: memoryview, *, is_in_thread: bool) -> None:
        """Hash a chunk; with `is_in_thread`, this and all later ones in the thread."""
        if not chunk:
            return
        if self._chunks is None and not is_in_thread:
            self._hash.update(chunk)
            return
        if self._chunks is None:
            self._chunks = SimpleQueue()
            self._thread = threading.Thread(target=self._run, args=(self._chunks,), daemon=True)
            self._thread.start()
        self._room.acquire()
        self._chunks.put(bytes(chunk))

    def digest(self) -> str:
        """Return the digest of all chunks ("sha256:…")."""
        self.stop_thread()
        return f"{self._hash.name}:{self._hash.hexdigest()}"

    def stop_thread(self) -> None:
        """Hash what is left, and end the thread. May be called twice."""
        if self._chunks is not None and self._thread is not None:
            self._chunks.put(b"")
            self._thread.join()
            self._thread = None

    def _run(self, chunks: "SimpleQueue[bytes]") -> None:
        while chunk := chunks.get():
            self._hash.update(chunk)
            self._room.release()


def open_file(path: Path) -> io.FileIO:
    """Open a file of this machine, unbuffered. Raises UnavailableError if it cannot be read."""
    try:
        return io.FileIO(path)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read: {error.strerror}", "Check the file and its permissions."
        ) from error


class FileSlice(io.RawIOBase):
    """`size` bytes of an open file from `offset` on. Neither moves the position of the file nor closes it."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._size = size
        self._position = 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"{start + offset} lies before the beginning")
        self._position = start + offset
        return self._position

    @override
    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)[: max(0, self._size - self._position)]
        count = os.preadv(self._descriptor, [view], self._offset + self._position) if view else 0
        self._position += count
        return count


def read_document(source: io.RawIOBase, digest: str, size: int | None = None, *, limit: int = DOCUMENT_LIMIT) -> bytes:
    """Read a whole blob of at most `limit` bytes, verified, and close `source`. Raises ImageError."""
    with source, closing(VerifiedBlob(source, digest, size)) as verified_blob:
        data = bytearray()
        while len(data) <= limit:
            chunk = verified_blob.read(min(_CHUNK, limit + 1 - len(data)))
            if not chunk:
                verified_blob.verify()
                return bytes(data)
            data += chunk
    raise ImageError(f"document {digest} is larger than {limit} bytes")


def copy_blob(source: io.RawIOBase, into: "SupportsWrite[bytes]", digest: str, size: int) -> None:
    """Write a blob to a file, verified at its end. Raises ImageError."""
    with closing(VerifiedBlob(source, digest, size)) as verified_blob:
        while chunk := verified_blob.read(_CHUNK):
            into.write(chunk)
        verified_blob.verify()


def check_document(data: bytes, digest: str) -> bytes:
    """Return `data`. Raises ImageError if it does not match the digest."""
    algorithm, expected_hash = Digest.parse(digest)
    actual = hashlib.new(algorithm, data).hexdigest()
    if actual != expected_hash:
        raise ImageError(f"document {digest} does not match its digest: its content has {actual}")
    return data
