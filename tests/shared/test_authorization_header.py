"""The secret in an Authorization header."""

from base64 import b64encode

import pytest

from dockgate.shared.authorization_header import find_bearer_token, find_secret


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


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Bearer", ""), ("Basic " + b64encode(b"ada:a").decode(), None)],
)
def test_a_bearer_token_is_no_password(header: str, token: str | None) -> None:
    assert find_bearer_token(header) == token
