"""What targets are notified of: each topic once, again after the opposite, and summaries at their time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.fakes.event_target import MemoryEventTarget
from tests.services.exposure_fleet import Fleet
from tests.services.fleet.test_index import AdvisoryDatabase
from tests.services.image_fleet import search
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.events.cloudevents import CloudEventsMode, make_http_message
from dockgate.events.delivery_times import DailySummary, QuietHours
from dockgate.events.envelope import SOURCE
from dockgate.events.model import Message, NewEvent, Rule, RuleTarget, Target, TargetType
from dockgate.events.subject import EventSubject
from dockgate.services.clock import ServerClock
from dockgate.services.notifications.event_matching import EventMatcher
from dockgate.services.notifications.event_rules import EventRules
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.notifications.summary import NotificationSummary
from dockgate.shared.timestamps import format_time
from dockgate.store import Store
from dockgate.store.records import OutboxEntry, OutboxKind

START = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@dataclass
class Server:
    """A dispatcher with one rule for the target `chat`, which groups for a second."""

    store: Store
    now: datetime = START
    dispatcher: EventMatcher = field(init=False)
    targets: EventTargets = field(init=False)

    def __post_init__(self) -> None:
        clock = ServerClock(lambda: self.now)
        targets = EventTargets(self.store, {TargetType.LOG: MemoryEventTarget(TargetType.LOG)}, (), clock)
        self.targets = targets
        rules = EventRules(self.store, targets, (), clock, ("registry.example",))
        database = AdvisoryDatabase([])
        watching = search(Fleet(self.store, database)).watched_images
        summary = NotificationSummary(self.store, watching, database)
        self.dispatcher = EventMatcher(self.store, rules, targets, summary, clock, "registry.example", "https://g")

    def add_target(self, **settings: Any) -> None:
        target = Target("chat", TargetType.LOG, "", **settings)
        self.store.event_targets.put(target, {}, "ann", format_time(self.now))

    def add_rule(self, *kinds: str, group_seconds: int | None = 1) -> None:
        rule = Rule("news", {"detail-type": list(kinds)}, (RuleTarget("chat", group_seconds=group_seconds),))
        self.store.event_rules.put(rule, "ann", format_time(self.now))

    def record_event(self, kind: str, **detail: Any) -> None:
        key = f"{kind}/{format_time(self.now)}/{detail}"
        self.store.event_log.record(
            [NewEvent(key, SOURCE, kind, EventSubject("subject"), format_time(self.now), detail)]
        )

    def advance_time(self, **time: float) -> None:
        self.now += timedelta(**time)

    def claim_messages(self) -> list[OutboxEntry]:
        """What was sent since the last call, a while after the events."""
        self.dispatcher.run()
        self.advance_time(seconds=5)
        self.dispatcher.run()
        claimed_entries = self.store.outbox.claim(OutboxKind.EVENT, format_time(self.now), "a server", 100, 100)
        for entry in claimed_entries:
            self.store.outbox.complete(entry, format_time(self.now))
        return list(claimed_entries)


@pytest.fixture(params=FACTORIES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Server(store)


def publish_verdict(server: Server, status: str, image: str = "sha256:a") -> int:
    """The number of messages about this verdict."""
    server.record_event("verdict.changed", image=image, repository="team/app", policy="default", status=status)
    return len(server.claim_messages())


@limit_to_sqlite("server")
def test_an_image_that_is_approved_again_is_announced_each_time_that_its_rejection_was(server: Server) -> None:
    server.add_target()
    server.add_rule("verdict.changed")
    for _ in range(2):
        assert publish_verdict(server, "Rejected") == 1
        server.advance_time(days=2)
        assert publish_verdict(server, "Approved") == 1
        server.advance_time(days=2)
    assert publish_verdict(server, "Approved") == 0


@limit_to_sqlite("server")
def test_a_part_of_a_feed_that_fails_later_is_announced(server: Server) -> None:
    server.add_target()
    server.add_rule("feed.failed")
    failures = [{"part": f"osv {name}", "reason": "status 500"} for name in ("npm", "PyPI")]
    for parts, count in ((failures[:1], 1), (failures[:1], 0), (failures, 1)):
        server.record_event("feed.failed", feed="osv", since="2026-11-28T12:00:00Z", parts=parts)
        assert len(server.claim_messages()) == count
        server.advance_time(hours=1)


@limit_to_sqlite("server")
def test_a_task_that_is_unhealthy_again_after_a_day_is_announced_again(server: Server) -> None:
    server.add_target()
    server.add_rule("service.unhealthy")
    messages = []
    for hours in (*[1] * 30, 25, 1):
        server.advance_time(hours=hours)
        server.record_event("service.unhealthy", service="shop", task="shop-1", image="sha256:a")
        messages.append(len(server.claim_messages()))
    assert messages == [1, *[0] * 29, 1, 0]


@limit_to_sqlite("server")
def test_an_execution_that_fails_again_when_it_is_retried_is_announced_again(server: Server) -> None:
    server.add_target()
    server.add_rule("execution.failed")
    for _ in range(2):
        server.record_event("execution.failed", execution="web-1", pipeline="web", reason="its image was rejected")
        assert len(server.claim_messages()) == 1
        server.advance_time(hours=1)


@limit_to_sqlite("server")
def test_a_verdict_that_comes_and_goes_within_a_day_is_announced_once(server: Server) -> None:
    server.add_target()
    server.add_rule("verdict.changed")
    messages = []
    for _ in range(30):
        messages += [publish_verdict(server, "Rejected"), publish_verdict(server, "Approved")]
        server.advance_time(hours=1)
    assert messages == [1, 1, *[0] * 58]


@limit_to_sqlite("server")
def test_a_state_that_contradicts_the_last_message_is_announced_once_it_has_settled(server: Server) -> None:
    server.add_target()
    server.add_rule("verdict.changed")
    for _ in range(20):
        messages = [publish_verdict(server, "Rejected")]
        server.advance_time(minutes=40)
        messages.append(publish_verdict(server, "Approved"))
        server.advance_time(minutes=40)
    assert messages == [0, 0]
    assert publish_verdict(server, "Rejected") == 0
    server.advance_time(hours=2)
    assert server.claim_messages() == []
    server.advance_time(hours=1)
    (entry,) = server.claim_messages()
    assert entry.payload["body"]["detail"]["status"] == "Rejected"
    server.advance_time(hours=4)
    assert server.claim_messages() == []
    assert publish_verdict(server, "Approved") == 1


@limit_to_sqlite("server")
def test_the_last_message_is_true_of_a_verdict_that_alternates_between_two_bad_states(server: Server) -> None:
    server.add_target()
    server.add_rule("verdict.changed")
    statuses = ["Undetermined", "Rejected"] * 3
    assert [publish_verdict(server, status) for status in statuses] == [1, 1, 0, 0, 0, 0]
    server.advance_time(hours=4)
    assert server.claim_messages() == []
    assert publish_verdict(server, "Undetermined") == 0
    server.advance_time(hours=4)
    (entry,) = server.claim_messages()
    assert entry.payload["body"]["detail"]["status"] == "Undetermined"
    server.advance_time(days=10)
    assert publish_verdict(server, "Rejected") == 0
    server.advance_time(hours=4)
    (entry,) = server.claim_messages()
    assert entry.payload["body"]["detail"]["status"] == "Rejected"
    assert publish_verdict(server, "Approved") == 1


def test_whatever_verdicts_do_the_last_message_is_true_once_they_have_settled(server: Server) -> None:
    server.add_target()
    server.add_rule("verdict.changed")
    chance = Random(0)  # noqa: S311 - no secret
    states, announced_states = dict[str, str](), dict[str, str]()
    for _ in range(15):
        for image in chance.sample(["sha256:a", "sha256:b"], chance.choice((1, 2))):
            former = states.get(image)
            states[image] = chance.choice(
                [entry for entry in ("Approved", "Rejected", "Undetermined") if entry != former]
            )
            detail = {"image": image, "repository": "team/app", "policy": "default", "status": states[image]}
            server.record_event("verdict.changed", **detail, vulnerabilities=chance.choice((["CVE-1"], ["CVE-2"])))
        server.advance_time(hours=chance.choice((0.2, 1, 5, 30)))
        announced_states |= read_announced_statuses(server.claim_messages())
    server.advance_time(hours=4)
    announced_states |= read_announced_statuses(server.claim_messages())
    assert announced_states == states


def read_announced_statuses(entries: list[OutboxEntry]) -> dict[str, str]:
    """By image, the status in the last message."""
    statuses: dict[str, str] = {}
    for entry in entries:
        detail = entry.payload["body"]["detail"]
        texts = [worst_entry["text"] for worst_entry in detail.get("worst", ())]
        statuses |= {text.split("@")[1][:8]: text.split(": ")[2] for text in texts}
        if not texts:
            statuses[detail["image"]] = detail["status"]
    return statuses


@limit_to_sqlite("server")
def test_a_state_that_changes_back_before_it_has_settled_is_not_announced(server: Server) -> None:
    server.add_target()
    server.add_rule("verdict.changed")
    assert [publish_verdict(server, status) for status in ("Rejected", "Approved", "Rejected", "Approved")] == [
        1,
        1,
        0,
        0,
    ]
    server.advance_time(hours=10)
    assert server.claim_messages() == []


@limit_to_sqlite("server")
def test_a_clock_that_goes_back_delays_no_state_that_has_settled(server: Server) -> None:
    server.add_target()
    server.add_rule("verdict.changed")
    assert [publish_verdict(server, status) for status in ("Rejected", "Approved", "Rejected")] == [1, 1, 0]
    server.advance_time(days=-5)
    assert len(server.claim_messages()) == 1


@limit_to_sqlite("server")
def test_what_a_clock_announced_that_was_ahead_is_announced_at_its_time_and_taken_back(server: Server) -> None:
    server.add_target()
    server.add_rule("waiver.expired", "waiver.restored", "image.judged")
    kinds = [(20, "waiver.expired"), (-20, "waiver.restored"), (0, "waiver.restored"), (19, "waiver.expired")]
    messages = []
    for days, kind in kinds:
        server.advance_time(days=days)
        server.record_event(kind, waiver="w1")
        messages.append(len(server.claim_messages()))
    assert messages == [1, 1, 0, 1]
    server.record_event("image.judged", image="a")
    assert len(server.claim_messages()) == 1
    server.advance_time(days=-1)
    server.record_event("image.judged", image="a")
    assert len(server.claim_messages()) == 1


@limit_to_sqlite("server")
def test_a_target_is_notified_of_the_verdicts_on_each_image_by_itself(server: Server) -> None:
    server.add_target()
    server.add_rule("verdict.changed")
    assert [publish_verdict(server, "Approved", image) for image in ("sha256:a", "sha256:b")] == [1, 1]
    assert publish_verdict(server, "Rejected", "sha256:a") == 1
    assert [publish_verdict(server, "Approved", image) for image in ("sha256:a", "sha256:b")] == [1, 0]


@limit_to_sqlite("server")
def test_of_a_rejection_and_its_end_in_one_group_the_end_is_shown(server: Server) -> None:
    server.add_target()
    server.add_rule("verdict.changed")
    publish_verdict(server, "Approved")
    for status in ("Rejected", "Approved"):
        server.record_event("verdict.changed", image="sha256:a", repository="team/app", policy="default", status=status)
        server.advance_time(milliseconds=1)
    (entry,) = server.claim_messages()
    detail = entry.payload["body"]["detail"]
    assert detail["count"] == 1
    assert [worst_entry["text"] for worst_entry in detail["worst"]] == [
        "team/app@sha256:a: verdict changed: Approved by default"
    ]
    assert publish_verdict(server, "Approved") == 0


@limit_to_sqlite("server")
def test_a_service_that_recovers_again_is_announced(server: Server) -> None:
    server.add_target()
    server.add_rule("service.at_risk", "service.recovered")
    for _ in range(2):
        for kind in ("service.at_risk", "service.recovered"):
            server.record_event(kind, service="shop", summary="1 critical")
            assert len(server.claim_messages()) == 1
            server.advance_time(days=2)


def test_what_waits_for_the_end_of_the_quiet_hours_is_listed(server: Server) -> None:
    server.add_target(quiet_hours=QuietHours("11:00", "13:00"))
    server.add_rule("verdict.changed", "tag.moved")
    for tag in ("1", "2"):
        server.record_event("tag.moved", image="sha256:a", repository="team/app", tag=tag)
    assert server.claim_messages() == []
    (message,) = server.targets.list_waiting_messages("chat")
    assert (message.rule, message.events, message.attempts, message.error) == ("news", 2, 0, None)
    assert message.next_at == format_time(START.replace(hour=13))
    assert server.targets.list_waiting_messages("chat", after=(message.position, message.key)) == []
    assert server.targets.list_waiting_messages("chat", after=(message.position + 1, ""), is_newest_first=True) == [
        message
    ]
    assert server.targets.read_status("chat").waiting == 1
    server.advance_time(hours=1)
    assert [entry.key for entry in server.claim_messages()] == [message.key]


@limit_to_sqlite("server")
def test_a_summary_waits_for_the_end_of_the_quiet_hours(server: Server) -> None:
    server.advance_time(days=-1)
    server.add_target(quiet_hours=QuietHours("11:00", "13:00"), summary=DailySummary("12:00"))
    server.advance_time(days=1)
    assert server.claim_messages() == []
    server.advance_time(hours=1)
    assert [entry.payload["title"].partition(":")[0] for entry in server.claim_messages()] == ["All is well"]
    assert server.claim_messages() == []
    server.advance_time(days=1)
    assert len(server.claim_messages()) == 1


@limit_to_sqlite("server")
def test_a_clock_that_goes_back_sends_no_summary_again(server: Server) -> None:
    server.advance_time(days=-5)
    server.add_target(summary=DailySummary("12:00"))
    for days, summaries in ((5, 1), (-2, 0), (0, 0), (1, 1), (1, 0), (1, 1), (400, 1), (-400, 0), (1, 1)):
        server.advance_time(days=days)
        assert len(server.claim_messages()) == summaries, (days, server.now)


@limit_to_sqlite("server")
def test_the_messages_of_a_summary_and_of_a_group_have_a_subject_and_an_id_that_stay_the_same(server: Server) -> None:
    server.advance_time(days=-1)
    server.add_target(summary=DailySummary("12:00"))
    server.add_rule("image.judged")
    server.advance_time(days=1)
    (summary,) = server.claim_messages()
    assert (summary.key, str(summary.subject)) == ("summary/chat/2026-11-28T12:00:00.000Z", "target chat")
    for image in ("a", "b"):
        server.record_event("image.judged", image=image)
    (group_message,) = server.claim_messages()
    assert (group_message.key.partition("/")[0], str(group_message.subject)) == ("news", "rule news")
    for entry in (summary, group_message):
        body = entry.payload["body"]
        message = Message(entry.key, entry.payload.get("rule", ""), body, "{}", "", "", entry.subject)
        _, text = make_http_message(message, CloudEventsMode.STRUCTURED)
        event = json.loads(text)
        assert (event["id"], event["subject"]) == (entry.key, str(entry.subject))
