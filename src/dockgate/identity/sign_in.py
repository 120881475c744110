"""Sign-in by an identity provider: its secrets, the person, and the roles of their groups."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dockgate.identity.model import ProjectRole, Role


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """The secrets of one sign-in. They stay in the browser that began it.

    `state` proves that the answer belongs to this browser, `nonce` that the ID token was made for this sign-in, and
    `verifier` that the code is redeemed by the server that requested it (PKCE, RFC 7636).
    """

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as their identity provider describes them.

    `issuer` and `subject` identify them, `name` may change. `email` is None unless the provider has verified it.
    """

    issuer: str
    subject: str
    name: str
    email: str | None
    groups: Sequence[str]


@dataclass(frozen=True, slots=True)
class GroupRole:
    """A role that the members of a provider's group have, everywhere or for some repositories."""

    group: str
    role: Role | ProjectRole


def find_roles(
    mapping: Sequence[GroupRole], groups: Collection[str]
) -> tuple[tuple[Role, ...], tuple[ProjectRole, ...]]:
    """The roles of a member of these groups, in the order of the mapping; none if no group is mapped."""
    roles = list(dict.fromkeys(entry.role for entry in mapping if entry.group in groups))
    return (
        tuple(role for role in roles if isinstance(role, Role)),
        tuple(role for role in roles if isinstance(role, ProjectRole)),
    )
