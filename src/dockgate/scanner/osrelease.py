"""Read the distribution of an image from os-release(5)."""

from typing import BinaryIO

from dockgate.scanner.model import Distribution
from dockgate.shared.errors import UnreadableError

# A script that contains the version: FreeBSD writes os-release only when it starts, so an image has none.
FREEBSD = "bin/freebsd-version"
# Target of FreeBSD's /etc/os-release, written when it starts (libexec/rc/rc.d/os-release).
FREEBSD_LINK = "var/run/os-release"
# Possible paths; the first that exists counts.
PATHS = ("etc/os-release", "usr/lib/os-release", FREEBSD)

# Bytes.
SIZE_LIMIT = 64 * 1024

# Trivy's names of distributions (pkg/fanal/types/const.go) -> their os-release ID, where they are not the same.
_NAMES = {
    "alma": "almalinux",
    "amazon": "amzn",
    "cbl-mariner": "mariner",
    "opensuse.leap": "opensuse-leap",
    "opensuse.tumbleweed": "opensuse-tumbleweed",
    "oracle": "ol",
    "redhat": "rhel",
    "suse linux enterprise server": "sles",
}

_QUOTES = "\"'"


def read(file: BinaryIO) -> Distribution:
    """Read the distribution. Without an ID it is "linux" (manual page). Raises UnreadableError."""
    raw = file.read(SIZE_LIMIT + 1)
    if len(raw) > SIZE_LIMIT:
        raise UnreadableError(f"it has more than {SIZE_LIMIT} bytes")
    if b"\0" in raw:
        raise UnreadableError("it is not text")
    values: dict[str, str] = {}
    for line in raw.decode("utf-8", "replace").splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            values[name] = _unquote(value.strip())
    if freebsd := "" if "ID" in values else values.get("USERLAND_VERSION", ""):
        return Distribution("freebsd", freebsd.partition("-")[0], f"FreeBSD {freebsd}")
    return Distribution(
        id=values.get("ID", "").lower() or "linux",
        version=values.get("VERSION_ID", ""),
        name=values.get("PRETTY_NAME") or values.get("NAME") or None,
        like=tuple(values.get("ID_LIKE", "").lower().split()),
        support_end=values.get("SUPPORT_END") or None,
    )


def find_os_id(name: str) -> str:
    """Return the os-release ID for a distribution name of another tool."""
    return _NAMES.get(name.lower(), name.lower())


def _unquote(value: str) -> str:
    if len(value) < 2 or value[0] not in _QUOTES or value[-1] != value[0]:
        return value
    inner = value[1:-1]
    if value[0] == '"':
        for char in '"$`\\':
            inner = inner.replace("\\" + char, char)
    return inner
