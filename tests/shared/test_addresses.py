"""How near to this machine addresses lie."""

import pytest

from dockgate.delivery.builders.sandbox.network import make_rules
from dockgate.shared.addresses import (
    METADATA,
    Nearness,
    classify_address,
    explain_refusal,
    is_loopback,
    make_console_url,
)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", Nearness.PUBLIC),
        ("2606:4700::1111", Nearness.PUBLIC),
        ("::ffff:8.8.8.8", Nearness.PUBLIC),
        ("10.1.2.3", Nearness.PRIVATE),
        ("100.64.0.1", Nearness.PRIVATE),
        ("192.0.0.1", Nearness.PRIVATE),
        ("198.18.0.1", Nearness.PRIVATE),
        ("fec0::1", Nearness.PRIVATE),
        ("fd00::1", Nearness.PRIVATE),
        ("2001:0:1::1", Nearness.PRIVATE),
        ("64:ff9b::a01:203", Nearness.PRIVATE),
        ("127.9.9.9", Nearness.LOOPBACK),
        ("::1", Nearness.LOOPBACK),
        ("::ffff:127.0.0.1", Nearness.LOOPBACK),
        ("0.0.0.0", Nearness.LOOPBACK),  # noqa: S104 - the kernel connects to this machine
        ("169.254.169.254", Nearness.METADATA),
        ("fe80::1%eth0", Nearness.METADATA),
        ("::ffff:169.254.169.254", Nearness.METADATA),
    ],
)
def test_the_nearness_of_an_address(address: str, expected: Nearness) -> None:
    assert classify_address(address) is expected


@pytest.mark.parametrize("address", [str(address) for address in METADATA])
def test_no_metadata_address_is_called_or_reached_by_a_build(address: str) -> None:
    assert classify_address(address) is Nearness.METADATA
    assert explain_refusal(address, is_loopback_allowed=True)


@pytest.mark.parametrize("network", ["168.63.129.16", "192.0.0.0/24", "198.18.0.0/15", "fe80::/9"])
def test_builds_are_kept_from_special_networks(network: str) -> None:
    assert network in make_rules([])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]")),
        *((host, False) for host in ("", "example.org", "localhost.example.org", "10.0.0.1", "0.0.0.0", "[::2]")),  # noqa: S104
    ],
)
def test_only_this_machine_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:7420", "http://localhost:7420"),
        ("https://[::1]:7420", "https://localhost:7420"),
        ("http://127.0.0.1", "http://localhost"),
        ("http://localhost:7420", "http://localhost:7420"),
        ("http://127.0.0.2:7420", "http://127.0.0.2:7420"),  # localhost does not lead there
        ("https://gate.example.org", "https://gate.example.org"),
    ],
)
def test_the_console_on_loopback_has_a_host_that_services_do_not_have(url: str, expected: str) -> None:
    assert make_console_url(url) == expected
