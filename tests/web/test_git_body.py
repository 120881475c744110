"""Bodies of fetches: what is sent is limited, whatever it decompresses to."""

import asyncio
import gzip
import os
from collections.abc import Iterator

import pytest
from fastapi import Request
from starlette.types import Message

from dockgate.shared.errors import TooLargeError, UsageError
from dockgate.web.git_body import GZIP_OVERHEAD, inflate_body

LIMIT = 1 << 20
PART = 64 << 10
# Deflate blocks without content.
EMPTY = b"\x00\x00\x00\xff\xff" * 20_000


def decompress_body(parts: Iterator[bytes]) -> bytes:
    """What a gzip body of these parts decompresses to."""

    async def receive() -> Message:
        part = next(parts, None)
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    async def play() -> bytes:
        request = Request({"type": "http", "headers": [(b"content-encoding", b"gzip")]}, receive)
        return b"".join([chunk async for chunk in inflate_body(request, LIMIT, "Send less.")])

    return asyncio.run(play())


def split(data: bytes, size: int = PART) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("level", [0, 1, 9])
def test_data_that_gzip_cannot_compress_is_accepted_up_to_the_limit(level: int) -> None:
    data = os.urandom(LIMIT)
    compressed_data = gzip.compress(data, level)
    assert len(compressed_data) > LIMIT
    assert decompress_body(split(compressed_data)) == data


def test_compressed_blocks_without_content_count_toward_the_limit() -> None:
    part_sizes = []

    def iterate_parts() -> Iterator[bytes]:
        yield gzip.compress(b"")[:10]
        while True:
            part_sizes.append(len(EMPTY))
            yield EMPTY

    with pytest.raises(TooLargeError, match="compressed request body exceeds"):
        decompress_body(iterate_parts())
    assert sum(part_sizes) <= LIMIT + GZIP_OVERHEAD + len(EMPTY)


@pytest.mark.parametrize("size", [1, PART], ids=["in a chunk of its own", "in the same chunk"])
@pytest.mark.parametrize("trailing_bytes", [b"x", gzip.compress(b"0000")], ids=["data", "another stream"])
def test_nothing_may_follow_the_gzip_stream(trailing_bytes: bytes, size: int) -> None:
    stream = gzip.compress(b"0000")
    assert decompress_body(split(stream, size)) == b"0000"
    stream_parts = split(stream + trailing_bytes + b"x" * PART, size)
    with pytest.raises(UsageError, match="continues after the gzip stream"):
        decompress_body(stream_parts)
