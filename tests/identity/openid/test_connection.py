"""Requests to an identity provider that answers too slowly."""

from collections.abc import Iterator

import httpx
import pytest
from tests.parts import wait_until
from tests.vulnerabilities.feeds.feed_site import serve_files

from dockgate.identity.openid.connection import MAX_ANSWER, ProviderConnection
from dockgate.shared.errors import UnavailableError
from dockgate.shared.interfaces import override

# Bytes of a piece of an answer.
PIECE = 64 << 10


@pytest.mark.parametrize("part", ["head", "chunk", "body"])
def test_an_answer_that_comes_a_byte_at_a_time_is_given_up(part: str) -> None:
    """Each byte is within the time limit of a read; the whole answer takes too long."""
    with serve_files({"/keys": b"{" + b" " * 200 + b"}"}) as site:
        site.slow["/keys"], site.slow_part = 0.02, part
        connection = ProviderConnection(whole_seconds=0.2)
        with pytest.raises(UnavailableError, match=r"does not answer|too large or slow"):
            connection.get_json(f"{site.url}/keys")
        wait_until(lambda: site.aborted_paths == ["/keys"])
        site.slow.clear()
        wait_until(lambda: _is_answered(connection, f"{site.url}/keys"))  # on a busy machine not within the limit


class LongAnswer(httpx.SyncByteStream):
    """An answer of 100 MiB in pieces, which counts those that were read."""

    def __init__(self) -> None:
        self.count = 0

    @override
    def __iter__(self) -> Iterator[bytes]:
        for self.count in range(1, 1601):
            yield b" " * PIECE


def test_no_more_of_an_answer_is_read_than_may_be_in_it() -> None:
    answer = LongAnswer()
    connection = ProviderConnection(transport=httpx.MockTransport(lambda request: httpx.Response(200, stream=answer)))
    with pytest.raises(UnavailableError, match="too large or slow"):
        connection.get_json("https://id.example.org/keys")
    assert answer.count * PIECE <= MAX_ANSWER + PIECE


def _is_answered(connection: ProviderConnection, url: str) -> bool:
    try:
        return connection.get_json(url) == {}
    except UnavailableError:
        return False
