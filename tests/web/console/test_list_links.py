"""Links of lists: orders, filters and pages."""

import shlex

from dockgate.web.console.list_links import ListLinks

SORTS = ("name", "-name", "-began", "began")


def test_the_head_of_a_column_sorts_by_it_and_then_the_other_way_round() -> None:
    links = ListLinks("/list", SORTS, "name", after="c")
    assert (links.get_direction("name"), links.get_direction("began")) == ("ascending", None)
    assert links.link_sorted("name") == "/list?sort=-name"
    assert links.link_sorted("began") == "/list?sort=-began"
    links = ListLinks("/list", SORTS, "-began")
    assert (links.get_direction("name"), links.get_direction("began")) == (None, "descending")
    assert links.link_sorted("began") == "/list?sort=began"
    assert links.link_sorted("name") == "/list"


def test_a_column_with_one_order_keeps_it() -> None:
    links = ListLinks("/list", ("pushed", "name"), "pushed", descending=("pushed",))
    assert links.get_direction("pushed") == "descending"
    assert links.link_sorted("pushed") == "/list"


def test_filters_stay_and_lead_to_the_first_page() -> None:
    links = ListLinks(
        "/list", SORTS, "-name", [("kind", "a"), ("by", "x y")], repeatable_names=("kind",), after="c", next_cursor="d"
    )
    assert links.link_toggled("kind", "b") == "/list?kind=a&by=x+y&kind=b&sort=-name"
    assert links.link_toggled("kind", "a") == "/list?by=x+y&sort=-name"
    assert links.link_toggled("by", "z") == "/list?kind=a&by=z&sort=-name"
    assert links.link_sorted("name") == "/list?kind=a&by=x+y"
    assert links.link_page("d") == "/list?kind=a&by=x+y&sort=-name&after=d"
    assert links.query == "?kind=a&by=x+y&sort=-name&after=c"
    assert links.has_filter("kind", "a")


def test_the_first_page_in_the_first_order_needs_no_parameter() -> None:
    assert ListLinks("/list", SORTS, "name").query == ""


def test_a_command_has_options_for_the_order_and_for_the_filters_that_it_knows() -> None:
    links = ListLinks("/list", SORTS, "-began", [("owner", "it's ana"), ("result", "Failed")], after="c")
    words = shlex.split(links.complete_command("dockgate waiver list", "owner", "state"))
    assert words == ["dockgate", "waiver", "list", "--owner", "it's ana", "--sort", "-began"]
    assert ListLinks("/list", SORTS, "name").complete_command("dockgate waiver list", "owner") == "dockgate waiver list"


def test_filters_that_are_true_or_false_are_flags_of_the_command() -> None:
    links = ListLinks("/list", SORTS, "name", [("ending", "true"), ("enabled", "false")])
    assert links.complete_command("dockgate x", "ending", "enabled") == "dockgate x --ending --no-enabled"
