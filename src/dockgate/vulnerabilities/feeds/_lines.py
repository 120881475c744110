"""Read publishers' tables line by line: CSV without quotes, gzipped or not, of limited size."""

import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from dockgate.shared.errors import UnreadableError

# Bytes of a file as it is published.
TABLE_LIMIT = 512 * 1024**2
LINE_LIMIT = 4096
# Far more than one row for each CVE, far less than a gzip bomb needs.
ROW_LIMIT = 5_000_000


def read_lines(stream: BinaryIO, title: str) -> Iterator[tuple[int, str]]:
    """The number (from 1) and text of each line.

    Raises UnreadableError, which names the `title` ("CVSS file").
    """
    number = 0
    try:
        file = open_unpacked(stream)
        while line := file.readline(LINE_LIMIT):
            number += 1
            if len(line) == LINE_LIMIT or number > ROW_LIMIT:
                raise UnreadableError(f"the {title} is too long at line {number}")
            yield number, line.decode("utf-8").rstrip("\r\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UnreadableError(f"the {title} cannot be read after line {number}: {error}") from error
    if not number:
        raise UnreadableError(f"the {title} is empty")


def open_unpacked(stream: BinaryIO) -> BinaryIO:
    """The stream, decompressed if it is gzip (RFC 1952)."""
    is_packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if is_packed else stream
