"""The account that a command works in: clients made on first use, and AWS's errors in our words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from dockgate.core.errors import DeniedError, NotFoundError, UnavailableError, UsageError

Client = Callable[[str], Any]
"""a boto3 client by its service's name"""

_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "ExpiredToken", "InvalidClientTokenId")


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

    @cached_property
    def id(self) -> str:
        with told("asking who we are"):
            return str(self.client("sts").get_caller_identity()["Account"])

    @cached_property
    def _session(self) -> Any:
        try:
            import boto3
        except ImportError:
            raise UsageError("boto3 is not installed.", "Install it: pip install 'dockgate[aws]'") from None
        session = boto3.session.Session(region_name=self._region or None)
        if session.region_name is None:
            raise UsageError("No AWS region is set.", "Give --region, or set AWS_REGION.")
        return session


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Turns botocore's errors into ours, which say what was being done and what to do next."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError:
        raise DeniedError(
            f"{doing}: no AWS credentials were found.", "Log in (`aws sso login`), or set AWS_PROFILE."
        ) from None
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        text = f"{doing}: {error.operation_name} was refused: {code}: {message}"
        if code in _DENIED or code.startswith("AccessDenied"):
            raise DeniedError(text, "docs/aws.md lists the permissions that a deployer needs.") from None
        if "NotFound" in code or "does not exist" in message:
            raise NotFoundError(text, "Check the name and the region.") from None
        raise UnavailableError(
            text, "Mend what it names, and run the command again: it goes on where it ended."
        ) from None
    except BotoCoreError as error:
        raise UnavailableError(f"{doing}: {error}", "Check the network and the region, and try again.") from None
