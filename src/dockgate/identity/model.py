"""Principals, their roles and permissions, tokens, and the audit log's entries."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from dockgate.shared.errors import DeniedError, RoleNeededError, UsageError
from dockgate.shared.wording import join_words

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
class ProjectRole:
    """A role for some repositories: git and image repositories whose names match the pattern ("team-a/*")."""

    role: Role
    repositories: str

    def __str__(self) -> str:
        return f"{self.role}:{self.repositories}"


@dataclass(frozen=True, slots=True)
class RepositoryScope:
    """A part of the server: repositories that match a pattern, their pipelines, and what these build.

    `team-a/*` matches `team-a`, too: the git repository beside the image repositories. `built_repositories` are the
    image repositories that these pipelines alone build, whatever they are called.
    """

    repositories: tuple[str, ...] = ()
    pipelines: frozenset[str] = frozenset()
    built_repositories: frozenset[str] = frozenset()

    def has_repository(self, name: str) -> bool:
        """Return whether the project covers the repository, by a pattern or because its pipelines build it."""
        return name in self.built_repositories or any(
            fnmatchcase(name, pattern) or (pattern.endswith("/*") and name == pattern.removesuffix("/*"))
            for pattern in self.repositories
        )

    def has(self, *, repository: str | None = None, pipeline: str | None = None) -> bool:
        """Return whether the repository, or without one the pipeline, is a part of it.

        Both are known of an approval, whose pipeline may be an external one that chose its name itself.
        """
        return self.has_repository(repository) if repository else bool(pipeline) and pipeline in self.pipelines


@dataclass(frozen=True, slots=True)
class RepositoryLimits:
    """The repositories for which a caller had a permission: those that its roles and its token reach.

    Both are patterns, "*" for all repositories.
    """

    roles: tuple[str, ...]
    token: tuple[str, ...] = ("*",)

    def has(self, repository: str) -> bool:
        """Return whether both the roles and the token reach the repository."""
        return RepositoryScope(self.roles).has_repository(repository) and any(
            fnmatchcase(repository, pattern) for pattern in self.token
        )


ALL_REPOSITORIES = RepositoryLimits(("*",))


@dataclass(frozen=True, slots=True)
class Principal:
    """A person or a program with a name.

    `roles` count everywhere, `project_roles` for some repositories. `email` says which commits are its own (None for
    none). A disabled principal stays on record without permissions.
    """

    name: str
    roles: tuple[Role, ...]
    email: str | None = None
    created_at: str | None = None
    disabled_at: str | None = None
    project_roles: tuple[ProjectRole, ...] = ()

    def can(self, permission: Permission) -> bool:
        """Return whether it has the permission everywhere."""
        return not self.disabled_at and any(permission in PERMISSIONS[role] for role in self.roles)

    def list_patterns(self, grant: Permission | Role) -> tuple[str, ...]:
        """Return the repositories for which project roles give the permission, or are the role.

        They never give *administer*: who defines pipelines could have them build into other repositories.
        """
        active = () if self.disabled_at or grant is Permission.ADMINISTER else self.project_roles
        return tuple(
            project_role.repositories
            for project_role in active
            if grant in (project_role.role, *PERMISSIONS[project_role.role])
        )

    def can_somewhere(self, permission: Permission) -> bool:
        """Return whether it has the permission everywhere, or for some repositories."""
        return self.can(permission) or bool(self.list_patterns(permission))


@dataclass(frozen=True, slots=True)
class Token:
    """A principal's credential, without its secret: `digest` is the secret's SHA-256 in hex.

    A fast hash is enough: slow ones (scrypt, Argon2) protect secrets that people choose and attackers can guess, while
    256 random bits cannot be guessed at any speed.

    `scopes` limit the principal's permissions (none: no limit, also for later roles). `repositories` and `pipelines`
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
    last_used_at: str | None = None
    revoked_at: str | None = None
    is_session: bool = False

    def is_valid(self, now: str) -> bool:
        """Return whether the token is neither revoked nor expired."""
        return not self.revoked_at and now < self.expires_at

    def is_of(self, secret: str) -> bool:
        """Return whether this is the token's secret, compared in constant time."""
        return hmac.compare_digest(hash_secret(secret), self.digest)

    def describe_limits(self) -> str | None:
        """Say what the token is limited to, after "this token"; None for a token without limits."""
        by_kind = {"repositories": self.repositories, "pipelines": self.pipelines}
        subjects = [f"the {kind} {', '.join(names)}" for kind, names in by_kind.items() if names]
        limits = [
            *([f"may only {' and '.join(self.scopes)}"] if self.scopes else ()),
            *([f"works only for {' and '.join(subjects)}"] if subjects else ()),
        ]
        return " and ".join(limits) or None


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


