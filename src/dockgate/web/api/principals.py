"""Principals, their tokens, and the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal

from fastapi import Header
from pydantic import Field

from dockgate.identity.model import LOCAL, AuditEntry, Caller, Permission, Principal, ProjectRole, Role, Token
from dockgate.services.identity.first_admin import make_first_token_key
from dockgate.services.identity.people import TOKEN_DAYS
from dockgate.services.web_services import AccessServices
from dockgate.shared.errors import NotFoundError
from dockgate.store import Store
from dockgate.store.identity.audit import AuditFilter, AuditResult
from dockgate.web import api
from dockgate.web.audit_details import note_change
from dockgate.web.paging import Page, PageQuery, PagingDependency, make_page, read_page

router = api.make_router()

AuditSort = Literal["-at", "at"]
PrincipalSort = Literal["name", "-name", "-added", "added"]
TokenSort = Literal["-created", "created"]


# Entries of a list in a request: an error in each of them would be reported, and each call compares all patterns.
MAX_ENTRIES = 1000

RoleList = Annotated[list[Role], Field(max_length=MAX_ENTRIES)]
ProjectRoleList = Annotated[list[ProjectRole], Field(max_length=MAX_ENTRIES)]
PermissionList = Annotated[list[Permission], Field(max_length=MAX_ENTRIES)]
PatternList = Annotated[list[str], Field(max_length=MAX_ENTRIES)]


@dataclass(frozen=True, slots=True)
class NewPrincipal:
    """A principal to add."""

    name: str
    roles: RoleList
    email: str | None = None
    project_roles: ProjectRoleList = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AddedPrincipal:
    """`token` is the token of the first principal, shown once; null for others."""

    principal: Principal
    token: str | None


@dataclass(frozen=True, slots=True)
class Roles:
    """The new roles of a principal.

    `project_roles` are for some repositories, by a pattern such as "team-a/*".
    """

    roles: RoleList
    project_roles: ProjectRoleList = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NewToken:
    """`scopes` limit the permissions (none: all); `repositories` and `pipelines` are patterns."""

    principal: str
    days: float = TOKEN_DAYS
    scopes: PermissionList = field(default_factory=list)
    repositories: PatternList = field(default_factory=list)
    pipelines: PatternList = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token without its secret, and without the secret's digest.

    `last_used_at` may be up to an hour earlier than the last use. `is_session`: it is a sign-in's, not a program's.
    """

    id: str
    principal: str
    created_at: str
    expires_at: str
    scopes: tuple[Permission, ...]
    repositories: tuple[str, ...]
    pipelines: tuple[str, ...]
    last_used_at: str | None
    revoked_at: str | None
    is_session: bool


_make_token_view = api.make_view_maker(TokenView, Token)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """`text` is the token itself, shown only once."""

    token: TokenView
    text: str


@dataclass(frozen=True, slots=True)
class CallerView:
    """The caller and what it may do.

    `permissions` are those of the token, everywhere or for the repositories of `project_roles`.
    """

    name: str
    roles: tuple[Role, ...]
    project_roles: tuple[ProjectRole, ...]
    permissions: list[Permission]
    token: TokenView | None


@router.get("/caller")
@api.mark_self_checking
def get_caller(caller: api.ReadCaller) -> CallerView:
    """Get the caller and the permissions of its token."""
    return CallerView(
        caller.name,
        caller.principal.roles,
        caller.principal.project_roles,
        [permission for permission in Permission if caller.can_somewhere(permission)],
        _make_token_view(caller.token) if caller.token else None,
    )


@router.get("/principals")
def list_principals(
    caller: api.AdminCaller,
    store: api.StoreDependency,
    paging: PagingDependency,
    role: Role | None = None,
    sort: PrincipalSort = "name",
) -> list[Principal]:
    """List principals, a page at a time, optionally those with a role, for all or some repositories."""
    return paging.list_entries(read_principal_page(store, paging.make_query(sort), role))


def read_principal_page(store: Store, query: PageQuery, role: Role | None = None) -> Page[Principal]:
    """A page of the principals, optionally of those with a role."""
    principals = [
        principal
        for principal in store.principals.list()
        if role in (None, *principal.roles, *(entry.role for entry in principal.project_roles))
    ]
    keys = {
        "name": lambda principal: (principal.name.lower(), principal.name),
        "added": lambda principal: (principal.created_at or "", principal.name),
    }
    return make_page(principals, keys, query)


@router.post("/principals", status_code=201)
def add_principal(body: NewPrincipal, caller: api.AdminCaller, access: api.AccessDependency) -> AddedPrincipal:
    """Add a principal. The first must be an admin and gets a token; from then on every call needs one."""
    return add_principal_once(body, caller, access)


