"""What the server records of a person whom an identity provider names."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dockgate.identity.model import Role
from dockgate.identity.ports import IdentityProvider
from dockgate.identity.sign_in import GroupRole, Identity, SignInRequest
from dockgate.services.clock import ServerClock
from dockgate.services.identity.people import People
from dockgate.services.identity.provider_sign_in import ProviderSignIn
from dockgate.services.identity.sessions import Sessions
from dockgate.shared.interfaces import override
from dockgate.store import open_store

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


class NamingProvider(IdentityProvider):
    """A provider that names one person."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    @override
    def build_sign_in_url(self, request: SignInRequest) -> str:
        return "https://id.example.org/authorize"

    @override
    def redeem(self, request: SignInRequest, code: str, issuer: str | None) -> Identity:
        return self.identity


@pytest.mark.parametrize(
    ("address", "recorded_address"),
    [
        ("kim@example.org", "kim@example.org"),
        ("kim <kim@example.org>", None),
        ("kim", None),
        ("kim@example.org\nbcc: all@example.org", None),
        (None, None),
    ],
)
def test_only_an_address_is_recorded_as_one(tmp_path: Path, address: str | None, recorded_address: str | None) -> None:
    identity = Identity("https://id.example.org", "1", "kim", address, ["platform"])
    store, clock = open_store(tmp_path), ServerClock(lambda: NOW)
    sessions = Sessions(store, People(store, lambda: NOW, ("127.0.0.1:7421",)), clock)
    sign_in = ProviderSignIn(NamingProvider(identity), (GroupRole("platform", Role.ADMIN),), store, sessions, clock)
    _, request = sign_in.begin()
    _, caller = sign_in.finish(request, request.state, "code", None)
    assert (caller.principal.name, caller.principal.email) == ("kim", recorded_address)
    store.close()
