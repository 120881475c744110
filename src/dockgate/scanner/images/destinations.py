"""Check where a registry may send its clients by redirects and token servers."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dockgate.scanner.images.reference import strip_port
from dockgate.shared.errors import UnavailableError

if TYPE_CHECKING:
    from dockgate.shared.addresses import Nearness

# Host -> its addresses; raises OSError and UnicodeError where it has none.
Resolve = Callable[[str], Sequence[str]]


def resolve_addresses(host: str) -> Sequence[str]:
    """Return the addresses of a host by the system's resolver. Raises OSError and UnicodeError."""
    import socket

    return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def require_destination(registry: str, url: str, resolve: Resolve = resolve_addresses) -> None:
    """Refuse a URL whose host is nearer to this machine than the registry that sends us there.

    Otherwise a registry on the internet could direct requests to loopback, to private networks, and to the metadata
    addresses of clouds, which give out credentials. A host without an address is accepted: a proxy may resolve it.
    Raises UnavailableError.
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
                f"The registry {registry} sends its clients to {host}, which is at a {kind} address.",
                "Name the registry by its address in the same network, or reach both through the same proxy.",
            )


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
