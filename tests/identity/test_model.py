"""What roles may, what a token lends of it, and how a token is written."""

from dataclasses import replace

import pytest

from dockgate.identity.model import (
    ALL_REPOSITORIES,
    PERMISSIONS,
    Caller,
    Permission,
    Principal,
    ProjectRole,
    RepositoryLimits,
    RepositoryScope,
    Role,
    Token,
    hash_secret,
    read_roles,
    read_token,
    require_permission,
    write_token,
)
from dockgate.shared.errors import DeniedError, UsageError

SECRET = "ab" * 32
ANN = Principal("ann", (Role.DEVELOPER,))


def make_token(**fields: object) -> Token:
    role_permissions = {
        "id": "0123456789ab",
        "principal": "ann",
        "digest": hash_secret(SECRET),
        "created_at": "2026-11-24T10:00:00.000Z",
        "expires_at": "2026-11-25T10:00:00.000Z",
        **fields,
    }
    return Token(**role_permissions)  # type: ignore[arg-type]


def test_every_role_may_look_and_only_an_admin_may_all() -> None:
    assert set(PERMISSIONS) == set(Role)
    assert all(Permission.READ in permissions for permissions in PERMISSIONS.values())
    assert [role for role, permissions in PERMISSIONS.items() if permissions == set(Permission)] == [Role.ADMIN]


def test_a_disabled_principal_has_no_permissions() -> None:
    disabled_principal = Principal("ann", (Role.ADMIN,), disabled_at="2026-11-24T10:00:00.000Z")
    assert not any(disabled_principal.can(permission) for permission in Permission)


def test_a_token_is_valid_until_it_expires_or_is_revoked() -> None:
    assert make_token().is_valid("2026-11-25T09:59:59.999Z")
    assert not make_token().is_valid("2026-11-25T10:00:00.000Z")
    assert not make_token(revoked_at="2026-11-24T11:00:00.000Z").is_valid("2026-11-24T12:00:00.000Z")


def test_a_token_lends_its_scopes_and_no_more_than_its_principal_has() -> None:
    assert Caller(ANN, make_token()).can(Permission.RUN)
    assert not Caller(ANN, make_token(scopes=(Permission.READ,))).can(Permission.RUN)
    assert not Caller(ANN, make_token(scopes=(Permission.DECIDE,))).can(Permission.DECIDE)


def test_a_token_for_some_pipelines_reaches_nothing_else() -> None:
    caller = Caller(ANN, make_token(pipelines=("team-*",)))
    assert caller.is_limited
    caller.require(pipeline="team-a")
    for wrong in ({"pipeline": "other"}, {"repository": "team-a"}, {"pipeline": "", "repository": ""}):
        with pytest.raises(DeniedError, match="does not cover"):
            caller.require(**wrong)
    Caller(ANN, make_token()).require(pipeline="other")


def test_only_the_text_of_a_token_is_parsed_as_a_token() -> None:
    text = write_token("0123456789ab", SECRET)
    assert read_token(text) == ("0123456789ab", SECRET)
    assert make_token().is_of(SECRET)
    assert not make_token().is_of(SECRET[:-1] + "0")
    for wrong in ("", "dgt_", text[:-1], text + "\n", text.upper(), text.replace("dgt", "ghp")):
        assert read_token(wrong) is None


READER = Principal(
    "ada", (Role.VIEWER,), project_roles=(ProjectRole(Role.DEVELOPER, "team-a/*"), ProjectRole(Role.ADMIN, "lab"))
)
PROJECTS: dict[Permission | Role, RepositoryScope] = {
    Permission.RUN: RepositoryScope(("team-a/*", "lab"), frozenset({"Web"}), frozenset({"shop"})),
}


