"""What the notifiers of AWS share: a client made at first use, and AWS's errors in our words."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dockgate.events.ports import Notice
from dockgate.shared.errors import UnavailableError


class Lazy:
    """A client, made when it is first asked for."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None

    def __call__(self) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made


def detail(notice: Notice, limit: int) -> str:
    """The notice as JSON of at most `limit` bytes: what is too long loses its detail, then the end of its body."""
    whole = {"key": notice.key, "kind": notice.kind, "title": notice.title, "body": notice.body}
    for content in (
        {**whole, "detail": dict(notice.detail)},
        whole,
        {**whole, "title": notice.title[:500], "body": notice.body[:2000]},
    ):
        text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), default=str)
        if len(text) <= limit:
            break
    return text


@contextmanager
def told(doing: str) -> Iterator[None]:
    """UnavailableError for whatever AWS answers: a notice is kept, and tried again when permissions are mended too."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        raise UnavailableError(
            f"{doing}: {code}: {message}", "docs/how-to/aws-adapters.md lists the permissions that it needs."
        ) from None
    except BotoCoreError as error:
        raise UnavailableError(f"{doing}: {error}", "Can the server reach AWS?") from None
