"""Notices on their way: to whom each is still to be told, and when that is tried again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dockgate.events.ports import Notice, Notifier


@dataclass(frozen=True, slots=True)
class NoticeDelivery:
    """A notice on its way to one notifier, which is known by its name.

    `since` is when it was written, `attempts` how many failed, `next_at` when the next is due ("": none is),
    `delivered_at` when the notifier took it, all times RFC 3339.
    """

    key: str
    notifier: str
    kind: str
    title: str
    body: str
    detail: Mapping[str, Any]
    since: str
    attempts: int = 0
    next_at: str = ""
    delivered_at: str = ""
    last_error: str = ""

    @property
    def notice(self) -> Notice:
        return Notice(self.key, self.kind, self.title, self.body, self.detail)


def notice_deliveries(notice: Notice, notifiers: Sequence[Notifier], now: str) -> list[NoticeDelivery]:
    """One to each notifier, due at once."""
    said = notice.kind, notice.title, notice.body, notice.detail
    return [NoticeDelivery(notice.key, notifier.name, *said, since=now, next_at=now) for notifier in notifiers]
