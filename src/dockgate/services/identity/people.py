"""Create principals and tokens, and authenticate requests.

A person who can write the server's tables gets a token without having one (break-glass access).
"""

import re
import secrets
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from dockgate.config import Settings
from dockgate.delivery.ports import Clock
from dockgate.delivery.projects import make_project
from dockgate.identity.model import (
    LOCAL,
    PRINCIPAL,
    AuditEntry,
    Caller,
    Permission,
    Principal,
    ProjectRole,
    Role,
    Token,
    hash_secret,
    read_roles,
    read_token,
    write_token,
)
from dockgate.services.images.name_search import read_own_pattern
from dockgate.shared.errors import ConflictError, NotFoundError, TokenIssuedError, UnknownCallerError, UsageError
from dockgate.shared.timestamps import format_time
from dockgate.store import Store, open_store

TOKEN_DAYS = 90
MOST_TOKEN_DAYS = 366
# How old `last_used_at` may be: not every use of a token is a write.
USED_SECONDS = 3600
# Names in the records that are not principals.
RESERVED_NAMES = ("local", "policy", "timeout", "unknown")

_NO_DIGEST = "0" * 64
EMAIL = re.compile(r"[^\s<>@]{1,64}@[^\s<>@]{1,190}")
# How the audit trail names `issue_local_token`, with the statuses of the API's call that does the same.
LOCAL_CALL = "dockgate token create --local"


