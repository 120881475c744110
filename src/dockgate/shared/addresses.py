"""IP addresses that are more than somebody's public host (IANA's registries of special-purpose addresses)."""

import ipaddress
from enum import IntEnum

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PRIVATE_4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
)
"""this network, private use, shared use, loopback, Azure's metadata, link-local (metadata of most clouds), protocol
assignments (Oracle's metadata), 6to4 relays, benchmarks, multicast, reserved; without those of documentation, which
nobody routes"""
PRIVATE_6 = (
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2001::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)
"""loopback and addresses that stand for IPv4 ones (Teredo and 6to4 among them), unique local (metadata of clouds),
link-local, site-local, multicast"""
METADATA = tuple(
    map(
        ipaddress.ip_address,
        ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)
"""where clouds answer with credentials, beside link-local addresses: Alibaba, Azure, Oracle, AWS and Google by IPv6"""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""RFC 6052, "Well-Known Prefix": an IPv4 address is in the last four bytes"""
_PRIVATE = tuple(ipaddress.ip_network(network) for network in (*PRIVATE_4, *PRIVATE_6))


class Nearness(IntEnum):
    """How near to this machine an address lies; the larger, the nearer."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    METADATA = 3


def parse(text: str) -> Address:
    """The address of a text, without its zone; an IPv4 address where it stands for one. Raises ValueError."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(address.packed[-4:])
    return address


def is_metadata(address: Address) -> bool:
    """Whether a cloud may answer there with credentials."""
    return address.is_link_local or address in METADATA


def nearness(text: str) -> Nearness:
    """How near to this machine the address lies. Raises ValueError for what is no address."""
    address = parse(text)
    if is_metadata(address):
        return Nearness.METADATA
    if address.is_loopback or address.is_unspecified:
        return Nearness.LOOPBACK
    return Nearness.PRIVATE if any(address in network for network in _PRIVATE) else Nearness.PUBLIC


def is_private(text: str) -> bool:
    """Whether the address does not belong to a public host. Raises ValueError for what is no address."""
    return nearness(text) is not Nearness.PUBLIC
