"""Sign in by an identity provider: its groups decide the roles, each time a person signs in."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dockgate.identity.model import Caller, Principal, read_roles
from dockgate.identity.ports import IdentityProvider
from dockgate.identity.sign_in import GroupRole, Identity, SignInRequest, find_roles
from dockgate.services.clock import ServerClock
from dockgate.services.identity.people import EMAIL, require_name
from dockgate.services.identity.sessions import Sessions
from dockgate.services.images.name_search import read_own_pattern
from dockgate.shared.errors import DeniedError, UsageError
from dockgate.store import Store

# Where the provider sends browsers back to, on this server.
RETURN_PATH = "/signin/provider/return"
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class ProviderSignIn:
    """The sign-in by `provider`. `mapping` says which of its groups have which roles."""

    provider: IdentityProvider
    mapping: Sequence[GroupRole]
    store: Store
    sessions: Sessions
    clock: ServerClock

    def begin(self) -> tuple[str, SignInRequest]:
        """Return the provider's page to go to, and what the browser must bring back. Raises UnavailableError."""
        request = SignInRequest(*(secrets.token_urlsafe(32) for _ in range(3)))
        return self.provider.build_sign_in_url(request), request

    def finish(self, request: SignInRequest, state: str, code: str, issuer: str | None) -> tuple[str, Caller]:
        """Return the secret of a new session and its caller.

        `state`, `code` and `issuer` are from the provider's answer. Raises DeniedError for an answer to another request
        and for people without a role, ConflictError for an answer that was used, UnavailableError.
        """
        if not secrets.compare_digest(state.encode(errors="replace"), request.state.encode(errors="replace")):
            raise make_other_browser_error()
        identity = self.provider.redeem(request, code, issuer)
        principal = self._record_principal(identity)
        secret = self.sessions.start_for_principal(principal.name, request.state)
        return secret, self.sessions.authenticate(secret)

    def _record_principal(self, identity: Identity) -> Principal:
        try:
            require_name(identity.name)
        except UsageError as error:
            raise DeniedError(f"you are not signed in: {error}", "Ask an admin of the identity provider.") from error
        roles, project_roles = find_roles(self.mapping, identity.groups)
        if not roles and not project_roles:
            self.store.principals.withdraw(identity.issuer, identity.subject)
            raise DeniedError(
                f"{identity.name} has no access: no group of yours has a role on this server",
                "Ask an admin for membership in a group of DOCKGATE_OIDC_ROLES, then sign in again.",
            )
        email = identity.email if identity.email and EMAIL.fullmatch(identity.email) else None
        new_principal = Principal(identity.name, roles, email, self.clock.now(), project_roles=project_roles)
        principal = self.store.principals.sign_in(identity.issuer, identity.subject, new_principal)
        if principal.disabled_at:
            raise DeniedError(f"{principal.name} is disabled", "Ask an admin: `dockgate principal enable`.")
        return principal


def make_other_browser_error() -> DeniedError:
    """Return the refusal of an answer to a sign-in that this browser did not begin, or not lately."""
    return DeniedError(
        "you are not signed in: this browser did not begin this sign-in, or took too long",
        "Sign in again, at the address of DOCKGATE_PUBLIC_URL.",
    )


def read_request(fields: Sequence[object]) -> SignInRequest | None:
    """The request of these fields, None if a browser sends others."""
    texts = [field for field in fields if isinstance(field, str) and _SECRET.fullmatch(field)]
    return SignInRequest(*texts) if len(texts) == len(fields) == 3 else None


def read_mapping(roles: Sequence[tuple[str, str]], registry_names: Sequence[str]) -> tuple[GroupRole, ...]:
    """The mapping of the settings, without our own registry in patterns.

    Raises UsageError for an unknown role.
    """
    mapping: list[GroupRole] = []
    for group, text in roles:
        try:
            everywhere, project_roles = read_roles([text])
            own_patterns = [read_own_pattern(role.repositories, registry_names) for role in project_roles]
        except UsageError as error:
            raise UsageError(f"DOCKGATE_OIDC_ROLES, group {group!r}: {error}", error.advice) from None
        mapping += [GroupRole(group, role) for role in everywhere]
        mapping += [
            GroupRole(group, replace(role, repositories=pattern))
            for role, pattern in zip(project_roles, own_patterns, strict=True)
        ]
    return tuple(mapping)
