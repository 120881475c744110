"""The metadata of an identity provider (OpenID Connect Discovery 1.0), as far as it is used."""

from dataclasses import dataclass

from dockgate.identity.openid.connection import ProviderConnection, is_safe_url
from dockgate.shared.errors import UnavailableError

# The provider's methods by which a client proves its identity, in the order of preference.
CLIENT_METHODS = ("client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """Endpoints of a provider.

    `has_issuer_parameter`: its answers to the browser have the parameter `iss` (RFC 9207).
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    client_method: str
    has_issuer_parameter: bool


def fetch_metadata(connection: ProviderConnection, issuer: str) -> ProviderMetadata:
    """Fetch the metadata of an issuer. Raises UnavailableError if it is another's, or not safe to use."""
    document = connection.get_json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if document.get("issuer") != issuer:
        raise _make_unusable_error(
            f"its issuer is not {issuer}", "Set DOCKGATE_OIDC_ISSUER to exactly what the provider names."
        )
    can_be_plain = issuer.startswith("http:")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not is_safe_url(document.get(name), can_be_plain=can_be_plain):
            raise _make_unusable_error(f"its {name} is missing or not over TLS")
    userinfo = document.get("userinfo_endpoint")
    if userinfo is not None and not is_safe_url(userinfo, can_be_plain=can_be_plain):
        raise _make_unusable_error("its userinfo_endpoint is not over TLS")
    challenges = document.get("code_challenge_methods_supported")
    if isinstance(challenges, list) and "S256" not in challenges:
        raise _make_unusable_error("it does not support PKCE with S256")
    methods = document.get("token_endpoint_auth_methods_supported")
    supported_methods = [name for name in CLIENT_METHODS if not isinstance(methods, list) or name in methods]
    return ProviderMetadata(
        issuer,
        document["authorization_endpoint"],
        document["token_endpoint"],
        document["jwks_uri"],
        userinfo,
        (*supported_methods, *CLIENT_METHODS)[0],
        document.get("authorization_response_iss_parameter_supported") is True,
    )


def _make_unusable_error(problem: str, advice: str = "Check DOCKGATE_OIDC_ISSUER on the server.") -> UnavailableError:
    return UnavailableError(f"the identity provider cannot be used: {problem}", advice)
