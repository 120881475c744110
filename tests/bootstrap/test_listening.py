"""Where a server may listen, and what must be so first."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dockgate.bootstrap.listening import Listening, demand_principals, listening
from dockgate.config import Settings
from dockgate.core.errors import ConflictError, UsageError
from dockgate.core.people import Principal, Role, Token
from dockgate.store import open_store


def place(**settings: Any) -> Listening:
    return listening(Settings(Path("/data"), Path("/cache"), **settings))


PUBLIC = {"public_url": "https://gate.example.org"}
BEHIND = {**PUBLIC, "proxies": ("10.0.0.5", "10.1.0.0/16")}


def test_as_it_comes_it_listens_on_loopback_and_is_called_so() -> None:
    found = place()
    assert (found.host, found.url, found.beyond, found.apart) == ("127.0.0.1", "http://127.0.0.1:7420", False, False)
    assert place(host="::1").url == "http://[::1]:7420"
    assert place(host="::1").apart
    assert not place(host="localhost").beyond


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"host": "::"}, "DOCKGATE_PUBLIC_URL is not set"),
        ({"host": "10.0.0.1", **PUBLIC}, "in the clear"),
        ({"host": "gate.example.org", **PUBLIC}, "in the clear"),
        (PUBLIC, "in the clear"),
        ({"host": "10.0.0.1", **BEHIND, "public_url": "http://gate.example.org"}, "DOCKGATE_PUBLIC_URL is http://"),
        ({"proxies": ("*",)}, "DOCKGATE_TRUSTED_PROXIES"),
        ({"proxies": ("gate",)}, "DOCKGATE_TRUSTED_PROXIES"),
        ({"tls_cert": Path("/no/cert.pem")}, "needs its key"),
        ({"tls_key": Path("/no/key.pem")}, "needs its key"),
        ({"tls_cert": Path("/no/cert.pem"), "tls_key": Path("/no/key.pem")}, "cannot be used"),
    ],
)
def test_what_would_let_tokens_travel_in_the_clear_is_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named) as error:
        place(**settings)
    assert error.value.advice


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1", "::"])
def test_behind_a_proxy_that_ends_tls_it_may_listen_beyond(host: str) -> None:
    found = place(host=host, **BEHIND)
    assert (found.beyond, found.url) == (True, "https://gate.example.org")


def test_beyond_loopback_there_must_be_principals(tmp_path: Path) -> None:
    settings = Settings(tmp_path, tmp_path)
    demand_principals(place(), settings)
    beyond = place(host="10.0.0.1", **BEHIND)
    with pytest.raises(ConflictError, match="no principals") as error:
        demand_principals(beyond, settings)
    assert "dockgate principal add" in error.value.advice
    with closing(open_store(tmp_path)) as store:
        store.principals.begin(Principal("ada", (Role.ADMIN,)), Token("a", "ada", "", "", ""))
    demand_principals(beyond, settings)
