"""A layer blob as the tar file inside it: gzip, zstd or plain, told by its first bytes as container runtimes do."""

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from dockgate.core.errors import ImageError
from dockgate.images.blobs import Verified
from dockgate.images.tape import Source

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

INFLATED_LIMIT = 64 * 2**30
"""Bytes of one layer, inflated. The largest layers in use (machine learning toolkits) hold 10 to 20 GB; at 600 MB/s
this bounds the time to two minutes."""

RATIO_LIMIT = 100
RATIO_FROM = 4 * 2**30
"""Beyond RATIO_FROM inflated bytes a layer may hold at most RATIO_LIMIT times what was read of its blob. Programs and
data compress 2 to 10 times; gzip's most is 1,032, zstd's over 10,000. Below that, a file of zeros is no attack."""

ZSTD_WINDOW = 128 * 2**20
"""Bytes; what the zstd library itself allows by default. It is allocated as it fills."""

_GZIP, _ZSTD, _ZSTD_SKIPPABLE = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"


class Inflated:
    """The inflated bytes of a blob, bounded, in order. Raises ImageError for whatever is wrong with them."""

    def __init__(self, blob: Verified, where: str) -> None:
        head = _Pushback(blob)
        self._blob = blob
        self._where = where
        self._total = 0
        self.tells_end = True
        """whether a blob that was cut short is noticed by its decompression; zstandard calls it the end"""
        self._source: Source = head
        self._faults: tuple[type[Exception], ...] = ()
        start = head.peek(6)
        if start.startswith(_GZIP):
            from isal import igzip, isal_zlib

            self._source = igzip.IGzipFile(fileobj=head, mode="rb")  # type: ignore[no-untyped-call]
            self._faults = (EOFError, igzip.BadGzipFile, cast(type[Exception], isal_zlib.error))
        elif start.startswith(_ZSTD) or (start[1:4] == _ZSTD_SKIPPABLE and start[:1] in b"PQRSTUVWXYZ[\\]^_"):
            import zstandard

            self._source = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).stream_reader(
                cast(BinaryIO, head), read_size=2**18, read_across_frames=True
            )
            self._faults = (zstandard.ZstdError,)
            self.tells_end = False
        elif start.startswith((b"BZh", b"\xfd7zXZ")):
            raise ImageError(f"{where} is compressed with bzip2 or xz; an OCI layer is gzip, zstd or plain.")

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fills the buffer's start; 0 at the end."""
        try:
            count = self._source.readinto(buffer) or 0
        except self._faults as error:
            raise ImageError(f"{self._where} cannot be decompressed: {error}.") from error
        self._total += count
        if self._total > INFLATED_LIMIT:
            raise ImageError(f"{self._where} holds more than {INFLATED_LIMIT >> 30} GiB.")
        if self._total > RATIO_FROM and self._total > RATIO_LIMIT * self._blob.count:
            raise ImageError(f"{self._where} inflates to more than {RATIO_LIMIT} times its size: a decompression bomb.")
        return count


class _Pushback(io.RawIOBase):
    """A stream whose first bytes can be looked at."""

    def __init__(self, source: io.RawIOBase) -> None:
        self._source = source
        self._head = b""

    def peek(self, size: int) -> bytes:
        while len(self._head) < size and (more := self._source.read(size - len(self._head))):
            self._head += more
        return self._head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        if not self._head:
            return self._source.readinto(buffer) or 0
        view = memoryview(buffer)
        count = min(len(view), len(self._head))
        view[:count] = self._head[:count]
        self._head = self._head[count:]
        return count
