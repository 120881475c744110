"""Tables among others on a page, each sorted and paged by links of its own.

The links keep what the others show.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from fastapi import Request

from dockgate.shared.cursors import PAGE
from dockgate.web.console.list_links import ListLinks
from dockgate.web.page_paths import make_request_path
from dockgate.web.paging import PageQuery, make_page
from dockgate.web.query_parameters import choose_value

T = TypeVar("T")

# Characters of a key that count.
MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class PageTable(Generic[T]):
    """The rows that a page shows of a table, and the links of its heads and pages.

    It also says how many rows there are in all.
    """

    rows: Sequence[T]
    links: ListLinks
    total: int


def make_page_table(
    request: Request,
    name: str,
    entries: Sequence[T],
    keys: Mapping[str, Callable[[T], str | int]],
    sorts: Sequence[str],
    limit: int = PAGE,
) -> PageTable[T]:
    """Sort the entries by the order that the address names, and take the page that it names.

    `name` is the id of the table's section on the page, and begins the names of its parameters. `keys` are what columns
    are sorted by; entries with equal keys keep the order in which they are given. `sorts` are the orders, the first of
    which is that without a parameter: an empty one for the order in which the entries are given. UsageError for a
    cursor of another order, RequestValidationError for an unknown order.
    """
    names = f"{name}-sort", f"{name}-after"
    fields = request.query_params
    sort = choose_value(fields, names[0], sorts, sorts[0])
    key = keys.get(sort.removeprefix("-"))
    step = -1 if sort.startswith("-") else 1  # equal entries keep their order in both directions
    # Counted from the end: lists that grow while people read them are given newest first.
    rows = [
        (_shorten_key(key(entry)) if key else 0, step * number, entry)
        for number, entry in enumerate(entries, -len(entries))
    ]
    query = PageQuery(sort, fields.get(names[1]) or None, limit)
    page = make_page(rows, {sort.removeprefix("-"): lambda row: row[:2]}, query)
    filters = [(parameter, value) for parameter, value in fields.items() if parameter not in names]
    links = ListLinks.from_page(make_request_path(request), sorts, query, page)
    links = replace(links, filters=filters, names=names, fragment=f"#{name}")
    return PageTable([entry for *_, entry in page.entries], links, len(entries))


def _shorten_key(key: str | int) -> str | int:
    """A key of which a cursor has room."""
    return key[:MAX_KEY] if isinstance(key, str) else key
