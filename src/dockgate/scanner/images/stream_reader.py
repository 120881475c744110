"""Read a stream forwards through a buffer of fixed size."""

import io
from typing import TYPE_CHECKING, BinaryIO, Protocol

from dockgate.shared.errors import ImageError, UnavailableError
from dockgate.shared.interfaces import override

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK = 2**18


class Source(Protocol):
    """A source of bytes."""

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        """Fill the buffer and return how many bytes were read, 0 at the end."""
        ...


class Seekable(Source, Protocol):
    """A source that can move to an offset."""

    def seek(self, offset: int, /) -> int:
        """Move to this many bytes from the start, and return that position."""
        ...


class CountedSource(io.RawIOBase):
    """A source whose bytes are counted while it is read.

    `count` is how many were read so far. Raises UnavailableError, which contains `name`, if the source fails.
    """

    def __init__(self, source: Source, name: str) -> None:
        self.count = 0
        self._source = source
        self._name = name

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        try:
            count = self._source.readinto(buffer) or 0
        except OSError as error:
            raise UnavailableError(
                f"{self._name} cannot be read: {error.strerror or error}",
                "Check the file or the program that writes it.",
            ) from error
        self.count += count
        return count


class StreamReader:
    """`view[start:end]` are bytes that were read and not yet consumed.

    `position` is the offset of `start`. With `seekable` (the same source, at its beginning), skipped bytes are not
    read.
    """

    __slots__ = ("_limit", "_seekable", "_source", "end", "position", "source_name", "start", "view")

    def __init__(self, source: Source, source_name: str, seekable: Seekable | None = None, size: int = 0) -> None:
        self._source = source
        self._seekable = seekable
        self._limit = size
        self.view = memoryview(bytearray(_CHUNK))
        self.start = 0
        self.end = 0
        self.position = 0
        self.source_name = source_name

    def fill(self, size: int) -> bool:
        """Read until `size` bytes (at most 2**18) are at `start`. False if the source ends before."""
        have = self.end - self.start
        if have >= size:
            return True
        self.view[:have] = self.view[self.start : self.end].tobytes()
        self.start, self.end = 0, have
        while self.end < size:
            count = self._source.readinto(self.view[self.end :])
            if not count:
                return False
            self.end += count
        return True

    def advance(self, size: int) -> None:
        """Consume `size` bytes that `fill` has read."""
        self.start += size
        self.position += size

    def skip(self, size: int) -> None:
        """Skip `size` bytes. Raises ImageError if the source ends before."""
        have = self.end - self.start
        while size > have:
            self.advance(have)
            size -= have
            if self._seekable:
                if self.position + size > self._limit:
                    raise self.make_truncated_error()
                self._seekable.seek(self.position + size)
                self.start = self.end = 0
                self.position += size
                return
            if not self.fill(1):
                raise self.make_truncated_error()
            have = self.end - self.start
        self.advance(size)

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, all in memory. Raises ImageError if the source ends before."""
        parts: list[bytes] = []
        while size:
            if not self.fill(1):
                raise self.make_truncated_error()
            count = min(size, self.end - self.start)
            parts.append(self.view[self.start : self.start + count].tobytes())
            self.advance(count)
            size -= count
        return b"".join(parts)

    def copy(self, size: int, into: BinaryIO) -> None:
        """Write the next `size` bytes to `into`. Raises ImageError if the source ends before."""
        while size:
            if not self.fill(1):
                raise self.make_truncated_error()
            count = min(size, self.end - self.start)
            into.write(self.view[self.start : self.start + count])
            self.advance(count)
            size -= count

    def drain(self) -> None:
        """Read to the end of the source. Raises ImageError unless the rest is zeros, as padding is."""
        while self.fill(1):
            if self.view[self.start : self.end].tobytes().strip(b"\0"):
                raise self.make_error("has a tar form that no image builder writes: data behind its end mark")
            self.advance(self.end - self.start)

    def make_error(self, reason: str) -> ImageError:
        """Return an error with the name of the source and the current position."""
        return ImageError(f"{self.source_name} {reason}, at byte {self.position}")

    def make_truncated_error(self) -> ImageError:
        """Return the error for a stream that ends inside an entry."""
        return ImageError(
            f"{self.source_name} is truncated: its tar file ends inside an entry, at byte {self.position}"
        )
