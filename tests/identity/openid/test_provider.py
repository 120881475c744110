"""Sign-in by OpenID Connect: what an answer of the provider must be to count, and what is refused."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.fakes import identity_provider as fake
from tests.fakes.identity_provider import CLIENT, ISSUER, SECRET, FakeProvider, make_signing_key

from dockgate.config import OidcSettings
from dockgate.identity.openid.cached import FAILURE_SECONDS
from dockgate.identity.openid.connection import MAX_ANSWER, ProviderConnection
from dockgate.identity.openid.id_token import LEEWAY_SECONDS
from dockgate.identity.openid.provider import KEYS_SECONDS, RENEW_SECONDS, OpenIdProvider
from dockgate.identity.sign_in import Identity, SignInRequest
from dockgate.shared.errors import DeniedError, DockgateError, UnavailableError

REQUEST = SignInRequest("state-1", "nonce-1", "verifier-" + "v" * 40)
RETURN = "https://gate.example.org/signin/provider/return"
ADA: dict[str, Any] = {"sub": "1", "email": "ada@example.org", "email_verified": True, "groups": ["platform"]}


class Case:
    """A fake provider, our adapter for it, and a clock that both have."""

    def __init__(self, **settings: Any) -> None:
        self.now = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
        self.fake = FakeProvider(lambda: self.now)
        self.settings = replace_settings(**settings)
        connection = ProviderConnection(transport=self.fake.transport)
        self.provider = OpenIdProvider(self.settings, RETURN, lambda: self.now, connection)

    def sign_in(self, request: SignInRequest = REQUEST, issuer: str | None = ISSUER, **person: Any) -> Identity:
        """A whole sign-in; `request` is what the browser brings back."""
        back = self.fake.authorize(self.provider.build_sign_in_url(REQUEST), **(person or ADA))
        return self.provider.redeem(request, parse_qs(urlsplit(back).query)["code"][0], issuer)


def replace_settings(**settings: Any) -> OidcSettings:
    return OidcSettings(ISSUER, CLIENT, SECRET)._replace(**settings)


@pytest.fixture
def case() -> Case:
    return Case()


def test_a_person_is_named_by_issuer_and_subject_with_address_and_groups(case: Case) -> None:
    assert case.sign_in() == Identity(ISSUER, "1", "ada@example.org", "ada@example.org", ["platform"])


def test_the_browser_is_sent_with_state_nonce_and_challenge_but_no_secret(case: Case) -> None:
    url = case.provider.build_sign_in_url(REQUEST)
    query = parse_qs(urlsplit(url).query)
    assert query["state"] == [REQUEST.state]
    assert query["nonce"] == [REQUEST.nonce]
    assert query["redirect_uri"] == [RETURN]
    assert query["scope"] == ["openid email profile"]
    assert query["code_challenge_method"] == ["S256"]
    assert REQUEST.verifier not in url
    assert SECRET not in url


# --- what the ID token must be ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": f"{ISSUER}/"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": ["another-client"]},
        {"aud": []},
        {"aud": None},
        {"aud": [CLIENT, "another-client"]},  # without azp
        {"aud": [CLIENT, "another-client"], "azp": "another-client"},
        {"azp": "another-client"},
        {"nonce": "another-nonce"},
        {"nonce": ""},
        {"nonce": None},
        {"exp": None},
        {"exp": "never"},
        {"exp": 1e400},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"at_hash": "AAAA"},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_is_refused(case: Case, claims: dict[str, Any]) -> None:
    case.fake.claims = claims
    with pytest.raises(DeniedError):
        case.sign_in()


def test_a_token_of_several_audiences_names_us_as_its_party(case: Case) -> None:
    case.fake.claims = {"aud": [CLIENT, "another-client"], "azp": CLIENT}
    assert case.sign_in().subject == "1"


@pytest.mark.parametrize(
    ("shift", "is_valid"), [(-LEEWAY_SECONDS - 1, False), (-LEEWAY_SECONDS + 5, True), (1, True)], ids=str
)
def test_a_token_counts_until_it_expires(case: Case, shift: int, is_valid: bool) -> None:
    case.fake.claims = {"exp": int(case.now.timestamp()) + shift}
    if is_valid:
        case.sign_in()
    else:
        with pytest.raises(DeniedError, match="expired_token"):
            case.sign_in()


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_token_of_the_future_is_refused(case: Case, claim: str) -> None:
    case.fake.claims = {claim: int(case.now.timestamp()) + LEEWAY_SECONDS + 10}
    with pytest.raises(DeniedError):
        case.sign_in()


@pytest.mark.parametrize(
    "alter",
    [
        fake.make_unsigned,
        fake.sign_by_public_key("pem"),
        fake.sign_by_public_key("jwk"),
        fake.sign_by_embedded_key,
        fake.sign_by_other_key,
        fake.alter_claims,
        lambda token, claims: token.rpartition(".")[0] + ".",
        lambda token, claims: token.rpartition(".")[0],
        lambda token, claims: "",
        lambda token, claims: "a.b.c",
        lambda token, claims: "é" + token,
        lambda token, claims: token + "=" * 200_000,
        lambda token, claims: "[" * 100_000 + "..",
        lambda token, claims: {"alg": "none"},
    ],
)
def test_a_token_that_the_provider_did_not_sign_is_refused(case: Case, alter: Callable[..., str]) -> None:
    case.fake.alter = alter
    with pytest.raises(DeniedError, match="ID token"):
        case.sign_in()


def test_a_symmetric_key_that_the_provider_publishes_is_no_key(case: Case) -> None:
    case.fake.answers["/jwks"] = httpx.Response(200, json={"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "first"}]})
    with pytest.raises(UnavailableError, match="no usable key"):
        case.sign_in()


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_key_for_encryption_signs_no_one_in(case: Case) -> None:
    key = make_signing_key("first").as_dict(private=False)
    case.fake.answers["/jwks"] = httpx.Response(200, json={"keys": [{**key, "use": "enc"}]})
    with pytest.raises(UnavailableError, match="no usable key"):
        case.sign_in()


def test_a_new_key_is_fetched_once(case: Case) -> None:
    case.sign_in()
    case.now += timedelta(seconds=RENEW_SECONDS)
    case.fake.signing_key, case.fake.published = "second", ["first", "second"]
    case.sign_in()
    case.sign_in()
    assert case.fake.count_calls("/jwks") == 2


def test_unknown_keys_do_not_make_the_server_ask_all_the_time(case: Case) -> None:
    case.sign_in()
    case.now += timedelta(seconds=RENEW_SECONDS)
    case.fake.signing_key = "second"
    for _ in range(5):
        with pytest.raises(DeniedError):
            case.sign_in()
    assert case.fake.count_calls("/jwks") == 2


def test_a_key_that_the_provider_withdrew_is_refused(case: Case) -> None:
    case.sign_in()
    case.fake.published = ["second"]
    case.now += timedelta(seconds=KEYS_SECONDS)
    with pytest.raises(DeniedError):
        case.sign_in()


def test_keys_are_fetched_again_after_the_clock_was_set_back(case: Case) -> None:
    """Otherwise a key that the provider withdrew would count for as long as the clock was ahead."""
    case.sign_in()
    case.now -= timedelta(days=1)
    case.sign_in()
    assert case.fake.count_calls("/jwks") == 2


def test_keys_are_not_fetched_for_every_sign_in(case: Case) -> None:
    for _ in range(3):
        case.sign_in()
    assert case.fake.count_calls("/jwks") == 1
    assert case.fake.count_calls("/.well-known/openid-configuration") == 1


# --- the code -----------------------------------------------------------------------------------------------------


def test_a_code_counts_once(case: Case) -> None:
    back = case.fake.authorize(case.provider.build_sign_in_url(REQUEST), **ADA)
    code = parse_qs(urlsplit(back).query)["code"][0]
    case.provider.redeem(REQUEST, code, ISSUER)
    with pytest.raises(DeniedError, match="invalid_grant"):
        case.provider.redeem(REQUEST, code, ISSUER)


def test_a_code_of_another_browser_is_refused(case: Case) -> None:
    with pytest.raises(DeniedError, match="invalid_grant"):
        case.sign_in(replace(REQUEST, verifier="w" * 43))
    with pytest.raises(DeniedError, match="nonce"):
        case.sign_in(replace(REQUEST, nonce="another"))


@pytest.mark.parametrize("issuer", [None, "https://evil.example", "", f"{ISSUER}/"])
def test_an_answer_of_another_provider_is_refused_before_the_code_is_sent(case: Case, issuer: str | None) -> None:
    with pytest.raises(DeniedError, match="another identity provider"):
        case.sign_in(issuer=issuer)
    assert case.fake.count_calls("/token") == 0


def test_a_provider_that_does_not_name_itself_is_accepted(case: Case) -> None:
    case.fake.metadata = {"authorization_response_iss_parameter_supported": None}
    assert case.sign_in(issuer=None).subject == "1"


# --- people -------------------------------------------------------------------------------------------------------


def test_an_address_that_is_not_verified_names_no_one(case: Case) -> None:
    for is_verified in (False, None, "true", 1):
        with pytest.raises(DeniedError, match="no verified e-mail address"):
            case.sign_in(**{**ADA, "email_verified": is_verified})


def test_another_claim_can_name_people() -> None:
    identity = Case(name_claim="login").sign_in(sub="1", login="ada", email="ada@example.org", groups="platform")
    assert (identity.name, identity.email, identity.groups) == ("ada", None, ["platform"])


def test_groups_that_are_not_in_the_token_come_from_the_userinfo_of_the_same_person(case: Case) -> None:
    person = {name: value for name, value in ADA.items() if name != "groups"}
    case.fake.userinfo = {"sub": "1", "groups": ["developers", 7], "email": "eve@example.org"}
    identity = case.sign_in(**person)
    assert (identity.groups, identity.name) == (["developers"], "ada@example.org")
    case.fake.userinfo = {"sub": "2", "groups": ["platform"]}
    with pytest.raises(DeniedError, match="another person"):
        case.sign_in(**person)


def test_the_userinfo_does_not_verify_an_address_of_the_token(case: Case) -> None:
    case.fake.userinfo = {"sub": "1", "groups": ["developers"], "email_verified": True}
    with pytest.raises(DeniedError, match="no verified"):
        case.sign_in(sub="1", email="root@example.org")


def test_the_token_does_not_verify_an_address_of_the_userinfo(case: Case) -> None:
    case.fake.userinfo = {"sub": "1", "groups": ["developers"], "email": "root@example.org"}
    with pytest.raises(DeniedError, match="no verified"):
        case.sign_in(sub="1", email_verified=True)


@pytest.mark.parametrize("groups", [None, {"platform": True}, 7, [["platform"]], ""])
def test_groups_of_another_form_are_ignored(case: Case, groups: object) -> None:
    case.fake.metadata = {"userinfo_endpoint": None}
    assert "platform" not in case.sign_in(**{**ADA, "groups": groups}).groups


# --- a provider that does not answer as it should -----------------------------------------------------------------

DISCOVERY = "/.well-known/openid-configuration"


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
