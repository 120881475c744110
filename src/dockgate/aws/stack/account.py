"""The account that a command works in: clients made on first use, and AWS's errors in our words."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from dockgate.aws.stack.permissions import ACTIONS
from dockgate.shared.errors import DeniedError, NotFoundError, UnavailableError, UsageError

Client = Callable[[str], Any]
"""a boto3 client by its service's name"""

_DENIED = ("403", "AccessDenied", "Unauthorized", "NotAuthorized")
"""beginnings of the codes that say that a permission is missing"""
_UNKNOWN = (
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)
_NAMED = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z0-9]+)")
"""the permission, where AWS's message names it"""
_LOG_IN = "Log in (`aws sso login`), or set AWS_PROFILE."


class Account:
    """`region` is where the stack lies. `client` is for tests and other ways to make clients."""

    def __init__(self, region: str = "", client: Client | None = None) -> None:
        self._given = client
        self._region = region
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._given(service) if self._given else self._session.client(service)
        return self._clients[service]

    @property
    def region(self) -> str:
        return str(self.client("cloudformation").meta.region_name)

    @property
    def partition(self) -> str:
        """ "aws", "aws-cn" or "aws-us-gov"."""
        return str(self.client("cloudformation").meta.partition)

    @cached_property
    def id(self) -> str:
        with told("asking who we are"):
            return str(self.client("sts").get_caller_identity()["Account"])

    @cached_property
    def _session(self) -> Any:
        with told("looking for credentials"):
            import boto3

            session = boto3.session.Session(region_name=self._region or None)
        if session.region_name is None:
            raise UsageError("No AWS region is set.", "Give --region, or set AWS_REGION.")
        return session


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Turns botocore's errors into ours, which say what was being done and what to do next."""
    try:
        from botocore import exceptions as boto
    except ImportError:
        raise UsageError("boto3 is not installed.", f"Install it: {sys.executable} -m pip install boto3") from None

    try:
        yield
    except boto.ClientError as error:
        raise _refused(doing, error) from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.TokenRetrievalError, boto.SSOError) as error:
        raise DeniedError(f"{doing}: no AWS credentials that can be used: {error}", _LOG_IN) from None
    except (boto.ProfileNotFound, boto.InvalidRegionError) as error:
        raise UsageError(f"{doing}: {error}", "Check AWS_PROFILE, AWS_REGION and --region.") from None
    except boto.BotoCoreError as error:
        raise UnavailableError(f"{doing}: {error}", "Check the network and the region, and try again.") from None


def _refused(doing: str, error: Any) -> Exception:
    code, message = str(error.response["Error"]["Code"]), str(error.response["Error"].get("Message", ""))
    text = f"{doing}: {error.operation_name} was refused: {code}: {message}"
    if code in _UNKNOWN:
        return DeniedError(text, _LOG_IN)
    if code.startswith(_DENIED):
        named = _NAMED.search(message)
        needed = named[1] if named else ACTIONS.get(error.operation_name, error.operation_name)
        return DeniedError(
            text, f"It needs the permission {needed}; docs/how-to/aws.md lists all that deploying needs."
        )
    if "NotFound" in code or code.startswith(("404", "NoSuch")) or "does not exist" in message:
        return NotFoundError(text, "Check the name and the region.")
    return UnavailableError(text, "Fix what it names, and run the command again: it continues where it stopped.")
