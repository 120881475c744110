"""The address and public URL of a server, and what it requires before it listens beyond this machine."""

import ipaddress
import ssl
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dockgate.config import Settings
from dockgate.shared.addresses import LOOPBACK, is_loopback
from dockgate.shared.errors import ConflictError, UsageError
from dockgate.shared.host_port import HostPort
from dockgate.shared.tls import create_client_context


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """The address at which the server listens.

    `url` is its public URL. `is_public` is true if other machines can reach it. `proxies` are the addresses whose
    forwarded headers (client, scheme) are trusted.
    """

    host: str
    port: int
    url: str
    is_public: bool
    certificate: Path | None = None
    key: Path | None = None
    proxies: tuple[str, ...] = ()


def read_listen_address(settings: Settings) -> ListenAddress:
    """Return where the settings let the server listen.

    Raises UsageError if they conflict, or if tokens would be sent without TLS.
    """
    has_tls = _should_use_tls(settings)
    local_url = f"{'https' if has_tls else 'http'}://{HostPort(settings.host, settings.port)}"
    url = settings.public_url or local_url
    public_url = urlsplit(url)
    is_public = not is_loopback(settings.host) or not is_loopback(public_url.hostname or "")
    for proxy in settings.proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError as error:
            raise UsageError(
                f"DOCKGATE_TRUSTED_PROXIES has {proxy!r}: {error}", "Name addresses or networks: 10.0.0.5,10.1.0.0/16"
            ) from None
    if is_public:
        if not settings.public_url:
            raise UsageError(
                f"{settings.host} is not loopback, and DOCKGATE_PUBLIC_URL is not set",
                "Set it to the URL that others use: https://gate.example.org",
            )
        if not has_tls and not settings.proxies:
            raise UsageError(
                "this server would receive tokens without TLS",
                "Set DOCKGATE_TLS_CERT and DOCKGATE_TLS_KEY, or set the proxy that terminates TLS in "
                "DOCKGATE_TRUSTED_PROXIES.",
            )
        if public_url.scheme != "https":
            raise UsageError(f"DOCKGATE_PUBLIC_URL is {url}", "Beyond this machine it begins with https://.")
    return ListenAddress(
        settings.host,
        settings.port,
        url,
        is_public,
        settings.tls_cert,
        settings.tls_key,
        settings.proxies,
    )


@dataclass(frozen=True, slots=True)
class PublicRegistry:
    """The address at which other machines reach the registry.

    It listens at `listen`. `address` is what they call it by, `realm` the URL that it sends them to for a token.
    """

    listen: HostPort
    address: str
    realm: str
    certificate: Path | None = None
    key: Path | None = None


def read_public_registry(settings: Settings) -> PublicRegistry | None:
    """Return where the registry listens for other machines; None if the settings name nothing.

    Raises UsageError if tokens would be sent without TLS.
    """
    if settings.registry_listen is None:
        return None
    listen, listen_address, tls = settings.registry_listen, read_listen_address(settings), _should_use_tls(settings)
    if listen.port == settings.registry_port:
        raise UsageError(
            f"DOCKGATE_REGISTRY_LISTEN has port {listen.port}, which is DOCKGATE_REGISTRY_PORT",
            "Give it another port, or change DOCKGATE_REGISTRY_PORT.",
        )
    if not is_loopback(listen.host) and not (tls and listen_address.is_public):
        raise UsageError(
            f"DOCKGATE_REGISTRY_LISTEN is {listen}: beyond this machine a registry needs TLS and a token server",
            "Set DOCKGATE_TLS_CERT, DOCKGATE_TLS_KEY and DOCKGATE_PUBLIC_URL.",
        )
    # Where a proxy ends TLS, the registry behind it lies on loopback.
    certificate, key = (settings.tls_cert, settings.tls_key) if tls else (None, None)
    address = HostPort(urlsplit(listen_address.url).hostname or LOOPBACK, listen.port)
    return PublicRegistry(listen, str(address), f"{listen_address.url}/registry/token", certificate, key)


def find_registry_name(settings: Settings) -> str | None:
    """Return the registry's public name, None if it is on loopback only.

    It is the public URL's host with the registry's port.
    """
    public = read_public_registry(settings)
    return public.address if public else None


def require_principals(address: ListenAddress, settings: Settings) -> None:
    """Raise ConflictError if others can reach a server without principals.

    There every caller may do everything.
    """
    if not address.is_public:
        return
    from dockgate.store import open_store  # `dockgate down` goes without it

    with closing(open_store(settings.shared_data, settings.database_url)) as store:
        has_principals = store.principals.has_any()
    if not has_principals:
        raise ConflictError(
            f"a server without principals may not listen at {address.url}",
            "Start it on loopback, and add an admin: dockgate principal add NAME --role admin",
        )


def _should_use_tls(settings: Settings) -> bool:
    """Return whether to use TLS. Raises UsageError for an unusable certificate or CA bundle."""
    create_client_context(settings.ca_bundle)
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise UsageError("a certificate needs its key", "Set both DOCKGATE_TLS_CERT and DOCKGATE_TLS_KEY.")
    if settings.tls_cert is None or settings.tls_key is None:
        return False
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{settings.tls_cert} and {settings.tls_key} cannot be used: {error}",
            "Both are PEM files: the certificate with its chain, and the key without a passphrase.",
        ) from None
    return True