@dataclass(frozen=True, slots=True)
class People:
    """Principals and their tokens. `registry_names` are those of our own registry."""

    store: Store
    clock: Clock
    registry_names: Sequence[str]

    def authenticate(self, text: str) -> Caller:
        """Return the caller with this token.

        UnknownCallerError, the same one, for a token that is unknown, wrong, expired or revoked, and for a disabled
        principal: guessing reveals nothing.
        """
        parts = read_token(text)
        record = self.store.tokens.find(parts[0]) if parts else None
        now = self._compute_time_in(0)
        token, principal, counts = record or (Token("", "", _NO_DIGEST, "", ""), Principal("", ()), None)
        is_owner = token.is_of(parts[1] if parts else "")
        if not is_owner or not token.is_valid(now) or token.is_session or principal.disabled_at:
            raise UnknownCallerError(
                "that token is not valid",
                "Set DOCKGATE_TOKEN to a valid token: an admin makes one with `dockgate token create`.",
            )
        if token.last_used_at is None or token.last_used_at < self._compute_time_in(-USED_SECONDS):
            self.store.tokens.mark_used(token.id, now)
        return Caller(principal, token, counts=counts)

    def authenticate_local(self, is_local: bool) -> Caller:
        """Return LOCAL for a local request without a token, while there are no principals.

        UnknownCallerError otherwise.
        """
        if not is_local or self.store.principals.has_any():
            raise _make_unknown_caller_error()
        return Caller(LOCAL)

    def add(
        self,
        name: str,
        roles: Sequence[Role],
        email: str | None,
        project_roles: Sequence[ProjectRole] = (),
        key: str | None = None,
        *,
        is_local: bool = False,
    ) -> tuple[Principal, str | None]:
        """Add a principal.

        Return it and, for the first one, which must be an admin, a token's text (None otherwise). The token's id
        follows from the `key`, as that of `issue`. A local caller (`is_local`) adds the first one alone:
        UnknownCallerError if another was faster.
        """
        _require_description(name, email)
        own_roles = self._read_project_roles(name, roles, project_roles)
        principal = Principal(
            name, tuple(dict.fromkeys(roles)), email or None, self._compute_time_in(0), project_roles=own_roles
        )
        if self.store.principals.has_any():
            if is_local:
                raise _make_unknown_caller_error()
            self.store.principals.add(principal)
            return principal, None
        if not principal.can(Permission.ADMINISTER):
            raise UsageError(
                "the first principal must be an admin: from then on every call needs a token",
                f"dockgate principal add {name} --role admin",
            )
        try:
            return principal, self._add_first(principal, key)
        except ConflictError:
            if is_local:
                raise _make_unknown_caller_error() from None
            raise

    def add_first(self, name: str, email: str | None, key: str | None = None) -> str:
        """Add the first principal, an admin, and return a token's text. ConflictError if a principal exists."""
        _require_description(name, email)
        return self._add_first(Principal(name, (Role.ADMIN,), email or None, self._compute_time_in(0)), key)

    def _add_first(self, principal: Principal, key: str | None) -> str:
        token, text = self._make_token(principal.name, TOKEN_DAYS, make_token_id(key) if key else None)
        self.store.principals.add_first(principal, token)
        return text

    def set_roles(self, name: str, roles: Sequence[Role], project_roles: Sequence[ProjectRole] = ()) -> Principal:
        """Replace all roles of a principal. UsageError, NotFoundError; ConflictError for the last admin."""
        own_roles = self._read_project_roles(name, roles, project_roles)
        return self.store.principals.set_roles(name, tuple(dict.fromkeys(roles)), own_roles)

    def _read_project_roles(
        self, name: str, roles: Sequence[Role], project_roles: Sequence[ProjectRole]
    ) -> tuple[ProjectRole, ...]:
        """The roles for some repositories, without our own registry in their patterns. UsageError for no role."""
        if not roles and not project_roles:
            raise UsageError(f"{name} needs a role", f"Roles: {', '.join(Role)}.")
        own_roles = [replace(role, repositories=self._read_pattern(role.repositories)) for role in project_roles]
        read_roles(map(str, own_roles))  # checks the patterns
        return tuple(dict.fromkeys(own_roles))

    def _read_pattern(self, pattern: str) -> str:
        """A pattern of repositories without our own registry and blanks around it."""
        return read_own_pattern(pattern.strip(), self.registry_names)

    def add_projects(self, caller: Caller) -> Caller:
        """The caller with the projects of its roles: their pipelines, and what these build."""
        limited_grants = {
            grant: patterns for grant in (*Permission, *Role) if (patterns := caller.principal.list_patterns(grant))
        }
        if not limited_grants:
            return caller
        versions, names = caller.counts or (None, None)
        pipelines, git_repositories = self.store.pipelines.list_all(versions), self.store.repositories.list_names(names)
        projects = {
            patterns: make_project(patterns, pipelines, git_repositories) for patterns in set(limited_grants.values())
        }
        return replace(caller, projects={grant: projects[patterns] for grant, patterns in limited_grants.items()})

    def issue(
        self,
        principal: str,
        days: float,
        scopes: Sequence[Permission] = (),
        repositories: Sequence[str] = (),
        pipelines: Sequence[str] = (),
        key: str | None = None,
    ) -> tuple[Token, str]:
        """Issue a token. Return it and its text, which cannot be read again.

        A `key` issues one token: ConflictError when it has. Patterns are stored without blanks around them, and
        those of repositories without our own registry.
        """
        owner = self.store.principals.get(principal)
        if not 0 < days <= MOST_TOKEN_DAYS:
            raise UsageError(
                f"{days:g} days is no lifetime of a token", f"Use more than 0 and at most {MOST_TOKEN_DAYS} days."
            )
        missing_scopes = [scope for scope in scopes if not owner.can_somewhere(scope)]
        if missing_scopes:
            raise UsageError(
                f"{principal} does not have the permission {missing_scopes[0]}, so a token cannot have it",
                "Give them the role first: `dockgate principal roles`.",
            )
        if owner.disabled_at:
            raise UsageError(f"{principal} is disabled", f"dockgate principal enable {principal}")
        if not all(map(str.strip, (*repositories, *pipelines))):
            raise UsageError("a pattern of the token is empty", "Leave it out, or write a name, which may contain *.")
        token, text = self._make_token(principal, days, make_token_id(key) if key else None)
        token = replace(
            token,
            scopes=tuple(dict.fromkeys(scopes)),
            repositories=tuple(dict.fromkeys(map(self._read_pattern, repositories))),
            pipelines=tuple(dict.fromkeys(map(str.strip, pipelines))),
        )
        try:
            self.store.tokens.add(token)
        except ConflictError:
            raise TokenIssuedError(
                f"this request created the token {token.id} already, and its text was shown then",
                "If its text is lost, revoke it and create another.",
                token_id=token.id,
            ) from None
        return token, text

    def disable(self, name: str) -> Principal:
        """Disable a principal, whose tokens stop working, and return it."""
        return self.store.principals.disable(name, self._compute_time_in(0))

    def enable(self, name: str) -> Principal:
        """Enable a disabled principal, and return it."""
        return self.store.principals.enable(name)

    def revoke(self, token_id: str) -> Token:
        """Revoke a token, and return it. NotFoundError for one that does not exist."""
        return self.store.tokens.revoke(token_id, self._compute_time_in(0))

    def _make_token(self, principal: str, days: float, token_id: str | None = None) -> tuple[Token, str]:
        token_id, secret = token_id or secrets.token_hex(6), secrets.token_hex(32)
        token = Token(
            token_id, principal, hash_secret(secret), self._compute_time_in(0), self._compute_time_in(days * 86400)
        )
        return token, write_token(token_id, secret)

    def _compute_time_in(self, seconds: float) -> str:
        """The time so many seconds from now, as text."""
        return format_time(self.clock() + timedelta(seconds=seconds))


