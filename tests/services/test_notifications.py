"""Notifications are retried until a notifier takes them, and one failing notifier never blocks the others."""

import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fakes.notifier import MemoryNotifier
from tests.parts import until
from tests.scenarios.server import ServerSystem

from dockgate.events.ports import Notice, Notifier
from dockgate.shared.errors import UnavailableError
from dockgate.store.records import OutboxEntry, OutboxKind

BODY = "It lapses at noon."


class Failing(MemoryNotifier):
    """Fails with each of its faults in turn, then takes every notice."""

    name = "failing"

    def __init__(self, *faults: Exception, for_ever: bool = False) -> None:
        super().__init__(self._raise)
        self.faults, self.for_ever = list(faults), for_ever

    def _raise(self, moment: str) -> None:
        if moment == "before notify" and self.faults:
            raise self.faults[0] if self.for_ever else self.faults.pop(0)


class Blocked(MemoryNotifier):
    """Takes no notice until `go` is set."""

    name = "blocked"

    def __init__(self) -> None:
        self.go = threading.Event()
        super().__init__(lambda _: self.go.wait() and None)


def notice(key: str) -> Notice:
    return Notice(key, "Waiver Lapses", f"{key} lapses", BODY, {"waiver": key})


def entries(server: ServerSystem) -> Sequence[OutboxEntry]:
    return [entry for entry in server.store.outbox.entries(OutboxKind.NOTIFICATION) if entry.next_at is not None]


def system(folder: Path, *notifiers: Notifier) -> ServerSystem:
    return ServerSystem(folder, notifiers=notifiers)


@pytest.fixture
def blocked() -> Iterator[Blocked]:
    notifier = Blocked()
    yield notifier
    notifier.go.set()


def test_a_failing_notifier_is_retried_and_blocks_no_other(tmp_path: Path, blocked: Blocked) -> None:
    failing, memory = Failing(UnavailableError("no network"), RuntimeError("an unforeseen fault")), MemoryNotifier()
    with system(tmp_path, blocked, failing, memory) as server:
        for key in ("one", "two", "three"):
            server.use_cases.notifications.notify(notice(key))
        for notifier in (failing, memory):
            until(lambda notifier=notifier: len(notifier.notices) == 3, seconds=20)
        assert [len(notifier.handed) for notifier in (failing, memory, blocked)] == [3, 3, 0]
        assert memory.notices["one"] == notice("one")
        blocked.go.set()
        until(lambda: len(blocked.handed) == 3)


def test_notifications_survive_a_restart_of_the_server(tmp_path: Path) -> None:
    failing = Failing(UnavailableError("no network"), for_ever=True)
    with system(tmp_path, failing) as server:
        server.use_cases.notifications.notify(notice("kept"))
        until(lambda: entries(server)[0].attempts)
    again = Failing()
    with system(tmp_path, again) as server:
        server.use_cases.notifications.notify(notice("kept"))
        until(lambda: again.notices)
        until(lambda: not entries(server))
    assert again.handed == [notice("kept")]


def test_a_notification_is_given_up_after_a_day_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(
        UnavailableError("the topic is gone", "docs/how-to/aws-adapters.md lists what it needs."), for_ever=True
    )
    with system(tmp_path, failing) as server:
        server.use_cases.notifications.notify(notice("lost"))
        until(lambda: entries(server)[0].attempts)
        server.clock.ahead += timedelta(days=1)
        until(lambda: not entries(server))
    (message,) = (record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    assert "Gave up the notification lost to failing after" in message
    assert "the topic is gone. docs/how-to/aws-adapters.md lists what it needs." in message
