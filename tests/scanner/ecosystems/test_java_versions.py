"""Maven's version order: lines made by Maven itself, and Maven's own answers."""

import random
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from dockgate.scanner.ecosystems.java import ECOSYSTEM
from dockgate.scanner.ecosystems.java.version import VERSION_LIMIT, MavenVersion
from dockgate.shared.errors import UncomparableError

CASES = Path(__file__).parent.parent.parent / "cases" / "versions" / "maven.txt"
JAR = "/usr/share/java/maven3-artifact.jar"


def compare_versions(a: str, b: str) -> str:
    first, second = ECOSYSTEM.make_version_key(a), ECOSYSTEM.make_version_key(b)
    return "<" if first < second else "=" if first == second else ">"


def test_versions_are_ordered_as_in_the_case_file() -> None:
    lines = [line for line in CASES.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) > 1500
    for line in lines:
        a, sign, b = line.rsplit(" ", 2)
        assert (line, compare_versions(a, b), compare_versions(b, a)) == (line, sign, {"<": ">", "=": "="}[sign])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("4.1.0.RELEASE", "4.1.0"),
        ("2.0.Final", "2"),
        ("1.0-ga", "1.0.0"),
        ("2.0-CR1", "2.0-rc1"),
        ("1.0a1", "1.0-alpha-1"),
        ("1..1", "1.0.1"),
    ],
)
def test_the_same_version_is_written_in_many_ways(a: str, b: str) -> None:
    assert compare_versions(a, b) == "="
    assert hash(ECOSYSTEM.make_version_key(a)) == hash(ECOSYSTEM.make_version_key(b))


def test_maven_order_is_not_transitive() -> None:
    assert [compare_versions(*pair) for pair in pairwise(("1.foo.2", "1-rc", "1", "1.foo.2"))] == ["<", "<", "<"]


@pytest.mark.parametrize("version", ["", " ", "\t", "1" * (VERSION_LIMIT + 1)])
def test_empty_and_long_versions_are_refused(version: str) -> None:
    with pytest.raises(UncomparableError):
        ECOSYSTEM.make_version_key(version)


@pytest.mark.parametrize(
    "version", ["\ud800", "é", "1\0", "⁵", "1.0", "-", ".", "1-" * (VERSION_LIMIT // 2), "9" * VERSION_LIMIT]
)
def test_any_other_text_is_compared(version: str) -> None:
    assert compare_versions(version, version) == "="
    assert repr(MavenVersion(version))


def test_unknown_words_follow_utf_16() -> None:
    assert compare_versions("1-\U0001f600", "1-\uff5e") == "<"


def make_version(chance: random.Random) -> str:
    pick = chance.choice
    version = pick(("", "v", "R")) + ".".join(pick(("0", "1", "2", "10", "01")) for _ in range(chance.randint(0, 4)))
    for _ in range(pick((0, 1, 2, 3))):
        version += (
            pick("-._+")
            + pick(("alpha", "b", "M", "rc", "CR", "snapshot", "Final", "sp", "jre", "0", "7", ""))
            + pick("1 ").strip()
        )
    return version or "1"


@pytest.mark.real
def test_version_order_agrees_with_maven() -> None:
    chance = random.Random()  # noqa: S311 another sample each time
    versions = [make_version(chance) for _ in range(3000)]
    command = ["java", "-cp", JAR, "org.apache.maven.artifact.versioning.ComparableVersion", *versions]
    output = subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout.splitlines()
    comparisons = [line.strip() for line in output if line.startswith("   ")]
    assert comparisons == [f"{a} {compare_versions(a, b).replace('=', '==')} {b}" for a, b in pairwise(versions)]
