"""Events of what people decide about findings, each with a constructor. Pure."""

from collections.abc import Mapping

from dockgate.events.dockgate_events import make_event
from dockgate.events.envelope import NewEvent
from dockgate.gate.model import Waiver

_SCOPE = ("vulnerability", "package", "rule", "unread", "repository", "image")


def waiver_expiring(waiver: Waiver, time: str) -> NewEvent:
    """A waiver ends soon: what it accepts counts again then.

    `time` identifies the announcement: one that a clock made which was ahead is made again.
    """
    return _of_waiver("waiver.expiring", waiver, time)


def waiver_expired(waiver: Waiver, time: str) -> NewEvent:
    """The end of a waiver has come: what it accepted counts again. `time` as of `waiver_expiring`."""
    return _of_waiver("waiver.expired", waiver, time)


def _of_waiver(kind: str, waiver: Waiver, time: str) -> NewEvent:
    scope: Mapping[str, str] = {name: value for name in _SCOPE if (value := getattr(waiver, name))}
    detail = {
        "waiver": waiver.id,
        "owner": waiver.owner,
        "until": waiver.until or "",
        "reason": waiver.reason,
        "scope": scope,
    }
    repository = waiver.repository or None
    return make_event(kind, f"waiver {waiver.id}", f"{waiver.id}/{time}", time, detail, repository=repository)
