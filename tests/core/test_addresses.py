"""From how far addresses are reached."""

import pytest

from dockgate.builders.network import rules
from dockgate.core.addresses import METADATA, Reach, is_private, reach
from dockgate.webhooks.http import refusal


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", Reach.PUBLIC),
        ("2606:4700::1111", Reach.PUBLIC),
        ("::ffff:8.8.8.8", Reach.PUBLIC),
        ("10.1.2.3", Reach.PRIVATE),
        ("100.64.0.1", Reach.PRIVATE),
        ("192.0.0.1", Reach.PRIVATE),
        ("198.18.0.1", Reach.PRIVATE),
        ("fec0::1", Reach.PRIVATE),
        ("fd00::1", Reach.PRIVATE),
        ("2001:0:1::1", Reach.PRIVATE),
        ("64:ff9b::a01:203", Reach.PRIVATE),
        ("127.9.9.9", Reach.LOOPBACK),
        ("::1", Reach.LOOPBACK),
        ("::ffff:127.0.0.1", Reach.LOOPBACK),
        ("0.0.0.0", Reach.LOOPBACK),  # noqa: S104 - the kernel connects to this machine
        ("169.254.169.254", Reach.METADATA),
        ("fe80::1%eth0", Reach.METADATA),
        ("::ffff:169.254.169.254", Reach.METADATA),
    ],
)
def test_the_reach_of_an_address(address: str, expected: Reach) -> None:
    assert reach(address) is expected
    assert is_private(address) is (expected is not Reach.PUBLIC)


@pytest.mark.parametrize("address", [str(address) for address in METADATA])
def test_no_metadata_address_is_called_or_reached_by_a_build(address: str) -> None:
    assert reach(address) is Reach.METADATA
    assert refusal(address, loopback=True)
    assert is_private(address)


@pytest.mark.parametrize("network", ["168.63.129.16", "192.0.0.0/24", "198.18.0.0/15", "fe80::/9"])
def test_builds_are_kept_from_special_networks(network: str) -> None:
    assert network in rules([])
