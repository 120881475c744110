"""The order of dpkg versions: deb-version(7), as a byte string for each version."""

import re

from dockgate.scanner.formats.order import encode_number, is_at_most, is_digits
from dockgate.shared.errors import UncomparableError

_INT_MAX = 2**31 - 1


def make_version_key(version: str) -> bytes:
    """Encode a version; refuses what `dpkg --compare-versions` calls an error (lib/dpkg/parsehelp.c)."""
    stripped_version = version.strip(" \t")
    if not stripped_version:
        raise UncomparableError("the dpkg version is empty")
    if " " in stripped_version or "\t" in stripped_version or "\0" in stripped_version:
        raise UncomparableError(f"the dpkg version {version!r} has white space in it")
    before, colon, without_epoch = stripped_version.partition(":")
    epoch, without_epoch = (before, without_epoch) if colon else ("0", stripped_version)
    digits = epoch[1:] if epoch[:1] in ("+", "-") else epoch
    if not is_digits(digits) or (epoch[0] == "-" and digits.strip("0")):
        raise UncomparableError(f"the dpkg version {version!r} has an epoch that is not a number")
    if not is_at_most(digits, _INT_MAX):
        raise UncomparableError(f"the dpkg version {version!r} has an epoch that is too large")
    upstream, dash, revision = without_epoch.rpartition("-") if "-" in without_epoch else (without_epoch, "", "")
    if not upstream or (dash and not revision):
        raise UncomparableError(f"the dpkg version {version!r} has no upstream version or no revision")
    return encode_number(digits) + _encode_part(upstream) + _encode_part(revision)


def _encode_part(part: str) -> bytes:
    """Encode an upstream version or revision: text and numbers in turn, from text to an empty text.

    Weights of characters as in dpkg's lib/dpkg/version.c: "~" before the end, letters, bytes beyond ASCII, others.
    """
    raw = part.encode("utf-8", "surrogatepass")
    if not raw:
        return b"\x02\x00\x02"
    key = bytearray()
    for text, digits in re.findall(rb"([^0-9]*)([0-9]*)", raw)[:-1]:  # without the empty match at the end
        for byte in text:
            if byte == 0x7E:
                key.append(1)
            elif byte < 128:
                key.append(byte if 65 <= byte <= 90 or 97 <= byte <= 122 else 128 + byte)
            else:
                key += bytes((0x7F, byte))
        key.append(2)
        key += encode_number(digits.decode("ascii"))
    key.append(2)
    return bytes(key)
