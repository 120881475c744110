"""Who asks and who decides: principals, their roles, and what each role may do."""

from dataclasses import dataclass
from enum import StrEnum


class Permission(StrEnum):
    """What can be asked of the server."""

    READ = "read"
    """look at anything but secrets"""
    RUN = "run"
    """push commits, start and stop executions, ask for scans and approvals"""
    DECIDE = "decide"
    """approve or reject what waits for a person"""
    ACCEPT = "accept"
    """policies, waivers, VEX documents, and overriding a rejection"""
    ADMINISTER = "administer"
    """principals and tokens, repositories, pipelines and services"""


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
    """A person or a program with a name. `email` tells whose commits are its own ("" for nobody's)."""

    name: str
    roles: tuple[Role, ...]
    email: str = ""

    def may(self, permission: Permission) -> bool:
        return any(permission in PERMISSIONS[role] for role in self.roles)


LOCAL = Principal("local", (Role.ADMIN,))
"""whoever asks on loopback while no principals exist"""
