"""Request tokens for Amazon ECR with the AWS credentials of this process (boto3's default chain).

A token is valid for a whole registry and twelve hours (ECR API, "GetAuthorizationToken"). It is kept in memory and
renewed before it expires.
"""

import base64
import binascii
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from dockgate.shared.aws import AwsFailure, EcrRegistry, FailureKind, classify_denied, translate_aws_errors
from dockgate.shared.errors import DeniedError, DockgateError, UnavailableError, UsageError

# Renew a token so long before its end: a transfer that uses it must finish in this time.
_RENEW_BEFORE = timedelta(minutes=30)


def _classify(failure: AwsFailure) -> DockgateError | None:
    if failure.kind is FailureKind.REFUSED:
        return DeniedError(failure.text, "It needs the permission ecr:GetAuthorizationToken.")
    return classify_denied(failure)


class EcrTokens:
    """Credentials of ECR registries, by registry. May be used from several threads.

    `client` makes an ECR client for a region.
    """

    def __init__(self, client: Callable[[str], Any], clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._ecr_client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, str, datetime]] = {}

    def get(self, registry: str) -> tuple[str, str] | None:
        """Return user name and password for a registry; None for one that is not of ECR.

        Raises UsageError without boto3, DeniedError when AWS gives no token, UnavailableError when it does not answer.
        """
        ecr = EcrRegistry.parse(registry)
        if ecr is None:
            return None
        with self._lock:
            cached_token = self._tokens.get(registry)
            if cached_token is None or self._clock() > cached_token[2] - _RENEW_BEFORE:
                cached_token = self._tokens[registry] = self._request_token(registry, ecr.region)
            return cached_token[0], cached_token[1]

    def _request_token(self, registry: str, region: str) -> tuple[str, str, datetime]:
        client = self._ecr_client(region)
        action = f"requesting a token for {registry}"
        with translate_aws_errors(action, _classify):
            response = client.get_authorization_token()
        try:
            answer = response["authorizationData"][0]
            username, colon, password = base64.b64decode(answer["authorizationToken"]).decode().partition(":")
        except (LookupError, TypeError, binascii.Error, ValueError):
            colon = ""
        if not colon:
            raise UnavailableError(f"{action}: the answer has no token", "Try again.") from None
        return username, password, answer["expiresAt"]


def _create_client(region: str) -> Any:
    try:
        import boto3
    except ImportError:
        raise UsageError("boto3 is not installed", f"Install it: {sys.executable} -m pip install boto3") from None
    return boto3.client("ecr", region_name=region)


# The tokens of this process.
ECR_TOKENS = EcrTokens(_create_client)
