"""Reading of YAML documents: values, lines, errors, limits."""

import contextlib
import time

import pytest

from dockgate.shared.errors import DefinitionError
from dockgate.shared.yaml import COUNT_LIMIT, DEPTH_LIMIT, SIZE_LIMIT, load_document

TEXT = """\
# a comment

name: demo
stages:
  - name: Source
    actions: []
  - name: Build
    timeout: 5
"""


def test_values_are_plain_and_every_key_and_item_has_its_line() -> None:
    document = load_document(TEXT, "pipeline.yaml")
    assert document.value == {
        "name": "demo",
        "stages": [{"name": "Source", "actions": []}, {"name": "Build", "timeout": 5}],
    }
    assert document.find_line(()) == 1
    assert document.find_line(("name",)) == 3
    assert document.find_line(("stages", 1)) == 7
    assert document.find_line(("stages", 1, "timeout")) == 8


def test_a_missing_location_has_the_line_of_its_parent() -> None:
    document = load_document(TEXT, "pipeline.yaml")
    assert document.find_line(("stages", 0, "actions", "source", "branch")) == 6
    assert document.find_line(("nothing",)) == 1


def test_an_error_names_file_line_and_key_and_has_advice() -> None:
    error = load_document(TEXT, "pipeline.yaml").make_error(("stages", 1, "timeout"), "too short", "Use 60 or more.")
    assert str(error) == "pipeline.yaml:8: stages.1.timeout: too short"
    assert error.advice == "Use 60 or more."
    assert str(load_document("", "p.yaml").make_error((), "it is empty")) == "p.yaml:1: it is empty"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("on", "on"),
        ("12", 12),
        ("-7", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("9" * 40, "9" * 40),
        ("22:22", "22:22"),
        ("2026-11-24", "2026-11-24"),
        ("1_000", "1_000"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ("{1: a, true: b}", {"1": "a", "true": "b"}),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    read = load_document(text, "x.yaml").value
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: &x 1\nb: *x", "x.yaml:2: the alias *x is not allowed"),
        ("a: 1\nb: 2\na: 3", "x.yaml:3: the key a is repeated; first in line 1"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "x.yaml:1: the tag tag:yaml.org,2002:python/object/apply:os.system",
        ),
        ("a: !secret x", "x.yaml:1: the tag !secret is not allowed"),
        ("? [a]\n: 1", "x.yaml:1: a key must be a word"),
        ("a: 1\n---\nb: 2", "x.yaml:2: a second document begins here"),
        ("a: 1\nb: c: d", "x.yaml:2: this is not YAML: mapping values are not allowed"),
        ("a: 1\nb: [", "x.yaml:2: this is not YAML: "),
        ("a: \x01", "x.yaml: this is not YAML: "),
        ("a: \udcff", "x.yaml: the document is not Unicode text"),
    ],
)
def test_unsupported_yaml_is_refused_with_its_line(text: str, error: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        load_document(text, "x.yaml")
    assert str(refusal.value).startswith(error)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "{a: " * 200_000,
        "- " * 200_000,
        "[" + "1," * 400_000 + "]",
        "a" * (SIZE_LIMIT + 1),
        "&a [" + "*a," * 100_000 + "]",
        "a: &a [x, x]\n" + "\n".join(f"b{n}: &b{n} [*a, *a]" for n in range(100)),
        "? " * 100_000,
        "9" * 999_999 + ".5x",
    ],
    ids=["lists", "mappings", "dashes", "items", "size", "aliases", "bomb", "keys", "number"],
)
def test_a_hostile_document_costs_little(text: str) -> None:
    start = time.process_time()
    with contextlib.suppress(DefinitionError):
        load_document(text, "x.yaml")
    assert time.process_time() - start < 5


def test_documents_up_to_the_limits_are_read() -> None:
    load_document("[" * DEPTH_LIMIT + "]" * DEPTH_LIMIT, "x.yaml")
    load_document("[" + "1," * (COUNT_LIMIT - 1) + "]", "x.yaml")
    with pytest.raises(DefinitionError, match=f"nested more than {DEPTH_LIMIT} deep"):
        load_document("[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1), "x.yaml")
    with pytest.raises(DefinitionError, match=f"more than {COUNT_LIMIT} keys and items"):
        load_document("[" + "1," * (COUNT_LIMIT + 1) + "]", "x.yaml")
    with pytest.raises(DefinitionError, match=f"at most {SIZE_LIMIT} are read"):
        load_document("é" * (SIZE_LIMIT // 2 + 1), "x.yaml")
