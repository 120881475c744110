"""Read publishers' XML as a stream of limited size. Refuses documents that declare types or entities."""

import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NoReturn, cast
from xml.parsers import expat

from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.feeds._lines import open_unpacked

# Bytes of a decompressed document. The updates of Amazon Linux 2 had about 50 MB in 2026.
LIMIT = 1024**3
# Bytes of one tag or comment, which the parser keeps in memory.
_TOKEN_LIMIT = 16 * 1024**2
_TEXT_LIMIT = 1024**2
_DEPTH_LIMIT = 64
_CHUNK = 64 * 1024
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Element:
    """The beginning of an element or, if `is_closed`, its end. Only the end has the element's `text`."""

    name: str
    attributes: Mapping[str, str]
    text: str = ""
    is_closed: bool = False


def read_elements(stream: BinaryIO, title: str) -> Iterator[Element]:
    """Every element twice: at its beginning and at its end. Decompresses gzip and zstd.

    Raises UnreadableError, which names the `title`, also for a document above the limits.
    """
    reader = _Reader()
    size = 0
    try:
        file = _open_stream(stream)
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            reader.parser.Parse(chunk, False)
            if size > LIMIT or size - reader.parser.CurrentByteIndex > _TOKEN_LIMIT:
                raise ValueError("it is too large")
            yield from reader.take_elements()
        reader.parser.Parse(b"", True)
        yield from reader.take_elements()
    except (expat.ExpatError, OSError, EOFError, zlib.error, ValueError) as error:
        raise UnreadableError(f"the {title} cannot be read: {error}") from error


class _Reader:
    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start_element
        self.parser.EndElementHandler = self._end_element
        self.parser.CharacterDataHandler = self._append_text
        self.parser.StartDoctypeDeclHandler = _refuse
        self.parser.EntityDeclHandler = _refuse
        self._open_elements: list[tuple[Element, list[str]]] = []
        self._length = 0
        self._elements: list[Element] = []

    def take_elements(self) -> list[Element]:
        """The elements since the last call."""
        elements, self._elements = self._elements, []
        return elements

    def _start_element(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open_elements) == _DEPTH_LIMIT:
            raise ValueError("it is nested too deeply")
        element = Element(name, attributes)
        self._open_elements.append((element, []))
        self._elements.append(element)
        self._length = 0

    def _end_element(self, name: str) -> None:
        element, texts = self._open_elements.pop()
        self._elements.append(Element(name, element.attributes, "".join(texts).strip(), is_closed=True))
        self._length = 0

    def _append_text(self, text: str) -> None:
        self._length += len(text)
        if self._length > _TEXT_LIMIT:
            raise ValueError("a text in it is too long")
        self._open_elements[-1][1].append(text)


def _refuse(*_: object) -> NoReturn:
    raise ValueError("it declares document types or entities")


def _open_stream(stream: BinaryIO) -> BinaryIO:
    is_packed = stream.read(len(_ZSTD)) == _ZSTD
    stream.seek(0)
    return cast(BinaryIO, _UnpackedStream(stream)) if is_packed else open_unpacked(stream)


class _UnpackedStream(io.RawIOBase):
    """The content of a zstd stream. Raises ValueError if it is damaged; does not close the stream."""

    def __init__(self, stream: BinaryIO) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._frames = zstandard.ZstdDecompressor().stream_reader(stream, closefd=False)

    @override
    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._frames.read(size)
        except self._error as error:
            raise ValueError(f"its zstd stream is damaged: {error}") from error