@pytest.mark.parametrize(
    ("permission", "repository", "pipeline", "expected"),
    [
        (Permission.READ, "", "", True),
        (Permission.READ, "team-b/app", "", True),
        (Permission.RUN, "", "", False),
        (Permission.RUN, "team-a/app", "", True),
        (Permission.RUN, "team-a", "", True),
        (Permission.RUN, "team-ab/app", "", False),
        (Permission.RUN, "team-b/team-a/app", "", False),
        (Permission.RUN, "", "Web", True),
        (Permission.RUN, "", "web", False),
        (Permission.RUN, "team-b/app", "Web", False),
        (Permission.ADMINISTER, "team-a/app", "", False),
        (Permission.ADMINISTER, "lab", "", False),
        (Permission.ADMINISTER, "lab/app", "", False),
    ],
)
def test_a_role_for_some_repositories_counts_there(
    permission: Permission, repository: str, pipeline: str, expected: bool
) -> None:
    caller = Caller(READER, None, projects=PROJECTS)
    assert caller.can(permission, repository=repository, pipeline=pipeline) == expected
    acting = replace(caller, permission=permission)
    assert acting.is_limited == (permission is not Permission.READ)
    if repository or pipeline:
        assert acting.can_reach(repository=repository, pipeline=pipeline) == expected


def test_a_role_for_some_repositories_never_administers() -> None:
    assert READER.list_patterns(Permission.RUN) == ("team-a/*", "lab")
    assert READER.list_patterns(Permission.ACCEPT) == ("lab",)
    assert not READER.can_somewhere(Permission.ADMINISTER)


def test_a_token_limits_a_role_for_some_repositories_further() -> None:
    token = Token("0123456789ab", "ada", "", "", "", repositories=("team-a/app", "team-b/*"))
    caller = Caller(READER, token, Permission.RUN, PROJECTS)
    assert caller.can_reach(repository="team-a/app")
    assert not caller.can_reach(repository="team-a/other")
    assert not caller.can_reach(repository="team-b/app")


def test_stored_limits_cover_the_repositories_that_the_caller_can_reach() -> None:
    limited_token = Token("0123456789ab", "ada", "", "", "", repositories=("team-a/app", "team-b/*", "shop"))
    pipeline_token = Token("0123456789ab", "ada", "", "", "", pipelines=("*",))
    scoped_token = Token("0123456789ab", "ada", "", "", "", scopes=(Permission.READ,))
    for token in (None, limited_token, pipeline_token, scoped_token):
        caller = Caller(READER, token, projects=PROJECTS)
        for permission in (Permission.READ, Permission.RUN):
            for name in ("team-a/app", "team-a", "team-b/app", "lab", "shop"):
                is_reached = caller.can(permission, repository=name)
                assert caller.get_limits(permission).has(name) == is_reached, (token, permission, name)
    assert Caller(READER).get_limits(Permission.READ) == ALL_REPOSITORIES
    assert Caller(replace(READER, disabled_at="now")).get_limits(Permission.READ) == RepositoryLimits(())


def test_a_disabled_principal_has_no_role_for_a_repository() -> None:
    assert not replace(READER, disabled_at="2026-01-01").can_somewhere(Permission.RUN)


@pytest.mark.parametrize("text", ["", "root", "developer:", "developer:Team", "developer:a b", "developer:../x", ":x"])
def test_nonsense_is_no_role(text: str) -> None:
    with pytest.raises(UsageError, match="not a role"):
        read_roles([text])


def test_roles_are_read_with_their_repositories() -> None:
    assert read_roles(["viewer", "developer:team-a/*", "viewer"]) == (
        (Role.VIEWER,),
        (ProjectRole(Role.DEVELOPER, "team-a/*"),),
    )


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({}, None),
        ({"scopes": (Permission.READ,)}, "may only read"),
        ({"repositories": ("web", "api")}, "works only for the repositories web, api"),
        (
            {"scopes": (Permission.READ, Permission.RUN), "repositories": ("web",), "pipelines": ("Web",)},
            "may only read and run and works only for the repositories web and the pipelines Web",
        ),
    ],
)
def test_a_token_says_what_it_is_limited_to(limits: dict[str, object], text: str | None) -> None:
    assert make_token(**limits).describe_limits() == text
    caller = Caller(Principal("ada", (Role.ADMIN,)), make_token(**limits))
    assert caller.can(Permission.ADMINISTER) == (text is None)
    assert caller.explain_token_limit(Permission.ADMINISTER) == text
    assert Caller(ANN, make_token(**limits)).explain_token_limit(Permission.ADMINISTER) is None
    if text:
        with pytest.raises(DeniedError, match=f"this token of ada {text}"):
            require_permission(caller, Permission.ADMINISTER)
