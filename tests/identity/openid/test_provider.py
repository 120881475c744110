"""Sign-in by OpenID Connect: what an answer of the provider must be to count, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.fakes import identity_provider as fake
from tests.fakes.identity_provider import CLIENT, ISSUER, SECRET, FakeProvider, make_signing_key

from dockgate.config import OidcSettings
from dockgate.identity.openid.connection import ProviderConnection
from dockgate.identity.openid.id_token import LEEWAY_SECONDS
from dockgate.identity.openid.provider import KEYS_SECONDS, RENEW_SECONDS, OpenIdProvider
from dockgate.identity.sign_in import Identity, SignInRequest
from dockgate.shared.errors import DeniedError, UnavailableError

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
