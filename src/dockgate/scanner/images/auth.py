"""Authenticate to registries: Basic, and Bearer tokens.

Source: distribution spec, "Token Authentication Specification". Docker's OAuth2 variant is used where `login` left an
identity token rather than a password.
"""

import base64
import json
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from urllib.parse import urlencode, urlsplit

from dockgate.scanner.images.credentials import Credentials, find_credentials
from dockgate.scanner.images.transport import Transport
from dockgate.scanner.registry_reference import RegistryReference
from dockgate.shared.destinations import require_destination
from dockgate.shared.errors import DeniedError, UnavailableError

_CLIENT = "dockgate"
# Bytes of a token server's answer.
_TOKEN_LIMIT = 2**20


class Authorizer:
    """The Authorization header for one repository. May be used from several threads.

    `actions`: "pull" or "pull,push".
    """

    def __init__(
        self,
        transport: Transport,
        registry: str,
        repository: str,
        credentials: Callable[[], Credentials | None],
        actions: str = "pull",
    ) -> None:
        self._transport = transport
        self._registry = registry
        self._scope = f"repository:{repository}:{actions}"
        self._find = credentials
        self._lock = threading.Lock()
        self._header: str | None = None

    def make_headers(self) -> dict[str, str]:
        """Return the headers to send: none until the registry requires them."""
        header = self._header
        return {"Authorization": header} if header else {}

    def make_headers_for(self, repository: str) -> dict[str, str]:
        """Return headers for another repository of the same registry: the same ones."""
        return self.make_headers()

    def answer(self, challenges: Sequence[str], sent_headers: dict[str, str]) -> bool:
        """Answer a 401.

        Returns whether `make_headers` now returns others than `sent_headers`, so that a retry makes sense. Raises
        DeniedError.
        """
        with self._lock:
            if self.make_headers() != sent_headers:
                return True
            header = self._respond(challenges)
            has_changed = header is not None and header != self._header
            self._header = header
            return has_changed

    def _respond(self, challenges: Sequence[str]) -> str | None:
        credentials = self._find()
        for challenge in challenges:
            scheme, _, challenge_text = challenge.strip().partition(" ")
            if scheme.lower() == "bearer":
                parameters = dict(re.findall(r'(\w+)="([^"]*)"', challenge_text))
                return f"Bearer {self._request_token(parameters, credentials)}"
        if credentials and any(challenge.strip().lower().startswith("basic") for challenge in challenges):
            return _encode_basic(credentials)
        return None

    def _request_token(self, challenge: dict[str, str], credentials: Credentials | None) -> str:
        realm, service = challenge.get("realm", ""), challenge.get("service", "")
        self._check(realm)
        query = {"service": service, "scope": self._scope} if service else {"scope": self._scope}
        if credentials and credentials.identity_token:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": credentials.identity_token}
            ask = partial(self._transport.get, realm, {}, {**query, **form})
        else:
            headers = {"Authorization": _encode_basic(credentials)} if credentials else {}
            glue = "&" if urlsplit(realm).query else "?"
            ask = partial(self._transport.get, f"{realm}{glue}{urlencode(query)}", headers)
        response, data = self._transport.fetch(ask, _TOKEN_LIMIT)
        host = urlsplit(realm).hostname
        if response.status_code in (400, 401, 403):
            raise make_denied_error(self._registry, f"its token server {host} refuses the credentials")
        if response.status_code != 200:
            raise UnavailableError(
                f"the token server {host} of {self._registry} answers {response.status_code}", "Try again later."
            )
        try:
            answer = json.loads(data)
            token = answer.get("token") or answer.get("access_token")
        except (ValueError, AttributeError, RecursionError):
            token = None
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise UnavailableError(
                f"the token server {host} of {self._registry} gives no token", "Check the registry's token server."
            )
        return token

    def _check(self, realm: str) -> None:
        """Refuse a token server that is not safe: credentials are sent to the URL that the registry names."""
        parts = urlsplit(realm)
        is_secure = parts.scheme == "https" or (parts.scheme == "http" and not self._transport.is_secure)
        if not is_secure or not parts.hostname or parts.username or parts.fragment:
            raise UnavailableError(
                f"{self._registry} asks for a token from {realm!r}, which is not a safe address",
                "Its configuration has to name an https URL as realm.",
            )
        require_destination(self._registry, realm)


# Address of a registry -> function of repository and actions that issues a token, as for our own registry.
Issuers = Mapping[str, Callable[[str, str], str]]


class IssuedAuthorizer:
    """An `Authorizer` for a registry whose tokens this process issues."""

    def __init__(self, issue: Callable[[str, str], str], repository: str, actions: str = "pull") -> None:
        self._issue = issue
        self._repository = repository
        self._actions = actions
        self._lock = threading.Lock()
        self._header: str | None = None

    def make_headers(self) -> dict[str, str]:
        """Return the header with the current token, issued at the first use."""
        with self._lock:
            if not self._header:
                self._header = self._issue_header()
            return {"Authorization": self._header}

    def answer(self, challenges: Sequence[str], sent_headers: dict[str, str]) -> bool:
        """Answer a 401: the token has expired, or its key was replaced."""
        with self._lock:
            if {"Authorization": self._header} == sent_headers:
                self._header = self._issue_header()
            return True

    def make_headers_for(self, repository: str) -> dict[str, str]:
        """Headers that read another repository of the same registry."""
        return {"Authorization": f"Bearer {self._issue(repository, 'pull')}"}

    def _issue_header(self) -> str:
        return f"Bearer {self._issue(self._repository, self._actions)}"


def create_authorizer(
    transport: Transport, reference: RegistryReference, issuers: Issuers | None, actions: str = "pull"
) -> Authorizer | IssuedAuthorizer:
    """Return an authorizer by an issuer's tokens, or by the credentials that this user has stored."""
    registry, repository = reference.registry, reference.repository
    if issuers and registry in issuers:
        return IssuedAuthorizer(issuers[registry], repository, actions)
    find = cache(partial(find_credentials, registry, repository, os.environ))
    return Authorizer(transport, registry, repository, find, actions)


def make_denied_error(registry: str, reason: str) -> DeniedError:
    """Return the error for a registry that refuses access."""
    return DeniedError(
        f"the registry {registry} denies access: {reason}",
        f"Check the name, or log in with `podman login {registry}` or `docker login {registry}`.",
    )


def _encode_basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
