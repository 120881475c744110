"""Events in words for people, and which of them people are notified about unless rules say otherwise.

Pure: no I/O, no clock.
"""

import json
from collections.abc import Mapping
from typing import Any

from dockgate.events.event_details import format_kind, read_image_resource, read_reason
from dockgate.events.grouping import VERDICT_KINDS
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.references import parse_ecr_repository
from dockgate.shared.wording import shorten_text, to_one_line

# What the built-in rule sends to the log, to the bus and topic of the settings, and to owners.
NOTIFIED_TYPES = (
    *("service.at_risk", "service.risk_increased", "service.deadline_moved", "service.deadline_near"),
    *("service.deadline_passed", "service.recovered", "service.unhealthy"),
    *(
        "verdict.changed",
        "finding.exploited",
        "waiver.expiring",
        "waiver.expired",
        "waiver.restored",
        "waiver.fixed",
        "feed.failed",
        "feed.stale",
        "feed.suspect",
        "feed.recovered",
        "approval.needed",
    ),
    *("execution.failed", "deploy.failed", "tag.moved", "fix.available"),
)
# Title and advice of kinds whose names do not say it; {} is the subject.
_WORDS = {
    "service.at_risk": ("{} runs an image that would no longer be approved", "Its next deploy is blocked."),
    "service.risk_increased": ("{} runs an image that is rejected for a worse reason", "Its next deploy is blocked."),
    "service.deadline_moved": ("{} runs an image that has to be replaced earlier", "Its next deploy is blocked."),
    "service.deadline_near": ("{} runs an image that has to be replaced soon", "Its next deploy is blocked."),
    "service.deadline_passed": ("{} still runs an image that should have been replaced", "It keeps running."),
    "service.recovered": ("{} is no longer at risk", "The next deploy is judged as usual."),
    "service.unhealthy": ("{}: an unhealthy task was restarted", "`dockgate deploy show {}` shows the tasks."),
    "finding.exploited": (
        "{}: a vulnerability is known to be exploited",
        "`dockgate where` shows each place that has it.",
    ),
    "tag.moved": ("{} names another image now", "Deploys are by digest: what runs stays as it is."),
    "pull.refused": ("{}: a pull was refused", "Request an approval: `dockgate gate --wait IMAGE`."),
    "waiver.expiring": (
        "The waiver {} expires soon",
        "What it accepts counts again then, unless something else accepts it.",
    ),
    "waiver.expired": ("The waiver {} has ended", "What it accepted counts again, unless something else accepts it."),
    "waiver.fixed": (
        "A fix is available for a vulnerability that the waiver {} accepts",
        "Images that can take the fix are judged on this vulnerability again.",
    ),
    "waiver.restored": ("The waiver {} has not ended", "The server's clock was ahead: what it accepts does not count."),
    "approval.needed": ("{}: an approval waits for a person", "`dockgate approval list` shows what waits."),
    "fix.available": ("{}: a fix for its rejected image", "`dockgate pipeline fixes {}` shows it."),
    "feed.suspect": ("The feed {} brings no new records", "Its publisher, or a mirror, may have stopped."),
    "feed.stale": ("The feed {} is stale", "New verdicts that need it are Undetermined."),
    "feed.failed": (
        "The feed {} cannot be updated",
        "Earlier data, if any, stays in use. `dockgate db status` shows its state.",
    ),
    "feed.recovered": ("The feed {} is updated again", ""),
}
# Kinds whose title names the image.
_IMAGE_KINDS = ("tag.moved", "finding.exploited", *VERDICT_KINDS)
_SUBJECT_FIELDS = ("service", "pipeline", "repository", "repository-name", "waiver", "feed", "tag")
_TITLE_LIMIT, _TEXT_LIMIT, _FIELDS_LIMIT = 200, 4000, 30


def describe_event(event: Mapping[str, Any]) -> tuple[str, str]:
    """A title and a text for people, of an event in its envelope. No line has a control character."""
    detail = _read_detail(event)
    kind = to_one_line(str(event.get("detail-type", "event")))
    subject, text = _find_subject(detail), _make_text(detail)
    subject += _format_image(detail, subject) if kind in _IMAGE_KINDS else ""
    status = f"{detail['status']}{_name_policy(detail.get('policy'))}" if detail.get("status") else None
    change = to_one_line(status) if status and kind in VERDICT_KINDS else format_kind(kind)
    words, advice = _WORDS.get(kind, (f"{{}}: {change}", "")) if subject else (format_kind(kind), "")
    title = words.replace("{}", subject)
    lines = [line for line in (text, advice.replace("{}", subject)) if line]
    for name, value in list(detail.items())[:_FIELDS_LIMIT]:
        is_past = kind == "service.recovered" and name == "deadline"
        if name not in ("summary", "reason") and not is_past and value not in (None, "", [], {}):
            lines.append(f"{to_one_line(str(name))}: {shorten_text(to_one_line(_format_value(value)), 500)}")
    return shorten_text(title, _TITLE_LIMIT), shorten_text("\n".join(lines), _TEXT_LIMIT)


