"""The AWS account of a command: clients, made at first use, and AWS's errors as ours."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

from dockgate.aws.stack.permissions import ACTIONS
from dockgate.shared.aws import AwsFailure, FailureKind, translate_aws_errors
from dockgate.shared.errors import DeniedError, DockgateError, NotFoundError, UnavailableError, UsageError

# Makes a boto3 client by its service's name.
Client = Callable[[str], Any]

# Prefixes of the codes for a missing permission.
_DENIED_CODES = ("403", "AccessDenied", "Unauthorized", "NotAuthorized")
_UNKNOWN_CALLER_CODES = (
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)
# The permission, where AWS's message names it.
_NAMED_PERMISSION = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z0-9]+)")
_LOG_IN = "Log in (`aws sso login`), or set AWS_PROFILE."


class Account:
    """An account and a region. `client` is for tests and other ways to make clients."""

    def __init__(self, region: str | None = None, client: Client | None = None) -> None:
        self._client_factory = client
        self._region = region
        self._clients: dict[str, Any] = {}

    def get_client(self, service: str) -> Any:
        """Return the boto3 client of a service, made at its first use."""
        if service not in self._clients:
            self._clients[service] = (
                self._client_factory(service) if self._client_factory else self._session.client(service)
            )
        return self._clients[service]

    @property
    def region(self) -> str:
        """The name of the region, as boto3 found it."""
        return str(self.get_client("cloudformation").meta.region_name)

    @property
    def partition(self) -> str:
        """ "aws", "aws-cn" or "aws-us-gov"."""
        return str(self.get_client("cloudformation").meta.partition)

    @cached_property
    def id(self) -> str:
        """The number of the account, twelve digits."""
        with explain_errors("asking who we are"):
            return str(self.get_client("sts").get_caller_identity()["Account"])

    @cached_property
    def _session(self) -> Any:
        with explain_errors("looking for credentials"):
            import boto3

            session = boto3.session.Session(region_name=self._region or None)
        if session.region_name is None:
            raise UsageError("no AWS region is set", "Pass --region, or set AWS_REGION.")
        return session


def explain_errors(action: str) -> AbstractContextManager[None]:
    """Raise our errors for botocore's, with the failed operation and the next step."""
    return translate_aws_errors(action, _classify)


def _classify(failure: AwsFailure) -> DockgateError:
    if failure.kind is FailureKind.CREDENTIALS:
        return DeniedError(failure.text, _LOG_IN)
    if failure.kind is FailureKind.SETTINGS:
        return UsageError(failure.text, "Check AWS_PROFILE, AWS_REGION and --region.")
    if failure.kind is FailureKind.CONNECTION:
        return UnavailableError(failure.text, "Check the network and the region, and try again.")
    code, operation, message = failure.code or "", failure.operation or "", failure.message
    if code in _UNKNOWN_CALLER_CODES:
        return DeniedError(failure.text, _LOG_IN)
    if code.startswith(_DENIED_CODES):
        match = _NAMED_PERMISSION.search(message)
        needed_action = match[1] if match else ACTIONS.get(operation, operation)
        return DeniedError(
            failure.text, f"It needs the permission {needed_action}; docs/how-to/aws.md lists all permissions."
        )
    if "NotFound" in code or code.startswith(("404", "NoSuch")) or "does not exist" in message:
        return NotFoundError(failure.text, "Check the name and the region.")
    return UnavailableError(failure.text, "Fix the cause, and run the command again: it continues where it stopped.")
