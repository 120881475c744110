"""XML as publishers give it: a stream of bounded events. Documents that declare types or entities are refused."""

import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NoReturn, cast
from xml.parsers import expat

from dockgate.shared.errors import UnreadableError
from dockgate.vulnerabilities.feeds._lines import unpacked

# Bytes of a document, unpacked. Amazon Linux 2 had some 50 MB of updates in 2026.
LIMIT = 1024**3
# Bytes of one tag or comment, which the parser keeps whole.
_TOKEN_LIMIT = 16 * 1024**2
_TEXT_LIMIT = 1024**2
_DEPTH_LIMIT = 64
_CHUNK = 64 * 1024
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Element:
    """One element, where it begins or, `closed`, where it ends; only then `text` is its own text."""

    name: str
    attributes: Mapping[str, str]
    text: str = ""
    closed: bool = False


def elements(stream: BinaryIO, title: str) -> Iterator[Element]:
    """Every element twice: when it begins and when it ends. Streams packed by gzip or zstd are unpacked.

    Raises UnreadableError naming `title`, also for what is larger than documents are.
    """
    reader = _Reader()
    size = 0
    try:
        file = _content(stream)
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            reader.parser.Parse(chunk, False)
            if size > LIMIT or size - reader.parser.CurrentByteIndex > _TOKEN_LIMIT:
                raise ValueError("it is too large")
            yield from reader.drained()
        reader.parser.Parse(b"", True)
        yield from reader.drained()
    except (expat.ExpatError, OSError, EOFError, zlib.error, ValueError) as error:
        raise UnreadableError(f"The {title} cannot be read: {error}.") from error


class _Reader:
    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = _refuse
        self.parser.EntityDeclHandler = _refuse
        self._open: list[tuple[Element, list[str]]] = []
        self._length = 0
        self._done: list[Element] = []

    def drained(self) -> list[Element]:
        done, self._done = self._done, []
        return done

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) == _DEPTH_LIMIT:
            raise ValueError("it is nested too deeply")
        element = Element(name, attributes)
        self._open.append((element, []))
        self._done.append(element)
        self._length = 0

    def _end(self, name: str) -> None:
        element, texts = self._open.pop()
        self._done.append(Element(name, element.attributes, "".join(texts).strip(), closed=True))
        self._length = 0

    def _text(self, text: str) -> None:
        self._length += len(text)
        if self._length > _TEXT_LIMIT:
            raise ValueError("a text in it is too long")
        self._open[-1][1].append(text)


def _refuse(*_: object) -> NoReturn:
    raise ValueError("it declares document types or entities")


def _content(stream: BinaryIO) -> BinaryIO:
    packed = stream.read(len(_ZSTD)) == _ZSTD
    stream.seek(0)
    return cast(BinaryIO, _Unpacked(stream)) if packed else unpacked(stream)


class _Unpacked(io.RawIOBase):
    """What a zstd stream holds. Raises ValueError where it is damaged, and leaves the stream open."""

    def __init__(self, stream: BinaryIO) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._frames = zstandard.ZstdDecompressor().stream_reader(stream, closefd=False)

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._frames.read(size)
        except self._error as error:
            raise ValueError(f"its zstd stream is damaged: {error}") from error
