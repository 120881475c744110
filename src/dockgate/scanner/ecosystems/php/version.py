"""The order of Composer versions: `VersionParser::normalize`, then PHP's `version_compare`.

Source: composer/semver.
"""

import re
from functools import cache

from dockgate.scanner.formats.order import encode_number
from dockgate.shared.errors import UncomparableError

_BRANCHES = ("master", "trunk", "default")
_STABILITIES = {"a": "alpha", "b": "beta", "p": "patch", "pl": "patch"}
_RANKS = {"stable": 1, "dev": 2, "alpha": 3, "beta": 4, "rc": 5}
_END, _NUMBER, _PATCH = b"\x06", b"\x07", b"\x08"
_LONG_MAX = str(2**63 - 1)  # PHP replaces larger numbers by this one
_OPEN_PART = "9999999"  # Composer's number for an open part of a branch: 1.x-dev is 1.9999999.9999999.9999999-dev


def make_version_key(version: str) -> bytes:
    """Encode a version. Raises UncomparableError for what Composer refuses, and for branches.

    Composer's constraints never match branches: the content of "dev-main" depends on its commit.
    """
    parts = _normalize(version)
    if not parts:
        raise UncomparableError(f"the Composer version {version[:80]!r} is a branch, or invalid for Composer")
    return b"".join(map(_encode_part, parts)) + _END


def _encode_part(part: str) -> bytes:
    """Encode a number or word. Words except "patch" sort before the end, the end before numbers."""
    if part.isdigit():
        digits = part.lstrip("0")
        is_too_large = (len(digits), digits) > (len(_LONG_MAX), _LONG_MAX)
        return _NUMBER + encode_number(_LONG_MAX if is_too_large else digits)
    return _PATCH if part == "patch" else bytes((_RANKS[part],))


def _normalize(version: str) -> list[str]:
    """Return the numbers and words that Composer compares, [] for what it refuses."""
    plain = version.strip(" \t\n\r\0\x0b")
    alias_match = re.fullmatch(r"([^,\s]++) ++as ++[^,\s]++", plain, re.ASCII)
    plain = alias_match[1] if alias_match else plain
    plain = re.sub(r"@(?:stable|rc|beta|alpha|dev)\Z", "", plain, flags=re.ASCII | re.IGNORECASE)
    if plain in _BRANCHES or plain[:4].lower() == "dev-":
        return []
    build_match = re.fullmatch(r"([^,\s+]++)\+\S++", plain, re.ASCII)
    plain = build_match[1] if build_match else plain
    classical, dated_pattern, branch = _compile_patterns()
    if match := classical.fullmatch(plain):
        return [*(match["release"] + ".0.0.0").split(".")[:4], *_list_modifiers(match)]
    if match := dated_pattern.fullmatch(plain):
        return [*re.split(r"[.:-]", match["release"]), *_list_modifiers(match)]
    if match := branch.fullmatch(plain):
        parts = (match["branch"] + ".x.x.x").split(".")[:4]
        return [*(_OPEN_PART if part in ("x", "X", "*") else part for part in parts), "dev"]
    return []


def _list_modifiers(match: re.Match[str]) -> list[str]:
    word, dev = match["stability"], ["dev"] if match["dev"] else []
    if word == "stable":
        return []
    if not word:
        return dev
    word = word.lower()
    return [_STABILITIES.get(word, word), *re.findall(r"[0-9]+", match["count"] or ""), *dev]


@cache
def _compile_patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return patterns of plain versions, of versions made of a date, and of numbered branches."""
    stability = r"(?P<stability>stable|beta|b|rc|alpha|a|patch|pl|p)"
    modifiers = rf"[._-]?(?:{stability}(?P<count>(?:[.-]?\d+)*+)?)?(?P<dev>[.-]?dev)?"
    flags = re.ASCII | re.IGNORECASE
    return (
        re.compile(rf"v?(?P<release>\d{{1,5}}+(?:\.\d++)?(?:\.\d++)?(?:\.\d++)?){modifiers}", flags),
        re.compile(rf"v?(?P<release>\d{{4}}(?:[.:-]?\d{{2}}){{1,6}}(?:[.:-]?\d{{1,3}}){{0,2}}){modifiers}", flags),
        re.compile(r"v?(?P<branch>\d++(?:\.(?:\d++|[x*])){0,3})[.-]?dev", flags),
    )
