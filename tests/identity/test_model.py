"""What roles may, what a token lends of it, and how a token is written."""

import pytest

from dockgate.identity.model import (
    PERMISSIONS,
    Caller,
    Permission,
    Principal,
    Role,
    Token,
    digest,
    read_token,
    write_token,
)
from dockgate.shared.errors import DeniedError

SECRET = "ab" * 32
ANN = Principal("ann", (Role.DEVELOPER,))


def token(**more: object) -> Token:
    role_permissions = {
        "id": "0123456789ab",
        "principal": "ann",
        "digest": digest(SECRET),
        "created_at": "2026-11-24T10:00:00.000Z",
        "expires_at": "2026-11-25T10:00:00.000Z",
        **more,
    }
    return Token(**role_permissions)  # type: ignore[arg-type]


def test_every_role_may_look_and_only_an_admin_may_all() -> None:
    assert set(PERMISSIONS) == set(Role)
    assert all(Permission.READ in permissions for permissions in PERMISSIONS.values())
    assert [role for role, permissions in PERMISSIONS.items() if permissions == set(Permission)] == [Role.ADMIN]


def test_whoever_is_disabled_may_nothing() -> None:
    gone = Principal("ann", (Role.ADMIN,), disabled_at="2026-11-24T10:00:00.000Z")
    assert not any(gone.may(permission) for permission in Permission)


def test_a_token_stands_until_it_expires_or_is_revoked() -> None:
    assert token().is_valid("2026-11-25T09:59:59.999Z")
    assert not token().is_valid("2026-11-25T10:00:00.000Z")
    assert not token(revoked_at="2026-11-24T11:00:00.000Z").is_valid("2026-11-24T12:00:00.000Z")


def test_a_token_lends_its_scopes_and_no_more_than_its_principal_has() -> None:
    assert Caller(ANN, token()).may(Permission.RUN)
    assert not Caller(ANN, token(scopes=(Permission.READ,))).may(Permission.RUN)
    assert not Caller(ANN, token(scopes=(Permission.DECIDE,))).may(Permission.DECIDE)


def test_a_token_for_some_pipelines_reaches_nothing_else() -> None:
    caller = Caller(ANN, token(pipelines=("team-*",)))
    assert caller.is_limited
    caller.require(pipeline="team-a")
    for wrong in ({"pipeline": "other"}, {"repository": "team-a"}, {"pipeline": "", "repository": ""}):
        with pytest.raises(DeniedError, match="is not for"):
            caller.require(**wrong)
    Caller(ANN, token()).require(pipeline="other")


def test_a_tokens_text_is_what_it_was_written_from_and_nothing_else_is_one() -> None:
    text = write_token("0123456789ab", SECRET)
    assert read_token(text) == ("0123456789ab", SECRET)
    assert token().is_of(SECRET)
    assert not token().is_of(SECRET[:-1] + "0")
    for wrong in ("", "dgt_", text[:-1], text + "\n", text.upper(), text.replace("dgt", "ghp")):
        assert read_token(wrong) == ("", "")
