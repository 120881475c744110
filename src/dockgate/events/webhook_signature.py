"""Signatures of webhooks (Standard Webhooks 1.0, "Webhook headers" and "Signature scheme": symmetric)."""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

from dockgate.shared.errors import UsageError

SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with
# How long a secret may be, by Standard Webhooks.
SECRET_BYTES = (24, 64)


def sign_headers(message_id: str, secret: str, body: str, now: datetime) -> dict[str, str]:
    """The headers of a message and its signature. The timestamp, whole seconds, is of this attempt."""
    timestamp = str(int(now.timestamp()))
    content = f"{message_id}.{timestamp}.{body}".encode()
    signature = base64.b64encode(hmac.new(parse_key(secret), content, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}


def parse_key(secret: str) -> bytes:
    """The bytes of a secret. Raises UsageError for an invalid one, without repeating it."""
    minimum, maximum = SECRET_BYTES
    try:
        data = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not secret.startswith(SECRET_PREFIX) or not minimum <= len(data) <= maximum:
        raise UsageError(
            "the callback's secret is not a secret of Standard Webhooks",
            f"Give {SECRET_PREFIX} and the base64 of {minimum} to {maximum} random bytes, or omit it: one is made.",
        )
    return data
