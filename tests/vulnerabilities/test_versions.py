"""What an order of versions promises beyond the cases of matching."""

import gc

import pytest

from dockgate.shared.errors import UncomparableError
from dockgate.vulnerabilities.model import Advisory, Range
from dockgate.vulnerabilities.versions import Order


def make_key(version: str) -> bytes:
    if version == "what":
        raise UncomparableError("")
    return version.encode()


def make_advisory(*events: tuple[str, str]) -> Advisory:
    return Advisory("OSV-1", "PyPI", "idna", (Range("ECOSYSTEM", events),))


@pytest.mark.parametrize("version", ["1", "what"])
@pytest.mark.parametrize("end", ["3", "what"])
def test_a_version_refused_without_a_message_is_never_unaffected(version: str, end: str) -> None:
    order, messages = Order(make_key), make_advisory(("introduced", "2"), ("fixed", end))
    if "what" not in (version, end):
        assert not order.is_affected(messages, version)
        return
    for _ in range(2):
        with pytest.raises(UncomparableError):
            order.is_affected(messages, version)


def test_a_range_gives_the_same_answers_again() -> None:
    order, messages = (
        Order(make_key),
        make_advisory(("fixed", "3"), ("introduced", "2"), ("limit", "5"), ("introduced", "4")),
    )
    request = ["1", "2", "3", "4", "5"]
    expected = [False, True, False, True, False]
    assert [[order.is_affected(messages, version) for version in request] for _ in range(2)] == [expected, expected]


def test_an_uncomparable_version_leaves_no_reference_cycles() -> None:
    order, messages = Order(make_key), make_advisory(("introduced", "2"), ("fixed", "what"))
    gc.collect()
    gc.disable()
    before = _count_errors()
    try:
        for _ in range(3):
            with pytest.raises(UncomparableError):
                order.is_affected(messages, "1")
        assert _count_errors() == before
    finally:
        gc.enable()


def _count_errors() -> int:
    return sum(isinstance(result, UncomparableError) for result in gc.get_objects())
