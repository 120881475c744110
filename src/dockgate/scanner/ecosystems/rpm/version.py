"""The order of rpm versions: rpm's rpmVersionCompare, as a byte string for each version."""

import re

from dockgate.scanner.formats.order import encode_number, is_digits
from dockgate.shared.errors import UncomparableError


def make_version_key(version: str) -> bytes:
    """Encode a version (rpmio/rpmver.c, rpmvercmp.c): no epoch is 0, no release first, "" is refused."""
    if not version.strip() or "\0" in version:
        raise UncomparableError(f"the rpm version {version!r} is empty or has a NUL in it")
    before, colon, without_epoch = version.partition(":")
    # The text before a colon is an epoch only if it is a number: "a:1" is a version.
    epoch, without_epoch = (before, without_epoch) if colon and (not before or is_digits(before)) else ("", version)
    upstream, dash, release = without_epoch.rpartition("-")
    if not dash:
        return encode_number(epoch) + _encode_part(without_epoch)
    return encode_number(epoch) + _encode_part(upstream) + b"\x01" + _encode_part(release)


def _encode_part(part: str) -> bytes:
    """Encode a part by marks of kinds: the end sorts after "~" only. Other characters only separate."""
    key = bytearray()
    for piece in re.findall(rb"[0-9]+|[A-Za-z]+|[~^]", part.encode("utf-8", "surrogatepass")):
        if piece in (b"~", b"^"):
            key.append(1 if piece == b"~" else 3)
        elif piece.isdigit():
            key.append(5)
            key += encode_number(piece.decode("ascii"))
        else:
            key.append(4)
            key += piece + b"\0"
    key.append(2)
    return bytes(key)
