"""Notices: whatever a notifier does, each is told in the end, or given up aloud; and nobody else waits for it."""

import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from tests.parts import until
from tests.scenarios.server import ServerSystem

from dockgate.events.notifiers.memory import MemoryNotifier
from dockgate.events.ports import Notice, Notifier
from dockgate.shared.errors import UnavailableError
from dockgate.store.records import OutboxEntry, OutboxKind

BODY = "It lapses at noon."


class Failing(MemoryNotifier):
    """Fails with what it is given, in turn; after that it takes what it is handed."""

    name = "failing"

    def __init__(self, *faults: Exception, for_ever: bool = False) -> None:
        super().__init__(self._raise)
        self.faults, self.for_ever = list(faults), for_ever

    def _raise(self, moment: str) -> None:
        if moment == "before notify" and self.faults:
            raise self.faults[0] if self.for_ever else self.faults.pop(0)


class Held(MemoryNotifier):
    """Takes as long as it is not let go."""

    name = "held"

    def __init__(self) -> None:
        self.go = threading.Event()
        super().__init__(lambda _: self.go.wait() and None)


def notice(key: str) -> Notice:
    return Notice(key, "Waiver Lapses", f"{key} lapses", BODY, {"waiver": key})


def entries(server: ServerSystem) -> Sequence[OutboxEntry]:
    return server.store.outbox.due(OutboxKind.NOTIFICATION, "9999", 10, 10)


def system(folder: Path, *notifiers: Notifier) -> ServerSystem:
    return ServerSystem(folder, notifiers=notifiers)


@pytest.fixture
def held() -> Iterator[Held]:
    notifier = Held()
    yield notifier
    notifier.go.set()


def test_what_a_notifier_does_not_take_is_handed_over_again_and_nobody_waits_for_it(tmp_path: Path, held: Held) -> None:
    failing, other = Failing(UnavailableError("no network"), RuntimeError("nobody foresaw this")), MemoryNotifier()
    with system(tmp_path, held, failing, other) as server:
        for key in ("one", "two", "three"):
            server.use_cases.notifications.notify(notice(key))
        for told in (failing, other):
            until(lambda told=told: len(told.notices) == 3, seconds=20)
        assert [len(one.handed) for one in (failing, other, held)] == [3, 3, 0]
        assert other.notices["one"] == notice("one")
        held.go.set()
        until(lambda: len(held.handed) == 3)


def test_what_was_not_told_when_the_server_ended_is_told_by_the_next_one(tmp_path: Path) -> None:
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


def test_what_nobody_takes_for_a_day_is_given_up_and_the_log_says_where_to_look(
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
    (said,) = (one.getMessage() for one in caplog.records if one.levelno == logging.ERROR)
    assert "Gave up the notification lost to failing after" in said
    assert "the topic is gone. docs/how-to/aws-adapters.md lists what it needs." in said
