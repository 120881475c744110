"""Bodies of git's requests: kept in a file without a name, bounded in size before and after inflating."""

import tempfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from fastapi import Request

from dockgate.shared.errors import TooLargeError, UsageError

# Bytes of a fetch request: about 300,000 object ids.
MAX_NEGOTIATION = 16 << 20
# Bytes that are inflated at a time.
_STEP = 256 << 10


async def spool(chunks: AsyncIterator[bytes], folder: Path, limit: int, advice: str) -> IO[bytes]:
    """Write a body to a file that vanishes when it is closed, and return it, positioned at its start.

    Raises TooLargeError with the advice beyond `limit` bytes, and what `chunks` raises; nothing is left behind then.
    """
    # Without a buffer: git reads from the same descriptor, at the position that the file object shows.
    file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - handed on to the caller
    try:
        async for chunk in chunks:
            if file.tell() + len(chunk) > limit:
                raise TooLargeError(f"the body has more than {limit} bytes", advice)
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def require_plain(request: Request) -> None:
    """Raise UsageError for a compressed body: git compresses its fetch requests alone."""
    if encoding := _encoding(request):
        raise UsageError(f"a body with Content-Encoding {encoding!r} is not accepted here", "Send it as it is.")


async def inflated(request: Request) -> AsyncIterator[bytes]:
    """The chunks of a body, inflated if it is sent in gzip. The reader decides how many it takes."""
    encoding = _encoding(request)
    if encoding not in ("", "gzip", "x-gzip"):
        raise UsageError(f"a body with Content-Encoding {encoding!r} is not accepted", "Send gzip, or no encoding.")
    if not encoding:
        async for chunk in request.stream():
            yield chunk
        return
    stream = zlib.decompressobj(wbits=31)
    try:
        async for chunk in request.stream():
            while chunk and not stream.eof:
                yield stream.decompress(chunk, _STEP)
                chunk = stream.unconsumed_tail
    except zlib.error as error:
        raise UsageError(f"the body is not gzip: {error}", "Send gzip, or no encoding.") from None
    if not stream.eof:
        raise UsageError("the gzip body ends too early", "Send it again.")


def _encoding(request: Request) -> str:
    """The content encoding, "" for none. Several headers are one list (RFC 9110, section 5.3)."""
    listed = ",".join(request.headers.getlist("content-encoding")).lower().replace(" ", "")
    return "" if listed in ("", "identity") else listed
