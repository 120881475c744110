"""Every kind of event, each with a constructor. Pure.

A constructor takes what happened and returns a `NewEvent`, whose id is derived from the arguments. `schemas/` holds a
JSON Schema of each kind's envelope, named `SOURCE/DETAIL-TYPE.json`.
"""

from collections.abc import Mapping

from dockgate.events.envelope import SOURCE, NewEvent


def service_at_risk(service: str, image: str, since: str, deadline: str | None, summary: str, time: str) -> NewEvent:
    """A running service's image is rejected now. `deadline` is when the policy wants it replaced."""
    detail = {"service": service, "image": image, "since": since, "deadline": deadline, "summary": summary}
    return _own("service.at_risk", f"service {service}", f"{service}/{image}/{since}", time, detail)


def _own(kind: str, subject: str, key: str, time: str, detail: Mapping[str, object]) -> NewEvent:
    """An event of ours. `key` identifies what happened among the events of its kind."""
    return NewEvent(f"{kind}/{key}", SOURCE, kind, subject, time, detail)
