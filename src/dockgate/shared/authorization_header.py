"""The secret in an Authorization header."""

import base64
import binascii


def find_bearer_token(header: str) -> str | None:
    """Return the bearer token in the value of an Authorization header (RFC 6750), None for another scheme."""
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def find_secret(header: str) -> str | None:
    """Return the bearer token or the password in the value of an Authorization header.

    RFC 6750 and RFC 7617. None for another scheme, and for a password that cannot be decoded.
    """
    token = find_bearer_token(header)
    if token is not None:
        return token
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
