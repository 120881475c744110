"""What needs a person, in words and links, the most urgent first."""

from dataclasses import replace
from datetime import UTC, datetime

from dockgate.delivery.model import Execution, ExecutionId, RunState
from dockgate.delivery.service_model import Service
from dockgate.gate.model import Status, Waiver
from dockgate.services.approvals.decidable_approvals import DecidableApprovals
from dockgate.services.attention import Attention
from dockgate.web.console.pages.queue_items import QueueItem, describe_change, list_queue_items

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
AT = "2026-11-28T12:00:00.000Z"
NOTHING = Attention(
    services=(),
    newest_executions=(),
    rejected_states={},
    approvals=DecidableApprovals(),
    failures=(),
    database_fault=None,
    waivers=(),
    targets=(),
    given_up=(),
    feeds=(),
)
FAILED = Execution(ExecutionId("Web-1"), "Web", 1, 1, RunState.FAILED, {"by": "ada"}, started_at=AT)
REJECTED = replace(
    FAILED, id=ExecutionId("Api-1"), pipeline="Api", reason="Gate/Approve: rejected by policy default: 2 HIGH"
)


def test_items_are_in_the_order_of_their_urgency() -> None:
    attention = replace(
        NOTHING,
        services=(
            Service("late", "podman", 1, 1, at_risk="CVE-1", at_risk_until="2026-12-02T00:00:00Z"),
            Service("doubt", "podman", 1, 1, cannot_judge="no advisories"),
            Service("soon", "podman", 1, 1, at_risk="CVE-2", at_risk_until="2026-12-01T00:00:00Z"),
            Service("fine", "podman", 1, 1),
        ),
        failures=(FAILED, REJECTED),
        rejected_states={"Api-1": Status.REJECTED},
        database_fault="There is no advisory database. Run `dockgate db update`.",
        waivers=(Waiver("w-1", "ada", "never called", vulnerability="CVE-3", until="2026-12-01"),),
    )
    items = list_queue_items(attention, NOW)
    assert [(item.state, item.subject, item.href, item.until) for item in items] == [
        ("AtRisk", "soon", "/running/soon", "2026-12-01T00:00:00Z"),
        ("AtRisk", "late", "/running/late", "2026-12-02T00:00:00Z"),
        (RunState.FAILED, "Web-1", "/executions/Web-1", None),
        (Status.REJECTED, "Api-1", "/executions/Api-1", None),
        ("CannotJudge", "doubt", "/running/doubt", None),
        (Status.UNDETERMINED, "Advisories", "/advisories", None),
        (RunState.WAITING, "CVE-3", "/waivers/w-1", "2026-12-01"),
    ]
    assert items[2].sentence == "It failed."
    assert items[6].sentence == "This waiver of ada ends soon: never called"


def test_nothing_needs_a_person_without_trouble() -> None:
    assert list_queue_items(NOTHING, NOW) == []


def test_a_change_of_the_queue_is_a_new_or_missing_item_not_a_new_sentence() -> None:
    first, second = (QueueItem(RunState.FAILED, name, "It failed.", "See why", f"/{name}") for name in ("a", "b"))
    shown_keys = f"{first.key},{second.key}"
    assert describe_change(shown_keys, [second, replace(first, sentence="It failed again.")]) is None
    assert describe_change(first.key, [first, second]) == "1 new"
    assert describe_change(shown_keys, []) == "2 gone"
    assert describe_change(first.key, [second]) == "1 new, 1 gone"
    assert describe_change("", []) is None
