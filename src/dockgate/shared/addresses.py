"""Hosts and IP addresses that are not public: loopback, private networks, cloud metadata.

Source: IANA's registries of special-purpose addresses.
"""

import ipaddress
from enum import IntEnum
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOPBACK = "127.0.0.1"
# The names of loopback in URLs and Host headers.
LOOPBACK_NAMES = (LOOPBACK, "localhost", "[::1]")
# The host of the console on loopback. Services are at LOOPBACK: browsers send a host's cookies to all of its ports.
CONSOLE_HOST = "localhost"

PRIVATE_4 = (
    "0.0.0.0/8",  # this network
    "10.0.0.0/8",  # private use
    "100.64.0.0/10",  # shared use
    "127.0.0.0/8",  # loopback
    "168.63.129.16/32",  # Azure's metadata
    "169.254.0.0/16",  # link-local, metadata of most clouds
    "172.16.0.0/12",  # private use
    "192.0.0.0/24",  # protocol assignments, Oracle's metadata
    "192.88.99.0/24",  # 6to4 relays
    "192.168.0.0/16",  # private use
    "198.18.0.0/15",  # benchmarks
    "224.0.0.0/3",  # multicast and reserved
)
PRIVATE_6 = (
    "::/96",  # loopback, IPv4-compatible
    "::ffff:0:0/96",  # IPv4-mapped
    "64:ff9b::/96",  # NAT64
    "64:ff9b:1::/48",  # NAT64 of local use
    "2001::/32",  # Teredo
    "2002::/16",  # 6to4
    "fc00::/7",  # unique local, metadata of clouds
    "fe80::/10",  # link-local
    "fec0::/10",  # site-local
    "ff00::/8",  # multicast
)
# Link-local networks, in which most clouds have their metadata services.
LINK_LOCAL = ("169.254.0.0/16", "fe80::/10")
# Metadata services outside link-local addresses: Alibaba, Azure, Oracle, AWS and Google (IPv6).
METADATA = tuple(
    map(
        ipaddress.ip_address,
        ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)

# An IPv4 address is in the last four bytes (RFC 6052, "Well-Known Prefix").
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PRIVATE = tuple(ipaddress.ip_network(network) for network in (*PRIVATE_4, *PRIVATE_6))


class Nearness(IntEnum):
    """The distance of an address from this machine; a larger value is closer."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    METADATA = 3


def parse(text: str) -> Address:
    """Parse an address, without its zone.

    An IPv6 form of an IPv4 address gives the latter. Raises ValueError.
    """
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(address.packed[-4:])
    return address


def is_metadata(address: Address) -> bool:
    """Return whether a cloud's metadata service may answer there with credentials."""
    return address.is_link_local or address in METADATA


def classify_address(text: str) -> Nearness:
    """Return the nearness of an address. Raises ValueError for other text."""
    address = parse(text)
    if is_metadata(address):
        return Nearness.METADATA
    if address.is_loopback or address.is_unspecified:
        return Nearness.LOOPBACK
    return Nearness.PRIVATE if any(address in network for network in _PRIVATE) else Nearness.PUBLIC


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine. The name is not resolved.

    Brackets around an IPv6 address are ignored.
    """
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def make_console_url(url: str) -> str:
    """Return the URL of the console of the server at `url`. If that is loopback, the host is CONSOLE_HOST.

    Not so for other addresses of loopback, such as 127.0.0.2: CONSOLE_HOST does not lead there.
    """
    parts = urlsplit(url)
    if parts.hostname not in (LOOPBACK, "::1"):
        return url
    return parts._replace(netloc=f"{CONSOLE_HOST}:{parts.port}" if parts.port else CONSOLE_HOST).geturl()


def explain_refusal(text: str, is_loopback_allowed: bool) -> str | None:
    """Return why an address is not called, None when it may be."""
    address = parse(text)
    if is_metadata(address):
        return "is where clouds keep credentials"
    if address.is_loopback:
        return None if is_loopback_allowed else "is this machine"
    if address.is_unspecified or address.is_multicast or address.is_reserved:
        return "is not a host's"
    return None
