"""How rpm versions compare: rpm's rpmVersionCompare, as a byte string for each version."""

from dockgate.scanner.formats.order import is_digits, number
from dockgate.shared.errors import UncomparableError


def version_key(version: str) -> bytes:
    """Encode a version (rpm, rpmio/rpmver.c, rpmvercmp.c).

    A missing epoch is 0, a missing release sorts first. rpm refuses only an empty version.
    """
    if not version.strip() or "\0" in version:
        raise UncomparableError(f"The rpm version {version!r} is empty or has a NUL in it.")
    before, colon, rest = version.partition(":")
    # The text before a colon is an epoch only if it is a number: "a:1" is a version.
    epoch, rest = (before, rest) if colon and (not before or is_digits(before)) else ("", version)
    upstream, dash, release = rest.rpartition("-")
    if not dash:
        return number(epoch) + _part(rest)
    return number(epoch) + _part(upstream) + b"\x01" + _part(release)


def _part(part: str) -> bytes:
    """Encode a version or release: marks tell the kinds of parts; the end sorts after "~" only.

    Characters other than ASCII letters, digits, "~" and "^" only separate.
    """
    key = bytearray()
    raw = part.encode("utf-8", "surrogatepass")
    at, end = 0, len(raw)
    while at < end:
        byte = raw[at]
        first = at
        at += 1
        if byte == 0x7E:
            key.append(1)
        elif byte == 0x5E:
            key.append(3)
        elif 48 <= byte <= 57:
            while at < end and 48 <= raw[at] <= 57:
                at += 1
            key.append(5)
            key += number(raw[first:at].decode("ascii"))
        elif 65 <= byte & 0xDF <= 90:
            while at < end and 65 <= raw[at] & 0xDF <= 90:
                at += 1
            key.append(4)
            key += raw[first:at]
            key.append(0)
    key.append(2)
    return bytes(key)
