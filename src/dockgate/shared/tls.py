"""Trusted certificates, and probes of TLS servers."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from dockgate.shared.errors import UsageError

_PROBE_SECONDS = 3.0


def create_client_context(ca_bundle: Path | None = None, setting: str = "DOCKGATE_CA_BUNDLE") -> ssl.SSLContext:
    """Return a context for clients that trusts the authorities of the system and those of a PEM file.

    SSL_CERT_FILE and SSL_CERT_DIR may name other authorities of the system. Clients share the context until one of
    these files changes: loading them takes 13 ms of processor time. `setting` names the file in errors.

    Raises UsageError for a file that is missing or holds no certificate.
    """
    system = ssl.get_default_verify_paths()
    versions = map(_read_version, (ca_bundle, system.cafile, system.capath))
    with _explain_bundle_errors(ca_bundle, setting):
        return _load_authorities(ca_bundle, *versions)


@lru_cache(maxsize=4)
def _load_authorities(ca_bundle: Path | None, *_versions: tuple[str, int] | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    # The default since Python 3.13. It refuses authorities without all extensions that RFC 5280 requires, which other
    # tools accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if ca_bundle is not None:
        context.load_verify_locations(ca_bundle)
    return context


def _read_version(path: Path | str | None) -> tuple[str, int] | None:
    """Return what changes when the file or folder is another one; None without one."""
    try:
        return (str(path), Path(path).stat().st_mtime_ns) if path else None
    except OSError:
        return None


@contextmanager
def _explain_bundle_errors(ca_bundle: Path | None, setting: str) -> Iterator[None]:
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
