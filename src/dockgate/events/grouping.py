"""Many events as one message: counted by vulnerability and by kind, with the worst ten. Pure.

A change of the advisories that touches 300 images is one message to each of their owners. Of a state that changes
several times, such as the verdict on an image, only the last change is reported and counted.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from sys import intern
from typing import Any

from dockgate.events.event_details import format_kind, read_image_resource, read_reason, read_text, read_vulnerabilities
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.references import ImageReference, parse_ecr_repository
from dockgate.shared.timestamps import format_seconds, parse_time
from dockgate.shared.wording import format_count, shorten_text, to_one_line

WORST_LIMIT, VULNERABILITIES_LIMIT, KINDS_LIMIT = 10, 20, 20
GROUP_TYPE = "events.grouped"
VERDICT_CHANGED, IMAGE_JUDGED = "verdict.changed", "image.judged"
TAG_MOVED, FIX_AVAILABLE = "tag.moved", "fix.available"
FEED_STALE, FEED_RECOVERED = "feed.stale", "feed.recovered"
# Kinds about a time at risk that goes on.
_RISKS = (
    *("service.at_risk", "service.risk_increased"),
    *("service.deadline_moved", "service.deadline_near", "service.deadline_passed"),
)
# Events of these kinds that have the same name and the same fields are about one state: the last one is true.
_STATE_FIELDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    VERDICT_CHANGED: ("verdict", ("image", "repository", "policy")),
    IMAGE_JUDGED: ("judged", ("image", "repository", "policy")),
    **dict.fromkeys((*_RISKS, "service.recovered"), ("risk", ("service",))),
    **dict.fromkeys(("waiver.expiring", "waiver.expired", "waiver.restored"), ("waiver", ("waiver",))),
    "feed.failed": ("feed", ("feed",)),
    FEED_RECOVERED: ("feed", ("feed",)),
    FEED_STALE: ("stale", ("feed",)),
    "feed.suspect": ("suspect", ("feed",)),
    FIX_AVAILABLE: ("fix", ("pipeline", "repository", "image")),
    TAG_MOVED: ("tag", ("repository", "tag")),
}
# Kinds that the status says.
VERDICT_KINDS = (VERDICT_CHANGED, IMAGE_JUDGED)
_LONG_DIGEST = re.compile(r"(\bsha256:[0-9a-f]{12})[0-9a-f]+")
_TITLE_LIMIT = 200
# Kinds that have an event for each repository of an image.
_REPOSITORY_KINDS = (VERDICT_CHANGED, "finding.exploited", "Inspector2 Finding")

_SEVERITIES = ("CRITICAL", "HIGH", "UNTRIAGED", "MEDIUM", "LOW", "INFORMATIONAL")
# What has no status, such as a waiver that ends, is worse than what is approved.
_STATUSES = ("Rejected", "Undetermined", None, "Approved")
# The states of CodePipeline as statuses; others are as none.
_STATES = {"FAILED": "Rejected", "STARTED": "Approved", "RESUMED": "Approved", "SUCCEEDED": "Approved"}


@dataclass(frozen=True, slots=True)
class EventSummary:
    """The content of one event, as far as people compare it. A smaller `rank` is worse.

    `name` is the subject for people, with the image that a service runs or the tag that has moved.
    `image` is the digest of the image that it is about, or the subject if it is about none. `repository` is where that
    image is, None unless the subject is the image there. `policy` is whose verdict the event is about, or None.
    `previous` is the status or the image before. It, the status and severities are None if the event does not say.
    """

    kind: str
    subject: str
    name: str
    status: str | None
    image: str
    repository: str | None
    policy: str | None
    text: str
    vulnerabilities: tuple[str, ...]
    severities: tuple[str | None, ...]
    rank: tuple[int, int, int, str]
    previous: str | None

    @property
    def is_approved(self) -> bool:
        """Return whether it is about a good state, such as that an image is approved."""
        return self.rank[2] == _STATUSES.index("Approved")

    @property
    def list_key(self) -> tuple[object, ...] | None:
        """Return what is the same in events that are listed as one; None for an event alone."""
        if self.repository is None or self.kind not in _REPOSITORY_KINDS:
            return None
        vulnerabilities = self.vulnerabilities if self.kind != VERDICT_CHANGED else ()
        return self.kind, self.image, self.rank[2], self.policy, vulnerabilities


@dataclass(slots=True)
class _Count:
    """The images that have a vulnerability, those that services run, and its worst severity."""

    images: set[str] = field(default_factory=set)
    running_images: set[str] = field(default_factory=set)
    severity: str | None = None


@dataclass(frozen=True, slots=True)
class GroupMessage:
    """A message about many events."""

    title: str
    text: str
    detail: Mapping[str, Any]


def read_summary(event: Mapping[str, Any]) -> EventSummary:
    """Read an event in its envelope. Fields of unknown shape are ignored."""
    detail = event.get("detail")
    detail = detail if isinstance(detail, Mapping) else {}
    kind = intern(to_one_line(str(event.get("detail-type", "event"))))
    names, severities = read_vulnerabilities(detail)
    service, status, policy = (read_text(detail, *keys) for keys in (("service",), ("status", "state"), ("policy",)))
    policy = PolicyReference(policy).label if policy else None
    resource = read_image_resource(detail)
    image = read_text(detail, "image", "image-digest", "digest") or read_text(resource, "imageHash")
    repository = read_text(detail, "repository", "repository-name") or read_text(resource, "repositoryName")
    repository = parse_ecr_repository(repository) if repository else None
    image_name = str(ImageReference(repository, image)) if repository and image else repository or image
    subject = (
        service
        or image_name
        or read_text(detail, "pipeline", "waiver", "feed")
        or to_one_line(str(event.get("id", "")))
    )
    previous = _make_shared_text(read_text(detail, "previous"))
    is_move = kind == TAG_MOVED
    tag = read_text(detail, "tag") if is_move else None
    tag_name = f"{repository}:{tag}" if repository and tag else None
    name = tag_name or (f"{service} ({image_name})" if service and image_name else subject)
    policy_status = _make_shared_text(_format_status(status, policy, previous))
    parts = [
        *(name, format_kind(kind)),
        _format_deadline(detail, str(event.get("time", ""))) if kind in _RISKS else None,
        policy_status,
        _format_names(names),
        shorten_text(read_reason(detail) or "", 160),
    ]
    if is_move and image and previous:
        parts.append(f"back to {image[:19]}" if image == previous else f"from {previous[:19]} to {image[:19]}")
    rank_status = _STATES.get(status, status) if status else None
    rank = (
        0 if service else 1,
        min(map(_rank_severity, severities), default=len(_SEVERITIES)),
        _STATUSES.index(rank_status if rank_status in _STATUSES else None),
        subject,
    )
    text = shorten_text(": ".join(filter(None, parts)), 400)
    is_about_image = bool(repository and image) and not service
    return EventSummary(
        kind,
        subject,
        name,
        policy_status,
        image or subject,
        _make_shared_text(repository) if is_about_image else None,
        _make_shared_text(policy),
        text,
        names,
        severities,
        rank,
        previous,
    )


def _make_shared_text(text: str | None) -> str | None:
    """The text as one object for all events that have it, which saves memory."""
    return intern(text) if text else None


def _format_deadline(detail: Mapping[str, Any], time: str) -> str | None:
    """Say until when the image is to be replaced, or at the time of the event, since when it should have been."""
    deadline, event_time = parse_time(read_text(detail, "deadline")), parse_time(time)
    if deadline is None:
        return None
    is_passed = event_time is not None and deadline <= event_time
    return f"{'its deadline passed at' if is_passed else 'replace it before'} {format_seconds(deadline)}"


def _format_names(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _format_status(status: str | None, policy: str | None, previous: str | None) -> str | None:
    text = f"{status} by {policy}" if status and policy else status
    return f"{text}, as before" if status and status == previous else text


def group_events(events: Iterable[Mapping[str, Any]], link: str) -> GroupMessage:
    """One message about all events. `link` leads to more."""
    summaries = _summarize_states(events)
    vulnerabilities: dict[str, _Count] = {}
    for summary in summaries:
        for name, severity in zip(summary.vulnerabilities, summary.severities, strict=True):
            _add_image(vulnerabilities.setdefault(name, _Count()), summary, severity)
    kinds = Counter(summary.kind for summary in summaries)
    count = len(summaries)
    worst_summaries, shown_count = _select_worst(summaries)
    sorted_vulnerabilities = sorted(vulnerabilities.items(), key=_rank_by_importance)
    is_one_line = len(worst_summaries) == 1 and shown_count == count
    return GroupMessage(
        _make_line_title(worst_summaries[0]) if is_one_line else _make_title(count, sorted_vulnerabilities, kinds),
        _make_text(sorted_vulnerabilities, kinds, worst_summaries, count - shown_count, link),
        {
            "count": count,
            "vulnerabilities": [
                {"id": name, "severity": vulnerability.severity, "images": len(vulnerability.images)}
                for name, vulnerability in sorted_vulnerabilities[:VULNERABILITIES_LIMIT]
            ],
            "kinds": dict(kinds.most_common(KINDS_LIMIT)),
            "worst": [{"subject": summary.subject, "text": summary.text} for summary in worst_summaries],
            "link": link,
        },
    )


def _summarize_states(events: Iterable[Mapping[str, Any]]) -> list[EventSummary]:
    """Read the events, in their order, without those that later ones contradict or replace."""
    summaries: dict[bytes | int, EventSummary] = {}
    for number, event in enumerate(events):
        key = _find_state_key(event)
        former = summaries.pop(key, None) if key is not None else None
        summary = read_summary(event if former is None else _continue_state(event, former))
        summaries[number if key is None else key] = summary
        if summary.kind == FEED_RECOVERED:
            summaries.pop(_compute_state_key("stale", [summary.subject]), None)
    verdicts = [summary for summary in summaries.values() if summary.kind == VERDICT_CHANGED]
    approved_images = {(verdict.repository, verdict.image) for verdict in verdicts if verdict.is_approved}
    approved_images -= {(verdict.repository, verdict.image) for verdict in verdicts if not verdict.is_approved}
    return [
        summary
        for summary in summaries.values()
        if summary.kind != FIX_AVAILABLE or (summary.repository, summary.image) not in approved_images
    ]


def _find_state_key(event: Mapping[str, Any]) -> bytes | None:
    """Return what is the same in events about one state. None if the event is about something that happened once."""
    kind, detail = event.get("detail-type"), event.get("detail")
    if not isinstance(kind, str) or not isinstance(detail, Mapping) or kind not in _STATE_FIELDS:
        return None
    name, fields = _STATE_FIELDS[kind]
    values = [read_text(detail, field) for field in fields]
    return _compute_state_key(name, values) if any(values) else None


def _compute_state_key(name: str, values: Sequence[str | None]) -> bytes:
    """Return a key of 16 bytes. It is short because a group has up to 10,000 of them."""
    return hashlib.sha256(json.dumps([name, *values]).encode()).digest()[:16]


def _continue_state(event: Mapping[str, Any], former: EventSummary) -> Mapping[str, Any]:
    """Return the event with the state before `former` as the one before, and with the reason if time alone made it."""
    detail = dict(event["detail"])
    if former.previous is not None:
        detail["previous"] = former.previous
    if event["detail-type"] in _RISKS and not detail.get("vulnerabilities"):
        pairs = zip(former.vulnerabilities, former.severities, strict=True)
        detail["vulnerabilities"] = [{"id": name, "severity": severity} for name, severity in pairs]
    return {**event, "detail": detail}


def _select_worst(summaries: Iterable[EventSummary]) -> tuple[list[EventSummary], int]:
    """Return the worst summaries, and for how many they are shown: the same in several repositories is one."""
    worst_summaries: list[EventSummary] = []
    repositories: dict[tuple[object, ...], set[str]] = {}
    shown_count = 0
    for summary in sorted(summaries, key=lambda summary: summary.rank):
        key = summary.list_key
        if key is not None and key in repositories:
            repositories[key].add(summary.repository or "")
        elif len(worst_summaries) < WORST_LIMIT:
            worst_summaries.append(summary)
            if key is not None:
                repositories[key] = set()
        else:
            continue
        shown_count += 1
    return [
        _add_repositories(summary, repositories.get(summary.list_key or (), set())) for summary in worst_summaries
    ], shown_count


def _add_repositories(summary: EventSummary, repositories: Collection[str]) -> EventSummary:
    """Add to the text in which other repositories the image is."""
    other_repositories = sorted({*repositories} - {summary.repository})
    if not other_repositories:
        return summary
    return replace(
        summary,
        text=f"{summary.text} (also in {', '.join(other_repositories[:3])}{' …' if other_repositories[3:] else ''})",
    )


def _add_image(count: _Count, summary: EventSummary, severity: str | None) -> None:
    count.images.add(summary.image)
    if summary.rank[0] == 0:
        count.running_images.add(summary.image)
    if severity and (not count.severity or _rank_severity(severity) < _rank_severity(count.severity)):
        count.severity = severity


def _rank_by_importance(item: tuple[str, _Count]) -> tuple[int, int, str]:
    name, count = item
    return _rank_severity(count.severity), -len(count.images), name


def _rank_severity(severity: str | None) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def _make_line_title(summary: EventSummary) -> str:
    """A title for a message with one line: what it is about, what happened, and because of which vulnerabilities."""
    name = _LONG_DIGEST.sub(r"\1", summary.name)
    change = summary.status if summary.kind in VERDICT_KINDS and summary.status else format_kind(summary.kind)
    vulnerabilities = f" ({_format_names(summary.vulnerabilities)})" if summary.vulnerabilities else ""
    return shorten_text(f"{name}: {change}{vulnerabilities}", _TITLE_LIMIT)


def _make_title(count: int, vulnerabilities: list[tuple[str, _Count]], kinds: Mapping[str, int]) -> str:
    if len(vulnerabilities) == 1:
        name, vulnerability = vulnerabilities[0]
        return f"{name}: {format_count(len(vulnerability.images), 'image')} affected"
    if vulnerabilities:
        images: set[str] = set().union(*(vulnerability.images for _, vulnerability in vulnerabilities))
        return f"{len(vulnerabilities)} vulnerabilities, {format_count(len(images), 'image')} affected"
    names = [format_kind(kind) for kind in sorted(kinds, key=lambda kind: (-kinds[kind], kind))]
    return f"{format_count(count, 'event')}: {_format_names(names)}"


def _make_text(
    vulnerabilities: list[tuple[str, _Count]],
    kinds: Counter[str],
    worst_summaries: list[EventSummary],
    remaining_count: int,
    link: str,
) -> str:
    lines = []
    for name, vulnerability in vulnerabilities[:VULNERABILITIES_LIMIT]:
        running = f", {len(vulnerability.running_images)} running" if vulnerability.running_images else ""
        severity = f" ({vulnerability.severity})" if vulnerability.severity else ""
        lines.append(f"{name}{severity}: {format_count(len(vulnerability.images), 'image')}{running}")
    if len(vulnerabilities) > VULNERABILITIES_LIMIT:
        lines.append(f"and {len(vulnerabilities) - VULNERABILITIES_LIMIT} more vulnerabilities")
    lines += [
        "",
        "Worst:" if remaining_count else "What happened:",
        *(f"- {summary.text}" for summary in worst_summaries),
    ]
    if remaining_count:
        lines.append(f"and {remaining_count} more")
    if len(kinds) > 1:
        listed_kinds = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:KINDS_LIMIT]
        lines += ["", "By kind: " + ", ".join(f"{kind} {count}" for kind, count in listed_kinds)]
    if vulnerabilities:
        lines += ["", f"`dockgate where {vulnerabilities[0][0]}` shows each place that has it."]
    return "\n".join([*lines, "", f"All: {link}"]).lstrip("\n")
