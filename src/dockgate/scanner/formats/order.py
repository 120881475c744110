"""Pieces of version keys: byte strings whose order is the order of what they stand for."""

from collections.abc import Iterable
from functools import lru_cache

_SHORT = 8


def number(digits: str) -> bytes:
    """Decimal digits (any count, leading zeros ignored, "" is 0) in numeric order: their count, then they.

    The count is written in bytes that carry on after 255, so that no number is too long.
    """
    return _remembered(digits) if len(digits) <= _SHORT else _number(digits)


def _number(digits: str) -> bytes:
    significant = digits.lstrip("0")
    full, rest = divmod(len(significant), 255)
    return b"\xff" * full + bytes((rest,)) + significant.encode("ascii")


# Versions are made of few numbers, nearly all of them short.
_remembered = lru_cache(4096)(_number)


def number_row(parts: Iterable[str]) -> bytes:
    """Numbers one by one, in the order of the first that differs; fewer come before more."""
    return b"".join(b"\x01" + number(part) for part in parts) + b"\x00"


def label_row(labels: Iterable[str], largest: int | None = None) -> bytes:
    """Labels one by one: numbers, up to `largest`, come before text, and fewer labels before more."""
    row = b""
    for label in labels:
        if is_digits(label) and (largest is None or fits(label, largest)):
            row += b"\x01" + number(label)
        else:
            row += b"\x02" + label.encode("ascii") + b"\x00"
    return row + b"\x00"


def without_zeros(parts: list[str]) -> list[str]:
    """The numbers without the zeros at their end; the first one stays."""
    end = len(parts)
    while end > 1 and not parts[end - 1].strip("0"):
        end -= 1
    return parts[:end]


def fits(digits: str, largest: int) -> bool:
    """Whether decimal digits, of any count, are a number up to `largest`."""
    significant = digits.lstrip("0")
    return len(significant) <= len(str(largest)) and int(significant or "0") <= largest


def is_digits(text: str) -> bool:
    """One ASCII digit or more."""
    return text.isascii() and text.isdigit()
