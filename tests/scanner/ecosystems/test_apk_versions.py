"""apk's version order, from lines a person can read: no distribution that tests run on carries apk itself."""

import random

import pytest

from dockgate.scanner.ecosystems.apk import ECOSYSTEM
from dockgate.shared.errors import UncomparableError


def compare_versions(a: str, b: str) -> str:
    """ "<", "=", ">", or "!" when either is refused."""
    try:
        first, second = ECOSYSTEM.make_version_key(a), ECOSYSTEM.make_version_key(b)
    except UncomparableError:
        return "!"
    assert isinstance(first, bytes)
    return "<" if first < second else "=" if first == second else ">"


@pytest.mark.parametrize("version", ["", " ", "\t", "\ud800", "é", "1\0", "⁵", "１.0.0", " 1", "1 "])
def test_invalid_versions_are_refused(version: str) -> None:
    assert compare_versions(version, version) == "!"


def test_numbers_have_no_limit() -> None:
    for length in (254, 255, 256, 510, 5000):
        assert compare_versions("9" * length, "1" + "0" * length) == "<"
        assert compare_versions("1.0-r" + "9" * length, "1.0-r1" + "0" * length) == "<"
        assert compare_versions("0" * length + "1", "1") == "="


def test_suffixes_sort_in_one_direction() -> None:
    """Whatever stands before it: an early suffix lowers, everything else raises."""
    chance = random.Random(3)  # noqa: S311 a repeatable sample
    for _ in range(2000):
        version = ".".join(chance.choice(("0", "1", "10", "01", "2")) for _ in range(chance.randint(1, 4)))
        version += chance.choice(("", "", "a", "z")) + chance.choice(("", "", "_p", "_git20240101", "_rc1"))
        assert compare_versions(version + chance.choice(("_alpha", "_beta2", "_pre", "_rc1")), version) == "<"
        assert compare_versions(version + chance.choice(("_cvs", "_p1", "~abc", "-r0", "_hg~1-r1")), version) == ">"
