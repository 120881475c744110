"""What the outbox sends while approvals are answered."""

import queue
import threading
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.parts import wait_until

from dockgate.services.answer_priority import AnswerPriority
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.notifications.outbox import OutboxHandler, OutboxWorker
from dockgate.shared.interfaces import override
from dockgate.store import open_store
from dockgate.store.events.outbox import add_entries
from dockgate.store.records import OutboxEntry, OutboxKind

SECONDS = 20
NOW = "2026-07-29T12:00:00.000Z"


@dataclass
class Sender(OutboxHandler):
    """Puts the kind of what it sends into a queue."""

    effect = EffectKind.DELIVER
    receiver_limit = 1

    kind: OutboxKind
    sent: queue.Queue[OutboxKind]
    is_answer: bool

    @override
    def send(self, entry: OutboxEntry) -> None:
        self.sent.put(entry.kind)


class HeldPriority(AnswerPriority):
    """Holds the thread that gives way, until `release` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.has_arrived = threading.Event()
        self.release = threading.Event()

    @override
    def give_way(self) -> None:
        self.has_arrived.set()
        self.release.wait(SECONDS)


def test_answers_are_sent_before_what_can_wait(tmp_path: Path) -> None:
    sent = queue.Queue[OutboxKind]()
    answer_priority = AnswerPriority(longest_wait=SECONDS)
    senders = [Sender(OutboxKind.ATTESTATION, sent, is_answer=False), Sender(OutboxKind.WEBHOOK, sent, is_answer=True)]
    with closing(open_store(tmp_path)) as store:
        with store.database.write() as connection:
            entries = [
                OutboxEntry(sender.kind, "key", "receiver", {}, due_since=NOW, next_at=NOW) for sender in senders
            ]
            add_entries(connection, entries)
        worker = OutboxWorker(store.outbox, senders, Effects(), lambda: datetime.now(UTC), "me", 1, answer_priority)
        with answer_priority.count_answer():
            worker.start()
            assert sent.get(timeout=SECONDS) is OutboxKind.WEBHOOK
            assert sent.empty()
        assert sent.get(timeout=SECONDS) is OutboxKind.ATTESTATION
        worker.close()


def test_a_stop_just_before_entries_are_claimed_is_not_missed(tmp_path: Path) -> None:
    sent = queue.Queue[OutboxKind]()
    # They are stopped in this order.
    senders = [Sender(OutboxKind.ATTESTATION, sent, is_answer=False), Sender(OutboxKind.WEBHOOK, sent, is_answer=True)]
    priority = HeldPriority()
    with closing(open_store(tmp_path)) as store:
        worker = OutboxWorker(store.outbox, senders, Effects(), lambda: datetime.now(UTC), "me", 3600, priority)
        worker.start()
        assert priority.has_arrived.wait(SECONDS)
        closing_thread = threading.Thread(target=worker.close, daemon=True)
        closing_thread.start()
        wait_until(lambda: "outbox webhook" not in [thread.name for thread in threading.enumerate()])
        priority.release.set()
        closing_thread.join(SECONDS)
        assert not closing_thread.is_alive()
