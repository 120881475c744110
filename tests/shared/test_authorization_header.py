"""The secret in an Authorization header."""

from base64 import b64encode

import pytest

from dockgate.shared.authorization_header import find_secret


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic " + b64encode(b"ada:a:b").decode(), "a:b"),
        ("BASIC " + b64encode(b":abc").decode(), "abc"),
        ("Basic " + b64encode(b"abc").decode(), ""),
        ("Bearer", ""),
    ],
)
def test_the_secret_is_the_token_or_the_password(header: str, secret: str) -> None:
    assert find_secret(header) == secret


@pytest.mark.parametrize("header", ["", "abc", "Digest abc", "Basic %", "Basic " + b64encode(b":\xff").decode()])
def test_other_schemes_and_unreadable_passwords_have_no_secret(header: str) -> None:
    assert find_secret(header) is None