def make_token_id(key: str) -> str:
    """The id of the token that a request with this key creates."""
    return hash_secret(key)[:12]


def _make_unknown_caller_error() -> UnknownCallerError:
    return UnknownCallerError(
        "authentication required", "Set DOCKGATE_TOKEN: an admin makes a token with `dockgate token create`."
    )


def _require_description(name: str, email: str | None) -> None:
    require_name(name)
    if email and not EMAIL.fullmatch(email):
        raise UsageError(f"{email!r} is not an e-mail address", "Use the address in the person's commits.")


def require_name(name: str) -> None:
    """Raise UsageError unless a principal can have this name."""
    if not re.fullmatch(PRINCIPAL, name) or name.lower() in RESERVED_NAMES:
        raise UsageError(
            f"{name!r} cannot be a principal's name",
            "Use up to 100 letters, digits and . _ - + @, and begin with a letter or digit. Reserved: "
            f"{', '.join(RESERVED_NAMES)}.",
        )


def issue_local_token(
    settings: Settings,
    principal: str,
    days: float,
    scopes: Sequence[Permission] = (),
    repositories: Sequence[str] = (),
    pipelines: Sequence[str] = (),
) -> tuple[Token, str]:
    """Issue a token as `People.issue` does, for operators who lost every admin token (break-glass access).

    They must be able to read and write the server's tables. The server may be running. The audit trail records it.

    Raises NotFoundError without tables, and for an unknown principal, listing the admins.
    """
    if not settings.database_url and not (settings.shared_data / "dockgate.db").exists():
        raise NotFoundError(
            f"no server has stored data in {settings.shared_data}",
            "Set DOCKGATE_DATA or DOCKGATE_DATABASE_URL to the server's value.",
        )
    with closing(open_store(settings.shared_data, settings.database_url)) as store:
        principals = {existing.name: existing for existing in store.principals.list()}
        if principal not in principals:
            admins = (
                name
                for name, existing in principals.items()
                if existing.can(Permission.ADMINISTER) and not existing.disabled_at
            )
            names = ", ".join(admins)
            advice = f"Who may administer: {names}." if names else "dockgate principal add NAME --role admin"
            raise NotFoundError(f"there is no principal {principal!r}", advice)
        people = People(store, lambda: datetime.now(UTC), settings.registry_names)
        entry = AuditEntry(uuid.uuid4().hex, format_time(people.clock()), LOCAL.name, None, LOCAL_CALL, principal)
        store.audit.begin(entry)
        try:
            token_and_text = people.issue(principal, days, scopes, repositories, pipelines)
        except UsageError:
            store.audit.finish(entry.id, HTTPStatus.BAD_REQUEST)
            raise
        store.audit.finish(entry.id, HTTPStatus.CREATED)
        return token_and_text
