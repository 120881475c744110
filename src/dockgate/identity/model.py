"""Principals, their roles and permissions, tokens, and the audit log's entries."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from dockgate.shared.errors import DeniedError

# What a principal may be called: an e-mail address, too.
PRINCIPAL = r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}"


class Permission(StrEnum):
    """A permission of a caller."""

    # Look at anything but secrets.
    READ = "read"
    # Push commits, start and stop executions, ask for scans and approvals.
    RUN = "run"
    # Approve or reject what waits for a person.
    DECIDE = "decide"
    # Policies, waivers, VEX documents, overriding a rejection, and reading who did what.
    ACCEPT = "accept"
    # Principals and tokens, repositories, pipelines and services.
    ADMINISTER = "administer"


class Role(StrEnum):
    """A set of permissions that principals have."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    APPROVER = "approver"
    SECURITY = "security"
    ADMIN = "admin"


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.DEVELOPER: frozenset({Permission.READ, Permission.RUN}),
    Role.APPROVER: frozenset({Permission.READ, Permission.DECIDE}),
    Role.SECURITY: frozenset({Permission.READ, Permission.DECIDE, Permission.ACCEPT}),
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """A person or a program with a name.

    `email` says which commits are its own ("" for none). A disabled principal stays on record without permissions.
    """

    name: str
    roles: tuple[Role, ...]
    email: str = ""
    created_at: str = ""
    disabled_at: str = ""

    def may(self, permission: Permission) -> bool:
        return not self.disabled_at and any(permission in PERMISSIONS[role] for role in self.roles)


@dataclass(frozen=True, slots=True)
class Token:
    """A principal's credential, without its secret: `digest` is the secret's SHA-256 in hex.

    A fast hash is enough: slow ones (scrypt, Argon2) protect secrets that people choose and attackers can guess, while
    256 random bits cannot be guessed at any speed.

    `scopes` limit the principal's permissions (empty: no limit, also for later roles). `repositories` and `pipelines`
    are patterns ("team-*"); with either, the token works for the matching ones only. `last_used_at` may be up to an
    hour old. `is_session`: a sign-in by an identity provider made it, for one session; no one has its secret.
    """

    id: str
    principal: str
    digest: str
    created_at: str
    expires_at: str
    scopes: tuple[Permission, ...] = ()
    repositories: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    last_used_at: str = ""
    revoked_at: str = ""
    is_session: bool = False

    def is_valid(self, now: str) -> bool:
        """Whether the token is neither revoked nor expired."""
        return not self.revoked_at and now < self.expires_at

    def is_of(self, secret: str) -> bool:
        """Whether this is the token's secret, compared in constant time."""
        return hmac.compare_digest(digest(secret), self.digest)


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's session, without its secret: `digest` is the secret's SHA-256 in hex.

    It acts as the token that signed in: it ends with that, and has its limits. `seen_at` may be some minutes old.
    """

    digest: str
    token: str
    created_at: str
    seen_at: str
    ends_at: str
    ended_at: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request: a principal, and its token (None on loopback while no principals exist)."""

    principal: Principal
    token: Token | None = None

    @property
    def name(self) -> str:
        return self.principal.name

    @property
    def is_limited(self) -> bool:
        """Whether the token works for some repositories and pipelines only."""
        return self.token is not None and bool(self.token.repositories or self.token.pipelines)

    def may(self, permission: Permission) -> bool:
        lent = self.token is None or not self.token.scopes or permission in self.token.scopes
        return lent and self.principal.may(permission)

    def reaches(self, *, repository: str = "", pipeline: str = "") -> bool:
        """Whether the token is for one of these; "" names none."""
        if self.token is None or not self.is_limited:
            return True
        return (bool(repository) and any(fnmatchcase(repository, pattern) for pattern in self.token.repositories)) or (
            bool(pipeline) and any(fnmatchcase(pipeline, pattern) for pattern in self.token.pipelines)
        )

    def require(self, *, repository: str = "", pipeline: str = "") -> None:
        """Raise DeniedError unless the token is for one of these."""
        if not self.reaches(repository=repository, pipeline=pipeline):
            what = f"the pipeline {pipeline}" if pipeline else f"the repository {repository}"
            raise DeniedError(
                f"this token of {self.name} is not for {what if pipeline or repository else 'this call'}",
                "Use a token without such limits: `dockgate token create`.",
            )


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A call that changed something.

    `who` made it with the token of the id `token`; `call` is "POST /api/v1/apply", `subject` the requested path.
    `status` is the HTTP status of the answer, 0 if the server ended before there was one. `detail` has the changes of
    a push, one line per reference: "refs/heads/main OLD -> NEW".
    """

    id: str
    at: str
    who: str
    token: str
    call: str
    subject: str
    status: int = 0
    detail: str = ""


def require(who: Caller, permission: Permission) -> None:
    """Raise DeniedError, which names the sufficient roles, unless the caller has the permission."""
    if not who.may(permission):
        roles = " or ".join(role for role, permissions in PERMISSIONS.items() if permission in permissions)
        raise DeniedError(
            f"Permission denied: {who.name} needs the permission {permission} (role {roles}).",
            f"Ask an admin for the role, or use a token whose scopes include {permission}.",
        )


# The caller on loopback while no principals exist.
LOCAL = Principal("local", (Role.ADMIN,))


def digest(secret: str) -> str:
    """The digest of a secret, as a token stores it."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def write_token(token_id: str, secret: str) -> str:
    """The token as its owner stores it. Secret scanners recognise the form `dgt_[0-9a-f]{12}_[0-9a-f]{64}`."""
    return f"dgt_{token_id}_{secret}"


def read_token(text: str) -> tuple[str, str]:
    """Id and secret of a token's text; ("", "") for other text."""
    match = re.fullmatch(r"dgt_([0-9a-f]{12})_([0-9a-f]{64})", text)
    return (match[1], match[2]) if match else ("", "")
