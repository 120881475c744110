"""Event patterns: answers of the original matcher, refused patterns, bounded work, and sets of patterns."""

import json
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockgate.events.pattern import (
    MAX_CHARACTERS,
    MAX_COMBINATIONS,
    MAX_DEPTH,
    PatternSet,
    compile_pattern,
    parse_pattern,
)
from dockgate.shared.errors import DefinitionError

CASES = Path(__file__).parent.parent / "cases" / "events"


def answer(pattern: object, event: Mapping[str, Any]) -> bool | str:
    """Whether it matches, alone and among others, or "invalid"."""
    try:
        compiled_pattern = compile_pattern(pattern)
    except DefinitionError:
        return "invalid"
    among_others = PatternSet({"nothing": compile_pattern({"no": ["such"]}), "it": compiled_pattern}).find_matches(
        event
    )
    assert among_others == (frozenset({"it"}) if compiled_pattern.is_match(event) else frozenset())
    return compiled_pattern.is_match(event)


@pytest.mark.parametrize(("name", "count"), [("event-patterns", 60), ("generated-patterns", 300)])
def test_the_answer_is_that_of_the_original_matcher(name: str, count: int) -> None:
    cases = json.loads((CASES / f"{name}.json").read_text("utf-8"))
    assert len(cases) == count
    assert [case for case in cases if answer(case["pattern"], case["event"]) != case["matches"]] == []


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ([], "event pattern: not a JSON object"),
        ({}, "event pattern: empty"),
        ({"source": "x"}, "source: neither a list nor an object"),
        ({"detail": {}}, "detail: an empty object"),
        ({"detail": {"state": ["a", []]}}, "detail.state[1]: a list within a list"),
        ({"detail": {"state": ["a", {"prefix": 1}]}}, "detail.state[1]: prefix must be text"),
        ({"a": [{"prefix": "x", "suffix": "y"}]}, "a[0]: a match expression has exactly one key, not 2"),
        ({"a": [{"starts": "x"}]}, "a[0]: unknown match expression 'starts'"),
        ({"a": [{"suffix": {"prefix": "x"}}]}, "a[0]: suffix must be text, or"),
        ({"a": [{"exists": 1}]}, "a[0]: exists must be true or false"),
        ({"a": [{"numeric": [">", 5, "<", 5]}]}, "a[0]: nothing is between 5.0 and 5.0"),
        ({"a": [{"numeric": ["<", 5, ">", 7]}]}, "a[0]: a range is > or >= and then"),
        ({"a": [{"numeric": [">", "5"]}]}, "a[0]: '5' is not a number"),
        ({"a": [{"numeric": [">", 2**60 + 1]}]}, "is not a number that can be compared"),
        ({"a": [{"numeric": [">", 10**400]}]}, "is not a number that can be compared"),
        ({"a": [float("inf")]}, "a[0]: inf is not a number"),
        ({"a": [{"wildcard": "a**"}]}, "a[0]: two wildcards side by side, at character 2 of 'a**'"),
        ({"a": [{"wildcard": "a\\"}]}, "a[0]: a backslash before neither"),
        ({"a": [{"cidr": "10.0.0.0"}]}, "a[0]: '10.0.0.0' is not a block of addresses"),
        ({"a": [{"anything-but": {"prefix": ""}}]}, "a[0]: anything-but an empty prefix"),
        ({"a": [{"anything-but": {"cidr": "x"}}]}, "a[0]: anything-but takes values, or one of"),
        ({"a": [{"anything-but": {"prefix": []}}]}, "a[0]: anything-but needs at least one value"),
        ({"a": [{"anything-but": [True]}]}, "a[0]: anything-but takes text only or numbers only"),
        ({"$or": {"a": ["x"]}}, "$or: not a list of at least two objects"),
        ({"d": {"$or": [{"a": ["x"]}]}}, "d.$or: not a list of at least two objects"),
        ({"d": {"$or": [{"a": ["x"]}, "y"]}}, "d.$or[1]: not an object"),
        ({"d": {"$or": [{"a": ["x"]}, {"b": {"c": [[]]}}]}}, "d.$or[1].b.c[0]: a list within a list"),
        ({"$or": [{"a": ["x"]}, {"prefix": ["y"]}]}, "$or[1].prefix: within $or"),
        ({"a": {"b": ["x"]}, "a.b": ["y"]}, "a.b: required twice"),
        ({"a": ["x"], "$or": [{"a": ["y"]}, {"b": ["y"]}]}, "a: required twice"),
    ],
)
def test_a_wrong_pattern_is_refused_with_its_location(pattern: object, message: str) -> None:
    with pytest.raises(DefinitionError) as error_info:
        compile_pattern(pattern)
    assert message in error_info.value.full_message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: no JSON"),
        ('{"a": ["x"}', "line 1, column 11: no JSON"),
        ('{"a": ["x"],\n "b": [}', "line 2, column 8: no JSON"),
        ('{"a": ["x"], "a": ["y"]}', "a: named twice in one object"),
        ('{"a": [NaN]}', "NaN is not a value of JSON"),
        ('{"a": [-Infinity]}', "-Infinity is not a value of JSON"),
        ('{"a": [1e999]}', "a[0]: inf is not a number"),
        ("[" * 60_000, "no JSON"),
        ('{"a": [%s]}' % ("9" * 5000), "no JSON that can be read"),
        (" " * 70_000, "more than 65536 characters"),
    ],
)
def test_text_that_is_no_pattern_is_refused_with_its_location(text: str, message: str) -> None:
    with pytest.raises(DefinitionError) as error_info:
        parse_pattern(text)
    assert message in error_info.value.full_message


