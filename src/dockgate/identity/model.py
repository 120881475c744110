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
    """What can be asked of the server."""

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
    """A person or a program with a name. `email` tells whose commits are its own ("" for nobody's). One that is
    disabled keeps its name for the record, and may nothing."""

    name: str
    roles: tuple[Role, ...]
    email: str = ""
    created_at: str = ""
    disabled_at: str = ""

    def may(self, permission: Permission) -> bool:
        return not self.disabled_at and any(permission in PERMISSIONS[role] for role in self.roles)


@dataclass(frozen=True, slots=True)
class Token:
    """What a principal shows to be known by, without its secret: `digest` is the secret's SHA-256 in hex.

    A fast hash is the right one here. The slow ones (scrypt, Argon2) make up for secrets that people choose, of which
    an attacker can try the likely ones; a secret of 256 random bits has no likely ones, and trying 2^255 of them is as
    hopeless at a billion a second as at ten.

    `scopes` are the permissions it lends of its principal's (empty: all of them, also those of later roles).
    `repositories` and `pipelines` are patterns ("team-*"); with either it reaches what they name, and nothing else.
    `last_used_at` is at most an hour behind.
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

    def stands(self, now: str) -> bool:
        return not self.revoked_at and now < self.expires_at

    def is_of(self, secret: str) -> bool:
        """Whether this is the token's secret, compared in constant time."""
        return hmac.compare_digest(digest(secret), self.digest)


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request: a principal, and its token (None on loopback while no principals exist)."""

    principal: Principal
    token: Token | None = None

    @property
    def name(self) -> str:
        return self.principal.name

    @property
    def limited(self) -> bool:
        """Whether the token reaches some repositories and pipelines only."""
        return self.token is not None and bool(self.token.repositories or self.token.pipelines)

    def may(self, permission: Permission) -> bool:
        lent = self.token is None or not self.token.scopes or permission in self.token.scopes
        return lent and self.principal.may(permission)

    def reaches(self, *, repository: str = "", pipeline: str = "") -> bool:
        """Whether the token is for one of these; "" names none."""
        if self.token is None or not self.limited:
            return True
        return (bool(repository) and any(fnmatchcase(repository, pattern) for pattern in self.token.repositories)) or (
            bool(pipeline) and any(fnmatchcase(pipeline, pattern) for pattern in self.token.pipelines)
        )

    def require(self, *, repository: str = "", pipeline: str = "") -> None:
        """DeniedError unless the token is for one of these."""
        if not self.reaches(repository=repository, pipeline=pipeline):
            what = f"the pipeline {pipeline}" if pipeline else f"the repository {repository}"
            raise DeniedError(
                f"this token of {self.name} is not for {what if pipeline or repository else 'this call'}",
                "Use a token without such limits: `dockgate token create`.",
            )


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A changing call: `who` asked by the token `token` (its id) for `call` ("POST /api/v1/apply") on `subject` (the
    path asked for). `status` is HTTP's of the answer, 0 while there is none: then the server ended before. `detail` is
    what a push changed, one line per reference: "refs/heads/main OLD -> NEW"."""

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
    """As a token keeps its secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def write_token(token_id: str, secret: str) -> str:
    """The text that its owner keeps. Scanners of repositories know it by its beginning:
    `dgt_[0-9a-f]{12}_[0-9a-f]{64}`."""
    return f"dgt_{token_id}_{secret}"


def read_token(text: str) -> tuple[str, str]:
    """Id and secret of a token's text; ("", "") for what is none."""
    match = re.fullmatch(r"dgt_([0-9a-f]{12})_([0-9a-f]{64})", text)
    return (match[1], match[2]) if match else ("", "")
