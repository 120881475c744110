"""Pages of lists: what the API's calls and the console's pages of them share.

The name of an order is that of a key, "-" before it turns the order round. A cursor is the key of a page's last entry,
so entries that come or go meanwhile shift nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query, Request, Response

from dockgate.shared.cursors import LARGEST_PAGE, PAGE, read_cursor, write_cursor

T = TypeVar("T")
U = TypeVar("U")

MAX_CURSOR = 2000
# Entries of a list in the store that are counted.
MAX_COUNT = 1000

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE)]
Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR)]
# What entries are sorted by: texts and numbers, the last of which no two entries share.
Key = Callable[[T], tuple[str | int, ...]]


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A page of a list: at most `limit` entries in an order, after a cursor, None for the first page.

    `is_forward_only`: without the cursor of the page before and the number of entries.
    """

    sort: str
    after: str | None = None
    limit: int = PAGE
    is_forward_only: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Entries of a list.

    `next` is the cursor of the page that follows, None for the last. `previous` is that of the page before, None if it
    is the first page or not known. `total` is the number of all entries, None if they were not counted; there are more
    if `is_total_capped`.
    """

    entries: list[T]
    next: str | None
    previous: str | None = None
    total: int | None = None
    is_total_capped: bool = False

    def with_entries(self, entries: list[U]) -> "Page[U]":
        """The same page with others instead of the entries."""
        return Page(entries, self.next, self.previous, self.total, self.is_total_capped)


def make_page(entries: Iterable[T], keys: Mapping[str, Key[T]], query: PageQuery) -> Page[T]:
    """A page of these entries. UsageError for a cursor of another order."""
    key = keys[query.sort.removeprefix("-")]
    is_descending = query.sort.startswith("-")
    sorted_entries = sorted(((key(entry), entry) for entry in entries), key=lambda pair: pair[0], reverse=is_descending)
    start = 0
    if query.after:
        types = [type(value) for value in sorted_entries[0][0]] if sorted_entries else None
        position = read_cursor(query.after, query.sort, types)
        start = sum(
            1
            for other_position, _ in sorted_entries
            if (other_position >= position if is_descending else other_position <= position)
        )
    end = start + query.limit
    next_cursor = write_cursor(query.sort, sorted_entries[end - 1][0]) if len(sorted_entries) > end else None
    before = start - query.limit
    previous = write_cursor(query.sort, sorted_entries[before - 1][0]) if before > 0 else None
    return Page([entry for _, entry in sorted_entries[start:end]], next_cursor, previous, len(sorted_entries))


def read_page(
    read: Callable[[Any, int, bool], Sequence[T]],
    key: Key[T],
    types: Sequence[type],
    query: PageQuery,
    count: Callable[[int], int] | None = None,
) -> Page[T]:
    """A page of a list that the store sorts by a key. UsageError for a cursor of another order.

    `read` returns at most so many entries after a key (None: from the beginning), those with the largest keys first if
    its last argument is true. `types` are those of a key. `count` counts the entries, at most so many.
    """
    position = read_cursor(query.after, query.sort, types) if query.after else None
    is_descending = query.sort.startswith("-")
    entries = list(read(position, query.limit + 1, is_descending))
    shown_entries = entries[: query.limit]
    next_cursor = write_cursor(query.sort, key(shown_entries[-1])) if len(entries) > len(shown_entries) else None
    if query.is_forward_only:
        return Page(shown_entries, next_cursor)
    previous, total = None, len(entries)
    if position is not None:
        first = key(shown_entries[0]) if shown_entries else position
        before = read(first, query.limit + 1, not is_descending)
        previous = write_cursor(query.sort, key(before[-1])) if len(before) > query.limit else None
    if next_cursor or position is not None:
        if count is None:
            return Page(shown_entries, next_cursor, previous)
        total = count(MAX_COUNT + 1)
    return Page(shown_entries, next_cursor, previous, min(total, MAX_COUNT), total > MAX_COUNT)


@dataclass(frozen=True, slots=True)
class Paging:
    """The page that a call asks for by `limit` and `after`."""

    request: Request
    response: Response
    limit: int
    after: str | None

    def make_query(self, sort: str) -> PageQuery:
        """The page of a list in this order."""
        return PageQuery(sort, self.after, self.limit, is_forward_only=True)

    def list_entries(self, page: Page[T]) -> list[T]:
        """The answer of the call: the entries, and in the header `Link` the page that follows."""
        if page.next:
            url = self.request.url.include_query_params(after=page.next)
            self.response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return page.entries


async def _read_paging(request: Request, response: Response, limit: Limit = PAGE, after: Cursor = None) -> Paging:
    return Paging(request, response, limit, after)


PagingDependency = Annotated[Paging, Depends(_read_paging)]


def list_sort_names(sort: Any) -> tuple[str, ...]:
    """The names of the orders that a Literal lists."""
    return tuple(sort.__args__)