class DeliveryCounts(NamedTuple):
    """The number of pipeline versions, and that of git repositories: neither are deleted."""

    pipeline_versions: int
    repositories: int


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request: a principal, and its token (None on loopback while no principals exist).

    `permission` is the one that the request needs: `is_limited`, `can_reach` and `require` are about it. `projects`
    says where the principal has permissions and roles that it does not have everywhere. They follow from all pipelines
    and git repositories: `counts` says how many versions and names there were at authentication, None if unknown.
    """

    principal: Principal
    token: Token | None = None
    permission: Permission = Permission.READ
    projects: Mapping[Permission | Role, RepositoryScope] = field(default_factory=dict, hash=False)
    counts: DeliveryCounts | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The principal's name, for audit entries and messages."""
        return self.principal.name

    @property
    def is_limited(self) -> bool:
        """Return whether the token or the roles are for some repositories and pipelines only."""
        return self._has_limited_token or not self.principal.can(self.permission)

    @property
    def _has_limited_token(self) -> bool:
        return self.token is not None and bool(self.token.repositories or self.token.pipelines)

    def can(self, permission: Permission, *, repository: str | None = None, pipeline: str | None = None) -> bool:
        """Return whether the caller has the permission for this repository or pipeline.

        Without any: everywhere.
        """
        if not self._has_scope(permission):
            return False
        if not repository and not pipeline:
            return self.principal.can(permission) and not self._has_limited_token
        return replace(self, permission=permission).can_reach(repository=repository, pipeline=pipeline)

    def has_grant(self, grant: Permission | Role, repository: str) -> bool:
        """Return whether the principal has a permission or role for a repository, ignoring token limits."""
        has_everywhere = grant in self.principal.roles if isinstance(grant, Role) else self.principal.can(grant)
        return has_everywhere or self.projects.get(grant, RepositoryScope()).has_repository(repository)

    def can_somewhere(self, permission: Permission) -> bool:
        """Return whether the caller has the permission everywhere, or for some repositories."""
        return self._has_scope(permission) and self.principal.can_somewhere(permission)

    def explain_token_limit(self, permission: Permission) -> str | None:
        """Say what the token is limited to if only that keeps the caller from a permission; else None."""
        is_out_of_scope = self.principal.can_somewhere(permission) and not self.can_somewhere(permission)
        is_limited_here = self.principal.can(permission) and not self.can(permission)
        return self.token.describe_limits() if self.token and (is_out_of_scope or is_limited_here) else None

    def get_limits(self, permission: Permission) -> RepositoryLimits:
        """Return the repositories for which the caller has the permission, to be stored with what it does."""
        if not self._has_scope(permission):
            return RepositoryLimits(())
        built_repositories = sorted(self.projects.get(permission, RepositoryScope()).built_repositories)
        limited_roles = (*self.principal.list_patterns(permission), *built_repositories)
        roles = ("*",) if self.principal.can(permission) else limited_roles
        token = self.token.repositories if self.token is not None and self._has_limited_token else ("*",)
        return RepositoryLimits(roles, token)

    def _has_scope(self, permission: Permission) -> bool:
        return self.token is None or not self.token.scopes or permission in self.token.scopes

    def can_reach(self, *, repository: str | None = None, pipeline: str | None = None) -> bool:
        """Return whether token and roles are for one of these."""
        project = self.projects.get(self.permission, RepositoryScope())
        is_granted = self.principal.can(self.permission) or project.has(repository=repository, pipeline=pipeline)
        return is_granted and self._can_token_reach(repository, pipeline)

    def _can_token_reach(self, repository: str | None, pipeline: str | None) -> bool:
        if self.token is None or not self._has_limited_token:
            return True
        return any(fnmatchcase(repository, pattern) for pattern in self.token.repositories if repository) or any(
            fnmatchcase(pipeline, pattern) for pattern in self.token.pipelines if pipeline
        )

    def require(self, *, repository: str | None = None, pipeline: str | None = None) -> None:
        """Raise DeniedError unless token and roles are for one of these."""
        if self.can_reach(repository=repository, pipeline=pipeline):
            return
        subject = (
            f"the pipeline {pipeline}" if pipeline else f"the repository {repository}" if repository else "this call"
        )
        if not self._can_token_reach(repository, pipeline):
            raise DeniedError(
                f"this token of {self.name} does not cover {subject}",
                "Use a token without such limits: `dockgate token create`.",
            )
        extent = "there" if repository or pipeline else "for all repositories"
        raise RoleNeededError(
            f"the role of {self.name} does not cover {subject}",
            f"Ask an admin for the role {list_roles(self.permission)} {extent}: `dockgate principal roles`.",
        )


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A call that changed something.

    `who` made it with the token of the id `token`, None without one; `call` is "POST /api/v1/apply", `subject` the
    requested path. `status` is the HTTP status of the answer, None before it: the server may have ended
    before. `detail` has the changes of a push, one line per reference: "refs/heads/main OLD -> NEW". It is None if
    nothing describes the call.
    """

    id: str
    at: str
    who: str
    token: str | None
    call: str
    subject: str
    status: int | None = None
    detail: str | None = None


def list_roles(permission: Permission) -> str:
    """The roles that have a permission, as words: "developer or admin"."""
    return join_words([role for role in Role if permission in PERMISSIONS[role]])


def require_permission(caller: Caller, permission: Permission) -> None:
    """Raise DeniedError unless the caller has the permission: it names the roles, or the token's limit."""
    if not caller.can(permission):
        if limit := caller.explain_token_limit(permission):
            raise DeniedError(
                f"permission denied: this token of {caller.name} {limit}",
                f"Use a token of {caller.name} with the permission {permission}: `dockgate token create`.",
            )
        roles = list_roles(permission)
        raise RoleNeededError(
            f"permission denied: {caller.name} needs the permission {permission} (role {roles})",
            "Ask an admin for the role: `dockgate principal roles`.",
        )


