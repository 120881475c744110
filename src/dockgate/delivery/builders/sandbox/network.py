"""Network access of builds: rules for nftables, and the command line of pasta.

No I/O but reading /proc and /etc.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dockgate.shared.addresses import PRIVATE_4, PRIVATE_6, is_loopback

# The address at which a build asks for names: pasta hands the questions on to the host's resolver.
RESOLVER = "169.254.1.1"

# What the kernel needs to reach its router by IPv6 (RFC 4861).
_NEIGHBOURS = "nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert"


def make_rules(
    own_addresses: Iterable[str], allowed_networks: Iterable[str] = (), blocked_networks: Iterable[str] = ()
) -> str:
    """Return a ruleset for `nft -f`. All arguments are addresses or networks.

    `own_addresses` are the host's addresses, which are always rejected; `allowed_networks` are accepted although
    private, `blocked_networks` rejected although public.
    """
    lines = ['oifname "lo" accept', f"ip daddr {RESOLVER} meta l4proto {{ tcp, udp }} th dport 53 accept"]
    lines += [f"icmpv6 type {{ {_NEIGHBOURS} }} accept"]
    for networks, verdict in (
        (own_addresses, "reject"),
        (allowed_networks, "accept"),
        (blocked_networks, "reject"),
        ((*PRIVATE_4, *PRIVATE_6), "reject"),
    ):
        for family, members in _group_by_family(networks).items():
            lines.append(f"{family} daddr {{ {', '.join(members)} }} {verdict}")
    body = "\n".join(f"        {line}" for line in lines)
    return (
        "table inet box {\n    chain output {\n        type filter hook output priority 0; policy accept;\n"
        f"{body}\n    }}\n}}\n"
    )


def _group_by_family(networks: Iterable[str]) -> Mapping[str, list[str]]:
    """The networks by family, without those inside another one: nftables refuses overlaps in one set."""
    parsed_networks = [ipaddress.ip_network(text, strict=False) for text in networks]
    four = [network for network in parsed_networks if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in parsed_networks if isinstance(network, ipaddress.IPv6Network)]
    merged_networks = {
        "ip": [str(network) for network in ipaddress.collapse_addresses(four)],
        "ip6": [str(network) for network in ipaddress.collapse_addresses(six)],
    }
    return {family: members for family, members in merged_networks.items() if members}


def make_pasta_command(resolver: str | None) -> list[str]:
    """Return the command of pasta(1) that connects a network namespace.

    The namespace has no access to the host's addresses or ports. `resolver` is the host's, None for the one that pasta
    finds in /etc/resolv.conf.
    """
    command = ["pasta", "--quiet", "--config-net", "--no-map-gw", f"--dns-forward={RESOLVER}"]
    if resolver is not None:
        command.append(f"--dns={resolver}")
    # Without these four it forwards ports of the host's loopback address.
    return [*command, "-t", "none", "-u", "none", "-T", "none", "-U", "none"]


def list_host_addresses(proc: Path = Path("/proc")) -> list[str]:
    """Every address of this host except loopback (proc(5), net/fib_trie and net/if_inet6)."""
    addresses: set[str] = set()
    previous = ""
    for line in _read_lines(proc / "net/fib_trie"):
        if "host LOCAL" in line:
            addresses.add(previous.split()[-1])
        previous = line
    for line in _read_lines(proc / "net/if_inet6"):
        addresses.add(str(ipaddress.IPv6Address(int(line.split()[0], 16))))
    return sorted(address for address in addresses if not is_loopback(address))


def find_loopback_resolver() -> str | None:
    """Return the host's first resolver if it is on loopback, else None (resolv.conf(5)).

    pasta must know one on loopback.
    """
    for line in _read_lines(Path("/etc/resolv.conf")):
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            return words[1] if is_loopback(words[1]) else None
    return None


def select_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the proxy settings that a build may see: none with a password."""
    names = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
    spellings = [*names, *(name.upper() for name in names)]
    return {name: environment[name] for name in spellings if environment.get(name) and "@" not in environment[name]}


def _read_lines(path: Path) -> Sequence[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