def _format_value(value: object) -> str:
    """A field's value: lists and numbers by name as people write them ("1 CRITICAL, 2 HIGH"), others as JSON.

    A vulnerability is shown by its name and severity.
    """
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return ", ".join(map(str, value))
    vulnerability = {"id", "severity"}
    if isinstance(value, list) and all(isinstance(item, Mapping) and item.keys() == vulnerability for item in value):
        return ", ".join(f"{item['id']} ({item['severity']})" for item in value)
    part = {"part", "reason"}
    if isinstance(value, list) and all(isinstance(item, Mapping) and item.keys() == part for item in value):
        reasons = [f"{item['part']}: {item['reason']}" for item in value]
        return "; ".join(reasons) if len(value) > 1 else value[0]["part"]
    if isinstance(value, Mapping) and value and all(type(item) is int for item in value.values()):
        return ", ".join(f"{count:,} {name}" for name, count in value.items() if count) or "0"
    return json.dumps(value, ensure_ascii=False)


def summarize(event: Mapping[str, Any]) -> str:
    """The event in one line beside its kind: what it is about, and what happened."""
    detail = _read_detail(event)
    subject, text, kind = _find_subject(detail), _make_text(detail), str(event.get("detail-type"))
    state = to_one_line(str(detail.get("status") or detail.get("state") or ""))
    if not text and kind in _WORDS and subject:
        return shorten_text(_WORDS[kind][0].replace("{}", subject), _TITLE_LIMIT)
    if not text and not state:
        values = ((name, value) for name, value in list(detail.items())[:_FIELDS_LIMIT] if isinstance(value, str | int))
        text = ", ".join(
            f"{to_one_line(str(name))}: {to_one_line(str(value))}" for name, value in values if value != subject
        )
    subject = parse_ecr_repository(subject) + _format_image(detail, subject)
    shown_state = f"{state}{_name_policy(detail.get('policy'))}" if state and not text.startswith(state) else ""
    return shorten_text(": ".join(filter(None, (subject, shown_state, text))) or kind, _TITLE_LIMIT)


def _read_detail(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The detail of an event, with the image that an `Inspector2 Finding` names in its resources only."""
    detail = event.get("detail")
    detail = detail if isinstance(detail, Mapping) else {}
    image = read_image_resource(detail)
    names = {"repository-name": image.get("repositoryName"), "image-digest": image.get("imageHash")}
    return {**detail, **names} if image else detail


def _find_subject(detail: Mapping[str, Any]) -> str:
    return next((to_one_line(str(detail[name])) for name in _SUBJECT_FIELDS if detail.get(name)), "")


def _format_image(detail: Mapping[str, Any], subject: str) -> str:
    """Return the image of the repository that an event is about: ":TAG" or "@DIGEST", cut short, or no text."""
    if subject not in (detail.get("repository"), detail.get("repository-name")):
        return ""
    tag = detail.get("tag") or detail.get("image-tag")
    digest = detail.get("image") or detail.get("image-digest")
    return f":{to_one_line(str(tag))}" if tag else f"@{_shorten_digest(digest)}" if digest else ""


def _make_text(detail: Mapping[str, Any]) -> str:
    """Return what happened, in the words of the event, if it has any."""
    text = read_reason(detail) or detail.get("title")
    previous, status = detail.get("previous"), detail.get("status")
    if previous and status:
        policy, former_policy = detail.get("policy"), detail.get("former_policy")
        present_text, former_text = f"{status}{_name_policy(policy)}", f"{previous}{_name_policy(former_policy)}"
        text = ": ".join(filter(None, (f"{present_text}, before: {former_text}", text)))
    elif not text and previous and detail.get("image"):
        text = f"from {_shorten_digest(previous)} to {_shorten_digest(detail['image'])}"
    return to_one_line(str(text or ""))


def _name_policy(policy: object) -> str:
    return f" by {PolicyReference(policy).label}" if isinstance(policy, str) and policy else ""


def _shorten_digest(digest: object) -> str:
    return to_one_line(str(digest))[:19]
