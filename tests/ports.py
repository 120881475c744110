"""Ports for the servers that tests start."""

import secrets
import socket
from contextlib import suppress
from pathlib import Path

# Linux gives outgoing connections, and servers that leave the choice to it, ports from this one upwards. A server whose
# port came from there could find it taken between the choice and its start, or when it is started again.
_FIRST_EPHEMERAL = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
_FIRST = 10_000


def find_free_port() -> int:
    """A port of loopback at which nothing listens, and that no outgoing connection gets."""
    while True:
        # Hypothesis seeds `random` alike in every process.
        port = _FIRST + secrets.randbelow(_FIRST_EPHEMERAL - _FIRST)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
