"""Read a blob over several connections: when one breaks off, the next one continues.

Source: RFC 9110, section 14.
"""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from dockgate.scanner.images.transport import PROGRESS_STEP, RETRIES, Transport, compute_retry_delay
from dockgate.shared.errors import UnavailableError
from dockgate.shared.interfaces import override
from dockgate.shared.wording import format_count

if TYPE_CHECKING:
    import httpx
    from _typeshed import WriteableBuffer

# Connections for one blob that may break off, however much they bring.
MAX_DISCONNECTS = 64
_CHUNK = 2**18


class ResumableBlob(io.RawIOBase):
    """The bytes of a blob, in order. `first_response` is the response that starts at byte 0.

    `ask` requests the blob from a byte on. The status is 206, 200 (the whole blob), or 416 (nothing).

    The caller verifies the digest: this class cannot tell whether the pieces are of one blob.

    Raises errors of `ask`, and UnavailableError if connections keep breaking: at all attempts of RETRIES without
    PROGRESS_STEP bytes between, or more than MAX_DISCONNECTS times in all.
    """

    def __init__(
        self,
        transport: Transport,
        first_response: "httpx.Response",
        ask: Callable[[int], "httpx.Response"],
        description: str,
    ) -> None:
        self._transport = transport
        self._ask = ask
        self._description = description
        # The byte that comes next.
        self._position = 0
        self._disconnects = self._stalled_count = self._disconnected_at = 0
        self._take(first_response)

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        while True:
            try:
                return self._read(buffer)
            except UnavailableError as fault:
                self._body.close()
                self._pause(fault)
                self._resume()

    @override
    def close(self) -> None:
        self._body.close()
        super().close()

    def _read(self, buffer: "WriteableBuffer") -> int:
        while self._to_skip:
            skipped_bytes = len(self._body.read(min(self._to_skip, _CHUNK)))
            if not skipped_bytes:
                raise UnavailableError("the registry sent it again from the start, but with fewer bytes")
            self._to_skip -= skipped_bytes
        count = self._body.readinto(buffer)
        self._position += count
        if not count and self._position < self._size:
            raise UnavailableError(f"its descriptor states {self._size} bytes, but fewer arrived")
        return count

    def _pause(self, fault: UnavailableError) -> None:
        self._disconnects += 1
        self._stalled_count = 1 if self._position >= self._disconnected_at + PROGRESS_STEP else self._stalled_count + 1
        self._disconnected_at = self._position
        if self._stalled_count == RETRIES.attempts or self._disconnects > MAX_DISCONNECTS:
            raise self._make_failure(fault) from fault
        self._transport.sleep(compute_retry_delay(RETRIES.compute_pause(self._stalled_count)))

    def _resume(self) -> None:
        try:
            response = self._ask(self._position)
            if _parse_content_range(response)[0] not in (0, self._position):
                response.close()
                response = self._ask(0)
        except UnavailableError as fault:
            raise self._make_failure(fault) from fault
        self._take(response)

    def _take(self, response: "httpx.Response") -> None:
        """Continue with a response that starts at the next byte or before it."""
        start, self._size = _parse_content_range(response)
        self._to_skip = self._position - start
        self._body = self._transport.open_body(response)

    def _make_failure(self, fault: UnavailableError) -> UnavailableError:
        return UnavailableError(
            f"download of {self._description} stopped at {self._position} bytes:"
            f" {format_count(self._disconnects, 'connection')} failed; the last error: {fault}",
            "Check the network, then run the same command again: complete layers are not downloaded again.",
        )


def _parse_content_range(response: "httpx.Response") -> tuple[int, int]:
    """Return the first byte of a response (-1: unusable) and the size of the blob (0: unknown)."""
    if response.status_code == 200:
        return 0, int(response.headers.get("Content-Length") or 0)
    part = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/(?:([0-9]{1,18})|\*)", response.headers.get("Content-Range", ""))
    return (int(part[1]), int(part[2] or 0)) if part and response.status_code == 206 else (-1, 0)
