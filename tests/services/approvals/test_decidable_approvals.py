"""The approvals on which a caller may vote, also behind many others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.store.factories import FACTORIES, LATER, NOW, limit_to_sqlite, make_approval, open_store_of_kind

from dockgate.delivery.model import Approval, Approvers, Vote
from dockgate.identity.model import LOCAL, Caller, Permission, Principal, ProjectRole, RepositoryScope, Role, Token
from dockgate.services.approvals.decidable_approvals import BATCHES, MAX_LISTED, MAX_PREFIXES, list_decidable_approvals
from dockgate.store import Store
from dockgate.store.queries import make_row
from dockgate.store.schema.delivery import approvals

MANY = MAX_LISTED + 1
ANN = Principal("ann", (Role.APPROVER,), "ann@example.org")
BEN = Principal("ben_b", (Role.SECURITY,), "ben@example.org")


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        for principal in (Principal("root", (Role.ADMIN,)), ANN, BEN):
            store.principals.add(principal)
        yield store


def add(store: Store, approval_id: str, **fields: object) -> Approval:
    return store.approvals.add(make_waiting(approval_id, **fields))


def add_many(store: Store, count: int = MANY, name: str = "other", **fields: object) -> list[Approval]:
    """Add approvals by one statement."""
    waiting = [make_waiting(f"{name}-{number}/Gate/Approve/1", **fields) for number in range(count)]
    with store.database.write() as connection:
        connection.execute(insert(approvals), [make_row(approval) for approval in waiting])
    return waiting


def make_waiting(approval_id: str, **fields: object) -> Approval:
    approval = replace(make_approval(approval_id), approvers=Approvers(), repository="web/app", expires_at=NOW)
    return replace(approval, **fields)  # type: ignore[arg-type]


def list_ids(store: Store, caller: Caller) -> list[str]:
    decidable = list_decidable_approvals(store, caller)
    assert decidable.is_complete
    return [approval.id for approval in decidable.approvals]


def make_token(**limits: tuple[str, ...]) -> Token:
    return Token("t", "ann", "", NOW, LATER, **limits)  # type: ignore[arg-type]


def test_what_others_decide_hides_nothing(store: Store) -> None:
    named_approval = add(store, "web-1/Gate/Approve/1", approvers=Approvers(("ann",)), expires_at=LATER)
    role_approval = add(store, "web-2/Gate/Approve/1", approvers=Approvers((), (Role.APPROVER,)), expires_at=LATER)
    fields_by_name: dict[str, dict[str, object]] = {
        "person": {"approvers": Approvers(("ben_b",))},
        "alike": {"approvers": Approvers(("benxb", "ANN", "joann"))},
        "role": {"approvers": Approvers((), (Role.SECURITY,))},
        "address": {"committers": ("ann@example.org",)},
        "name": {"committers": ("ann",)},
    }
    for name, fields in fields_by_name.items():
        add_many(store, MANY, name, **fields)
        assert list_ids(store, Caller(ANN)) == [named_approval.id, role_approval.id], name


@limit_to_sqlite("store")
def test_what_the_person_or_another_with_their_mailbox_has_voted_on_hides_nothing(store: Store) -> None:
    twin = Principal("ann-twin", (Role.APPROVER,), "ANN+work@example.org")
    store.principals.add(twin)
    for number, approval in enumerate(add_many(store, approvers=Approvers(count=2))):
        store.approvals.vote(Vote(approval.id, "ann" if number % 2 else "ann-twin", True, "", "2026"))
    waiting = add(store, "web-1/Gate/Approve/1", expires_at=LATER)
    assert list_ids(store, Caller(ANN)) == [waiting.id]
    assert list_ids(store, Caller(twin)) == [waiting.id]


@pytest.mark.parametrize(
    ("pattern", "repository"),
    [("team-a/*", "team-a/app"), ("team-a/*", "team-a"), ("team_a/w*b", "team_a/web"), ("team-a/app", "team-a/app")],
)
def test_other_repositories_hide_nothing(store: Store, pattern: str, repository: str) -> None:
    ann = replace(ANN, roles=(), project_roles=(ProjectRole(Role.APPROVER, pattern),))
    scope = RepositoryScope((pattern,), frozenset(), frozenset({"built/here"}))
    caller = Caller(ann, projects={Permission.DECIDE: scope, Role.APPROVER: scope})
    add_many(store, repository="other/app")
    add_many(store, 3, "alike", repository="team-ax/app")
    waiting = add(store, "web-1/Gate/Approve/1", repository=repository, expires_at=LATER)
    built_approval = add(store, "web-2/Gate/Approve/1", repository="built/here", expires_at=LATER)
    assert list_ids(store, caller) == [waiting.id, built_approval.id]
    repositories = frozenset(f"built/{number}" for number in range(MAX_PREFIXES))
    wide_scope = replace(scope, built_repositories=scope.built_repositories | repositories)
    wide_caller = Caller(ann, projects={Permission.DECIDE: wide_scope, Role.APPROVER: wide_scope})
    assert list_ids(store, wide_caller) == [waiting.id, built_approval.id]


def test_what_a_token_does_not_reach_hides_nothing(store: Store) -> None:
    add_many(store, repository="other/app")
    by_repository = add(store, "web-1/Gate/Approve/1", repository="web/app", expires_at=LATER)
    by_pipeline = add(store, "shop-1/Gate/Approve/1", repository="else/app", expires_at=LATER)
    external = add(store, "external/shop/1", pipeline="shop", repository="else/app", expires_at=LATER)
    limits: tuple[dict[str, tuple[str, ...]], ...] = (
        {"repositories": ("w?b/*",), "pipelines": ("s[gh]op",)},
        {"repositories": ("web/a*",)},
        {"pipelines": ("sh*",)},
        {"repositories": ("none",)},
        {"scopes": (Permission.READ,)},
    )
    listed_ids = [list_ids(store, Caller(ANN, make_token(**limit))) for limit in limits]
    assert listed_ids == [[by_repository.id, by_pipeline.id], [by_repository.id], [by_pipeline.id], [], []]
    assert all(external.id not in ids for ids in listed_ids)


@limit_to_sqlite("store")
def test_a_local_caller_may_decide_on_all(store: Store) -> None:
    add(store, "web-1/Gate/Approve/1", approvers=Approvers(("ben_b",)))
    assert list_ids(store, Caller(LOCAL)) == ["web-1/Gate/Approve/1"]


def test_of_more_than_can_be_listed_the_most_urgent_come_first(store: Store) -> None:
    add_many(store, MAX_LISTED, expires_at=LATER)
    assert len(list_ids(store, Caller(ANN))) == MAX_LISTED
    urgent = add(store, "web-1/Gate/Approve/1")
    decidable = list_decidable_approvals(store, Caller(ANN))
    assert (decidable.approvals[0].id, len(decidable.approvals)) == (urgent.id, MAX_LISTED)
    assert not decidable.is_complete


@limit_to_sqlite("store")
def test_the_work_for_a_list_is_bounded_and_the_list_says_so(store: Store) -> None:
    add_many(store, sum(BATCHES), committers=("ann",))
    assert list_ids(store, Caller(ANN)) == []
    add(store, "web-1/Gate/Approve/1", expires_at=LATER)
    decidable = list_decidable_approvals(store, Caller(ANN))
    assert (list(decidable.approvals), decidable.is_complete) == ([], False)


def test_approvals_that_end_at_the_same_time_are_each_read_once(store: Store) -> None:
    add_many(store, BATCHES[0] + 1, committers=("ann",))
    own_approvals = add_many(store, 5, "web")
    assert list_ids(store, Caller(ANN)) == [approval.id for approval in own_approvals]
