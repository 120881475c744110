"""Notify people: a notice is stored for each notifier, and sent to it until it is taken."""

from collections.abc import Sequence

from dockgate.events.ports import Notice, Notifier
from dockgate.services.clock import ServerClock
from dockgate.services.effects import Step
from dockgate.shared.errors import UnavailableError
from dockgate.store.outbox import Outbox
from dockgate.store.records import OutboxEntry, OutboxKind


class Notifications:
    """Stores notices for the notifiers."""

    def __init__(self, outbox: Outbox, notifiers: Sequence[Notifier], clock: ServerClock) -> None:
        self._outbox = outbox
        self._notifiers = notifiers
        self._clock = clock

    def notify(self, notice: Notice) -> None:
        """Send a notice to every notifier, once for each key of a notice."""
        self._outbox.put(self.entries(notice))

    def entries(self, notice: Notice) -> list[OutboxEntry]:
        """Return the outbox entries of a notice: one for each notifier, due at once."""
        now = self._clock.now()
        payload = {"kind": notice.kind, "title": notice.title, "body": notice.body, "detail": dict(notice.detail)}
        return [
            OutboxEntry(OutboxKind.NOTIFICATION, notice.key, notifier.name, payload, due_since=now, next_at=now)
            for notifier in self._notifiers
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
            advice = "Set DOCKGATE_EVENT_BUS or DOCKGATE_SNS_TOPIC."
            raise UnavailableError(f"no notifier {entry.receiver!r} is configured", advice)
        notifier.notify(Notice(key=entry.key, **entry.payload))
