"""Tables among others on a page: sorted and paged by links."""

from collections.abc import Sequence
from urllib.parse import urlencode

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request

from dockgate.shared.errors import UsageError
from dockgate.web.console.tables import PageTable, make_page_table

Row = tuple[str, int]
ROWS: tuple[Row, ...] = (("b", 1), ("a", 2), ("b", 3), ("c", 1), ("a", 1))
SORTS = ("", "name", "-name", "-count", "count")


def _make_table(query: str = "", path: str = "/page", limit: int = 50, entries: Sequence[Row] = ROWS) -> PageTable[Row]:
    scope = {"type": "http", "path": path, "query_string": query.encode(), "headers": [], "server": ("x", 80)}
    keys = {"name": lambda row: row[0], "count": lambda row: row[1]}
    return make_page_table(Request(scope), "rows", entries, keys, SORTS, limit)


def test_rows_keep_their_order_until_a_link_sorts_them() -> None:
    table = _make_table()
    assert (tuple(table.rows), table.total) == (ROWS, 5)
    assert table.links.link_sorted("name") == "/page?rows-sort=name#rows"
    assert table.links.get_direction("name") is None
    table = _make_table("rows-sort=name")
    assert table.links.get_direction("name") == "ascending"
    assert table.links.link_sorted("name") == "/page?rows-sort=-name#rows"


def test_equal_rows_keep_their_order_in_both_directions() -> None:
    assert _make_table("rows-sort=name").rows == [("a", 2), ("a", 1), ("b", 1), ("b", 3), ("c", 1)]
    assert _make_table("rows-sort=-name").rows == [("c", 1), ("b", 1), ("b", 3), ("a", 2), ("a", 1)]


@pytest.mark.parametrize("sort", SORTS)
def test_pages_together_have_every_row_once_in_the_order_of_one_page(sort: str) -> None:
    rows: list[Row] = []
    query = urlencode({"rows-sort": sort})
    while True:
        table = _make_table(query, limit=2)
        assert len(table.rows) <= 2
        rows += table.rows
        if not table.links.next_cursor:
            break
        query = table.links.link_page(table.links.next_cursor).partition("?")[2].partition("#")[0]
    assert rows == _make_table(urlencode({"rows-sort": sort})).rows


@pytest.mark.parametrize("sort", SORTS)
def test_new_rows_at_the_front_of_a_list_repeat_and_hide_none_on_the_next_page(sort: str) -> None:
    new_rows: list[Row] = [("b", 2), ("a", 3), ("c", 3)]
    query = urlencode({"rows-sort": sort})
    page = _make_table(query, limit=2)
    query = page.links.link_page(page.links.next_cursor).partition("?")[2].partition("#")[0]
    following_rows = _make_table(query, entries=[*new_rows, *ROWS]).rows
    remaining_rows = [row for row in ROWS if row not in page.rows]
    assert [row for row in following_rows if row not in new_rows] == sorted(remaining_rows, key=following_rows.index)
    assert set(remaining_rows) <= set(following_rows)
    assert not set(page.rows) & set(following_rows)


def test_links_keep_what_other_tables_show_and_escape_it() -> None:
    links = _make_table(urlencode({"q": 'a&b="<', "other-sort": "-x", "rows-sort": "-name"}), "/a b/c?d").links
    assert links.link_sorted("name") == "/a%20b/c%3Fd?q=a%26b%3D%22%3C&other-sort=-x&rows-sort=name#rows"


def test_an_unknown_order_and_a_cursor_of_another_order_are_refused() -> None:
    with pytest.raises(RequestValidationError, match="'name', '-name', '-count' or 'count'"):
        _make_table("rows-sort=no-such")
    cursor = _make_table("rows-sort=name", limit=1).links.next_cursor
    with pytest.raises(UsageError, match="not a cursor of this list"):
        _make_table(f"rows-sort=count&rows-after={cursor}")
