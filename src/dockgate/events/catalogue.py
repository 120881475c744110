"""Every kind of event, each with a constructor. Pure.

A constructor takes what happened and returns a `NewEvent`, whose id is derived from the arguments. `schemas/` holds a
JSON Schema of each kind's envelope, named `SOURCE/DETAIL-TYPE.json`.
"""

from collections.abc import Mapping, Sequence

from dockgate.events.envelope import SOURCE, NewEvent


def service_risk_changed(
    kind: str,
    service: str,
    image: str,
    repository: str,
    owners: Sequence[str],
    since: str,
    deadline: str,
    summary: str,
    time: str,
) -> NewEvent:
    """A change of a time at risk: `service.at_risk`, `.deadline_near`, `.deadline_passed` or `service.recovered`.

    The time at risk began `since`. `deadline` is when the policy wants the image replaced, `owners` are those of the
    image's repository.
    """
    detail = {
        "service": service,
        "image": image,
        "repository": repository,
        "owners": list(owners),
        "since": since,
        "deadline": deadline,
        "summary": summary,
    }
    return _own(kind, f"service {service}", f"{service}/{since}", time, detail)


def feed_failed(
    feed: str, since: str, failures: Sequence[tuple[str, str]], advice: str, key: str, time: str
) -> NewEvent:
    """An advisory feed cannot be updated since then. `failures` are its parts with reasons; the old data stays."""
    parts = [{"part": part, "reason": reason} for part, reason in failures]
    detail = {"feed": feed, "since": since, "parts": parts, "advice": advice}
    return _own("feed.failed", f"feed {feed}", f"{feed}/{key}", time, detail)


def feed_recovered(feed: str, since: str, time: str) -> NewEvent:
    """An advisory feed that failed since then was updated again."""
    return _own("feed.recovered", f"feed {feed}", f"{feed}/{since}", time, {"feed": feed, "since": since})


def feed_stale(feed: str, since: str, parts: Sequence[str], time: str) -> NewEvent:
    """An advisory feed was last checked then, too long ago: new verdicts that need it are Undetermined."""
    detail = {"feed": feed, "since": since, "parts": list(parts)}
    return _own("feed.stale", f"feed {feed}", f"{feed}/{since}", time, detail)


def verdict_changed(
    image: str, repository: str, policy: str, before: str, status: str, counts: Mapping[str, int], since: str
) -> NewEvent:
    """The current verdict of an image by a policy has another status. `counts` are its findings by severity."""
    detail = {
        "image": image,
        "repository": repository,
        "policy": policy,
        "previous": before,
        "status": status,
        "counts": dict(counts),
        "since": since,
    }
    return _own("verdict.changed", f"image {image}", f"{policy}/{image}/{since}", since, detail)


def _own(kind: str, subject: str, key: str, time: str, detail: Mapping[str, object]) -> NewEvent:
    """An event of ours. `key` identifies what happened among the events of its kind."""
    return NewEvent(f"{kind}/{key}", SOURCE, kind, subject, time, detail)
