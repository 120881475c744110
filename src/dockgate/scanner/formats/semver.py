"""Semantic Versioning 2.0.0, the version order of npm, Go, crates.io and others."""

from dockgate.scanner.formats.order import encode_number, is_digits, is_label
from dockgate.shared.errors import UncomparableError


def make_version_key(version: str, kind: str, minimum_parts: int = 3) -> bytes:
    """Encode a version by its precedence (section 11): build data is ignored, numbers have no limit.

    At least `minimum_parts` of the three numbers must be present, the others are 0; a version with fewer than three has
    no pre-release or build data. `kind` names the ecosystem in messages. Raises UncomparableError.
    """
    plain, plus, build = version.partition("+")
    core, dash, pre = plain.partition("-")
    numbers = core.split(".")
    has_all_numbers = len(numbers) == 3 or (minimum_parts <= len(numbers) < 3 and not dash and not plus)
    if not has_all_numbers or not all(map(_is_number, numbers)) or (plus and not all(map(is_label, build.split(".")))):
        raise UncomparableError(f"the {kind} version {version!r} is not a semantic version")
    key = b"".join(map(encode_number, numbers)) + encode_number("") * (3 - len(numbers))
    if not dash:
        return key + b"\x01"
    parts: list[bytes] = [key]
    for part in pre.split("."):
        if not is_label(part) or (is_digits(part) and not _is_number(part)):
            raise UncomparableError(f"the {kind} version {version!r} has a malformed pre-release part")
        parts.append(b"\x00\x01" + encode_number(part) if is_digits(part) else b"\x00\x02" + part.encode("ascii"))
    return b"".join((*parts, b"\x00\x00"))


def _is_number(text: str) -> bool:
    return is_digits(text) and (text == "0" or text[0] != "0")
