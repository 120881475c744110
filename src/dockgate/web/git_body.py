"""Bodies of git requests: spooled to an unnamed file, with limits before and after decompression."""

import tempfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from fastapi import Request

from dockgate.shared.errors import TooLargeError, UsageError

# Bytes of a fetch request: about 300,000 object ids.
MAX_NEGOTIATION = 16 << 20
# Bytes by which gzip may enlarge data that it cannot compress.
GZIP_OVERHEAD = 64 << 10
# Bytes decompressed at a time.
_STEP = 256 << 10


async def spool_chunks(chunks: AsyncIterator[bytes], folder: Path, limit: int, advice: str) -> IO[bytes]:
    """Write a body to a temporary file, at position 0, which vanishes when closed.

    Raises TooLargeError with the advice beyond `limit` bytes, and errors of `chunks`.
    """
    # Unbuffered, because git reads from the same descriptor.
    file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - handed on to the caller
    try:
        async for chunk in chunks:
            if file.tell() + len(chunk) > limit:
                raise TooLargeError(f"the request body exceeds {limit} bytes", advice)
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def require_plain(request: Request) -> None:
    """Raise UsageError for a compressed body: git compresses only fetch requests."""
    if encoding := _read_content_encoding(request):
        raise UsageError(f"Content-Encoding {encoding!r} is not accepted for pushes", "Send the body uncompressed.")


async def inflate_body(request: Request, limit: int, advice: str) -> AsyncIterator[bytes]:
    """The chunks of a body, decompressed if it is gzip.

    Raises TooLargeError with the advice beyond `limit` compressed bytes and GZIP_OVERHEAD. What they decompress to
    is not limited.
    """
    encoding = _read_content_encoding(request)
    if encoding not in (None, "gzip", "x-gzip"):
        raise UsageError(f"Content-Encoding {encoding!r} is not accepted", "Use gzip, or no encoding.")
    if not encoding:
        async for chunk in request.stream():
            yield chunk
        return
    stream = zlib.decompressobj(wbits=31)
    received_bytes = 0
    try:
        async for chunk in request.stream():
            received_bytes += len(chunk)
            if received_bytes > limit + GZIP_OVERHEAD:
                raise TooLargeError(f"the compressed request body exceeds {limit + GZIP_OVERHEAD} bytes", advice)
            while chunk:
                if stream.eof:
                    raise UsageError("the request body continues after the gzip stream", "Send one gzip stream.")
                yield stream.decompress(chunk, _STEP)
                chunk = stream.unused_data or stream.unconsumed_tail
    except zlib.error as error:
        raise UsageError(f"the request body is not gzip: {error}", "Use gzip, or no encoding.") from None
    if not stream.eof:
        raise UsageError("the gzip body is truncated", "Send it again.")


def _read_content_encoding(request: Request) -> str | None:
    """The content encoding, None without one. Repeated headers form one list (RFC 9110, section 5.3)."""
    encodings = ",".join(request.headers.getlist("content-encoding")).lower().replace(" ", "")
    return None if encodings in ("", "identity") else encodings
