"""The changes since a time, in words, from the event log.

These are deploys, failures, verdicts, risks and feeds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dockgate.delivery.model import RunState
from dockgate.delivery.service_model import TaskState
from dockgate.events.model import StoredEvent
from dockgate.gate.model import Status
from dockgate.identity.model import Caller
from dockgate.services.notifications.events import make_event_filter
from dockgate.shared.wording import format_count
from dockgate.store import Store
from dockgate.web.console.formats import shorten_rejection
from dockgate.web.page_paths import make_image_path

# Rows that are shown, and events that are read for them.
MAX_CHANGES = 12
MAX_READ = 300
KINDS = (
    *("deploy.succeeded", "deploy.failed", "execution.failed", "verdict.changed", "fix.available"),
    *("service.at_risk", "service.recovered", "service.unhealthy"),
    *("feed.failed", "feed.stale", "feed.suspect", "feed.recovered"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened, for the last time `at`, and `earlier_count` times before.

    `state` says how it looks, and `href` is its page, None if that is closed to the caller.
    """

    state: str
    subject: str
    sentence: str
    href: str | None
    at: str
    earlier_count: int = 0


def find_changes(store: Store, caller: Caller, since: str, services: Collection[str]) -> tuple[Sequence[Change], bool]:
    """Find the changes since a time that the caller may see, newest first, and whether there may be more.

    `services` are the names of those that the caller may see.
    """
    events = store.event_log.list_newest(KINDS, since, MAX_READ, make_event_filter(caller))
    changes: dict[tuple[str, ...], Change] = {}
    for event in events:
        change = make_change(event)
        if change is None:
            continue
        if change.href == f"/running/{change.subject}" and change.subject not in services:
            change = replace(change, href=None)
        present_group = changes.get(key := _make_group_key(event, change))
        changes[key] = (
            replace(present_group, earlier_count=present_group.earlier_count + 1) if present_group else change
        )
    grouped_changes = [
        _merge_images(change) if key[0] == "verdict.changed" else change for key, change in changes.items()
    ]
    return grouped_changes[:MAX_CHANGES], len(grouped_changes) > MAX_CHANGES or len(events) == MAX_READ


def list_failed_executions(changes: Sequence[Change]) -> set[str]:
    """The executions among the changes that failed."""
    return {change.subject for change in changes if change.href == f"/executions/{change.subject}"}


def add_rejections(changes: Sequence[Change], states: Mapping[str, Status]) -> Sequence[Change]:
    """Give executions that failed because of an approval the state of the approval's answer."""
    failed_ids = list_failed_executions(changes)
    return [
        replace(change, state=states[change.subject], sentence=shorten_rejection(change.sentence))
        if change.subject in failed_ids and change.subject in states
        else change
        for change in changes
    ]


def make_change(event: StoredEvent) -> Change | None:
    """Describe an event in words.

    None if another event reports the same, or if a field is missing: an event may come from another version of the
    server, and the page opens without it.
    """
    try:
        return _describe_event(event, event.body["detail"])
    except (AttributeError, KeyError, TypeError):
        return None


def _describe_event(event: StoredEvent, detail: Mapping[str, Any]) -> Change | None:
    match event.detail_type:
        case "deploy.succeeded":
            return _make_service_change(event, RunState.SUCCEEDED, _describe_deployment(detail))
        case "deploy.failed":
            is_of_execution = "execution" in detail  # which has failed as well
            return None if is_of_execution else _make_service_change(event, RunState.FAILED, str(detail["reason"]))
        case "execution.failed":
            name = str(detail["execution"])
            return Change(RunState.FAILED, name, str(detail["reason"]), f"/executions/{name}", event.at)
        case "verdict.changed":
            former, policy = detail.get("former_policy"), detail["policy"]
            sentence = (
                f"Was {detail['previous']} by the policy {former or policy}{f', before {policy}' if former else ''}."
            )
            href = make_image_path(str(detail["image"]), str(detail["repository"]))
            return Change(str(detail["status"]), str(detail["repository"]), sentence, href, event.at)
        case "fix.available":
            name, sentence = str(detail["pipeline"]), f"A fix was found: {detail['summary']}"
            return Change("FixFound", name, sentence, f"/pipelines/{name}", event.at)
        case "service.at_risk":
            return _make_service_change(
                event, "AtRisk", str(detail.get("summary") or "Its policy rejects the image that it runs.")
            )
        case "service.recovered":
            return _make_service_change(event, "Recovered", "It is no longer at risk.")
        case "service.unhealthy":
            return _make_service_change(event, TaskState.UNHEALTHY, str(detail["reason"]))
        case _:
            return _make_feed_change(event, detail)


def _describe_deployment(detail: Mapping[str, Any]) -> str:
    revision = f"Runs revision {detail['revision']}" if "revision" in detail else "Runs a new revision"
    if "desired_count" in detail:
        return f"{revision} with {format_count(detail['desired_count'], 'task')}, changed by hand."
    return f"{revision}, deployed by {detail['execution']}." if "execution" in detail else f"{revision}."


def _make_service_change(event: StoredEvent, state: str, sentence: str) -> Change:
    name = str(event.body["detail"]["service"])
    return Change(state, name, sentence, f"/running/{name}", event.at)


def _make_feed_change(event: StoredEvent, detail: Mapping[str, Any]) -> Change:
    state, sentence = {
        "feed.failed": (
            RunState.FAILED,
            "It cannot be updated; earlier data, if any, stays in use.",
        ),
        "feed.stale": ("Stale", "It was last checked too long ago."),
        "feed.suspect": ("Suspect", f"Its newest record is of {detail.get('newest')}."),
        "feed.recovered": ("Recovered", "It is updated again."),
    }[event.detail_type]
    return Change(state, f"Feed {detail['feed']}", sentence, "/advisories", event.at)


def _make_group_key(event: StoredEvent, change: Change) -> tuple[str, ...]:
    """Return the key of a row: the same event of the same subject, or images whose verdicts changed alike."""
    if event.detail_type == "verdict.changed":
        return event.detail_type, change.state, change.sentence
    return event.detail_type, change.subject


def _merge_images(change: Change) -> Change:
    """Verdicts of several images as one row, which leads to the images of this status."""
    if not change.earlier_count:
        return change
    subject = format_count(change.earlier_count + 1, "image")
    sentence = change.sentence.replace("Was ", "Were ", 1)
    return replace(change, subject=subject, sentence=sentence, href=f"/images?status={change.state}", earlier_count=0)
