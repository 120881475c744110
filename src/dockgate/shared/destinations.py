"""Check where a registry or a feed may send its clients, by redirects, token servers and mirrors."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dockgate.shared.errors import UnavailableError
from dockgate.shared.host_port import strip_port

if TYPE_CHECKING:
    from dockgate.shared.addresses import Nearness

# Host -> its addresses; raises OSError and UnicodeError where it has none.
Resolve = Callable[[str], Sequence[str]]


def resolve_addresses(host: str) -> Sequence[str]:
    """Return the addresses of a host by the system's resolver. Raises OSError and UnicodeError."""
    import socket

    return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def require_destination(
    registry: str, url: str, resolve: Resolve = resolve_addresses, sender: str | None = None
) -> None:
    """Refuse a URL whose host is nearer to this machine than the registry that sends us there.

    Otherwise a registry on the internet could direct requests to loopback, to private networks, and to the metadata
    addresses of clouds, which give out credentials. A host without an address is accepted: a proxy may resolve it.
    `sender` is for messages, where the host is not that of a registry. Raises UnavailableError.
    """
    from dockgate.shared.addresses import Nearness, classify_address

    host = urlsplit(url).hostname or ""
    registry_host = strip_port(registry).strip("[]")
    if host == registry_host or _has_proxy(url, host):
        return
    with suppress(OSError, UnicodeError):
        host_nearness = max(map(classify_address, resolve(host)), default=Nearness.PUBLIC)
        if host_nearness is Nearness.PUBLIC:
            return
        if host_nearness is Nearness.METADATA or host_nearness > _find_farthest(registry_host, resolve):
            kind = host_nearness.name.lower()
            raise UnavailableError(
                f"{sender or f'the registry {registry}'} sends its clients to {host}, which is at a {kind} address",
                "Name the server by its address in the same network, or reach both through the same proxy.",
            )


class ChangedAddressError(UnavailableError):
    """A host that a registry names has another address than before; a retry does not help."""


class ConnectionCheck:
    """A check of the addresses to which a client is connected, before anything is sent there.

    `require_destination` resolves a name, and the client resolves it again to connect: a registry could change it in
    between, its own name too. So the registry is as near as the farthest address to which it was connected.
    """

    def __init__(self, sender: str, host: str) -> None:
        """`sender` is named in messages. `host` is the host of the registry's URLs, with their port if any."""
        self._sender, self._host = sender, strip_port(host).strip("[]")
        self._nearness: Nearness | None = None

    def watch(self, url: str, event: str, info: Mapping[str, Any]) -> None:
        """Check a new connection for a URL (httpcore's request extension "trace"). Raises ChangedAddressError."""
        if event.endswith("connect_tcp.complete"):
            stream = info["return_value"]
            try:
                self.require_address(url, str(stream.get_extra_info("server_addr")[0]))
            except ChangedAddressError:
                stream.close()
                raise

    def require_address(self, url: str, address: str) -> None:
        """Refuse a connection to an address that is nearer than the registry. Raises ChangedAddressError."""
        from dockgate.shared.addresses import Nearness, classify_address

        host = urlsplit(url).hostname or ""
        if _has_proxy(url, host):
            return
        nearness = classify_address(address)
        if host == self._host:
            self._nearness = nearness if self._nearness is None else min(nearness, self._nearness)
        elif nearness is Nearness.METADATA or nearness > self._get_nearness():
            raise ChangedAddressError(
                f"{self._sender} sends its clients to {host}, which is now at the address {address}",
                "Name the server by its address in the same network.",
            )

    def _get_nearness(self) -> "Nearness":
        """Return that of the registry's connections; by its name if it was reached by a proxy."""
        return _find_farthest(self._host, resolve_addresses) if self._nearness is None else self._nearness


def _find_farthest(registry_host: str, resolve: Resolve) -> "Nearness":
    """Return the nearness of the farthest address: a registry can claim any other address too."""
    from dockgate.shared.addresses import Nearness, classify_address

    try:
        return min(map(classify_address, resolve(registry_host)), default=Nearness.PUBLIC)
    except (OSError, UnicodeError):
        return Nearness.PUBLIC


def _has_proxy(url: str, host: str) -> bool:
    import urllib.request

    proxies = urllib.request.getproxies()
    return bool(proxies.get(urlsplit(url).scheme) or proxies.get("all")) and not urllib.request.proxy_bypass(host)
