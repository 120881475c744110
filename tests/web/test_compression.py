"""When bodies are compressed, and that nothing is lost."""

import gzip

import pytest

from dockgate.web.compression import compress, is_gzip_accepted


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0, br", False),
        ("x-gzipped", False),
    ],
)
def test_a_client_says_that_it_takes_gzip(header: str, expected: bool) -> None:
    assert is_gzip_accepted(header) is expected


def test_a_compressed_body_is_the_same_for_the_same_bytes() -> None:
    body = b"<li>web</li>" * 100
    assert gzip.decompress(compress(body)) == body
    assert compress(body) == compress(body)
    assert len(compress(body)) < len(body) / 4