# What a role can be limited to: names of repositories, with or without a registry, and * for any characters.
PATTERN = r"[a-z0-9*][a-z0-9.:_/*-]{0,199}"


def read_roles(texts: Iterable[str]) -> tuple[tuple[Role, ...], tuple[ProjectRole, ...]]:
    """Read roles: "developer", or "developer:team-a/*" for some repositories. Raises UsageError."""
    roles, project_roles = [], []
    for text in texts:
        name, colon, pattern = text.partition(":")
        if name not in list(Role) or (colon and not re.fullmatch(PATTERN, pattern)):
            raise UsageError(
                f"{text!r} is not a role",
                f"Roles: {', '.join(Role)}; for some repositories only: developer:team-a/*",
            )
        if colon:
            project_roles.append(ProjectRole(Role(name), pattern))
        else:
            roles.append(Role(name))
    return tuple(dict.fromkeys(roles)), tuple(dict.fromkeys(project_roles))


# The caller on loopback while no principals exist.
LOCAL = Principal("local", (Role.ADMIN,))
# How long the link is valid that adds the first administrator.
FIRST_ADMIN_LINK_MINUTES = 60


def hash_secret(secret: str) -> str:
    """Return the digest of a secret, as a token stores it."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def write_token(token_id: str, secret: str) -> str:
    """Return the token as its owner stores it.

    Secret scanners recognise the form `dgt_[0-9a-f]{12}_[0-9a-f]{64}`.
    """
    return f"dgt_{token_id}_{secret}"


def read_token(text: str) -> tuple[str, str] | None:
    """Id and secret of a token's text, None for other text."""
    match = re.fullmatch(r"dgt_([0-9a-f]{12})_([0-9a-f]{64})", text)
    return (match[1], match[2]) if match else None
