"""Contract of the store: principals, tokens and the audit log. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, LATER, NOW, open_store_of_kind

from dockgate.identity.model import AuditEntry, Permission, Principal, Role, Session, Token
from dockgate.shared.errors import ConflictError, NotFoundError
from dockgate.store import Store
from dockgate.store.identity.audit import AuditFilter, AuditResult
from dockgate.store.identity.sessions import MAX_OF_TOKEN

ADA = Principal("ada", (Role.ADMIN,), "ada@example.org", NOW)
BEN = Principal("ben", (Role.DEVELOPER, Role.APPROVER), None, NOW)
TOKEN = Token("0123456789ab", "ada", "f" * 64, NOW, LATER)
EVEN_LATER = "2026-11-24T12:00:00.000Z"


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


@pytest.fixture
def store_with_people(store: Store) -> Store:
    store.principals.add_first(ADA, TOKEN)
    store.principals.add(BEN)
    return store


def test_the_first_principal_is_added_once_with_a_token(store: Store) -> None:
    assert not store.principals.has_any()
    store.principals.add_first(ADA, TOKEN)
    assert store.principals.has_any()
    assert store.tokens.find(TOKEN.id) == (TOKEN, ADA, (0, 0))
    with pytest.raises(ConflictError, match="already"):
        store.principals.add_first(replace(ADA, name="eve"), replace(TOKEN, id="ba9876543210", principal="eve"))
    assert [principal.name for principal in store.principals.list()] == ["ada"]
    assert store.tokens.find("ba9876543210") is None


def test_a_principal_is_added_once_and_keeps_the_name(store_with_people: Store) -> None:
    store_with_people.principals.add(BEN)
    for changed_principal in (replace(BEN, roles=(Role.ADMIN,)), replace(BEN, name="BEN")):
        with pytest.raises(ConflictError, match="already"):
            store_with_people.principals.add(changed_principal)
    assert list(store_with_people.principals.list()) == [ADA, BEN]
    assert store_with_people.principals.get("ben") == BEN
    with pytest.raises(NotFoundError, match="'cid'"):
        store_with_people.principals.get("cid")


DESCRIBED = Principal("cid", (Role.DEVELOPER,), "cid@example.org", NOW)


def test_an_identity_is_one_principal_with_the_latest_roles(store_with_people: Store) -> None:
    for roles in ((Role.DEVELOPER,), (Role.VIEWER, Role.APPROVER), (Role.VIEWER, Role.APPROVER)):
        described_principal = replace(DESCRIBED, name="renamed" if Role.VIEWER in roles else "cid", roles=roles)
        assert store_with_people.principals.sign_in("https://id", "1", described_principal) == replace(
            DESCRIBED, roles=roles
        )
    assert [principal.name for principal in store_with_people.principals.list()] == ["ada", "ben", "cid"]
    for _ in range(2):
        store_with_people.principals.withdraw("https://id", "1")
        assert store_with_people.principals.get("cid").roles == ()
    store_with_people.principals.withdraw("https://id", "2")


@pytest.mark.parametrize("name", ["ben", "BEN"])
def test_an_identity_never_becomes_another_principal(store_with_people: Store, name: str) -> None:
    with pytest.raises(ConflictError, match="belongs to another"):
        store_with_people.principals.sign_in("https://id", "1", replace(DESCRIBED, name=name))
    store_with_people.principals.sign_in("https://id", "1", DESCRIBED)
    for issuer, subject in (("https://id", "2"), ("https://other", "1")):
        with pytest.raises(ConflictError, match="belongs to another"):
            store_with_people.principals.sign_in(issuer, subject, DESCRIBED)


def test_an_identity_keeps_the_last_administrator(store: Store) -> None:
    with pytest.raises(ConflictError, match="must be an admin"):
        store.principals.sign_in("https://id", "1", DESCRIBED)
    assert not store.principals.has_any()
    store.principals.sign_in("https://id", "1", replace(DESCRIBED, roles=(Role.ADMIN,)))
    with pytest.raises(ConflictError, match="last administrator"):
        store.principals.sign_in("https://id", "1", DESCRIBED)
    with pytest.raises(ConflictError, match="last administrator"):
        store.principals.withdraw("https://id", "1")
    assert store.principals.get("cid").roles == (Role.ADMIN,)


def test_no_other_token_takes_an_id_that_exists(store_with_people: Store) -> None:
    session_token = replace(TOKEN, id="aaaaaaaaaaaa", is_session=True)
    store_with_people.tokens.add(session_token)
    with pytest.raises(ConflictError, match="another token 'aaaaaaaaaaaa'"):
        store_with_people.tokens.add(replace(session_token, digest="e" * 64))
    assert store_with_people.tokens.find("aaaaaaaaaaaa") == (session_token, ADA, (0, 0))


def test_a_token_has_a_limited_number_of_sessions(store_with_people: Store) -> None:
    times = [f"2026-11-{day:02}T{hour:02}:00:00.000Z" for day in range(1, 7) for hour in range(20)]
    began = [Session(f"{number:064}", TOKEN.id, at, at, "2999-01-01") for number, at in enumerate(times)]
    for session in began:
        store_with_people.sessions.add(session)
    assert len(began) > MAX_OF_TOKEN
    assert list(store_with_people.sessions.list_of_principal("ada")) == began[::-1][:MAX_OF_TOKEN]


def test_roles_are_replaced(store_with_people: Store) -> None:
    for _ in range(2):
        assert store_with_people.principals.set_roles("ben", [Role.VIEWER]).roles == (Role.VIEWER,)
    assert store_with_people.principals.get("ben").roles == (Role.VIEWER,)


def test_a_principal_is_disabled_and_enabled(store_with_people: Store) -> None:
    assert store_with_people.principals.disable("ben", NOW).disabled_at == NOW
    assert store_with_people.principals.disable("ben", LATER).disabled_at == NOW
    for _ in range(2):
        assert store_with_people.principals.enable("ben") == BEN


def test_the_last_administrator_cannot_be_disabled_or_lose_the_role(store_with_people: Store) -> None:
    for _ in range(2):
        with pytest.raises(ConflictError, match="last"):
            store_with_people.principals.disable("ada", NOW)
        with pytest.raises(ConflictError, match="last"):
            store_with_people.principals.set_roles("ada", [Role.SECURITY])
    assert store_with_people.principals.get("ada") == ADA
    store_with_people.principals.set_roles("ben", [Role.ADMIN])
    assert store_with_people.principals.disable("ada", NOW).disabled_at == NOW
    with pytest.raises(ConflictError, match="last"):
        store_with_people.principals.disable("ben", NOW)
    assert store_with_people.principals.has_any()


def test_tokens_are_found_and_listed(store_with_people: Store) -> None:
    limited_token = Token(
        "00000000000b", "ben", "e" * 64, NOW, LATER, (Permission.READ, Permission.RUN), ("web", "team-*"), ("Web",)
    )
    for _ in range(2):
        store_with_people.tokens.add(limited_token)
    assert store_with_people.tokens.find(limited_token.id) == (limited_token, BEN, (0, 0))
    assert list(store_with_people.tokens.list()) == [limited_token, TOKEN]
    assert list(store_with_people.tokens.list(limit=1)) == [limited_token]
    assert list(store_with_people.tokens.list(after=limited_token.id)) == [TOKEN]
    assert list(store_with_people.tokens.list(is_newest_first=False)) == [TOKEN, limited_token]
    assert list(store_with_people.tokens.list(after=TOKEN.id, is_newest_first=False)) == [limited_token]
    assert list(store_with_people.tokens.list("ada")) == [TOKEN]
    assert store_with_people.tokens.find("ffffffffffff") is None
    with pytest.raises(NotFoundError):
        store_with_people.tokens.add(replace(limited_token, id="c", principal="unknown"))


def test_a_token_is_used_and_revoked(store_with_people: Store) -> None:
    for _ in range(2):
        store_with_people.tokens.mark_used(TOKEN.id, LATER)
    assert store_with_people.tokens.revoke(TOKEN.id, LATER) == replace(TOKEN, last_used_at=LATER, revoked_at=LATER)
    assert store_with_people.tokens.revoke(TOKEN.id, EVEN_LATER).revoked_at == LATER
    with pytest.raises(NotFoundError, match="'none'"):
        store_with_people.tokens.revoke("none", LATER)


def test_the_audit_log_keeps_calls_and_their_status(store: Store) -> None:
    entries = [
        AuditEntry(name, NOW, who, None, "POST /x", "/x") for name, who in (("a", "ada"), ("b", "ben"), ("c", "ada"))
    ]
    for entry in (*entries, replace(entries[0], who="eve")):
        store.audit.begin(entry)
    for status in (200, 500):
        store.audit.finish("a", status)
    for detail in ("requested", "done"):
        store.audit.describe("a", detail)
        store.audit.describe("a", detail)
    assert [entry.detail for entry in store.audit.list()] == [None, None, "done"]
    assert [(entry.id, entry.who, entry.status) for entry in store.audit.list()] == [
        ("c", "ada", None),
        ("b", "ben", None),
        ("a", "ada", 200),
    ]
    assert [entry.id for entry in store.audit.list(AuditFilter("ada"))] == ["c", "a"]
    store.audit.finish("b", 403)
    for audit_filter, expected in (
        (AuditFilter(result=AuditResult.DONE), ["a"]),
        (AuditFilter(result=AuditResult.REFUSED), ["b"]),
        (AuditFilter(result=AuditResult.NO_ANSWER), ["c"]),
        (AuditFilter(call="POST /x"), ["c", "b", "a"]),
        (AuditFilter("ada", "POST /y"), []),
    ):
        assert [entry.id for entry in store.audit.list(audit_filter)] == expected
        assert store.audit.count(audit_filter, 10) == len(expected)
    assert store.audit.count(AuditFilter(), 2) == 2
    assert [entry.id for entry in store.audit.list(limit=1)] == ["c"]
    assert [entry.id for entry in store.audit.list(after="b")] == ["a"]
    assert [entry.id for entry in store.audit.list(after="b", is_newest_first=False)] == ["c"]
