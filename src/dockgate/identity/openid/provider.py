"""An identity provider of OpenID Connect: the authorization code flow with PKCE."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.client import OAuth2Client

from dockgate.config import OidcSettings
from dockgate.identity.openid.cached import CachedValue
from dockgate.identity.openid.connection import ProviderConnection, format_error_code
from dockgate.identity.openid.id_token import fetch_keys, verify_id_token
from dockgate.identity.openid.metadata import fetch_metadata
from dockgate.identity.ports import IdentityProvider
from dockgate.identity.sign_in import Identity, SignInRequest
from dockgate.shared.errors import DeniedError, UnavailableError, UsageError
from dockgate.shared.interfaces import override

METADATA_SECONDS = 3600
# A key that the provider withdrew counts no longer than this.
KEYS_SECONDS = 300
# Unknown keys make the server fetch them at most this often.
RENEW_SECONDS = 30
MAX_SUBJECT = 255


class OpenIdProvider(IdentityProvider):
    """The provider of the settings. `return_url` is where it sends browsers back to."""

    def __init__(
        self,
        settings: OidcSettings,
        return_url: str,
        clock: Callable[[], datetime],
        connection: ProviderConnection,
    ) -> None:
        self._settings = settings
        self._return_url = return_url
        self._clock = clock
        self._connection = connection
        self._metadata = CachedValue(
            lambda: fetch_metadata(connection, settings.issuer), clock, METADATA_SECONDS, RENEW_SECONDS
        )
        self._keys = CachedValue(
            lambda: fetch_keys(connection, self._metadata.get().jwks_uri), clock, KEYS_SECONDS, RENEW_SECONDS
        )

    @override
    def build_sign_in_url(self, request: SignInRequest) -> str:
        endpoint = self._metadata.get().authorization_endpoint
        url, _ = self._create_client().create_authorization_url(
            endpoint, state=request.state, code_verifier=request.verifier, nonce=request.nonce
        )
        return str(url)

    @override
    def redeem(self, request: SignInRequest, code: str, issuer: str | None) -> Identity:
        metadata = self._metadata.get()
        if issuer != metadata.issuer and (issuer is not None or metadata.has_issuer_parameter):
            raise DeniedError("you are not signed in: the answer is of another identity provider", "Sign in again.")
        tokens = self._request_tokens(metadata.token_endpoint, request, code)
        access_token = tokens.get("access_token")
        expected_values = {
            "issuer": metadata.issuer,
            "client_id": self._settings.client_id,
            "nonce": request.nonce,
        }
        claims = verify_id_token(
            tokens.get("id_token"),
            lambda is_again: self._keys.renew() if is_again else self._keys.get(),
            expected_values,
            access_token,
            self._clock(),
        )
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
            raise DeniedError("you are not signed in: the ID token has no usable subject", "Sign in again.")
        if self._settings.groups_claim not in claims and metadata.userinfo_endpoint and isinstance(access_token, str):
            userinfo = self._fetch_userinfo(metadata.userinfo_endpoint, access_token, subject)
            # The address and whether it is verified come from one document.
            (userinfo if "email" in claims else claims).pop("email_verified", None)
            claims = userinfo | claims
        return _build_identity(claims, metadata.issuer, self._settings)

    def _request_tokens(self, endpoint: str, request: SignInRequest, code: str) -> Mapping[str, Any]:
        try:
            tokens: Mapping[str, Any] = self._create_client().fetch_token(
                endpoint, grant_type="authorization_code", code=code, code_verifier=request.verifier,
                redirect_uri=self._return_url,
            )  # fmt: skip
        except OAuth2Error as error:
            reason = format_error_code(error.error)
            raise DeniedError(
                f"you are not signed in: the provider refuses the code ({reason})", "Sign in again."
            ) from error
        except (httpx.HTTPError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UnavailableError(
                "the identity provider's token endpoint does not answer as expected", "Retry in a minute."
            ) from error
        return tokens

    def _fetch_userinfo(self, endpoint: str, access_token: str, subject: str) -> dict[str, Any]:
        """Return the claims that are not in the ID token. They must be of the same person (5.3.2)."""
        claims = self._connection.get_json(endpoint, {"Authorization": f"Bearer {access_token}"})
        if claims.get("sub") != subject:
            raise DeniedError("you are not signed in: the provider described another person", "Sign in again.")
        return claims

    def _create_client(self) -> OAuth2Client:
        secret = read_client_secret(self._settings)
        return OAuth2Client(
            self._connection,
            client_id=self._settings.client_id,
            client_secret=secret,
            token_endpoint_auth_method=self._metadata.get().client_method if secret else "none",
            scope=" ".join(self._settings.scopes),
            redirect_uri=self._return_url,
            code_challenge_method="S256",
        )


def read_client_secret(settings: OidcSettings) -> str | None:
    """Return the client's secret, read from its file each time: it can be replaced while the server runs."""
    if settings.client_secret_file is None:
        return settings.client_secret
    try:
        return settings.client_secret_file.read_text().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(
            f"the client secret {settings.client_secret_file} cannot be read: {reason}",
            "Set DOCKGATE_OIDC_CLIENT_SECRET_FILE on the server.",
        ) from error


def make_provider(
    settings: OidcSettings, return_url: str, clock: Callable[[], datetime], ca_bundle: Path | None
) -> OpenIdProvider:
    """Return the provider of the settings, over the network."""
    read_client_secret(settings)  # a missing file is reported at the start
    return OpenIdProvider(settings, return_url, clock, ProviderConnection(ca_bundle))


def _build_identity(claims: Mapping[str, Any], issuer: str, settings: OidcSettings) -> Identity:
    email = claims.get("email")
    verified_email = email if isinstance(email, str) and email and claims.get("email_verified") is True else None
    name = verified_email if settings.name_claim == "email" else claims.get(settings.name_claim)
    if not isinstance(name, str) or not name:
        missing_claim = "no verified e-mail address" if settings.name_claim == "email" else f"no {settings.name_claim}"
        raise DeniedError(
            f"you are not signed in: the provider gives {missing_claim} for you",
            "Ask an admin: DOCKGATE_OIDC_NAME_CLAIM chooses the claim that names people.",
        )
    groups = claims.get(settings.groups_claim)
    if isinstance(groups, str):
        groups = [groups]
    members = [group for group in groups if isinstance(group, str)] if isinstance(groups, list) else []
    return Identity(issuer, claims["sub"], name, verified_email, members)
