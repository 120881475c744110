"""Verify ID tokens (OpenID Connect Core 1.0, 3.1.3.7): signature, issuer, audience, times, nonce."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import ClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from dockgate.identity.openid.connection import ProviderConnection, format_error_code
from dockgate.shared.errors import DeniedError, UnavailableError

# Signatures that only the provider can make. With HMAC and `none` everyone who knows its public key could.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
KEY_TYPES = ("RSA", "EC", "OKP")
MAX_KEYS = 100
# How far the provider's clock may differ.
LEEWAY_SECONDS = 60


def fetch_keys(connection: ProviderConnection, jwks_uri: str) -> KeySet:
    """Fetch the provider's public keys for signatures; keys of other kinds are left out."""
    keys = connection.get_json(jwks_uri).get("keys")
    usable = []
    for key in keys[:MAX_KEYS] if isinstance(keys, list) else ():
        if isinstance(key, dict) and key.get("kty") in KEY_TYPES and key.get("use", "sig") == "sig":
            try:
                usable += KeySet.import_key_set({"keys": [key]}).keys
            except (JoseError, ValueError, TypeError, KeyError):
                continue  # a kind of key that is not supported here does not spoil the others
    if not usable:
        raise UnavailableError(f"the identity provider has no usable key at {jwks_uri}", "Check its configuration.")
    return KeySet(usable)


def verify_id_token(
    token: object,
    keys: Callable[[bool], KeySet],
    expected_values: Mapping[str, str],
    access_token: object,
    now: datetime,
) -> dict[str, Any]:
    """Return the claims of an ID token. `expected_values` has its `issuer`, `client_id` and `nonce`.

    `keys` returns the provider's keys, fetched again if its argument is true: for a token that names an unknown key.
    Raises DeniedError for a token that is not valid, or not for this sign-in.
    """
    if not isinstance(token, str) or not token.isascii():
        raise _make_denied_error("missing")
    try:
        try:
            decoded_token = _decode(token, keys(False))
        except InvalidKeyIdError:
            decoded_token = _decode(token, keys(True))
        options = {
            "iss": {"essential": True, "value": expected_values["issuer"]},
            "sub": {"essential": True},
            "aud": {"essential": True, "value": expected_values["client_id"]},
            "exp": {"essential": True},
        }
        parameters = {
            "nonce": expected_values["nonce"],
            "client_id": expected_values["client_id"],
            "access_token": access_token,
        }
        claims = CodeIDToken(decoded_token.claims, decoded_token.header, options, parameters)
        claims.validate(now=int(now.timestamp()), leeway=LEEWAY_SECONDS)
    except JoseError as error:
        reason = " ".join([error.error, *([format_error_code(error.claim)] if isinstance(error, ClaimError) else [])])
        raise _make_denied_error(f"not valid ({reason})") from error
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise _make_denied_error("malformed") from error
    return dict(decoded_token.claims)


def _decode(token: str, keys: KeySet) -> jwt.Token:
    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    return jwt.decode(token, keys, registry=registry)


def _make_denied_error(problem: str) -> DeniedError:
    return DeniedError(f"you are not signed in: the provider's ID token is {problem}", "Sign in again.")
