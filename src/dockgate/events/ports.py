"""The interfaces of events: webhooks, notifications of pushes, notifiers and queues.

The comments promise behaviour, and the contract suites in `tests/contracts` hold every implementation to them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Webhooks(Protocol):
    """Tells those who gave a callback."""

    def check(self, url: str) -> None:
        """UsageError for a URL that is never called, whatever its host's address."""
        ...

    def call(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Posts the body, and returns when the receiver has taken it (2xx). Follows no redirect, and ends in bounded
        time and memory. UnavailableError when it failed and may be tried again, DeniedError when that is of no use."""
        ...


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push that a registry tells of. `id` is the notification's, the same when it comes again ("" for none). One of
    `digest` and `tag` may be "", where the registry does not say it, and `registry`, its host, too. `by` is the
    subject of the token that pushed, "" where it is not known; only our own registry is to be believed there."""

    id: str
    repository: str
    tag: str
    digest: str
    registry: str = ""
    by: str = ""


class Pushes(Protocol):
    """A form in which registries tell of pushes."""

    # Part of the URL that a registry posts to.
    name: str

    def read(self, body: Any) -> Iterable[Pushed]:
        """The pushes of images that the body (decoded JSON) tells of; other events give none. AttributeError,
        LookupError, TypeError or ValueError when it is no such notification."""
        ...


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell people. `key` is unique to what happened: a notifier may be handed the same notice again, after
    a crash, and whoever gets it twice knows it by its key."""

    key: str
    kind: str
    title: str
    body: str
    detail: Mapping[str, Any]


class Notifier(Protocol):
    # The same after a restart: undelivered notifications are stored under it.
    name: str

    def notify(self, notice: Notice) -> None:
        """Raises UnavailableError when it could not be handed on. After that, and after any other error, it is handed
        over again, less and less often, for a day."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a queue. `id` is the message's own, `receipt` names this receiving of it."""

    id: str
    body: str
    receipt: str


class Queue(Protocol):
    """Where others put messages for us. What is received is hidden for a while, and comes again unless it was deleted
    by then; what came too often is set aside by the queue itself. UnavailableError when it does not answer."""

    # Shown in messages.
    name: str

    def receive(self) -> Sequence[Message]:
        """Some messages, in no order, and any of them perhaps again. Waits a moment for the first (20 s at most)."""
        ...

    def delete(self, message: Message) -> None:
        """It is dealt with. Does nothing when it is gone."""
        ...

    def release(self, message: Message) -> None:
        """It comes again at once. For one that is received, and neither deleted nor released."""
        ...
