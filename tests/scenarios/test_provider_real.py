"""Sign-in at a real identity provider: npm's oidc-provider, with its own pages."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from authlib.oauth2.auth import ClientAuth
from tests.ports import find_free_port
from tests.scenarios.browser import Browser
from tests.scenarios.server import ServerSystem

from dockgate.config import OidcSettings
from dockgate.delivery.ports import Clock
from dockgate.identity.openid.connection import ProviderConnection
from dockgate.identity.openid.provider import RENEW_SECONDS, OpenIdProvider
from dockgate.identity.sign_in import SignInRequest
from dockgate.services.identity.provider_sign_in import RETURN_PATH, read_mapping
from dockgate.shared.errors import DeniedError, UnavailableError

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "identity-provider"
SCRIPT = ROOT / "tests" / "identity" / "openid" / "real" / "provider.mjs"
SECRET = "secret-of-dockgate-0123456789"
REQUEST = SignInRequest("s" * 43, "n" * 43, "v" * 43)


@contextmanager
def run_provider(return_url: str) -> Iterator[str]:
    """The provider; gives its issuer."""
    assert (FOLDER / "node_modules").exists(), "`make test` installs oidc-provider into build/identity-provider"
    port = find_free_port()
    command = ["node", str(SCRIPT), str(FOLDER), str(port), return_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert "ready" in process.stdout.readline()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def walk(url: str, name: str) -> str:
    """Sign in at the provider's pages as a person does, and return the URL that leads back."""
    issuer = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    with httpx.Client(timeout=30) as person:
        answer = person.get(url)
        for _ in range(20):
            if answer.is_redirect:
                url = urljoin(url, answer.headers["location"])
                if not url.startswith(issuer):
                    return url
                answer = person.get(url)
                continue
            assert answer.status_code == 200, answer.text
            form = re.search(r'action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert form, answer.text
            assert prompt, answer.text
            url = urljoin(url, unescape(form[1]))
            answer = person.post(url, data={"prompt": prompt[1], "login": name, "password": "x"})
    raise AssertionError("the provider never sent the person back")


RETURN = "http://127.0.0.1:9/signin/provider/return"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with run_provider(RETURN) as issuer:
        yield issuer


class Adapter:
    """Our adapter for the provider, with a clock that a case moves."""

    def __init__(
        self, issuer: str, client: str = "dockgate", secret: str = SECRET, connection: ProviderConnection | None = None
    ) -> None:
        self.ahead = timedelta()
        settings = OidcSettings(issuer, client, secret)
        self.provider = OpenIdProvider(settings, RETURN, self._get_time, connection or ProviderConnection())

    def _get_time(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def answer(self, name: str = "ada+developers") -> tuple[str, str | None]:
        """Code and issuer of the provider's answer."""
        query = parse_qs(urlsplit(walk(self.provider.build_sign_in_url(REQUEST), name)).query)
        assert query["state"] == [REQUEST.state]
        return query["code"][0], query["iss"][0]


def test_a_person_signs_in_with_their_groups(issuer: str) -> None:
    adapter = Adapter(issuer)
    identity = adapter.provider.redeem(REQUEST, *adapter.answer())
    assert (identity.issuer, identity.subject) == (issuer, "ada+developers")
    assert (identity.name, identity.email, identity.groups) == ("ada@example.org", "ada@example.org", ["developers"])


def test_a_code_counts_once(issuer: str) -> None:
    adapter = Adapter(issuer)
    answer = adapter.answer()
    adapter.provider.redeem(REQUEST, *answer)
    with pytest.raises(DeniedError, match="invalid_grant"):
        adapter.provider.redeem(REQUEST, *answer)


def test_a_wrong_verifier_nonce_or_issuer_is_refused(issuer: str) -> None:
    adapter = Adapter(issuer)
    with pytest.raises(DeniedError, match="invalid_grant"):
        adapter.provider.redeem(replace(REQUEST, verifier="w" * 43), *adapter.answer())
    with pytest.raises(DeniedError, match="nonce"):
        adapter.provider.redeem(replace(REQUEST, nonce="m" * 43), *adapter.answer())
    code, _ = adapter.answer()
    for sender in ("https://evil.example", None):
        with pytest.raises(DeniedError, match="another identity provider"):
            adapter.provider.redeem(REQUEST, code, sender)
    with pytest.raises(UnavailableError, match="its issuer is not"):
        Adapter(issuer.replace("127.0.0.1", "localhost")).provider.build_sign_in_url(REQUEST)


SECOND, SECOND_SECRET = "another", "secret-of-another-0123456789"


class OtherClient(ProviderConnection):
    """Redeems codes as another client of the provider."""

    def post(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: Any) -> httpx.Response:
        return super().post(url, data, headers, ClientAuth(SECOND, SECOND_SECRET))


def test_a_code_for_another_client_is_refused(issuer: str) -> None:
    second = Adapter(issuer, SECOND, SECOND_SECRET)
    with pytest.raises(DeniedError, match="invalid_grant"):
        Adapter(issuer).provider.redeem(REQUEST, *second.answer())
    with pytest.raises(DeniedError, match="invalid_client"):
        Adapter(issuer, secret="wrong").provider.redeem(REQUEST, *second.answer())


def test_an_id_token_for_another_client_is_refused(issuer: str) -> None:
    second = Adapter(issuer, SECOND, SECOND_SECRET)
    second.provider.redeem(REQUEST, *second.answer())
    with pytest.raises(DeniedError, match="invalid_claim aud"):
        Adapter(issuer, connection=OtherClient()).provider.redeem(REQUEST, *second.answer())


def test_an_expired_id_token_is_refused(issuer: str) -> None:
    adapter = Adapter(issuer)
    answer = adapter.answer()
    adapter.ahead = timedelta(hours=2)
    with pytest.raises(DeniedError, match="expired_token"):
        adapter.provider.redeem(REQUEST, *answer)


def test_a_new_key_is_followed_and_one_that_is_not_published_is_refused(issuer: str) -> None:
    adapter = Adapter(issuer)
    adapter.provider.redeem(REQUEST, *adapter.answer())
    httpx.post(f"{issuer}/test/rotate").raise_for_status()
    adapter.ahead = timedelta(seconds=RENEW_SECONDS)
    adapter.provider.redeem(REQUEST, *adapter.answer())
    httpx.post(f"{issuer}/test/rotate?hidden=1").raise_for_status()
    adapter.ahead = timedelta(seconds=2 * RENEW_SECONDS)
    with pytest.raises(DeniedError, match="invalid_key_id"):
        adapter.provider.redeem(REQUEST, *adapter.answer())
    httpx.post(f"{issuer}/test/rotate").raise_for_status()


def test_a_person_signs_in_to_a_server_and_out(tmp_path: Path) -> None:
    server_port = find_free_port()
    console = f"http://localhost:{server_port}"
    with run_provider(f"{console}{RETURN_PATH}") as issuer:

        def make_provider(url: str, clock: Clock) -> OpenIdProvider:
            return OpenIdProvider(OidcSettings(issuer, "dockgate", SECRET), url, clock, ProviderConnection())

        roles = read_mapping([("developers", "developer"), ("admins", "admin")], ("127.0.0.1:7421",))
        with ServerSystem(tmp_path, port=server_port, identity_provider=make_provider, group_roles=roles) as server:
            with Browser(server) as browser:
                browser.base_url = console
                back = walk(browser.get("/signin/provider?to=/images").headers["location"], "ada+admins")
                assert browser.get(f"{back}x").status_code == 403  # another issuer
                back = walk(browser.get("/signin/provider?to=/images").headers["location"], "ada+admins")
                assert browser.get(back.replace("state=", "state=x")).status_code == 403
                back = walk(browser.get("/signin/provider?to=/images").headers["location"], "ada+admins")
                assert browser.get(back).headers["location"] == "/images"
                assert browser.get("/api/v1/caller").json()["roles"] == ["admin"]
                assert browser.send_form("/signout").status_code == 303
                assert browser.get("/images").status_code == 303
            with Browser(server) as browser:
                browser.base_url = console
                back = walk(browser.get("/signin/provider").headers["location"], "eve+gardeners")
                assert "no group of yours has a role" in browser.get(back).text
