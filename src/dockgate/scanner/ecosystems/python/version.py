"""The order of Python versions: PEP 440, as a byte string for each version."""

import re

from dockgate.scanner.formats.order import encode_number, encode_numbers, is_digits, strip_zeros
from dockgate.shared.errors import UncomparableError

_PATTERN = r"""v? (?:(?P<epoch>[0-9]+)!)? (?P<release>[0-9]+(?:\.[0-9]+)*)
    (?:[-_.]? (?P<pre>alpha|beta|preview|pre|rc|a|b|c) [-_.]? (?P<pre_number>[0-9]+)?)?
    (?P<post> -(?P<post_bare>[0-9]+) | [-_.]? (?:post|rev|r) [-_.]? (?P<post_number>[0-9]+)?)?
    (?P<dev>[-_.]? dev [-_.]? (?P<dev_number>[0-9]+)?)?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?"""


def make_version_key(version: str) -> bytes:
    """Encode a version with all normalisations of PEP 440 (now the version specifiers' specification)."""
    normalized_version = version.strip().lower()
    parts = normalized_version.split(".")
    if all(map(is_digits, parts)):
        return encode_number("") + encode_numbers(strip_zeros(parts)) + b"\x02\x00\x01\x00"
    match = re.fullmatch(_PATTERN, normalized_version, re.VERBOSE)
    if not match:
        raise UncomparableError(f"the Python version {version!r} is invalid by PEP 440")
    key = encode_number(match["epoch"] or "") + encode_numbers(strip_zeros(match["release"].split(".")))
    if match["pre"]:
        kind = {"alpha": "a", "beta": "b", "a": "a", "b": "b"}.get(match["pre"], "rc")
        key += b"\x01" + kind[:1].encode("ascii") + encode_number(match["pre_number"] or "")
    else:
        # A development release of a final one sorts before its pre-releases.
        key += b"\x00" if match["dev"] and not match["post"] else b"\x02"
    key += b"\x01" + encode_number(match["post_number"] or match["post_bare"] or "") if match["post"] else b"\x00"
    key += b"\x00" + encode_number(match["dev_number"] or "") if match["dev"] else b"\x01"
    if not match["local"]:
        return key + b"\x00"
    key += b"\x01"
    for part in re.split(r"[-_.]", match["local"]):
        key += b"\x02" + encode_number(part) if part.isdigit() else b"\x01" + part.encode("ascii") + b"\x00"
    return key + b"\x00"
