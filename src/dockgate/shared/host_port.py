"""A host and a port at which something listens."""

from typing import NamedTuple


class HostPort(NamedTuple):
    """A host, without brackets, and a port from 1 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write the host and port as in a URL: an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "HostPort | None":
        """Read "<host>:<port>". None for other text."""
        host, _, port = text.rpartition(":")
        is_bracketed = host.startswith("[") and host.endswith("]")
        name = host[1:-1] if is_bracketed else host
        if not name or (":" in name) != is_bracketed or not port.isdecimal() or not 0 < int(port) < 65536:
            return None
        return cls(name, int(port))


def strip_port(authority: str) -> str:
    """Return "HOST" or "HOST:PORT" without the port: "host", "127.0.0.1", "[::1]"."""
    return authority[: authority.find("]") + 1] if authority.startswith("[") else authority.partition(":")[0]
