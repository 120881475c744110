"""JSON that two parsers could read in two ways is refused."""

import pytest

from dockgate.shared.strict_json import RepeatedNameError, parse_json


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": {}, "c": 0, "\\u0061": {}}}]', '{"": 1, "": 2}'])
def test_a_repeated_name_is_refused(text: str) -> None:
    with pytest.raises(RepeatedNameError, match=r"the key '.?' twice"):
        parse_json(text)


@pytest.mark.parametrize("text", ['{"a": NaN}', "[-Infinity]", "[1,]", ""])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number|Expecting|trailing comma"):
        parse_json(text)


def test_names_may_repeat_in_other_objects_and_in_other_case() -> None:
    assert parse_json(b'{"a": {"a": [{"a": 1}, {"a": 2}]}, "A": null}') == {"a": {"a": [{"a": 1}, {"a": 2}]}, "A": None}