def add_principal_once(
    body: NewPrincipal, caller: Caller, access: AccessServices, form_key: str | None = None
) -> AddedPrincipal:
    """Add a principal. `form_key` is that of the form which asks for it, None without one."""
    principal, token = access.people.add(
        body.name,
        body.roles,
        body.email,
        body.project_roles,
        make_first_token_key(form_key),
        is_local=caller.principal is LOCAL,
    )
    note_change(f"{principal.name}: {_format_roles(principal)}")
    return AddedPrincipal(principal, token)


@router.post("/principals/{name}/roles")
def set_roles(
    name: str, body: Roles, caller: api.AdminCaller, store: api.StoreDependency, access: api.AccessDependency
) -> Principal:
    """Replace the roles of a principal."""
    former_roles = _format_roles(store.principals.get(name))
    principal = access.people.set_roles(name, body.roles, body.project_roles)
    note_change(f"{former_roles} -> {_format_roles(principal)}")
    return principal


@router.post("/principals/{name}/disable")
def disable_principal(name: str, caller: api.AdminCaller, access: api.AccessDependency) -> Principal:
    """Disable a principal. Its tokens stop working."""
    principal = access.people.disable(name)
    note_change(f"disabled: {_format_roles(principal)}")
    return principal


@router.post("/principals/{name}/enable")
def enable_principal(name: str, caller: api.AdminCaller, access: api.AccessDependency) -> Principal:
    """Enable a disabled principal."""
    principal = access.people.enable(name)
    note_change(f"enabled: {_format_roles(principal)}")
    return principal


@router.get("/tokens")
def list_tokens(
    caller: api.AdminCaller,
    store: api.StoreDependency,
    paging: PagingDependency,
    principal: str | None = None,
    sort: TokenSort = "-created",
) -> list[TokenView]:
    """List tokens by their time, a page at a time, optionally those of one principal."""
    return paging.list_entries(read_token_page(store, paging.make_query(sort), principal))


def read_token_page(store: Store, query: PageQuery, principal: str | None = None) -> Page[TokenView]:
    """A page of the tokens, optionally of those of one principal."""
    principal = principal or None

    def read(after: tuple[str] | None, limit: int, is_newest_first: bool) -> Sequence[TokenView]:
        tokens = store.tokens.list(principal, limit, after and after[0], is_newest_first=is_newest_first)
        return [_make_token_view(token) for token in tokens]

    return read_page(read, lambda token: (token.id,), (str,), query, partial(store.tokens.count, principal))


@router.post("/tokens", status_code=201)
def create_token(
    body: NewToken, caller: api.AdminCaller, access: api.AccessDependency, idempotency_key: str = Header("")
) -> IssuedToken:
    """Create a token. Only this response contains its text.

    The same Idempotency-Key creates one token, then 409.
    """
    if caller.principal is LOCAL:  # while there are no principals: one that comes now is of another caller
        raise NotFoundError(f"there is no principal {body.principal!r}", "`dockgate principal add` adds the first one.")
    key = f"{caller.name}/{idempotency_key}" if idempotency_key else ""
    token, text = access.people.issue(body.principal, body.days, body.scopes, body.repositories, body.pipelines, key)
    limits = ", ".join([*token.scopes, *token.repositories, *token.pipelines])
    note_change(f"{token.id} of {token.principal} until {token.expires_at}, limits: {limits or 'none'}")
    return IssuedToken(_make_token_view(token), text)


def _format_roles(principal: Principal) -> str:
    return ", ".join(map(str, [*principal.roles, *principal.project_roles])) or "no role"


@router.post("/tokens/{token_id}/revoke")
def revoke_token(token_id: str, caller: api.AdminCaller, access: api.AccessDependency) -> TokenView:
    """Revoke a token."""
    token = access.people.revoke(token_id)
    note_change(f"{token.id} of {token.principal} revoked")
    return _make_token_view(token)


@router.get("/audit")
def list_audit_entries(
    caller: api.AcceptCaller,
    store: api.StoreDependency,
    paging: PagingDependency,
    by: str | None = None,
    call: str | None = None,
    result: AuditResult | None = None,
    sort: AuditSort = "-at",
) -> list[AuditEntry]:
    """List changing calls by their time, a page at a time.

    Optionally those of one principal (`by`), one kind (`call`: "POST /api/v1/waivers"), or with one `result`: answers
    from 400 on are refusals.
    """
    return paging.list_entries(read_audit_page(store, paging.make_query(sort), AuditFilter(by, call, result)))


def read_audit_page(store: Store, query: PageQuery, audit_filter: AuditFilter) -> Page[AuditEntry]:
    """A page of the audit log."""

    def read(after: tuple[str] | None, limit: int, is_newest_first: bool) -> Sequence[AuditEntry]:
        return store.audit.list(audit_filter, limit, after and after[0], is_newest_first=is_newest_first)

    return read_page(read, lambda entry: (entry.id,), (str,), query, partial(store.audit.count, audit_filter))
