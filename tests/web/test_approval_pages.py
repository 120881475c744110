"""Pages of approvals: those that the caller may see, however many others are newer."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.store.factories import FACTORIES, LATER, NOW, make_approval, open_store_of_kind

from dockgate.delivery.model import ApprovalState
from dockgate.identity.model import Caller, Principal, Role, Token
from dockgate.shared.errors import UsageError
from dockgate.store import Store
from dockgate.store.queries import make_row
from dockgate.store.schema.delivery import approvals
from dockgate.web.api.approvals import MAX_READ, NEWEST_FIRST, read_approval_page
from dockgate.web.paging import PageQuery

ANN = Principal("ann", (Role.APPROVER,))
EVERYWHERE = Caller(ANN)
TEAMX = Caller(ANN, Token("t", "ann", "", NOW, LATER, repositories=("teamx/*",)))


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def add(store: Store, repository: str, count: int) -> list[str]:
    """Add approvals, and return their ids, the newest first."""
    new_approvals = [
        replace(make_approval(f"external/{repository}-{number}"), repository=repository) for number in range(count)
    ]
    with store.database.write() as connection:
        connection.execute(insert(approvals), [make_row(approval) for approval in new_approvals])
    return [approval.id for approval in reversed(new_approvals)]


def walk(store: Store, caller: Caller, limit: int) -> Sequence[Sequence[str]]:
    """Return the ids on each page."""
    pages: list[Sequence[str]] = []
    after: str | None = None
    while not pages or after:
        query = PageQuery(NEWEST_FIRST, after, limit, is_forward_only=True)
        page = read_approval_page(caller, store, query, ApprovalState.WAITING)
        pages.append([approval.id for approval in page.entries])
        after = page.next
    return pages


def test_what_a_caller_may_see_is_listed_behind_newer_approvals_of_others(store: Store) -> None:
    own_approvals = add(store, "teamx/app", 1)
    add(store, "other/app", 105)
    assert walk(store, TEAMX, 50) == [own_approvals]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 1000])
def test_pages_have_each_visible_approval_once(store: Store, limit: int) -> None:
    ids = add(store, "teamx/app", 3)
    add(store, "other/app", 2)
    ids = [*add(store, "teamx/web", 2), *ids]
    pages = walk(store, TEAMX, limit)
    assert [entry for page in pages for entry in page] == ids
    assert all(len(page) == limit for page in pages[:-1])
    assert 0 < len(pages[-1]) <= limit
    assert [len(page) for page in walk(store, EVERYWHERE, 3)] == [3, 3, 1]


def test_a_call_reads_a_bounded_number_and_continues_behind_them(store: Store) -> None:
    own_approvals = add(store, "teamx/app", 1)
    add(store, "other/app", MAX_READ)
    assert walk(store, TEAMX, 50) == [[], own_approvals]


def test_a_cursor_of_another_list_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="is not a cursor of this list"):
        read_approval_page(EVERYWHERE, store, PageQuery(NEWEST_FIRST, "bm8"))