def test_a_pattern_is_read_from_text() -> None:
    assert parse_pattern(' {"a": ["x"]}\n').is_match({"a": "x"})


def nest(levels: int) -> dict[str, Any]:
    value: Any = ["x"]
    for _ in range(levels):
        value = {"a": value}
    return value  # type: ignore[no-any-return]


def test_the_size_of_a_pattern_is_limited() -> None:
    compile_pattern(nest(MAX_DEPTH - 2))
    for depth in (MAX_DEPTH, 100_000):
        with pytest.raises(DefinitionError, match="nested deeper than 64 levels"):
            compile_pattern(nest(depth))
    compile_pattern({"a": ["x" * (MAX_CHARACTERS - 100)]})
    for values in (["x" * MAX_CHARACTERS], ["x"] * MAX_CHARACTERS, [None] * MAX_CHARACTERS):
        with pytest.raises(DefinitionError, match="more than 4096 characters"):
            compile_pattern({"a": values})


def test_the_combinations_of_alternatives_are_limited() -> None:
    def make_pattern(counts: list[int]) -> dict[str, Any]:
        return {f"k{n}": {"$or": [{f"a{i}": [1]} for i in range(count)]} for n, count in enumerate(counts)}

    compile_pattern(make_pattern([10, 10, 10]))
    with pytest.raises(DefinitionError, match=f"1100 combinations of \\$or, more than {MAX_COMBINATIONS}"):
        compile_pattern(make_pattern([10, 10, 11]))
    with pytest.raises(DefinitionError, match="combinations of"):
        compile_pattern(make_pattern([2] * 60))


def measure_match(pattern: object, event: Mapping[str, Any], *, expected: bool) -> float:
    compiled_pattern = compile_pattern(pattern)
    start = time.process_time()
    assert compiled_pattern.is_match(event) is expected
    return time.process_time() - start


def test_wildcards_take_linear_time() -> None:
    wildcards = "*".join(["ab"] * 600)
    assert measure_match({"a": [{"wildcard": f"{wildcards}*c"}]}, {"a": "ab" * 100_000}, expected=False) < 1
    assert measure_match({"a": [{"wildcard": "*a" * 2000 + "*b"}]}, {"a": "a" * 200_000}, expected=False) < 1
    same_letters = "a" * 3000
    assert (
        measure_match(
            {"a": [{"suffix": {"equals-ignore-case": f"b{same_letters}"}}]}, {"a": "a" * 200_000}, expected=False
        )
        < 1
    )
    assert measure_match({"a": [{"equals-ignore-case": "ß" * 2000}]}, {"a": "S" * 3999}, expected=False) < 1


def test_arrays_take_about_linear_time() -> None:
    rows = [{"x": 1, "y": 1} for _ in range(5000)]
    event = {"a": rows, "b": rows, "c": rows}
    pattern = {"a": {"x": [1], "y": [1]}, "b": {"x": [1], "y": [1]}, "c": {"x": [1], "y": [2]}}
    assert measure_match(pattern, event, expected=False) < 2
    deep: Any = 1
    for _ in range(50_000):
        deep = [1, deep]
    assert measure_match({"a": [2], "b": ["x"]}, {"a": deep, "b": "x"}, expected=False) < 1


def test_a_key_with_dots_is_a_path() -> None:
    assert answer({"a": {"b": ["x"]}}, {"a.b": "x"}) is True
    assert answer({"a.b.c": ["x"]}, {"a": {"b.c": "x"}}) is True
    assert answer({"a.b.c": ["x"]}, {"a.b": {"c": ["y", "x"]}}) is True


def test_fields_of_different_elements_do_not_match_together() -> None:
    event = {"p": [{"name": "openssl", "fix": "3.0"}, {"name": "zlib", "fix": None}]}
    assert answer({"p": {"name": ["openssl"], "fix": ["3.0"]}}, event) is True
    assert answer({"p": {"name": ["zlib"], "fix": ["3.0"]}}, event) is False


def test_a_set_matches_by_all_of_its_patterns() -> None:
    patterns = {
        "source": {"source": ["dockgate"]},
        "kind": {"source": ["dockgate", "aws.ecr"], "detail-type": ["image.judged"]},
        "either": {"$or": [{"source": ["aws.ecr"]}, {"detail": {"status": ["Rejected"]}}]},
        "unkeyed": {"detail": {"status": [{"prefix": "Rej"}]}},
        "other": {"detail-type": ["verdict.changed"]},
    }
    rules = PatternSet({name: compile_pattern(pattern) for name, pattern in patterns.items()})
    event = {"source": "dockgate", "detail-type": "image.judged", "detail": {"status": "Rejected"}}
    assert rules.find_matches(event) == {"source", "kind", "either", "unkeyed"}
    assert rules.find_matches({"source": "aws.ecr"}) == {"either"}
    assert rules.find_matches({}) == frozenset()
    assert PatternSet({}).find_matches(event) == frozenset()


