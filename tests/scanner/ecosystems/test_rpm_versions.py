"""rpm's version order: from lines a person can read, and against rpm itself."""

import json
import random
import subprocess

import pytest
from tests.scanner.ecosystems.orders import read_statements

from dockgate.scanner.ecosystems.rpm import ECOSYSTEM
from dockgate.shared.errors import UncomparableError

PAIRS = 20_000
ORACLE = """
import json, sys, rpm
def versions(*given):
    return [rpm.ver(one) for one in given]
def say(a, b):
    try:
        a, b = versions(a, b)
    except ValueError:
        return "!"
    return "<" if a < b else "=" if a == b else ">"
json.dump([say(*pair) for pair in json.load(sys.stdin)], sys.stdout)
"""


def compare_versions(a: str, b: str) -> str:
    """ "<", "=", ">", or "!" when either is refused."""
    try:
        first, second = ECOSYSTEM.make_version_key(a), ECOSYSTEM.make_version_key(b)
    except UncomparableError:
        return "!"
    assert isinstance(first, bytes)
    return "<" if first < second else "=" if first == second else ">"


def compare_with_rpm(pairs: list[tuple[str, str]]) -> list[str]:
    """By the distribution's own Python, for which rpm's module is made."""
    pairs_json = json.dumps(pairs)
    result = subprocess.run(
        ["/usr/bin/python3", "-c", ORACLE], input=pairs_json, capture_output=True, text=True, check=True
    )
    output: list[str] = json.loads(result.stdout)
    return output


def make_version(chance: random.Random, like: str = "") -> str:
    def pick_characters(highest_count: int) -> str:
        return "".join(chance.choice("001299aAbzZ..~~^^_+-:é") for _ in range(chance.randint(1, highest_count)))

    if like and chance.random() < 0.5:
        return like[: chance.randint(0, len(like))] + pick_characters(3)
    start = chance.choice(("", "", "1:", "0:", "2:", "00:", ":", "a:")) + chance.choice(("", "1", "1.0", "2"))
    return start + pick_characters(7) + chance.choice(("", "", "-1", "-1.el9", "-~", "-"))


@pytest.mark.parametrize("version", ["", " ", "\t", "1\0"])
def test_empty_versions_are_refused(version: str) -> None:
    assert compare_versions(version, version) == "!"


@pytest.mark.parametrize("version", ["\ud800", "é", "⁵", "１.0.0", "~", "^", "-", ":"])
def test_anything_else_is_a_version(version: str) -> None:
    assert compare_versions(version, version) == "="


def test_numbers_have_no_limit() -> None:
    for length in (254, 255, 256, 510, 5000):
        assert compare_versions("9" * length, "1" + "0" * length) == "<"
        assert compare_versions("0" * length + "1", "1") == "="


@pytest.mark.real
def test_rpm_agrees_with_the_stated_order() -> None:
    stated_orders = read_statements("rpm.txt")
    assert compare_with_rpm([(a, b) for a, _, b in stated_orders]) == [sign for _, sign, _ in stated_orders]


@pytest.mark.real
def test_version_order_agrees_with_rpm() -> None:
    """Nothing is refused here: rpm takes every string but the empty one."""
    chance = random.Random(9)  # noqa: S311 a repeatable sample
    pairs = [(a, make_version(chance, a)) for a in (make_version(chance) for _ in range(PAIRS))]
    output = compare_with_rpm(pairs)
    assert "!" not in output
    assert min(map(output.count, "<=>")) > PAIRS / 100
    for (a, b), sign in zip(pairs, output, strict=True):
        assert (a, b, compare_versions(a, b)) == (a, b, sign)
