"""A server listens to queues: nothing is lost, nothing done twice, and nothing waited for at the end."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tests.fakes.queue import MemoryQueue
from tests.parts import Faults, wait_until

from dockgate.bootstrap.adapters import make_pollers
from dockgate.config import from_environment
from dockgate.server.polling import Poller
from dockgate.shared.errors import UnavailableError, UsageError
from dockgate.shared.retry import RetrySchedule


class Taken:
    """What was taken; `errors` are raised first, each once."""

    def __init__(self, *errors: Exception) -> None:
        self.bodies: list[str] = []
        self.errors = list(errors)

    def __call__(self, body: str) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.bodies.append(body)


@pytest.fixture
def poll(request: pytest.FixtureRequest) -> Callable[..., Poller]:
    def start_poller(queue: MemoryQueue, take: Callable[[str], None]) -> Poller:
        poller = Poller(queue, take, RetrySchedule(first_pause=0.01, longest_pause=0.01))
        poller.start()
        request.addfinalizer(poller.close)
        return poller

    return start_poller


def test_a_message_is_deleted_when_it_was_taken(poll: Callable[..., Poller]) -> None:
    queue, receiver = MemoryQueue(), Taken()
    for body in "abc":
        queue.put(body)
    poll(queue, receiver)
    wait_until(lambda: not queue.remaining)
    assert receiver.bodies == ["a", "b", "c"]


@pytest.mark.parametrize("error", [UsageError("no such thing"), UnavailableError("later"), RuntimeError("unforeseen")])
def test_a_message_that_was_not_taken_comes_again(
    poll: Callable[..., Poller], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    queue, receiver = MemoryQueue(), Taken(error)
    name = queue.put("a secret token")
    poll(queue, receiver)
    wait_until(lambda: not receiver.errors)
    assert queue.remaining
    queue.expire_receipts()
    wait_until(lambda: not queue.remaining)
    assert receiver.bodies == ["a secret token"]
    (message,) = [message_text for message_text in caplog.messages if "stays in the queue" in message_text]
    assert name in message
    assert str(error) in message
    assert "secret token" not in caplog.text


def test_a_message_that_can_never_be_accepted_is_set_aside_and_delays_no_other(poll: Callable[..., Poller]) -> None:
    queue, receiver = MemoryQueue(maximum=2), Taken()

    def take(body: str) -> None:
        if body == "nonsense":
            raise UsageError("that is nonsense")
        receiver(body)

    queue.put("nonsense")
    queue.put("sense")
    poll(queue, take)
    wait_until(lambda: receiver.bodies == ["sense"])
    for _ in range(2):
        queue.expire_receipts()
        time.sleep(0.05)
    wait_until(lambda: queue.dead == ["nonsense"])
    assert not queue.remaining


def test_a_queue_that_fails_is_asked_again_and_what_was_not_deleted_does_no_harm(
    poll: Callable[..., Poller], caplog: pytest.LogCaptureFixture
) -> None:
    away = UnavailableError("no network", "Wait.")
    faults = Faults(before_receive=[away, away], before_delete=[away])
    queue, receiver = MemoryQueue(fault=faults), Taken()
    queue.put("one")
    poll(queue, receiver)
    wait_until(lambda: receiver.bodies == ["one"])
    wait_until(lambda: any("not deleted" in message_text for message_text in caplog.messages))
    queue.expire_receipts()
    wait_until(lambda: not queue.remaining)
    assert receiver.bodies == ["one", "one"]
    assert caplog.messages[0] == "cannot receive messages, and tries again: no network. Wait."


def test_at_the_end_what_is_being_taken_is_taken_and_nothing_more(poll: Callable[..., Poller]) -> None:
    queue, has_begun, may_end = MemoryQueue(), threading.Event(), threading.Event()
    messages: list[str] = []

    def take(body: str) -> None:
        has_begun.set()
        may_end.wait(10)
        messages.append(body)

    queue.put("first")
    queue.put("second")
    poller = poll(queue, take)
    has_begun.wait(10)
    threading.Timer(0.2, may_end.set).start()
    poller.close()
    assert messages == ["first"]
    wait_until(lambda: [message.body for message in queue.receive()] == ["second"])
    assert messages == ["first"]


def test_the_end_does_not_wait_for_messages_and_gives_back_what_still_comes(poll: Callable[..., Poller]) -> None:
    is_asked = threading.Event()
    queue = MemoryQueue(wait_seconds=20, fault=lambda moment: is_asked.set())
    receiver = Taken()
    poller = poll(queue, receiver)
    is_asked.wait(10)
    begin = time.monotonic()
    poller.close()
    assert time.monotonic() - begin < 5
    queue.put("late")
    wait_until(lambda: [message.body for message in queue.receive()] == ["late"])
    assert receiver.bodies == []


# A server of which the pollers need no more than the receivers of messages.
SERVER: Any = SimpleNamespace(
    registries=SimpleNamespace(notifications=SimpleNamespace(receive_ecr_event=print)),
    approvals=SimpleNamespace(requests=None),
    clock=None,
)


def test_the_settings_say_which_queues_are_listened_to() -> None:
    clients: list[tuple[str, str | None]] = []

    def make_client(service: str, region: str | None) -> object:
        clients.append((service, region))
        return object()

    def make_named_pollers(text: str) -> list[Poller]:
        settings = from_environment({"HOME": "/nowhere", "DOCKGATE_ECR_QUEUE": text})
        return make_pollers(settings, SERVER, make_client)

    assert make_named_pollers("") == []
    (poller,) = make_named_pollers("arn:aws-us-gov:sqs:us-gov-west-1:123456789012:pushes.fifo")
    assert poller._queue.name == "pushes.fifo"
    assert clients == []
    for wrong in (
        "pushes",
        "https://sqs.eu-west-1.amazonaws.com/1/pushes",
        "arn:aws:sns:eu-west-1:123456789012:pushes",
    ):
        with pytest.raises(UsageError, match="DOCKGATE_ECR_QUEUE"):
            make_named_pollers(wrong)


def test_without_boto3_or_a_queue_nothing_is_asked_of_aws() -> None:
    assert make_pollers(from_environment({"HOME": "/nowhere"}), None) == []  # type: ignore[arg-type]
