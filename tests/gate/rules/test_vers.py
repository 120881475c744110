"""VERS version ranges, with versions of numbers and dots; examples are from the specification."""

import pytest

from dockgate.gate.rules._vers import parse_range
from dockgate.shared.errors import UncomparableError


def compare(a: str, b: str) -> int:
    try:
        first, second = ([int(part) for part in version.split(".")] for version in (a, b))
    except ValueError as error:
        raise UncomparableError(str(error)) from error
    return (first > second) - (first < second)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("vers:npm/1.2.3|>=2.0.0|<5.0.0", "1.2.3 2.0.0 4.9.9", "1.2.2 1.2.4 1.9.9 5.0.0 6.0.0"),
        ("vers:gem/>=2.2.0|!=2.2.1|<2.3.0", "2.2.0 2.2.2", "2.1.9 2.2.1 2.3.0"),
        ("vers:maven/>=1.0|<=1.7|>=7.0|<=7.2|>=8.0", "1.0 1.5 1.7 7.0 7.2 8.0 9.0", "0.9 1.8 6.9 7.3"),
        ("vers:pypi/<=1.0|>2.0", "0.1 1.0 2.1", "1.1 2.0"),
        ("vers:npm/*", "0.0.1 9.9.9", ""),
        ("vers:npm/!=1.0.0", "0.9.0 1.0.1", "1.0.0"),
        ("vers:npm/1.0.0|2.0.0", "1.0.0 2.0.0", "1.5.0 3.0.0"),
        ("vers:npm/<5.0.0|>=2.0.0", "2.0.0 4.0.0", "1.0.0 5.0.0"),
        ("vers:npm/ >=1.0.0 | <2.0.0", "1.5.0", "2.0.0"),
    ],
)
def test_a_range_contains_the_versions_of_its_intervals(text: str, inside: str, outside: str) -> None:
    versions = parse_range(text)
    assert [version for version in inside.split() if not versions.is_in_range(version, compare)] == []
    assert [version for version in outside.split() if versions.is_in_range(version, compare)] == []


def test_versions_are_percent_decoded() -> None:
    assert parse_range("vers:deb/>=1%3A2.0").constraints == ((">=", "1:2.0"),)


def test_a_version_that_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(UncomparableError):
        parse_range("vers:npm/>=1.0.0").is_in_range("one", compare)
    with pytest.raises(UncomparableError):
        parse_range("vers:npm/>=1.0.0|<two").is_in_range("1.5.0", compare)


@pytest.mark.parametrize(
    "text", ["", "npm/1.0", "vers:npm", "vers:/1.0", "vers:NPM/1.0", "vers:npm/", "vers:npm/>=", "vers:npm/1.0||2.0"]
)
def test_an_invalid_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a range has the form|is not a constraint"):
        parse_range(text)
