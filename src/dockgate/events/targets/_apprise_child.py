"""The child process of `apprise`.

It reads a request from standard input, sends it, and writes one line of JSON. Python calls audit hooks before it
connects, opens a file or starts a program. After the library is imported, a hook refuses what a notification does not
need, whatever service, redirect or answer asks for it.
"""

import contextlib
import email.utils
import fnmatch
import json
import logging
import os
import resource
import ssl
import sys
import sysconfig
from pathlib import Path
from typing import Any

from dockgate.shared.addresses import explain_refusal
from dockgate.shared.interfaces import override

_MEMORY = 1 << 30  # bytes
_PROGRAMS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
)
_WRITES = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.chown",
    "os.truncate",
)


class Guard:
    """An audit hook. `reasons` has what was refused."""

    def __init__(self, hosts: list[str], *, is_loopback_allowed: bool) -> None:
        self.reasons: list[str] = []
        self._hosts = hosts
        self._is_loopback_allowed = is_loopback_allowed
        certificates = ssl.get_default_verify_paths()
        paths: list[str | None] = [
            *sysconfig.get_paths().values(),
            sys.prefix,
            sys.base_prefix,
            "/usr/share/zoneinfo",
            "/dev/urandom",
        ]
        paths += [
            os.environ.get("SSL_CERT_FILE"),
            certificates.cafile,
            certificates.capath,
            "/etc/ssl",
            "/etc/mime.types",
        ]
        paths += ["/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/services", "/etc/localtime", *sys.path]
        self._readable_paths = tuple(os.path.realpath(path) for path in paths if path)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raise PermissionError for what is not allowed."""
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            self._check_address(arguments[1])
        elif event == "socket.getaddrinfo":
            self._check_host(arguments[0])
        elif event == "open":
            self._check_file(*arguments[:3])
        elif event in _PROGRAMS or event in _WRITES:
            self._refuse(f"{event} is not allowed")

    def _check_address(self, address: Any) -> None:
        if not isinstance(address, tuple):
            self._refuse("a local socket is not called")
        try:
            reason = explain_refusal(str(address[0]), self._is_loopback_allowed)
        except ValueError:
            return  # a name, which socket.getaddrinfo checks; its address comes here again
        if reason:
            self._refuse(f"the address {address[0]} {reason}: it is not called")

    def _check_host(self, host: Any) -> None:
        name = (host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")).lower()
        if self._hosts and not any(fnmatch.fnmatchcase(name, pattern) for pattern in self._hosts):
            self._refuse(f"calls to {name} are not allowed: see DOCKGATE_CALLBACK_HOSTS on the server")

    def _check_file(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int):
            return
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        real_path = os.path.realpath(os.fsdecode(path))
        if writes and real_path != os.devnull:
            self._refuse("writing files is not allowed")
        if real_path != os.devnull and not any(
            real_path == readable_path or real_path.startswith(readable_path + os.sep)
            for readable_path in self._readable_paths
        ):
            self._refuse("reading that file is not allowed")

    def _refuse(self, reason: str) -> None:
        self.reasons.append(reason)
        raise PermissionError(reason)


def main() -> None:
    """Serve one request."""
    request = json.load(sys.stdin)
    for name, limit in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, 60)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(name, (limit, limit))
    answer = _serve(request)
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    _identify_mails(request.get("id", "check"))
    _trust_authorities(request["ca_bundle"])
    import apprise

    records: list[str] = []
    logger = logging.getLogger("apprise")
    logger.handlers = [_Collector(records)]
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    guard = Guard(request["hosts"], is_loopback_allowed=request["loopback"])
    asset = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY, secure_logging=True)
    sys.addaudithook(guard)
    try:
        service = apprise.Apprise.instantiate(request["url"], asset=asset, suppress_exceptions=True)
        if service is None:
            return {"ok": False, "final": True, "error": "apprise does not understand the URL"}
        if request.get("check"):
            return {"ok": True}
        sender = apprise.Apprise(asset=asset)
        sender.add(service)
        is_sent = sender.notify(title=request["title"], body=request["body"], body_format=apprise.NotifyFormat.TEXT)
    except Exception as error:
        return {"ok": False, "error": guard.reasons[-1] if guard.reasons else f"{type(error).__name__}: {error}"}
    if is_sent:
        return {"ok": True}
    errors = [*guard.reasons[-1:], *records[-3:]]
    return {"ok": False, "error": "; ".join(errors)[:1000] or "the service did not accept the message"}


def _identify_mails(message: str) -> None:
    """Give mails the Message-ID of their message, so that receivers recognise one that is sent again.

    It is called before the library is imported, which has no setting for it.
    """

    def make_msgid(idstring: str | None = None, domain: str | None = None) -> str:
        return f"<{message}@{domain or 'dockgate'}>"

    email.utils.make_msgid = make_msgid


def _trust_authorities(ca_bundle: str | None) -> None:
    """Trust the authorities of the system and those of a PEM file, as the server does (`shared.tls`).

    The library `requests` knows neither: it has authorities of its own, and takes one file instead of them.
    """
    system = ssl.get_default_verify_paths()
    # OpenSSL finds the authorities of a folder by the hash of their names.
    files = [ca_bundle, system.cafile, *sorted(Path(system.capath or os.devnull).glob("*.[0-9]"))]
    authorities = os.memfd_create("authorities")
    with open(authorities, "wb", closefd=False) as output:
        output.write(b"\n".join(Path(file).read_bytes() for file in files if file))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        os.environ[name] = f"/proc/self/fd/{authorities}"


class _Collector(logging.Handler):
    """A log handler that collects warnings, and what the library says of the errors behind them."""

    def __init__(self, records: list[str]) -> None:
        super().__init__()
        self._records = records

    @override
    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING or "xception" in text:
            self._records.append(text[:300])


if __name__ == "__main__":
    main()
