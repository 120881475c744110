"""Providers of OpenID Connect that do not answer as they should, and how the client proves itself to them."""

from base64 import b64decode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.fakes.identity_provider import CLIENT, ISSUER, SECRET
from tests.identity.openid.test_provider import REQUEST, Case

from dockgate.identity.openid.cached import FAILURE_SECONDS
from dockgate.identity.openid.connection import MAX_ANSWER, ProviderConnection
from dockgate.shared.errors import DeniedError, DockgateError, UnavailableError

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def case() -> Case:
    return Case()


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"authorization_endpoint": "http://id.example.org/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "http://169.254.169.254/token"},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": ["https://id.example.org/jwks"]},
        {"userinfo_endpoint": "http://127.0.0.1/userinfo"},
        {"userinfo_endpoint": "https://id.example.org@evil.example/userinfo"},
        {"code_challenge_methods_supported": ["plain"]},
    ],
    ids=str,
)
def test_unsafe_metadata_is_refused(case: Case, metadata: dict[str, Any]) -> None:
    case.fake.metadata = metadata
    with pytest.raises(UnavailableError, match="cannot be used"):
        case.provider.build_sign_in_url(REQUEST)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=["x"]),
        httpx.Response(200, text="[" * 100_000),
        httpx.Response(302, headers={"Location": "https://evil.example/"}),
        httpx.Response(200, content=b"{" + b" " * MAX_ANSWER + b"}"),
    ],
    ids=["error", "html", "list", "nested", "redirect", "large"],
)
@pytest.mark.parametrize("path", [DISCOVERY, "/jwks", "/token"])
def test_a_broken_answer_signs_no_one_in(case: Case, path: str, answer: httpx.Response) -> None:
    case.fake.answers[path] = answer
    with pytest.raises(DockgateError) as error_info:
        case.sign_in()
    assert isinstance(error_info.value, UnavailableError), repr(error_info.value)


@pytest.mark.parametrize("path", [DISCOVERY, "/jwks", "/token", "/userinfo"])
def test_no_redirect_is_followed(case: Case, path: str) -> None:
    """The client's secret and the code would go to another place, and keys would come from there."""
    case.fake.answers[path] = httpx.Response(307, headers={"Location": "https://evil.example/redirected"})
    with pytest.raises(UnavailableError):
        case.sign_in(sub="1")
    assert case.fake.count_calls("/redirected") == 0
    assert {request.url.host for request in case.fake.requests} == {urlsplit(ISSUER).netloc}


@pytest.mark.parametrize(
    ("methods", "is_basic"),
    [
        (None, True),
        (["client_secret_post"], False),
        (["client_secret_post", "client_secret_basic"], True),
        (["private_key_jwt"], True),
    ],
    ids=str,
)
def test_the_client_proves_itself_by_a_method_that_the_provider_supports(
    case: Case, methods: list[str] | None, is_basic: bool
) -> None:
    case.fake.metadata = {"token_endpoint_auth_methods_supported": methods}
    assert read_token_request(case) == ((f"{CLIENT}:{SECRET}", None) if is_basic else (None, SECRET))


def test_a_client_without_secret_sends_none() -> None:
    assert read_token_request(Case(client_secret=None)) == (None, None)


def read_token_request(case: Case) -> tuple[str | None, str | None]:
    """The credentials in the head of the request for tokens, and the secret in its form."""
    case.fake.answers["/token"] = httpx.Response(400, json={"error": "invalid_grant"})
    with pytest.raises(DeniedError, match="invalid_grant"):
        case.sign_in()
    request = case.fake.requests[-1]
    kind, _, credentials = request.headers.get("authorization", "").partition(" ")
    form = parse_qs(request.content.decode())
    assert form["code_verifier"] == [REQUEST.verifier]
    return b64decode(credentials).decode() if kind == "Basic" else None, form.get("client_secret", [None])[0]


def test_a_failure_is_repeated_for_a_moment_without_another_request(case: Case) -> None:
    case.fake.answers[DISCOVERY] = httpx.Response(500)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            case.provider.build_sign_in_url(REQUEST)
    assert case.fake.count_calls(DISCOVERY) == 1
    del case.fake.answers[DISCOVERY]
    case.now += timedelta(seconds=FAILURE_SECONDS)
    assert case.sign_in().subject == "1"


def test_the_secret_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old\n")
    case = Case(client_secret=None, client_secret_file=file)
    with pytest.raises(DeniedError, match="invalid_client"):
        case.sign_in()
    file.write_text(f"{SECRET}\n")
    assert case.sign_in().subject == "1"


def test_a_providers_message_is_not_repeated(case: Case) -> None:
    case.fake.answers["/token"] = httpx.Response(400, json={"error": "<script>", "error_description": "<b>"})
    with pytest.raises(DeniedError, match="no reason") as error_info:
        case.sign_in()
    assert "<" not in str(error_info.value)


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    def drip_bytes() -> Iterator[bytes]:
        while True:
            yield b" "

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=drip_bytes()))
    connection = ProviderConnection(transport=transport, whole_seconds=0.05)
    with pytest.raises(UnavailableError, match="too large or slow"):
        connection.get_json(f"{ISSUER}/jwks")
