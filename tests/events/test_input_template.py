"""What a target gets of an event."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockgate.events.input_template import OUTPUT_LIMIT, OutputTooLargeError, compile_input, parse_path
from dockgate.events.model import TargetInput
from dockgate.shared.errors import DefinitionError

EVENT: dict[str, Any] = {
    "id": "1",
    "time": "2026-11-28T12:00:00Z",
    "detail-type": "verdict.changed",
    "resources": ["arn:a", "arn:b"],
    "detail": {"state": "Rejected", "count": 3, "nothing": None, "quote": 'say "no"\n', "list": [{"n": 1}, {"n": 2}]},
}


def render(settings: TargetInput) -> str:
    return compile_input(settings)(EVENT, "rule-1")


def render_template(text: str, **paths: str) -> str:
    return render(TargetInput(template=text, paths={name: f"$.{path}" for name, path in paths.items()}))


def test_without_an_input_a_target_gets_the_event() -> None:
    assert json.loads(render(TargetInput())) == EVENT


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", EVENT),
        ("$.detail.state", "Rejected"),
        ("$.resources[1]", "arn:b"),
        ("$.detail['quote']", 'say "no"\n'),
        ("$.detail.list[*].n", [1, 2]),
        ("$.detail-type", "verdict.changed"),
        ("$.detail.absent.more", None),
        ("$.resources[7]", None),
    ],
)
def test_a_path_chooses_a_part(path: str, value: object) -> None:
    assert json.loads(render(TargetInput(path=path))) == value


def test_a_constant_replaces_the_event() -> None:
    assert render(TargetInput(constant='{"a": 1}')) == '{"a": 1}'


@pytest.mark.parametrize(
    ("text", "paths", "output"),
    [
        ('{"state": <s>, "n": <n>}', {"s": "detail.state", "n": "detail.count"}, '{"state": "Rejected", "n": 3}'),
        (
            '{"text": "is <s>: <q>"}',
            {"s": "detail.state", "q": "detail.quote"},
            '{"text": "is Rejected: say \\"no\\"\\n"}',
        ),
        ('{"a": <x>}', {"x": "detail.absent"}, '{"a": ""}'),
        ('{"a": "<x>"}', {"x": "detail.absent"}, '{"a": ""}'),
        ('{"all": <r>}', {"r": "resources"}, '{"all": ["arn:a","arn:b"]}'),
        ('"<s> happened"\n"<n>"', {"s": "detail.state", "n": "detail.count"}, '"Rejected happened"\n"3"'),
        ("The state is <s>.", {"s": "detail.state"}, "The state is Rejected."),
        ("<q>", {"q": "detail.quote"}, 'say "no"\n'),
        ("\\<s> <s>", {"s": "detail.count"}, "<s> 3"),
        ("<aws.events.rule-name> <aws.events.event.ingestion-time>", {}, "rule-1 2026-11-28T12:00:00Z"),
        ("<aws.events.rule-arn>", {}, "arn:aws:events:local:000000000000:rule/rule-1"),
    ],
)
def test_a_template_is_filled(text: str, paths: dict[str, str], output: str) -> None:
    assert render_template(text, **paths) == output


def test_the_whole_event_is_a_variable() -> None:
    assert json.loads(render_template('{"event": <aws.events.event.json>}')) == {"event": EVENT}
    without_detail = {name: value for name, value in EVENT.items() if name != "detail"}
    assert json.loads(render_template('{"event": <aws.events.event>}')) == {"event": without_detail}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TargetInput(path="detail"), "begin with"),
        (TargetInput(path="$.detail..x"), "character 9"),
        (TargetInput(path="$[x]"), "character 2"),
        (TargetInput(constant="{"), "not JSON"),
        (TargetInput(template="<x>"), "unknown variable <x>"),
        (TargetInput(template='{"a": <x>', paths={"x": "$.a"}), "not JSON"),
        (TargetInput(template='{"a"<x>: 1}', paths={"x": "$.a"}), "not JSON"),
        (TargetInput(template="x" * 8193), "8193 characters"),
        (TargetInput(template="x", paths={f"v{number}": "$" for number in range(101)}), "101 variables"),
        (TargetInput(template="x", paths={"aws.x": "$"}), "cannot be a variable"),
        (TargetInput(template="x", paths={"a b": "$"}), "cannot be a variable"),
    ],
)
def test_an_invalid_input_is_refused_with_its_reason(settings: TargetInput, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        compile_input(settings)


def test_a_template_that_repeats_a_large_event_is_stopped_early() -> None:
    large = {"detail": "x" * 100_000}
    bomb = compile_input(TargetInput(template="<aws.events.event.json>" * 300))
    with pytest.raises(OutputTooLargeError, match=str(OUTPUT_LIMIT)):
        bomb(large, "rule-1")
    with pytest.raises(OutputTooLargeError):
        compile_input(TargetInput())({"detail": "é" * (OUTPUT_LIMIT // 2)}, "rule-1")


_LEAVES = st.none() | st.booleans() | st.integers() | st.text()
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(value=_JSON)
def test_a_json_template_makes_json_whatever_the_event_contains(value: object) -> None:
    input_settings = TargetInput(template='{"a": <x>, "b": "<x> and <x>"}', paths={"x": "$.detail"})
    output = json.loads(compile_input(input_settings)({"detail": value}, "r"))
    assert output["a"] == ("" if value is None else value)
    assert isinstance(output["b"], str)


@given(path=st.text(max_size=50))
def test_any_text_is_a_path_or_refused(path: str) -> None:
    with contextlib.suppress(DefinitionError):
        assert isinstance(parse_path(f"${path}"), tuple)
