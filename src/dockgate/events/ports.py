"""The interfaces of events: webhooks, notifications of pushes, targets and queues.

The docstrings promise behaviour, and the contract suites in `tests/contracts` hold every implementation to them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dockgate.events.model import Message, Target, TargetType


class Webhooks(Protocol):
    """A sender of answers to callback URLs."""

    def check(self, url: str) -> None:
        """Raise UsageError for a URL that can never be called, whatever its host's address."""
        ...

    def call(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Post the body, and return when the receiver has accepted it (2xx).

        Follows no redirect; time and memory are bounded. Raises UnavailableError for a failure that may be retried,
        MessageRefusedError for a URL that can never be called, ReceiverGoneError for HTTP 410.
        """
        ...


@dataclass(frozen=True, slots=True)
class RegistryPush:
    """A push that a registry reports.

    `id` identifies the notification, also when it is sent again. What the registry does not report is None: `id`, one
    of `tag` and `digest`, or `registry`, its host. `by` is the subject of the token that pushed, None if
    unknown; only our own registry can be trusted with it. `at` is when it happened, in RFC 3339, from senders that may
    deliver out of order; None from others.
    """

    id: str | None
    repository: str
    tag: str | None
    digest: str | None
    registry: str | None = None
    by: str | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class RegistryDeletion:
    """An image that a registry reports as deleted, by its digest.

    `registry` is its host, None if not reported. With `tag`, it may have lost this tag alone.
    """

    repository: str
    digest: str
    registry: str | None = None
    tag: str | None = None


class PushNotificationFormat(Protocol):
    """A format of notifications about pushes and deletions."""

    # Part of the URL that a registry posts to.
    name: str

    def read(self, body: Any) -> Iterable[RegistryPush | RegistryDeletion]:
        """The pushes and deletions of images in the body (decoded JSON); other events give none.

        Raises AttributeError, LookupError, TypeError or ValueError for a body of another format.
        """
        ...


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message of a queue. `id` identifies the message, `receipt` this delivery of it."""

    id: str
    body: str
    receipt: str


class Queue(Protocol):
    """A queue that other systems put messages in.

    A received message is hidden for a while and delivered again unless it was deleted. The queue moves a message away
    that was delivered too often. Methods raise UnavailableError when the queue does not answer.
    """

    # Shown in messages.
    name: str

    def receive(self) -> Sequence[QueueMessage]:
        """Some messages, in any order, possibly repeated. Waits for the first one (20 s at most)."""
        ...

    def delete(self, message: QueueMessage) -> None:
        """Remove a handled message. Does nothing if it no longer exists."""
        ...

    def release(self, message: QueueMessage) -> None:
        """Make a received message visible at once. It must be neither deleted nor released."""
        ...


class TargetAdapter(Protocol):
    """A sender of messages to targets of one type."""

    type: TargetType

    def check(self, target: Target, secrets: Mapping[str, str]) -> None:
        """Raise UsageError for a target that nothing can ever be sent to. Sends nothing."""
        ...

    def send(self, target: Target, secrets: Mapping[str, str], message: Message) -> None:
        """Send a message, and return when the target has accepted it.

        After a crash a target may get the same message again: its key is the same. Time and memory are bounded. No
        error has a secret in its text. The class says what happens next:

        - UnavailableError: the message is sent again for a day. After some in a row, the target gets fewer messages.
        - MessageRefusedError: this message becomes a dead letter, and the next one is sent.
        - ReceiverGoneError: this message and all later ones become dead letters until the target is applied or tested
          again. Raise it only if the receiver says that it accepts nothing more.
        """
        ...
