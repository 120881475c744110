"""Events in the envelope of Amazon EventBridge: what is stored, matched by rules, and delivered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.events.subject import EventSubject

# The source of events that AWS has no counterpart of.
SOURCE = "dockgate"
# An AWS account and region that no real resource has; patterns seldom name either.
ACCOUNT = "000000000000"
REGION = "local"
# Characters of a text in an event of ours.
MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to store.

    `id` is derived from what happened: appending it again stores nothing. `subject` is what the event is about;
    events of one subject are delivered in the order of their `seq`. `time` is RFC 3339.
    """

    id: str
    source: str
    detail_type: str
    subject: EventSubject
    time: str
    detail: Mapping[str, Any]
    resources: tuple[str, ...] = ()
    account: str = ACCOUNT
    region: str = REGION
    repository: str | None = None
    pipeline: str | None = None

    def make_envelope(self) -> dict[str, Any]:
        """The event as it is matched and delivered."""
        return {
            "version": "0",
            "id": self.id,
            "detail-type": self.detail_type,
            "source": self.source,
            "account": self.account,
            "time": self.time,
            "region": self.region,
            "resources": list(self.resources),
            "detail": dict(self.detail),
        }


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the event log. `seq` counts up without repeating; `body` is the envelope."""

    seq: int
    id: str
    source: str
    detail_type: str
    subject: EventSubject
    at: str
    repository: str | None
    pipeline: str | None
    body: dict[str, Any]


def make_event(
    kind: str,
    subject: EventSubject,
    key: str,
    time: str,
    detail: Mapping[str, object],
    *,
    repository: str | None = None,
    pipeline: str | None = None,
) -> NewEvent:
    """An event of ours. `key` identifies what happened among the events of its kind."""
    values = {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in detail.items()}
    return NewEvent(
        id=f"{kind}/{key}",
        source=SOURCE,
        detail_type=kind,
        subject=subject,
        time=time,
        detail={name: value for name, value in values.items() if value is not None},
        repository=repository,
        pipeline=pipeline,
    )
