"""Notify people: a notice is stored for each notifier, and sent to it until it is taken."""

from collections.abc import Sequence

from dockgate.events.ports import Notice, Notifier
from dockgate.services.dependencies import Dependencies
from dockgate.services.effects import Step
from dockgate.shared.errors import UnavailableError
from dockgate.store.records import OutboxEntry, OutboxKind


def notify(parts: Dependencies, notice: Notice) -> None:
    """Send a notice to every notifier, once for each key of a notice."""
    parts.store.outbox.put(notification_entries(notice, parts.notifiers, parts.now()))


def notification_entries(notice: Notice, notifiers: Sequence[Notifier], now: str) -> list[OutboxEntry]:
    """The outbox entries of a notice: one for each notifier, due at once."""
    payload = {"kind": notice.kind, "title": notice.title, "body": notice.body, "detail": dict(notice.detail)}
    return [
        OutboxEntry(OutboxKind.NOTIFICATION, notice.key, notifier.name, payload, due_since=now, next_at=now)
        for notifier in notifiers
    ]


class NotificationHandler:
    """Hands notices to their notifiers, one at a time to each."""

    kind = OutboxKind.NOTIFICATION
    step = Step.TELL
    receiver_limit = 1

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        self._notifiers = {notifier.name: notifier for notifier in notifiers}

    def send(self, entry: OutboxEntry) -> None:
        notifier = self._notifiers.get(entry.receiver)
        if notifier is None:
            raise UnavailableError(
                f"no notifier {entry.receiver!r} is configured", "Set DOCKGATE_EVENT_BUS or DOCKGATE_SNS_TOPIC."
            )
        notifier.notify(Notice(key=entry.key, **entry.payload))
