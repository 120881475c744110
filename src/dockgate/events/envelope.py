"""The construction of events: their ids, their source, and texts of a bounded length."""

from collections.abc import Mapping

from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject

# The source of events that AWS has no counterpart of.
SOURCE = "dockgate"
# The most characters of a text in an event.
MAX_TEXT = 1000


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
    """Make an event. `key` identifies what happened among the events of its kind."""
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
