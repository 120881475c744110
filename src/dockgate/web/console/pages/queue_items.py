"""What needs a person, in words and links."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from dockgate.delivery.model import RunState
from dockgate.gate.model import Status
from dockgate.services.attention import Attention
from dockgate.services.notifications.deliveries import DeliveryState
from dockgate.shared.wording import format_count
from dockgate.web.console.formats import shorten_rejection
from dockgate.web.console.pages.feed_trouble import find_feed_trouble
from dockgate.web.page_paths import make_approval_path

# Characters of an item's key: enough to tell a few hundred items apart.
KEY_LENGTH = 8


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One thing that needs a person.

    `state` says how it looks (`formats.get_mark`), `subject` names it, `action` is the text of the link to `href`.
    `until` is its deadline, None without one.
    """

    state: str
    subject: str
    sentence: str
    action: str
    href: str
    until: str | None = None

    @property
    def key(self) -> str:
        """What tells it from other items. Its sentence may change, such as the age of a feed."""
        return hashlib.sha256("\0".join((self.state, self.subject, self.href)).encode()).hexdigest()[:KEY_LENGTH]


class QueueCount(NamedTuple):
    """How many things need a person: without `is_complete` at least so many."""

    number: int
    is_complete: bool


def count_queue_items(attention: Attention, now: datetime) -> QueueCount:
    """Return how many things a caller has to act on."""
    return QueueCount(len(list_queue_items(attention, now)), attention.approvals.is_complete)


def list_queue_items(attention: Attention, now: datetime) -> list[QueueItem]:
    """Return what a caller has to act on, the most urgent first."""
    return [
        *_describe_services_at_risk(attention),
        *_describe_waiting_approvals(attention),
        *_describe_failures(attention),
        *_describe_unjudged_services(attention),
        *_describe_database_fault(attention),
        *_describe_ending_waivers(attention),
        *_describe_failing_targets(attention),
        *_describe_given_up(attention),
        *_describe_feeds(attention, now),
    ]


def describe_change(shown_keys: str, queue: Sequence[QueueItem]) -> str | None:
    """Return what is new in the queue since a page was made, and what is gone, None if nothing is.

    `shown_keys` are those of the items that the page shows, separated by commas.
    """
    old_keys, keys = set(filter(None, shown_keys.split(","))), {item.key for item in queue}
    counts = ((len(keys - old_keys), "new"), (len(old_keys - keys), "gone"))
    return ", ".join(f"{count} {word}" for count, word in counts if count) or None


def _describe_services_at_risk(attention: Attention) -> Iterator[QueueItem]:
    services = [entry for entry in attention.services if entry.at_risk]
    for service in sorted(services, key=lambda entry: (entry.at_risk_until or "", entry.name)):
        href, deadline = f"/running/{service.name}", service.at_risk_until
        yield QueueItem("AtRisk", service.name, service.at_risk or "", "See service", href, deadline)


def _describe_unjudged_services(attention: Attention) -> Iterator[QueueItem]:
    for service in attention.services:
        if service.cannot_judge:
            href = f"/running/{service.name}"
            yield QueueItem("CannotJudge", service.name, service.cannot_judge, "See service", href)


def _describe_waiting_approvals(attention: Attention) -> Iterator[QueueItem]:
    for approval in attention.approvals.approvals:
        count, action = approval.approvers.count, approval.id.action
        name = action.execution if action else approval.pipeline or approval.id
        href = make_approval_path(approval.id)
        sentence = f"{approval.repository} needs {count} {'person' if count == 1 else 'people'} to approve it."
        link = "Decide"
        if approval.unknown_reason:  # whether they are known by now is found out by its page
            reason = f"When it was requested, its contributors were unknown: {approval.unknown_reason}"
            sentence, link = f"{sentence} Its page says whether votes are accepted now. {reason}", "See approval"
        yield QueueItem(RunState.WAITING, name, sentence, link, href, approval.expires_at)


def _describe_failures(attention: Attention) -> Iterator[QueueItem]:
    for execution in attention.failures:
        state = attention.rejected_states.get(execution.id, RunState.FAILED)
        reason = execution.reason or "It failed."
        if state is not RunState.FAILED:
            reason = shorten_rejection(reason)
        yield QueueItem(state, execution.id, reason, "See why", f"/executions/{execution.id}")


def _describe_database_fault(attention: Attention) -> Iterator[QueueItem]:
    if attention.database_fault:
        yield QueueItem(Status.UNDETERMINED, "Advisories", attention.database_fault, "See feeds", "/advisories")


def _describe_ending_waivers(attention: Attention) -> Iterator[QueueItem]:
    for waiver in attention.waivers:
        subject = waiver.vulnerability or waiver.rule or waiver.package or waiver.unread or waiver.id
        sentence = f"This waiver of {waiver.owner} ends soon: {waiver.reason}"
        yield QueueItem(RunState.WAITING, subject, sentence, "See waiver", f"/waivers/{waiver.id}", waiver.until)


def _describe_failing_targets(attention: Attention) -> Iterator[QueueItem]:
    for status in attention.targets:
        counts = f"{format_count(status.waiting, 'message')} waiting, {format_count(status.dead, 'dead letter')}."
        sentence = f"{counts} {status.last_error or 'It accepts messages again: send the dead letters again.'}"
        name = status.target.name
        yield QueueItem(RunState.FAILED, f"Target {name}", sentence, "See target", f"/events/targets/{name}")


def _describe_given_up(attention: Attention) -> Iterator[QueueItem]:
    for count in attention.given_up:
        sentence = f"{format_count(count.given_up, 'message')} given up. The newest: {count.error}"
        href = f"/events/deliveries?kind={count.kind}&state={DeliveryState.GIVEN_UP}"
        yield QueueItem(RunState.FAILED, f"Delivery: {count.kind}", sentence, "See deliveries", href)


def _describe_feeds(attention: Attention, now: datetime) -> Iterator[QueueItem]:
    """Feeds that fail, are stale or suspect."""
    for feed in attention.feeds:
        if trouble := find_feed_trouble(feed, now):
            yield QueueItem(trouble.state, f"Feed {feed.feed}", trouble.sentence, "See feeds", "/advisories")