def test_arrays_are_read_to_a_hundred_levels() -> None:
    def nest_array(levels: int) -> list[Any]:
        return ["x"] if levels == 1 else [nest_array(levels - 1)]

    assert answer({"a": ["x"]}, {"a": nest_array(100)}) is True
    assert answer({"a": ["x"]}, {"a": nest_array(102)}) is False


# Properties.

KEYS = st.sampled_from(("a", "b", "c"))
VALUES = st.sampled_from(("x", "y", "xy", 1, 1.0, 2, True, None))
EVENTS = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
EXPRESSIONS = st.one_of(
    VALUES,
    st.booleans().map(lambda exists: {"exists": exists}),
    st.sampled_from(("x", "y")).map(lambda text: {"prefix": text}),
    st.sampled_from(("x", "y", ["x", "xy"], 1)).map(lambda value: {"anything-but": value}),
    st.sampled_from(("*", "x*", "*y", "*x*y")).map(lambda text: {"wildcard": text}),
)
FIELDS = st.lists(EXPRESSIONS, min_size=1, max_size=2)
OBJECTS = st.recursive(FIELDS, lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3), max_leaves=5).filter(
    lambda value: isinstance(value, dict)
)
NAMES = ("prefix", "suffix", "anything-but", "numeric", "exists", "cidr", "wildcard", "exactly", "equals-ignore-case")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from((">", "::1/9")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from((*NAMES, "$or", "a", "b.c", "")), inner, max_size=2)
    ),
    max_leaves=12,
)
TOP = st.dictionaries(KEYS, EVENTS, max_size=3)


@given(st.lists(OBJECTS, max_size=6), TOP)
def test_a_set_answers_as_each_pattern_alone(patterns: list[Any], event: dict[str, Any]) -> None:
    compiled_patterns = {str(number): compile_pattern(pattern) for number, pattern in enumerate(patterns)}
    expected = {name for name, pattern in compiled_patterns.items() if pattern.is_match(event)}
    assert PatternSet(compiled_patterns).find_matches(event) == expected


@given(OBJECTS, OBJECTS, TOP)
def test_alternatives_match_if_one_does(first: Any, second: Any, event: dict[str, Any]) -> None:
    expected = answer(first, event) is True or answer(second, event) is True
    assert answer({"$or": [first, second]}, event) is expected


def list_pairs(pattern: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    return [
        pair
        for key, item in pattern.items()
        for pair in (list_pairs(item, (*path, key)) if isinstance(item, dict) else [((*path, key), item)])
    ]


def list_leaves(value: Any, path: tuple[str, ...] = (), where: tuple[Any, ...] = ()) -> list[Any]:
    """Every value of an event as (path, value, where), `where` being the elements that its object is in."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in list_leaves(item, (*path, key), where)]
    if not isinstance(value, list):
        return [(path, value, where)]
    found_leaves = []
    for index, item in enumerate(value):
        inside = (*where, (id(value), index)) if isinstance(item, (dict, list)) else where
        found_leaves += list_leaves(item, path, inside)
    return found_leaves


@given(OBJECTS, TOP)
def test_one_value_of_each_field_is_chosen_without_contradiction(pattern: Any, event: dict[str, Any]) -> None:
    """Compared with all choices of a value for each field, by brute force, where no field may be absent."""
    required_pairs = list_pairs(pattern)
    if any({"exists": False} in values for _, values in required_pairs):
        return
    by_field = [
        [
            where
            for leaf_path, value, where in list_leaves(event)
            if leaf_path == path and compile_pattern({"v": values}).is_match({"v": value})
        ]
        for path, values in required_pairs
    ]

    def is_consistent(choice: tuple[Any, ...]) -> bool:
        indexes: dict[Any, Any] = {}
        return all(indexes.setdefault(array, index) == index for where in choice for array, index in where)

    assert compile_pattern(pattern).is_match(event) is any(map(is_consistent, product(*by_field)))


@given(st.text("ab*\\", max_size=12), st.text("ab*\\", max_size=12))
def test_a_text_matches_itself_as_an_escaped_wildcard(text: str, other_text: str) -> None:
    escaped_text = text.replace("\\", "\\\\").replace("*", "\\*")
    assert answer({"a": [{"wildcard": escaped_text}]}, {"a": text}) is True
    assert answer({"a": [{"wildcard": f"{escaped_text}*"}]}, {"a": text + other_text}) is True
    assert answer({"a": [{"wildcard": escaped_text}]}, {"a": other_text}) is (text == other_text)


@given(JSON, TOP)
def test_any_value_is_compiled_or_refused(value: Any, event: dict[str, Any]) -> None:
    assert answer(value, event) in (True, False, "invalid")
