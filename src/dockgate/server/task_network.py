"""Keep tasks from the metadata addresses of clouds, where the host's credentials are.

podman's bridge forwards what containers send to every address. These rules are in a table of their own, which has the
network's name: podman's do not change.
"""

import json
import os
import subprocess
from pathlib import Path

from dockgate.shared.addresses import LINK_LOCAL, METADATA
from dockgate.shared.errors import UnavailableError

_TIMEOUT = 30.0


def reject_metadata(network: Path) -> None:
    """Reject what containers of a network, by podman's file of it, send to metadata addresses.

    Names are still resolved there, as some clouds do. Without root nothing changes: such a podman uses no bridge of the
    host. Raises UnavailableError.
    """
    interface = json.loads(network.read_text(encoding="utf-8"))["network_interface"]
    _run_nft(_empty_table(network.stem) + _make_rules(network.stem, interface))


def remove_rules(network: Path) -> None:
    """Remove the rules of a network. Does nothing if there are none. Raises UnavailableError."""
    _run_nft(_empty_table(network.stem))


def _make_rules(table: str, interface: str) -> str:
    blocked_networks = [*LINK_LOCAL, *map(str, METADATA)]
    four = ", ".join(text for text in blocked_networks if ":" not in text)
    six = ", ".join(text for text in blocked_networks if ":" in text)
    return (
        f"table inet {table} {{\n chain forward {{\n  type filter hook forward priority -10; policy accept;\n"
        f'  iifname != "{interface}" accept\n  meta l4proto {{ tcp, udp }} th dport 53 accept\n'
        f"  ip daddr {{ {four} }} reject\n  ip6 daddr {{ {six} }} reject\n }}\n}}\n"
    )


def _empty_table(table: str) -> str:
    """Return commands that delete a table, whether or not it exists."""
    return f"table inet {table} {{}}\ndelete table inet {table}\n"


def _run_nft(commands: str) -> None:
    if os.geteuid() != 0:
        return
    try:
        result = subprocess.run(
            ["nft", "-f", "-"], input=commands, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
        problem = result.stderr.strip() if result.returncode else None
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        raise UnavailableError(
            f"nft cannot keep tasks from metadata addresses: {problem}", "Install nftables: apt-get install nftables"
        )
