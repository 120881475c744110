"""The canonical form: the bytes that are hashed, stored and compared."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockgate.shared import canonical
from dockgate.vulnerabilities.model import Severity


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    colour: Colour = Colour.RED
    parts: tuple["Node", ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Leaf:
    name: str
    details: dict[str, Any]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | st.builds(Node, st.text(), details=st.dictionaries(st.text(), inner).map(MappingProxyType))
    ),
    max_leaves=20,
)


def test_canonical_json_has_sorted_keys_and_no_space() -> None:
    node = Node("é", parts=(Node("b", severity=Severity.HIGH),), details=MappingProxyType({"z": 1.0, "a": None}))
    inner = '{"colour":"red","details":{},"name":"b","parts":[],"severity":"HIGH"}'
    expected = f'{{"colour":"red","details":{{"a":null,"z":1.0}},"name":"é","parts":[{inner}],"severity":null}}'
    assert canonical.encode(node) == expected.encode()


@given(_VALUES)
def test_a_value_is_encoded_like_its_plain_form(value: Any) -> None:
    assert canonical.encode(value) == canonical.encode(canonical.to_plain(value))


def test_half_a_character_is_distinguished_and_kept() -> None:
    assert canonical.encode(["\udc80"]) == b'["\\udc80"]'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_without_a_canonical_form_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical.encode({"a": value})


@pytest.mark.parametrize("value", [{1}, object(), Node])
def test_values_without_a_canonical_form_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical.encode([value])


@dataclass(frozen=True, slots=True)
class Score:
    value: float | None = field(default=None, metadata=canonical.STORED_AS_MINUS_ONE)
    word: str | None = field(default=None, metadata=canonical.STORED_AS_EMPTY)
    note: str | None = None


@pytest.mark.parametrize(
    ("score", "stored_bytes"),
    [
        (Score(), b'{"note":null,"value":-1.0,"word":""}'),
        (Score(0.0, "low", "a"), b'{"note":"a","value":0.0,"word":"low"}'),
    ],
)
def test_absent_fields_are_stored_as_their_values_for_absence(score: Score, stored_bytes: bytes) -> None:
    assert canonical.encode(score) == canonical.encode(canonical.to_plain(score)) == stored_bytes
    assert canonical.decode(Score, stored_bytes) == score


def test_a_large_document_is_decoded_like_a_small_one() -> None:
    value = Leaf("x" * 1_000_000, {"a": {"b": [1]}})
    assert canonical.decode(Leaf, canonical.encode(value)) == value


def test_ascii_has_the_same_values() -> None:
    value = {"caf\u00e9": Node("\udcff", severity=Severity.LOW), "a": [Node("b")]}
    text = canonical.encode_ascii(value)
    assert text.isascii()
    assert json.loads(text) == canonical.to_plain(value)
