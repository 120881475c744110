"""A server whose people sign in at a fake identity provider."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from tests.fakes.identity_provider import CLIENT, ISSUER, SECRET, FakeProvider
from tests.scenarios.browser import Browser
from tests.scenarios.server import ServerSystem

from dockgate.config import OidcSettings
from dockgate.delivery.ports import Clock
from dockgate.identity.model import Role
from dockgate.identity.openid.connection import ProviderConnection
from dockgate.identity.openid.provider import OpenIdProvider
from dockgate.services.identity.provider_sign_in import RETURN_PATH, read_mapping

MAPPING = [*((f"{role}s", role.value) for role in Role), ("all of us", "viewer"), ("platform", "admin")]


class ProviderSite:
    """A server with an admin, whose people sign in at a fake provider."""

    def __init__(self, folder: Path) -> None:
        self.server = ServerSystem(
            folder, identity_provider=self._make_provider, group_roles=read_mapping(MAPPING, ("127.0.0.1:7421",))
        )

    def _make_provider(self, return_url: str, clock: Clock) -> OpenIdProvider:
        self.fake = FakeProvider(clock)
        settings = OidcSettings(ISSUER, CLIENT, SECRET)
        return OpenIdProvider(settings, return_url, clock, ProviderConnection(transport=self.fake.transport))

    def add_person(self, name: str, *groups: str, **claims: Any) -> dict[str, Any]:
        """What the provider says of a person."""
        return {"sub": name, "email": f"{name}@example.org", "email_verified": True, "groups": groups, **claims}

    def sign_in_at_provider(self, browser: Browser, person: dict[str, Any], next_path: str = "/") -> str:
        """Go to the provider and sign in there: the path that the browser is sent back to."""
        answer = browser.get(f"/signin/provider?{urlencode({'to': next_path})}")
        assert answer.status_code == 303, answer.text
        back = self.fake.authorize(answer.headers["location"], **person)
        assert back.startswith(self.server.console_url + RETURN_PATH)
        return back.removeprefix(self.server.console_url)

    def sign_in(self, browser: Browser, person: dict[str, Any], next_path: str = "/") -> httpx.Response:
        return browser.get(self.sign_in_at_provider(browser, person, next_path))

    def audit(self, who: str) -> list[tuple[str, int, str | None]]:
        entries = self.server.get(f"/audit?by={who}")
        return [(entry["call"], entry["status"], entry["detail"]) for entry in entries]
