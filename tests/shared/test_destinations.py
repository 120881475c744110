"""A registry sends its clients no closer to this machine than itself."""

from collections.abc import Mapping, Sequence

import pytest
from tests.scanner.images.client import open_remote
from tests.scanner.images.webserver import Answer, Request, serve

from dockgate.scanner.images.transport import Transport
from dockgate.shared.destinations import ChangedAddressError, ConnectionCheck, require_destination
from dockgate.shared.errors import UnavailableError

ADDRESSES: Mapping[str, Sequence[str]] = {
    "registry.example": ["192.0.2.1"],
    "both.example": ["192.0.2.1", "127.0.0.1"],
    "cdn.example": ["198.51.100.7"],
    "registry.internal": ["10.0.0.5"],
    "auth.internal": ["10.0.0.6"],
    "mixed.example": ["198.51.100.7", "10.0.0.6"],
    "localhost": ["127.0.0.1"],
    "127.0.0.1": ["127.0.0.1"],
    "10.0.0.6": ["10.0.0.6"],
    "169.254.169.254": ["169.254.169.254"],
}


def resolve(host: str) -> Sequence[str]:
    if host not in ADDRESSES:
        raise OSError("no such host")
    return ADDRESSES[host]


@pytest.mark.parametrize(
    ("registry", "url"),
    [
        ("registry.example", "https://registry.example:8443/token"),
        ("registry.example", "https://cdn.example/blob"),
        ("registry.internal:5000", "https://auth.internal/token"),
        ("registry.internal:5000", "https://cdn.example/blob"),
        ("127.0.0.1:5000", "http://localhost:5001/token"),
        ("localhost:5000", "https://auth.internal/token"),
        ("registry.example", "https://nowhere.example/blob"),
    ],
)
def test_destinations_as_far_away_are_allowed(registry: str, url: str) -> None:
    require_destination(registry, url, resolve)


@pytest.mark.parametrize(
    ("registry", "url"),
    [
        ("registry.example", "https://auth.internal/token"),
        ("registry.example", "http://10.0.0.6/admin"),
        ("registry.example", "https://mixed.example/blob"),
        ("registry.example", "http://localhost:7420/api"),
        ("both.example", "http://127.0.0.1:7420/api"),
        ("nowhere.example", "http://127.0.0.1:7420/api"),
        ("registry.internal:5000", "http://127.0.0.1/"),
        ("registry.internal:5000", "http://169.254.169.254/latest/meta-data"),
        ("127.0.0.1:5000", "http://169.254.169.254/latest/meta-data"),
    ],
)
def test_closer_destinations_are_refused(registry: str, url: str) -> None:
    with pytest.raises(UnavailableError, match="sends its clients to"):
        require_destination(registry, url, resolve)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(307, headers={"Location": "http://169.254.169.254/latest/meta-data"}),
        Answer(401, headers={"WWW-Authenticate": 'Bearer realm="http://169.254.169.254/latest",service="x"'}),
    ],
    ids=["redirect", "token"],
)
def test_a_registry_cannot_have_metadata_requested(answer: Answer) -> None:
    def respond(request: Request) -> Answer:
        return Answer(404) if request.path == "/v2/" else answer

    with (
        serve(respond) as server,
        pytest.raises(UnavailableError, match=r"sends its clients to .*, which is at a metadata address"),
        open_remote(f"{server.address}/team/app:1"),
    ):
        pass


def test_a_name_that_changes_its_address_is_not_connected_closer() -> None:
    """The name is resolved once when it is checked, and again for the connection; the registry's own name, too."""
    check = ConnectionCheck("The registry", "registry.example")
    check.require_address("https://registry.example/v2/", "192.0.2.1")
    check.require_address("https://cdn.example/blob", "198.51.100.7")
    for address in ("10.0.0.6", "127.0.0.1", "169.254.169.254"):
        check.require_address("https://registry.example/v2/", address)
        with pytest.raises(ChangedAddressError, match=f"cdn.example, which is now at the address {address}"):
            check.require_address("https://cdn.example/blob", address)
    internal = ConnectionCheck("The registry", "registry.internal:5000")
    internal.require_address("https://registry.internal:5000/v2/", "10.0.0.5")
    internal.require_address("https://auth.internal/token", "10.0.0.6")
    with pytest.raises(ChangedAddressError):
        internal.require_address("https://auth.internal/token", "::1")


def test_nothing_is_sent_to_an_address_that_is_refused() -> None:
    requests: list[Request] = []

    def respond(request: Request) -> Answer:
        requests.append(request)
        return Answer(200)

    with serve(respond) as server:
        transport = Transport("192.0.2.1:5000", None, is_insecure=True)
        with pytest.raises(ChangedAddressError):
            transport.get(f"http://{server.address}/latest/meta-data", {})
        transport.close()
    assert requests == []
