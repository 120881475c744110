"""What a trigger says of an execution: who started it, and the rules that led to it."""

import pytest

from dockgate.delivery.trigger import is_fresh, list_rules, list_starters, make_manual_trigger, make_rule_trigger


def test_the_trigger_of_a_rule_has_its_chain_its_event_and_its_variables() -> None:
    trigger = make_rule_trigger(("first", "second"), "second", "e1", {"IMAGE": "web"}, "ada")
    assert trigger == {
        "variable.IMAGE": "web",
        "cause": "the rule second",
        "event": "e1",
        "rules": "first,second",
        "started_by": "ada",
    }
    assert list_rules(trigger) == ("first", "second")
    assert list_starters(trigger) == ("ada",)


@pytest.mark.parametrize("author", [None, ""])
def test_a_rule_without_an_author_starts_an_execution_without_a_starter(author: str | None) -> None:
    trigger = make_rule_trigger(("ours",), "ours", "e1", {}, author)
    assert "started_by" not in trigger
    assert list_starters(trigger) == ()


def test_no_rule_led_to_an_execution_that_a_person_started() -> None:
    assert list_rules(make_manual_trigger("ada")) == ()


def test_a_fresh_build_is_marked_in_the_trigger() -> None:
    assert is_fresh(make_manual_trigger(None, is_fresh=True))
    assert not is_fresh(make_manual_trigger(None))
