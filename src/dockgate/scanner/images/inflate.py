"""Decompress layer blobs: gzip, zstd or plain.

Their first bytes tell which, as for container runtimes.
"""

import io
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from dockgate.scanner.images.blobs import BackgroundHash
from dockgate.scanner.images.stream_reader import CountedSource, Source
from dockgate.shared.errors import DockgateError, ImageError
from dockgate.shared.interfaces import override

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class LayerLimits(NamedTuple):
    """Limits for one layer."""

    # Bytes. The largest layers in use (machine learning kits) hold 10 to 20 GB; at 600 MB/s this is two minutes.
    inflated_bytes: int = 64 * 2**30
    # Times what was read of the blob. Programs and data shrink 2 to 10 times; gzip's most is 1,032, zstd's 10,000.
    ratio: int = 100
    # Inflated bytes up to which the ratio may be anything: a file of zeros is not an attack.
    ratio_from: int = 4 * 2**30
    # Tar headers: a quarter of a minute. The fullest layers in use have a few hundred thousand.
    headers: int = 2_000_000
    # Bytes of memory for the paths of all entries, which are kept: a million of 80 characters.
    paths: int = 128 * 2**20


# Bytes of memory that a path takes besides its own.
PATH_COST = 48

# Bytes up to which they are hashed where they are read.
_SMALL_SIZE = 2**20

# Bytes; what the zstd library itself allows by default. It is allocated as it fills.
ZSTD_WINDOW = 128 * 2**20

_GZIP, _ZSTD, _ZSTD_SKIPPABLE = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"


class InflatedStream(Source):
    """The uncompressed bytes of a blob. Raises ImageError for invalid data and above the limits."""

    def __init__(self, blob: CountedSource, source_name: str, bounds: LayerLimits) -> None:
        head = _Pushback(blob)
        self._blob = blob
        self._bounds = bounds
        self._source_name = source_name
        self._total = 0
        # Whether a blob that was cut short is noticed by its decompression; zstandard calls it the end.
        self.can_detect_truncation = True
        self._source: Source = head
        self._hash: BackgroundHash | None = None
        # "gzip", "zstd" or "none", by the blob's first bytes.
        self.compression = "none"
        start = head.peek(6)
        if start.startswith(_GZIP):
            from isal import igzip

            self.compression = "gzip"
            self._source = igzip.IGzipFile(fileobj=head, mode="rb")
        elif start.startswith(_ZSTD) or (start[1:4] == _ZSTD_SKIPPABLE and start[:1] in b"PQRSTUVWXYZ[\\]^_"):
            import zstandard

            self.compression = "zstd"
            self._source = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).stream_reader(
                cast(BinaryIO, head), read_size=2**18, read_across_frames=True
            )
            self.can_detect_truncation = False
        elif start.startswith((b"BZh", b"\xfd7zXZ")):
            raise ImageError(
                f"{source_name} is compressed with bzip2 or xz; gzip, zstd and plain tar files are read",
                "Decompress it first, with bunzip2 or unxz.",
            )

    @override
    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the start of the buffer. Returns the number of bytes, 0 at the end."""
        try:
            count = self._source.readinto(buffer) or 0
        except DockgateError:
            raise
        except Exception as error:  # no library lists what it raises for bytes that are not well formed
            if self.compression == "none":
                raise
            raise ImageError(f"{self._source_name} cannot be decompressed: {error}") from error
        if self._hash:
            self._hash.update(memoryview(buffer)[:count], is_in_thread=self._total > _SMALL_SIZE)
        self._total += count
        bounds = self._bounds
        if self._total > bounds.inflated_bytes:
            raise ImageError(f"{self._source_name} contains more than {bounds.inflated_bytes} bytes")
        if self._total > bounds.ratio_from and self._total > bounds.ratio * self._blob.count:
            raise ImageError(
                f"{self._source_name} decompresses to more than {bounds.ratio} times its size: a decompression bomb"
            )
        return count

    def start_hash(self) -> None:
        """Hash the bytes in a thread. Call it before the first read."""
        self._hash = BackgroundHash("sha256")

    def digest(self) -> str | None:
        """Return the digest of all bytes read so far ("sha256:…"), None if they were not hashed."""
        return self._hash.digest() if self._hash else None

    def close(self) -> None:
        """End the thread that hashes."""
        if self._hash:
            self._hash.stop_thread()


class _Pushback(io.RawIOBase):
    """A stream whose first bytes can be read in advance."""

    def __init__(self, source: CountedSource) -> None:
        self._source = source
        self._head = b""

    def peek(self, size: int) -> bytes:
        buffer = memoryview(bytearray(size))
        while len(self._head) < size and (count := self._source.readinto(buffer[: size - len(self._head)])):
            self._head += buffer[:count]
        return self._head

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        if not self._head:
            return self._source.readinto(buffer)
        view = memoryview(buffer)
        count = min(len(view), len(self._head))
        view[:count] = self._head[:count]
        self._head = self._head[count:]
        return count
