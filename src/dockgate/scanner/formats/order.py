"""Pieces of version keys: byte strings whose order is the order of what they stand for."""

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


_remembered = lru_cache(4096)(_number)
"""versions are made of few numbers, nearly all of them short"""


def is_digits(text: str) -> bool:
    """One ASCII digit or more."""
    return text.isascii() and text.isdigit()
