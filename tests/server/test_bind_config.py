"""Where a server may listen, and what must be so first."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dockgate.config import Settings
from dockgate.identity.model import Principal, Role, Token
from dockgate.server.bind_config import (
    ListenAddress,
    PublicRegistry,
    find_registry_name,
    read_listen_address,
    read_public_registry,
    require_principals,
)
from dockgate.shared.errors import ConflictError, UsageError
from dockgate.shared.host_port import HostPort
from dockgate.store import open_store


def read_address(**settings: Any) -> ListenAddress:
    return read_listen_address(Settings(Path("/data"), Path("/cache"), **settings))


PUBLIC = {"public_url": "https://gate.example.org"}
BEHIND: dict[str, Any] = {**PUBLIC, "proxies": ("10.0.0.5", "10.1.0.0/16")}


def test_by_default_the_server_listens_on_loopback() -> None:
    config = read_address()
    assert (config.host, config.url, config.is_public) == ("127.0.0.1", "http://127.0.0.1:7420", False)
    assert read_address(host="::1").url == "http://[::1]:7420"
    assert not read_address(host="localhost").is_public


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"host": "::"}, "DOCKGATE_PUBLIC_URL is not set"),
        ({"host": "10.0.0.1", **PUBLIC}, "without TLS"),
        ({"host": "gate.example.org", **PUBLIC}, "without TLS"),
        (PUBLIC, "without TLS"),
        ({"host": "10.0.0.1", **BEHIND, "public_url": "http://gate.example.org"}, "DOCKGATE_PUBLIC_URL is http://"),
        ({"proxies": ("*",)}, "DOCKGATE_TRUSTED_PROXIES"),
        ({"proxies": ("gate",)}, "DOCKGATE_TRUSTED_PROXIES"),
        ({"tls_cert": Path("/no/cert.pem")}, "needs its key"),
        ({"tls_key": Path("/no/key.pem")}, "needs its key"),
        ({"tls_cert": Path("/no/cert.pem"), "tls_key": Path("/no/key.pem")}, "cannot be used"),
    ],
)
def test_what_would_let_tokens_travel_in_the_clear_is_refused(settings: dict[str, Any], setting: str) -> None:
    with pytest.raises(UsageError, match=setting) as error:
        read_address(**settings)
    assert error.value.advice


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1", "::"])
def test_behind_a_tls_proxy_the_server_may_listen_beyond_loopback(host: str) -> None:
    config = read_address(host=host, **BEHIND)
    assert (config.is_public, config.url) == (True, "https://gate.example.org")


def read_registry(**settings: Any) -> PublicRegistry | None:
    return read_public_registry(Settings(Path("/data"), Path("/cache"), **settings))


def test_the_registry_listens_on_loopback_alone_by_default() -> None:
    assert read_registry(registry_port=5000) is None
    realm = "https://gate.example.org/registry/token"
    behind_a_proxy = read_registry(registry_listen=HostPort("127.0.0.1", 5001), **BEHIND)
    assert behind_a_proxy == PublicRegistry(HostPort("127.0.0.1", 5001), "gate.example.org:5001", realm)
    settings = Settings(Path("/data"), Path("/cache"), registry_listen=HostPort("127.0.0.1", 5001), **BEHIND)
    assert find_registry_name(settings) == "gate.example.org:5001"
    assert find_registry_name(Settings(Path("/data"), Path("/cache"))) is None


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"registry_listen": HostPort("10.0.0.1", 5001)}, "needs TLS and a token server"),
        ({"registry_listen": HostPort("gate.example.org", 5001), **BEHIND}, "needs TLS and a token server"),
        ({"registry_listen": HostPort("127.0.0.1", 7421)}, "which is DOCKGATE_REGISTRY_PORT"),
    ],
)
def test_a_registry_for_others_needs_tls_and_a_port_of_its_own(settings: dict[str, Any], setting: str) -> None:
    with pytest.raises(UsageError, match=setting) as error:
        read_registry(**settings)
    assert error.value.advice


def test_beyond_loopback_there_must_be_principals(tmp_path: Path) -> None:
    settings = Settings(tmp_path, tmp_path)
    require_principals(read_address(), settings)
    public_address = read_address(host="10.0.0.1", **BEHIND)
    with pytest.raises(ConflictError, match="without principals") as error:
        require_principals(public_address, settings)
    assert "dockgate principal add" in str(error.value.advice)
    with closing(open_store(tmp_path)) as store:
        store.principals.add_first(Principal("ada", (Role.ADMIN,)), Token("a", "ada", "", "", ""))
    require_principals(public_address, settings)
