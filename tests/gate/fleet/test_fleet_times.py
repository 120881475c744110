"""When time alone changes the verdict of an image, the moment is known beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.gate.fleet.fleets import FleetIndex, FleetItem, build_case
from tests.gate.fleet.test_fleet_properties import BASE, KEY_ID, OWN
from tests.gate.samples import (
    COVERED,
    ECOSYSTEMS,
    IMAGE,
    NOW,
    RULES,
    build_policy,
    make_advisory,
    make_inventory,
    make_package,
)
from tests.gate.test_whole_gate_properties import KEY

from dockgate.gate import evaluate
from dockgate.gate.active_rules import list_active_rules
from dockgate.gate.fleet.judge import FleetJudge
from dockgate.gate.fleet.model import FleetWaivers
from dockgate.gate.model import Status, VexSigner, VexStatement, VexStatus, Waiver
from dockgate.gate.provenance import ProvenanceFacts, ProvenanceStatement
from dockgate.scanner.model import Distribution, Inventory, Unread
from dockgate.shared.timestamps import format_time, to_datetime
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Coverage, Cve

HIGH: dict[str, dict[str, object]] = {"max_findings": {"HIGH": 0}}
DATED = replace(make_advisory("CVE-2024-1", "a"), published="2026-11-20T00:00:00Z")
END = "2026-12-01T00:00:00Z"
WAIVER = Waiver("w1", "ana", "It is never called.", until=END)
CONTENT = replace(
    make_inventory(make_package("a")), layers=(BASE, OWN), base_layers=1, created="2026-11-20T00:00:00Z", user="1"
)
BUILT = ProvenanceStatement("sha256:1", (KEY_ID,), "https://ci.example/b", "any", finished_at="2026-11-20T00:00:00Z")
STATEMENT = VexStatement(
    "sha256:2",
    "openvex",
    "Vendor",
    VexSigner("principal:ana"),
    ("CVE-2024-1",),
    VexStatus.NOT_AFFECTED,
    ("pkg:npm/a",),
    at=END,
)
TRUSTED = {"vex": {"authors": [{"name": "Vendor"}]}}
KEV = (*COVERED, Coverage("kev", True, (), NOW))
LISTED = Cve("CVE-2024-1", exploited="2026-11-01", due="2026-12-10")


@dataclass(frozen=True)
class Case:
    """An image whose verdict changes at a time."""

    name: str
    at: str
    rules: Mapping[str, Any]
    advisories: tuple[Advisory, ...] = ()
    content: Inventory = CONTENT
    fleet_waivers: FleetWaivers = field(default_factory=FleetWaivers)
    provenance: ProvenanceFacts | None = None
    coverage: tuple[Coverage, ...] = COVERED
    cves: tuple[Cve, ...] = ()


CASES = [
    Case(
        "a grace period ends",
        "2026-12-20T00:00:00Z",
        {"max_findings": {"HIGH": 0, "grace_days": {"HIGH": 30}}},
        (DATED,),
    ),
    Case(
        "a grace period begins, of an advisory with a date in the future",
        "2026-12-09T00:00:00Z",
        {"max_findings": {"HIGH": 0, "grace_days": 30}},
        (replace(DATED, published="2026-12-10T00:00:00Z"),),
    ),
    Case(
        "a waiver ends", END, HIGH, (DATED,), fleet_waivers=FleetWaivers((replace(WAIVER, vulnerability="CVE-2024-1"),))
    ),
    Case(
        "a waiver of unread content ends",
        END,
        HIGH,
        content=replace(CONTENT, unread=(Unread("app/x", "It ends too early."),)),
        fleet_waivers=FleetWaivers((replace(WAIVER, unread="app/x", image=IMAGE),)),
    ),
    Case(
        "a waiver of a rule ends",
        END,
        {"image_age": {"days": 1}},
        fleet_waivers=FleetWaivers((replace(WAIVER, rule="image_age", image=IMAGE),)),
    ),
    Case(
        "a VEX statement begins to count",
        END,
        {**HIGH, **TRUSTED},
        (DATED,),
        fleet_waivers=FleetWaivers((), (STATEMENT,)),
    ),
    Case(
        "the due date of a known exploited vulnerability passes",
        "2026-12-11T00:00:00Z",
        {"exploited": {"past_due": True}},
        (DATED,),
        coverage=KEV,
        cves=(LISTED,),
    ),
    Case("an image is too old", "2026-11-30T00:00:00.001Z", {"image_age": {"days": 10}}),
    Case(
        "a distribution reaches its end of life",
        "2026-12-31T00:00:00Z",
        {"end_of_life": {}},
        content=replace(CONTENT, distribution=Distribution("none", "1", support_end="2026-12-30")),
    ),
    Case(
        "a base image is no longer allowed",
        END,
        {"base_image": {"images": [{"name": "debian", "layers": [BASE], "until": END}]}},
    ),
    Case(
        "provenance is too old",
        "2026-11-30T00:00:00.001Z",
        {"provenance": {"builders": [{"id": BUILT.builder, "keys": [KEY]}], "max_age_days": 10}},
        provenance=ProvenanceFacts(IMAGE, (BUILT,)),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_time_is_known_at_which_the_verdict_changes(case: Case) -> None:
    item, under = FleetItem(IMAGE, (case.content,), "", case.provenance), build_policy(**case.rules)
    snapshot = AdvisorySnapshot(case.advisories, case.coverage, case.cves)

    def judge_alone(now: datetime) -> Status:
        at = format_time(now)
        checked_snapshot = replace(
            snapshot, coverage=tuple(replace(entry, checked_at=at) for entry in snapshot.coverage)
        )
        alone_case = build_case(item, under, checked_snapshot, case.fleet_waivers, at)
        return evaluate.judge(alone_case, ECOSYSTEMS, RULES, should_remediate=False).status

    index = FleetIndex([item], snapshot)
    judge = FleetJudge(
        under, RULES, ECOSYSTEMS, index.components, index.bundles, case.fleet_waivers, snapshot.coverage, NOW
    )
    (result,) = judge.judge(index.images[0]) or []
    moment = datetime.fromisoformat(case.at)
    instant = timedelta(milliseconds=1)
    assert abs(result.changes_at - moment.timestamp()) <= instant.total_seconds()
    assert judge_alone(datetime.fromisoformat(NOW)) is result.status
    assert judge_alone(moment - instant) is result.status
    assert judge_alone(moment) is not result.status


def test_a_rule_that_cannot_tell_when_its_answer_changes_is_asked_again_at_once() -> None:
    under = build_policy(expression={"when": "now > timestamp('2030-01-01T00:00:00Z')", "message": "It is late."})
    index = FleetIndex([FleetItem(IMAGE, (CONTENT,))], AdvisorySnapshot((), COVERED))
    judge = FleetJudge(under, RULES, ECOSYSTEMS, index.components, index.bundles, FleetWaivers(), COVERED, NOW)
    (result,) = judge.judge(index.images[0]) or []
    assert result.changes_at == datetime.fromisoformat(NOW).timestamp()


def test_nothing_changes_by_time_alone_where_no_rule_counts_it() -> None:
    index = FleetIndex([FleetItem(IMAGE, (CONTENT,))], AdvisorySnapshot((DATED,), COVERED))
    judge = FleetJudge(
        build_policy(**HIGH), RULES, ECOSYSTEMS, index.components, index.bundles, FleetWaivers(), COVERED, NOW
    )
    (result,) = judge.judge(index.images[0]) or []
    assert result.changes_at == float("inf")
    assert result.status is Status.REJECTED


@pytest.mark.parametrize("rules", [{}, {"database_age": {"hours": 30}}], ids=["evidence", "database_age"])
def test_the_times_are_known_at_which_feeds_are_too_old(rules: Mapping[str, Any]) -> None:
    active_rules = list_active_rules(build_policy(**rules), RULES)
    coverage = tuple(replace(entry, checked_at=END) for entry in COVERED)
    times = {time for active in active_rules for time in active.rule.list_feed_change_times(coverage, active.settings)}

    def judge_feeds(at: datetime) -> object:
        judge = FleetJudge(build_policy(**rules), RULES, ECOSYSTEMS, {}, {}, FleetWaivers(), coverage, format_time(at))
        return judge.objectionable_feeds

    moments = sorted(times)
    assert len(moments) == 2 * (1 + len(rules)) - len(rules)  # all are in the future for a day
    instant = timedelta(milliseconds=1)
    for moment in moments:
        assert judge_feeds(moment - instant) != judge_feeds(moment + instant)
    for hours in range(-30, 200):
        at = to_datetime(END) + timedelta(hours=hours)
        later = at + timedelta(hours=1)
        assert judge_feeds(at) == judge_feeds(later) or any(at <= moment <= later for moment in moments)
