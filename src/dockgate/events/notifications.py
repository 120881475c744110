"""Events in words for people, and which of them people are notified about unless rules say otherwise. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dockgate.events.message import one_line, shorten

# What the built-in rule sends to the log, to the bus and topic of the settings, and to owners.
NOTIFIED_TYPES = (
    *("service.at_risk", "service.recovered", "service.deadline_near", "service.deadline_passed", "service.unhealthy"),
    *("task.restarted", "verdict.changed", "waiver.expiring", "feed.stale", "feed.failed", "feed.suspect"),
    *("approval.needed", "approval.rejected", "execution.failed", "deploy.failed", "tag.moved", "fix.available"),
)
# What an event is about, of which a target is notified once: these fields of the detail, without times.
_TOPIC_FIELDS = (
    *("service", "image", "image-digest", "repository", "repository-name", "tag", "policy", "status", "state"),
    *("vulnerabilities", "vulnerability", "waiver", "feed", "approval", "execution", "execution-id", "stage", "action"),
    *("task", "digest", "phase", "summary"),
)
_SUBJECT_FIELDS = ("service", "pipeline", "repository", "repository-name", "waiver", "feed", "tag")
_TITLE_LIMIT, _TEXT_LIMIT, _FIELDS_LIMIT = 200, 4000, 30


def describe(event: Mapping[str, Any]) -> tuple[str, str]:
    """A title and a text for people, of an event in its envelope. No line has a control character."""
    detail = event.get("detail")
    detail = detail if isinstance(detail, Mapping) else {}
    kind = one_line(str(event.get("detail-type", "event")))
    subject = next((one_line(str(detail[name])) for name in _SUBJECT_FIELDS if detail.get(name)), "")
    text = one_line(str(detail.get("summary") or detail.get("reason") or ""))
    title = f"{subject}: {_words(kind)}" if subject else _words(kind)
    lines = [text] if text else []
    for name, value in list(detail.items())[:_FIELDS_LIMIT]:
        if name not in ("summary", "reason") and value not in (None, "", [], {}):
            shown = value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)
            lines.append(f"{one_line(str(name))}: {shorten(one_line(str(shown)), 500)}")
    return shorten(title, _TITLE_LIMIT), shorten("\n".join(lines), _TEXT_LIMIT)


def topic_of(event: Mapping[str, Any]) -> str:
    """What the event notifies people of: the same for events that say the same at another time."""
    detail = event.get("detail")
    fields = {name: detail[name] for name in _TOPIC_FIELDS if name in detail} if isinstance(detail, Mapping) else {}
    content = json.dumps(fields, sort_keys=True, default=str) if fields else str(event.get("id"))
    text = f"{event.get('source')}/{event.get('detail-type')}/{content}"
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _words(kind: str) -> str:
    """ "service.at_risk" as "service at risk"."""
    return kind.replace(".", " ").replace("_", " ")
