"""The order of apk versions: apk-package(5), as a byte string for each version."""

import re

from dockgate.scanner.formats.order import encode_number
from dockgate.shared.errors import UncomparableError

_PRE_SUFFIXES = {"alpha": 1, "beta": 2, "pre": 3, "rc": 4}
_POST_SUFFIXES = {"cvs": 1, "svn": 2, "git": 3, "hg": 4, "p": 5}
# digit{.digit}...{letter}{_suffix{number}}...{~hash}{-r#}
_PATTERN = r"([0-9]++)((?:\.[0-9]++|[a-z][0-9]++)*+[a-z]?)((?:_[a-z]++[0-9]*+)*+)(?:~([0-9a-f]++))?(?:-r([0-9]++))?"


def make_version_key(version: str) -> bytes:
    """Encode a version; refuses what `apk version --check` refuses (apk-tools, src/version.c).

    One addition: a number after the letter ("5.1p1-r0"), which apk-tools 2 accepts and 3 refuses. At the first
    difference, a pre-release suffix ("_rc") sorts before the end, and a part that may come early in a version sorts
    after one that comes late. The marks in the key have that order.
    """
    match = re.fullmatch(_PATTERN, version)
    if not match:
        raise UncomparableError(f"the apk version {version!r} is invalid")
    first, components, suffixes, commit, build = match.groups()
    key = bytearray(encode_number(first))
    for digits, letter, patch in re.findall(r"\.([0-9]+)|([a-z])([0-9]*)", components):
        if letter:
            key += b"\x30" + letter.encode("ascii") + (b"\x40" + encode_number(patch) if patch else b"")
        else:
            # With a leading 0, it compares as text, before all others.
            key += b"\x40" + (
                b"\0" + digits.encode("ascii") + b"\0" if digits[0] == "0" else b"\1" + encode_number(digits)
            )
    for name, count in re.findall(r"_([a-z]+)([0-9]*)", suffixes):
        if name not in _PRE_SUFFIXES and name not in _POST_SUFFIXES:
            raise UncomparableError(f"the apk version {version!r} has the unknown suffix {name!r}")
        key.append(0x01 + _PRE_SUFFIXES[name] if name in _PRE_SUFFIXES else 0x20 + _POST_SUFFIXES[name])
        key += b"\x13" + encode_number(count) if count else b""
    key += b"\x12" + commit.encode("ascii") + b"\0" if commit else b""
    key += b"\x11" + encode_number(build) if build else b""
    return bytes(key) + b"\x10"
