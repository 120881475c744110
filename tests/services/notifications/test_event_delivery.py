"""How a target does after messages that it accepted, refused, or wants no more of."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.fakes.event_target import MemoryEventTarget
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.events.model import Target, TargetType
from dockgate.events.subject import EventSubject
from dockgate.services.clock import ServerClock
from dockgate.services.notifications.event_delivery import EventDeliveryHandler
from dockgate.services.notifications.event_targets import EventTargets, TargetStatus
from dockgate.services.notifications.outbox import UndeliverableError
from dockgate.shared.errors import MessageRefusedError, ReceiverGoneError
from dockgate.store import Store
from dockgate.store.records import OutboxEntry, OutboxKind

AT = "2026-11-28T12:00:00.000Z"


@dataclass
class Hook:
    """A target `hook` that answers with `error`, if there is one."""

    store: Store
    error: Exception | None = None
    adapter: MemoryEventTarget = field(init=False)

    def __post_init__(self) -> None:
        def answer(moment: str) -> None:
            if self.error is not None:
                raise self.error

        self.adapter = MemoryEventTarget(TargetType.WEBHOOK, answer)
        clock = ServerClock(lambda: datetime(2026, 11, 28, 12, tzinfo=UTC))
        self.targets = EventTargets(self.store, {TargetType.WEBHOOK: self.adapter}, (), clock)
        self.handler = EventDeliveryHandler(self.store, self.targets, clock)
        self.store.event_targets.put(Target("hook", TargetType.WEBHOOK, ""), {}, "ann", AT)

    def send(self, key: str) -> None:
        event = {"source": "dockgate", "detail-type": "image.judged", "time": AT, "detail": {}}
        self.handler.send(
            OutboxEntry(OutboxKind.EVENT, key, "hook", {"rule": "news", "body": event}, subject=EventSubject("a"))
        )

    @property
    def status(self) -> TargetStatus:
        return self.targets.read_status("hook")


@pytest.fixture(params=FACTORIES)
def hook(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hook]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Hook(store)


@limit_to_sqlite("hook")
def test_a_target_that_answered_gone_gets_nothing_more_and_shows_it(hook: Hook) -> None:
    hook.error = ReceiverGoneError("hook.example refused further messages (410)", "Give another URL.")
    with pytest.raises(UndeliverableError, match="410"):
        hook.send("1")
    assert (hook.status.gone_at, hook.status.last_error) == (
        AT,
        "hook.example refused further messages (410). Give another URL.",
    )
    hook.error = None
    with pytest.raises(UndeliverableError, match=rf"the target hook refused further messages \(410\) at {AT}"):
        hook.send("2")
    assert hook.adapter.sent_messages == []
    hook.targets.test("hook", "ann")
    assert (hook.status.gone_at, hook.status.last_error) == (None, None)
    hook.send("3")
    assert [message.key for _, message in hook.adapter.sent_messages][1:] == ["3"]


def test_dead_letters_of_a_target_that_was_gone_are_sent_again(hook: Hook) -> None:
    hook.error = ReceiverGoneError("hook.example refused further messages (410)", "")
    with pytest.raises(UndeliverableError):
        hook.send("1")
    hook.error = None
    hook.targets.redeliver("hook")
    hook.send("1")
    assert hook.status.gone_at is None


def test_a_message_that_can_never_be_sent_is_named_until_the_next_one_was_accepted(hook: Hook) -> None:
    hook.error = MessageRefusedError("apprise is not installed", "Install it")
    for key in ("1", "2", "3", "4", "5", "6"):
        with pytest.raises(UndeliverableError):
            hook.send(key)
    assert (hook.status.gone_at, hook.status.failures, hook.status.is_failing) == (None, 0, False)
    assert "apprise is not installed" in (hook.status.last_error or "")
    hook.error = None
    hook.send("7")
    assert hook.status.last_error is None
