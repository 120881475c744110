"""Tables as publishers give them: CSV without quotes, gzipped or not, line by line and bounded."""

import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from dockgate.shared.errors import UnreadableError

LINE_LIMIT = 4096
# Far above one row for each CVE there is, far below what a gzip bomb would need.
ROW_LIMIT = 5_000_000


def lines(stream: BinaryIO, title: str) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of each line, without its end. Raises UnreadableError naming `title` ("CVSS file")."""
    number = 0
    try:
        file = unpacked(stream)
        while line := file.readline(LINE_LIMIT):
            number += 1
            if len(line) == LINE_LIMIT or number > ROW_LIMIT:
                raise UnreadableError(f"The {title} is too long at line {number}.")
            yield number, line.decode("utf-8").rstrip("\r\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UnreadableError(f"The {title} cannot be read after line {number}: {error}.") from error
    if not number:
        raise UnreadableError(f"The {title} is empty.")


def unpacked(stream: BinaryIO) -> BinaryIO:
    """The stream as it is, or what it holds when it is gzip (RFC 1952)."""
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if packed else stream
