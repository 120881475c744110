"""Trusted certificates, and probes of TLS servers."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dockgate.shared.errors import UsageError

_PROBE_SECONDS = 3.0


def create_client_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return a context for clients that trusts the authorities of a PEM file, or those of the system.

    Raises UsageError for a file that is missing or holds no certificate.
    """
    with explain_bundle_errors(ca_bundle):
        return ssl.create_default_context(cafile=ca_bundle)


def check_ca_bundle(ca_bundle: Path | None) -> None:
    """Raise UsageError for a PEM file of authorities that is missing or holds no certificate.

    The authorities of the system are not loaded, which takes 10 ms of processor time.
    """
    if ca_bundle is not None:
        with explain_bundle_errors(ca_bundle):
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_bundle)


@contextmanager
def explain_bundle_errors(ca_bundle: Path | None, setting: str = "DOCKGATE_CA_BUNDLE") -> Iterator[None]:
    """Raise UsageError for a PEM file of authorities that cannot be loaded. `setting` names it."""
    try:
        yield
    except OSError as error:
        is_empty = isinstance(error, ssl.SSLError)
        reason = "it holds no certificate in PEM form" if is_empty else error.strerror or str(error)
        raise UsageError(
            f"the CA bundle {ca_bundle} cannot be used: {reason}",
            f"Set {setting} to the PEM file of your authorities, or unset it.",
        ) from error


def create_plain_http_context() -> ssl.SSLContext:
    """Return a context for clients that use plain HTTP alone.

    It is made in no time, and without authorities it accepts no server. A client of httpx that is given none loads the
    system's authorities, 10 ms of processor time each time.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def can_speak_tls(host: str, port: int) -> bool:
    """Return whether a TLS handshake with this address succeeds; no certificate is checked.

    Nothing is sent.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_PROBE_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=host),
        ):
            return True
    except (OSError, ValueError):  # ValueError: a host that cannot be a server name
        return False


def find_tls_error(error: BaseException) -> ssl.SSLError | None:
    """Return the TLS error that caused another; None without one."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause
