"""Clients, ARNs and errors of boto3, which is imported when it is first needed."""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from dockgate.shared.errors import DeniedError, DockgateError, UnavailableError, UsageError

# Makes a boto3 client for a service and a region; None is the region that boto3 finds.
Client = Callable[[str, str | None], Any]

BUS = r"events:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):event-bus/(?P<name>.+)"
TOPIC = r"sns:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>[A-Za-z0-9_.-]+)"
QUEUE = r"sqs:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>[A-Za-z0-9_-]{1,80}(?:\.fifo)?)"

_KINDS = {BUS: "an EventBridge bus", TOPIC: "an SNS topic", QUEUE: "an SQS queue"}

# ECR's user guide, "Private registry": "dkr-ecr" and "on.aws" over IPv6.
_ECR_HOST = re.compile(
    r"(?P<account>\d{12})\.(?:dkr\.ecr(?:-fips)?\.(?P<old>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"
    r"|dkr-ecr(?:-fips)?\.(?P<new>[a-z0-9-]+)\.on\.aws)"
)

PERMISSIONS_ADVICE = "docs/how-to/aws-adapters.md lists the permissions that it needs."
_CONNECTION_ADVICE = "Check the AWS credentials, the region and the network."
_DENIED_CODES = ("AccessDenied", "UnrecognizedClient", "ExpiredToken", "InvalidClientTokenId")


def parse_arn(setting: str, text: str, form: str) -> re.Match[str]:
    """`region`, `account` and `name` of an ARN of this form. Raises UsageError naming the setting."""
    match = re.fullmatch(rf"arn:aws[a-z-]*:{form}", text)
    if not match:
        raise UsageError(
            f"{setting} is {text!r}: it must be the ARN of {_KINDS[form]}", "Copy the ARN from AWS's console."
        )
    return match


class EcrRegistry(NamedTuple):
    """A private registry of Amazon ECR: that of an account in a region."""

    account: str
    region: str

    @classmethod
    def parse(cls, host: str) -> "EcrRegistry | None":
        """Read the name of its host. None for other registries."""
        match = _ECR_HOST.fullmatch(host)
        return cls(match["account"], match["old"] or match["new"]) if match else None

    @property
    def host(self) -> str:
        """The usual name of its host."""
        china = ".cn" if self.region.startswith("cn-") else ""
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com{china}"


def load_boto3() -> Client:
    """Return a maker of clients. Raises UsageError without boto3."""
    try:
        import boto3
    except ImportError:
        raise _make_missing_boto3_error() from None
    return lambda service, region: boto3.client(service, region_name=region)


class LazyClient:
    """A boto3 client that is made at its first use. May be called by several threads."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._client: Any = None
        self._lock = threading.Lock()

    def __call__(self) -> Any:
        """The client, the same at every call."""
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client


class RegionalClients:
    """boto3 clients by service and region. Threads may share a client, but only one may be made at a time."""

    def __init__(self, client: Client | None = None) -> None:
        self._make = client
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def __call__(self, service: str, region: str) -> Any:
        """The client of a service ("ecr") in a region, the same at every call."""
        with self._lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = (self._make or load_boto3())(service, region)
            return self._clients[service, region]


class FailureKind(Enum):
    """The reason why a call of AWS failed."""

    REFUSED = "AWS answered with an error"
    CREDENTIALS = "no usable credentials"
    SETTINGS = "an unknown profile or region"
    CONNECTION = "AWS did not answer"


@dataclass(frozen=True, slots=True)
class AwsFailure:
    """A failed call with its message. `operation` and `code` are None unless AWS refused the call."""

    kind: FailureKind
    text: str
    message: str
    operation: str | None = None
    code: str | None = None

    @property
    def is_denied(self) -> bool:
        """Return whether credentials or a permission are missing."""
        return self.kind is FailureKind.CREDENTIALS or (self.code or "").startswith(_DENIED_CODES)


# The error to raise for a failure, None for an UnavailableError.
Classify = Callable[[AwsFailure], DockgateError | None]


@contextmanager
def translate_aws_errors(
    action: str, classify: Classify = lambda failure: None, secret: str | None = None
) -> Iterator[None]:
    """Raise our errors for botocore's: what `classify` returns, else UnavailableError.

    By default every failure may be retried, since permissions may be granted meanwhile. The message begins with
    `action` ("reading the bucket x"); a `secret` is removed from it.
    """
    try:
        from botocore import exceptions as boto
    except ImportError:
        raise _make_missing_boto3_error() from None
    try:
        yield
    except (boto.ClientError, boto.BotoCoreError) as error:
        failure = _make_failure(action, error, secret)
        advice = PERMISSIONS_ADVICE if failure.kind is FailureKind.REFUSED else _CONNECTION_ADVICE
        raise classify(failure) or UnavailableError(failure.text, advice) from None


def classify_denied(failure: AwsFailure) -> DockgateError | None:
    """Return a DeniedError if credentials or permissions are missing, else None."""
    if failure.kind is FailureKind.CREDENTIALS:
        return DeniedError(failure.text, "Give this process a role, or set AWS_PROFILE.")
    return DeniedError(failure.text, PERMISSIONS_ADVICE) if failure.is_denied else None


def find_error_code(error: Exception) -> str | None:
    """Return the code with which AWS refused a call, None for other errors."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(code) if code else None


def _make_failure(action: str, error: Any, secret: str | None) -> AwsFailure:
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        code, message = find_error_code(error), str(error.response["Error"].get("Message", ""))
        message = message.replace(secret, "…") if secret else message
        text = f"{action}: {error.operation_name}: {code or ''}: {message}"
        return AwsFailure(FailureKind.REFUSED, text, message, error.operation_name, code)
    kind = FailureKind.CONNECTION
    if isinstance(
        error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.TokenRetrievalError | boto.SSOError
    ):
        kind = FailureKind.CREDENTIALS
    elif isinstance(error, boto.ProfileNotFound | boto.InvalidRegionError):
        kind = FailureKind.SETTINGS
    reason = f"no usable AWS credentials: {error}" if kind is FailureKind.CREDENTIALS else str(error)
    return AwsFailure(kind, f"{action}: {reason}", str(error))


def _make_missing_boto3_error() -> UsageError:
    return UsageError("boto3 is not installed", f"Install it: {sys.executable} -m pip install boto3")
