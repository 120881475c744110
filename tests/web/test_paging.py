"""Pages of lists: by cursor, in both directions, whatever comes or goes meanwhile."""

from collections.abc import Sequence

import pytest

from dockgate.shared.errors import UsageError
from dockgate.web.paging import MAX_COUNT, Page, PageQuery, make_page, read_page

KEYS = {"name": lambda entry: (entry[0],), "size": lambda entry: (entry[1], entry[0])}
ENTRIES = [("a", 3), ("b", 1), ("c", 3), ("d", 2)]


def _walk(entries: list[tuple[str, int]], sort: str, limit: int) -> list[str]:
    names: list[str] = []
    after: str | None = ""
    while after is not None:
        page = make_page(entries, KEYS, PageQuery(sort, after, limit))
        assert len(page.entries) <= limit
        names += [name for name, _ in page.entries]
        after = page.next
    return names


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_have_every_entry_once_in_either_direction(limit: int) -> None:
    assert _walk(ENTRIES, "name", limit) == ["a", "b", "c", "d"]
    assert _walk(ENTRIES, "-name", limit) == ["d", "c", "b", "a"]
    assert _walk(ENTRIES, "size", limit) == ["b", "d", "a", "c"]
    assert _walk(ENTRIES, "-size", limit) == ["c", "a", "d", "b"]


def test_a_page_leads_back_to_the_one_before_and_counts_all_entries() -> None:
    pages: list[Page[tuple[str, int]]] = []
    after = None
    while not pages or after:
        pages.append(make_page(ENTRIES, KEYS, PageQuery("-name", after, 1)))
        after = pages[-1].next
    assert [page.total for page in pages] == [4, 4, 4, 4]
    assert [page.previous for page in pages] == [None, None, pages[0].next, pages[1].next]


def _read_stored_page(query: PageQuery, numbers: Sequence[int] = range(7), count: int = 7) -> Page[int]:
    def read(after: tuple[int] | None, limit: int, is_descending: bool) -> Sequence[int]:
        ordered_numbers = sorted(numbers, reverse=is_descending)
        return [
            number
            for number in ordered_numbers
            if after is None or (number < after[0] if is_descending else number > after[0])
        ][:limit]

    return read_page(read, lambda number: (number,), (int,), query, lambda limit: min(count, limit))


@pytest.mark.parametrize("sort", ["number", "-number"])
def test_a_page_of_the_store_leads_back_to_the_one_before_as_one_sorted_here_does(sort: str) -> None:
    after = None
    while True:
        query = PageQuery(sort, after, 2)
        page = _read_stored_page(query)
        assert page == make_page(range(7), {"number": lambda number: (number,)}, query)
        if page.next is None:
            break
        after = page.next


def test_a_page_of_the_store_behind_the_last_entry_leads_back() -> None:
    after = _read_stored_page(PageQuery("number", None, 6)).next
    page = _read_stored_page(PageQuery("number", after, 2), numbers=range(5))
    assert page.entries == []
    assert page.previous is not None
    assert _read_stored_page(PageQuery("number", page.previous, 2)).entries == [3, 4]


def test_entries_of_the_store_are_counted_up_to_a_limit_and_only_for_pages_that_show_it() -> None:
    page = _read_stored_page(PageQuery("number", None, 2), count=MAX_COUNT + 1)
    assert (page.total, page.is_total_capped) == (MAX_COUNT, True)
    exact = _read_stored_page(PageQuery("number", None, 2), count=MAX_COUNT)
    assert (exact.total, exact.is_total_capped) == (MAX_COUNT, False)
    assert _read_stored_page(PageQuery("number", None, 7), count=-1).total == 7
    forward = _read_stored_page(PageQuery("number", page.next, 2, is_forward_only=True), count=-1)
    assert forward == Page([2, 3], forward.next)


def test_the_last_page_has_no_cursor_though_it_is_full() -> None:
    assert make_page(ENTRIES, KEYS, PageQuery("name", "", 4)).next is None


def test_a_page_goes_on_where_the_one_before_ended_when_its_last_entry_is_gone() -> None:
    first = make_page(ENTRIES, KEYS, PageQuery("name", "", 2))
    later_entries = [entry for entry in [("0", 0), *ENTRIES] if entry[0] != "b"]
    assert [name for name, _ in make_page(later_entries, KEYS, PageQuery("name", first.next or "", 2)).entries] == [
        "c",
        "d",
    ]


def test_a_page_of_a_list_that_became_empty_is_empty() -> None:
    cursor = make_page(ENTRIES, KEYS, PageQuery("name", limit=2)).next
    assert cursor
    assert make_page([], KEYS, PageQuery("name", cursor)) == Page([], None, None, 0)


@pytest.mark.parametrize("after", ["x", "!!", "\ud800", "W10", "WyJuYW1lIl0", "WyJzaXplIiwxLCJhIl0", "WyJuYW1lIiwxXQ"])
def test_a_cursor_of_another_order_or_none_is_refused(after: str) -> None:
    with pytest.raises(UsageError, match="not a cursor"):
        make_page(ENTRIES, KEYS, PageQuery("name", after))


@pytest.mark.parametrize("after", ["x", "!!", "W10", "WyJuYW1lIl0", "WyJzaXplIiwxLCJhIl0", "WyJuYW1lIixbXV0"])
def test_an_empty_list_refuses_what_is_no_cursor_of_it(after: str) -> None:
    with pytest.raises(UsageError, match="not a cursor"):
        make_page([], KEYS, PageQuery("name", after))
