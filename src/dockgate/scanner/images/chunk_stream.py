"""Read an iterator of chunks as a stream."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockgate.scanner.images.stream_reader import Source
from dockgate.shared.interfaces import override

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class ChunkStream(Source):
    """The bytes of all chunks. Errors of the iterator are not translated."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._remaining = memoryview(b"")

    @override
    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the start of the buffer. Returns the number of bytes, 0 only at the end."""
        while not self._remaining:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._remaining = memoryview(chunk)
        view = memoryview(buffer)
        count = min(len(view), len(self._remaining))
        view[:count] = self._remaining[:count]
        self._remaining = self._remaining[count:]
        return count
