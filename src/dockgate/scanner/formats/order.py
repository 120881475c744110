"""Parts of version keys: byte strings that sort like their versions."""

from collections.abc import Iterable
from functools import lru_cache

_SHORT_DIGITS = 8
_LABEL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")


def encode_number(digits: str) -> bytes:
    """Encode digits so that they sort by number: their count (255s and the rest), then digits. "" is 0."""
    return _cached_number(digits) if len(digits) <= _SHORT_DIGITS else _encode_number(digits)


def _encode_number(digits: str) -> bytes:
    significant = digits.lstrip("0")
    full, remainder = divmod(len(significant), 255)
    return b"\xff" * full + bytes((remainder,)) + significant.encode("ascii")


_cached_number = lru_cache(4096)(_encode_number)  # versions consist of few different numbers, nearly all of them short


def encode_numbers(parts: Iterable[str]) -> bytes:
    """Encode numbers so that the first difference decides; fewer numbers sort first."""
    return b"".join(b"\x01" + encode_number(part) for part in parts) + b"\x00"


def encode_labels(labels: Iterable[str], largest_number: int | None = None) -> bytes:
    """Encode labels: numbers, up to `largest_number`, sort before text, and fewer labels sort first."""
    row = b""
    for label in labels:
        if is_digits(label) and (largest_number is None or is_at_most(label, largest_number)):
            row += b"\x01" + encode_number(label)
        else:
            row += b"\x02" + label.encode("ascii") + b"\x00"
    return row + b"\x00"


def strip_zeros(parts: list[str]) -> list[str]:
    """Return the numbers without trailing zeros; the first number stays."""
    end = len(parts)
    while end > 1 and not parts[end - 1].strip("0"):
        end -= 1
    return parts[:end]


def is_at_most(digits: str, largest_number: int) -> bool:
    """Return whether the number in these digits, of any count, is at most `largest_number`."""
    significant = digits.lstrip("0")
    return len(significant) <= len(str(largest_number)) and int(significant or "0") <= largest_number


def is_digits(text: str) -> bool:
    """Return whether the text consists of ASCII digits, one or more."""
    return text.isascii() and text.isdigit()


def is_label(text: str) -> bool:
    """Return whether the text is of ASCII letters, digits and dashes, one or more (Semantic Versioning)."""
    return bool(text) and _LABEL.issuperset(text)
