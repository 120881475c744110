"""Version order: from lines a person can read, and against the tools that define it."""

import random
import subprocess

import pytest
from packaging.version import InvalidVersion, Version

from dockgate.scanner.ecosystems.dpkg import ECOSYSTEM as DPKG
from dockgate.scanner.ecosystems.npm import ECOSYSTEM as NPM
from dockgate.scanner.ecosystems.python import ECOSYSTEM as PYTHON
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import UncomparableError


def compare_versions(kind: Ecosystem, a: str, b: str) -> str:
    """ "<", "=", ">", or "!" when either is refused."""
    try:
        first, second = kind.make_version_key(a), kind.make_version_key(b)
    except UncomparableError:
        return "!"
    assert isinstance(first, bytes)
    return "<" if first < second else "=" if first == second else ">"


@pytest.mark.parametrize("kind", [DPKG, PYTHON, NPM])
@pytest.mark.parametrize("version", ["", " ", "\t", "\ud800", "é", "1\0", "⁵", "１.0.0"])
def test_any_text_is_ordered_or_refused(kind: Ecosystem, version: str) -> None:
    assert compare_versions(kind, version, version) in "=!"


@pytest.mark.parametrize("kind", [DPKG, PYTHON])
def test_numbers_have_no_limit(kind: Ecosystem) -> None:
    for length in (254, 255, 256, 510, 5000):
        assert compare_versions(kind, "9" * length, "1" + "0" * length) == "<"
        assert compare_versions(kind, "0" * length + "1", "1") == "="


def make_dpkg_version(chance: random.Random) -> str:
    body = "".join(chance.choice("0019~+-.:azAZ_") for _ in range(chance.randint(1, 6)))
    start = chance.choice(("", "1", "1.0", "2~", "0", "1:1", "0:"))
    odd = chance.choice(("+1:", "-0:", ":", "2147483648:")) if chance.random() < 0.04 else ""
    return odd + start + body + (chance.choice((" ", " x", "é", "\n", "\x01")) if chance.random() < 0.04 else "")


def compare_with_dpkg(a: str, b: str) -> str:
    def is_order(sign: str) -> bool | None:
        command = ["dpkg", "--compare-versions", "--", a, sign, b]
        code = subprocess.run(command, capture_output=True, check=False).returncode
        return None if code == 2 else code == 0

    less = is_order("lt")
    return "!" if less is None else "<" if less else "=" if is_order("eq") else ">"


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_version_order_agrees_with_dpkg(count: int) -> None:
    chance = random.Random(13)  # noqa: S311 a repeatable sample
    for _ in range(count):  # each starts one or two processes
        a, b = make_dpkg_version(chance), make_dpkg_version(chance)
        assert (a, b, compare_versions(DPKG, a, b)) == (a, b, compare_with_dpkg(a, b))


def make_python_version(chance: random.Random) -> str:
    pick = chance.choice
    version = pick(("", "", "", "1!", "0!", "v")) + ".".join(
        pick(("0", "1", "2", "10", "01")) for _ in "1234"[: pick((1, 2, 3, 4))]
    )
    version += pick(("", "", "a1", "b2", "rc1", "-alpha", "_pre3", ".c4", "preview", "A0"))
    version += pick(("", "", "", "-1", ".post1", "post", "rev2", "-r3", ".post0"))
    version += pick(("", "", "", ".dev1", "dev", "-dev0", ".dev10"))
    version += pick(("", "", "", "+a", "+1", "+a.1", "+1.a", "+1.10", "+ab-c", "+A_b", "+a.1.2"))
    return version + (pick((" ", "\n", "x", "..", "é", "-", "+")) if chance.random() < 0.05 else "")


def compare_with_packaging(a: str, b: str) -> str:
    try:
        first, second = Version(a), Version(b)
    except InvalidVersion:
        return "!"
    return "<" if first < second else "=" if first == second else ">"


@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_version_order_agrees_with_packaging(count: int) -> None:
    chance = random.Random(440)  # noqa: S311 a repeatable sample
    for _ in range(count):
        a, b = make_python_version(chance), make_python_version(chance)
        assert (a, b, compare_versions(PYTHON, a, b)) == (a, b, compare_with_packaging(a, b))
