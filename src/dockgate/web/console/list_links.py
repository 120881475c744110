"""The links of a list: with another order, with one filter more or less, and to its other pages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from dockgate.web.console.formats import quote_word
from dockgate.web.paging import Page, PageQuery

# A parameter of an address.
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class FilterRow:
    """Filters of a list in one row. `choices` are a parameter, its value, and the words of the link."""

    title: str
    choices: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class ListLinks:
    """Links of the list at `path`, which is in the order `sort`, with `filters`.

    `sorts` are the orders by their names, the first of which needs no parameter. "-" before the name of a column, or
    being one of `descending`, means that the last come first. Filters of the names `repeatable_names` may have several
    values. `after` is the cursor of the page, `next_cursor` that of the next one, `previous_cursor` that of the one
    before if it is known and not the first. `total` is the number of entries on all pages, if they were counted; there
    are more if `is_total_capped`. `names` are the parameters of order and cursor, and `fragment` the position on the
    page, of a table among others.
    """

    path: str
    sorts: Sequence[str]
    sort: str
    filters: Sequence[Pair] = ()
    repeatable_names: Collection[str] = ()
    descending: Collection[str] = ()
    after: str | None = None
    next_cursor: str | None = None
    previous_cursor: str | None = None
    total: int | None = None
    is_total_capped: bool = False
    names: tuple[str, str] = ("sort", "after")
    fragment: str | None = None

    @classmethod
    def from_page(
        cls,
        path: str,
        sorts: Sequence[str],
        query: PageQuery,
        page: Page[Any],
        filters: Sequence[tuple[str, str | None]] = (),
        descending: Collection[str] = (),
    ) -> "ListLinks":
        """The links of a page that was read for this query. Filters without a value are left out."""
        return cls(
            path,
            sorts,
            query.sort,
            [(name, value) for name, value in filters if value],
            descending=descending,
            after=query.after,
            next_cursor=page.next,
            previous_cursor=page.previous,
            total=page.total,
            is_total_capped=page.is_total_capped,
        )

    def get_direction(self, column: str) -> str | None:
        """The value of aria-sort for the head of a column, None if the list is not sorted by it."""
        if self.sort.removeprefix("-") != column:
            return None
        return "descending" if self.sort.startswith("-") or self.sort in self.descending else "ascending"

    def link_sorted(self, column: str) -> str:
        """The list sorted by a column, from its first page; if it is already, the other way round."""
        names = [name for name in self.sorts if name.removeprefix("-") == column]
        other_names = [name for name in names if name != self.sort]
        return self._make_link(self.filters, other_names[0] if other_names else names[0])

    def link_toggled(self, name: str, value: str) -> str:
        """The list with this filter if it is without, and without it if it is with. From its first page."""
        pair = name, value
        other_entries = [
            entry for entry in self.filters if entry != pair and (entry[0] != name or name in self.repeatable_names)
        ]
        return self._make_link([*other_entries, *([] if pair in self.filters else [pair])], self.sort)

    def link_only(self, name: str, value: str) -> str:
        """The list with this filter instead of others of the name, from its first page.

        An empty value is no filter.
        """
        other_entries = [entry for entry in self.filters if entry[0] != name]
        return self._make_link([*other_entries, *([(name, value)] if value else [])], self.sort)

    def has_filter(self, name: str, value: str) -> bool:
        """Return whether the list is filtered by this."""
        return (name, value) in self.filters

    def link_page(self, cursor: str | None = None) -> str:
        """The page after a cursor, or the first one."""
        return self._make_link(self.filters, self.sort, cursor)

    @property
    def order(self) -> Sequence[Pair]:
        """The parameter of the order, none for the first of all."""
        return self._list_order(self.sort)

    @property
    def query(self) -> str:
        """The parameters of this page, with their question mark: the call of the API has the same ones."""
        return self.link_page(self.after).removeprefix(self.path).removesuffix(self.fragment or "")

    def complete_command(self, command: str, *names: str) -> str:
        """The command with options for the order of this list, and for those of these filters that it has."""
        values = [*((name, value) for name, value in self.filters if name in names), *self.order]
        return " ".join([command, *(_format_option(name, value) for name, value in values)])

    def _list_order(self, sort: str) -> list[Pair]:
        return [] if sort == self.sorts[0] else [(self.names[0], sort)]

    def _make_link(self, filters: Sequence[Pair], sort: str, cursor: str | None = None) -> str:
        pairs = [*filters, *self._list_order(sort), *([(self.names[1], cursor)] if cursor else [])]
        return f"{self.path}{f'?{urlencode(pairs)}' if pairs else ''}{self.fragment or ''}"


def _format_option(name: str, value: str) -> str:
    """A filter as the option of a command: those that are true or false are flags."""
    flags = {"true": f"--{name}", "false": f"--no-{name}"}
    return flags.get(value) or f"--{name} {quote_word(value)}"
