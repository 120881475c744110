"""Access to our own registry: tokens for clients, logins for programs, rotation of the key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import (
    PULL,
    PUSH,
    SERVER,
    SERVICE,
    TOKEN_SECONDS,
    Access,
    Login,
    PushRules,
    grant,
    parse_scopes,
)
from dockgate.identity.model import Caller
from dockgate.services.registry.push_permits import PushPermits
from dockgate.shared.errors import UsageError
from dockgate.store import Store


@dataclass(frozen=True, slots=True)
class GrantedToken:
    """The token endpoint's answer ("Token Authentication Specification"): `expires_in` is in seconds."""

    token: str
    access_token: str
    expires_in: int


class RegistryAccess:
    """Access to our registry: who may do what.

    `patterns` open repositories for pushes by principals. `trust` makes the registry trust the present certificate, if
    it does not yet.
    """

    def __init__(
        self, tokens: RegistryTokens, patterns: Sequence[str] = (), trust: Callable[[], None] = lambda: None
    ) -> None:
        self.tokens = tokens
        self._patterns = tuple(patterns)
        self._trust = trust

    def grant_token(
        self, caller: Caller | Login, service: str, scopes: Sequence[str], store: Store, permits: PushPermits
    ) -> tuple[GrantedToken, tuple[Access, ...]]:
        """Return a token for what the caller may do of what it asks for, and what that is.

        It may be nothing: the registry then refuses the request. UsageError for another service than our registry,
        BusyError for a push while images are removed.
        """
        if service != SERVICE:
            raise UsageError(
                f"this server issues tokens for the service {SERVICE}, not for {service[:100]!r}",
                "Ask the token server that the registry names in its challenge.",
            )
        access = grant(caller, parse_scopes(scopes), PushRules(self._patterns, store.pipelines.is_built))
        if any(PUSH in entry.actions for entry in access):
            permits.require()
        subject = caller.subject if isinstance(caller, Login) else caller.name
        token = self.tokens.issue_token(subject, access)
        return GrantedToken(token, token, TOKEN_SECONDS), access

    def rotate(self) -> None:
        """Replace the signing key: every token and login ends at once. The registry is away for a moment."""
        self.tokens.rotate()
        self._trust()

    def follow_rotation(self) -> None:
        """Let the registry trust the key with which another server has replaced the shared one.

        Called repeatedly.
        """
        self._trust()

    def make_login(self, repository: str) -> tuple[str, str]:
        """User name and password that pull from one repository."""
        return self.tokens.issue_login(Login(SERVER, repository, (PULL,)))
