"""Verdicts stay honest when an image cannot be judged, advisories are missing or old, and the process dies."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios.server import ServerSystem
from tests.services.renewal_fleet import (
    NAMES,
    CrashError,
    FailingCaseBuilder,
    Feeds,
    Fleet,
    failing_images,
    open_fleet,
)
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.gate.model import Waiver
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities.model import Severity


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


@limit_to_sqlite("fleet")
def test_an_image_that_cannot_be_judged_is_undetermined_and_stops_no_other(fleet: Fleet) -> None:
    fleet.publish("shared", Severity.LOW)
    fleet.verdict_renewal.renew()
    for name, repository in (("w1", "team/*"), ("w2", "other/*")):
        fleet.system.services.policies.waivers.add_waiver(
            Waiver(
                name,
                "ana",
                "It is never called.",
                package="pkg:deb/debian/shared",
                repository=repository,
                until="2099-01-01",
            )
        )
    judging = fleet.verdict_renewal.image_judge
    cases = {name: getattr(judging.case_builder, name) for name in judging.case_builder.__dataclass_fields__}
    failing = FailingCaseBuilder(**cases)
    failing_images.add(fleet.images["web"])
    try:
        replace(fleet.verdict_renewal, image_judge=replace(judging, case_builder=failing)).renew()
        assert fleet.list_verdicts() == {"web": "Undetermined", "api": "Approved", "job": "Approved"}
    finally:
        failing_images.clear()
    fleet.system.clock.ahead += timedelta(hours=2)
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == dict.fromkeys(NAMES, "Approved")


@limit_to_sqlite("fleet")
def test_a_policy_that_cannot_judge_approves_nothing_and_delays_no_events_of_findings(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.system.services.policies.policies.put(
        "strict", "kind: Policy\nname: strict\nrules:\n  max_findings: {CRITICAL: 0}\n", "ana"
    )
    assignment = PolicyAssignment("web", ("team/web",), "strict")
    fleet.system.store.policy_assignments.put(assignment, "ana", format_time(fleet.system.clock()))
    fleet.verdict_renewal.renew()
    fleet.publish("shared")
    judging = fleet.verdict_renewal.image_judge
    remaining_rules = [rule for rule in judging.rules if rule.name != "exploited"]  # one of the policy "default"
    with caplog.at_level("WARNING", "dockgate"):
        replace(fleet.verdict_renewal, image_judge=replace(judging, rules=remaining_rules)).renew()
    (line,) = [record for record in caplog.records if "judges no image" in record.getMessage()]
    assert "names rules that do not exist: exploited" in line.getMessage()
    assert line.exc_info is None
    reasons = {verdict.reason for verdict in fleet.system.store.fleet_verdicts.list_of_policy("default").values()}
    assert line.getMessage().endswith(f": {reasons.pop()}")
    assert fleet.list_verdicts("strict") == {"web": "Rejected"}
    assert fleet.list_verdicts() == {"api": "Undetermined", "job": "Undetermined"}
    assert len(fleet.list_details("Inspector2 Finding")) == len(NAMES)
    fleet.system.clock.ahead += timedelta(hours=2)
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == {"api": "Rejected", "job": "Rejected"}


@limit_to_sqlite("fleet")
def test_feeds_that_become_stale_are_noticed_within_the_hour(fleet: Fleet) -> None:
    clock = fleet.system.clock
    clock.ahead += timedelta(minutes=61 - clock().minute)
    fleet.feeds.checked_at = format_time(clock() - timedelta(days=7) + timedelta(minutes=30))
    for minutes, is_stale in ((0, False), (29, False), (2, True)):
        clock.ahead += timedelta(minutes=minutes)
        fleet.verdict_renewal.renew()
        assert (fleet.list_failing_since() != {None}) is is_stale


def test_feeds_that_become_stale_during_a_renewal_are_noticed_by_the_next_one(fleet: Fleet) -> None:
    clock = fleet.system.clock
    clock.ahead += timedelta(minutes=61 - clock().minute)
    fleet.feeds.checked_at = format_time(clock() - timedelta(days=7) + timedelta(minutes=1))

    def pass_time() -> None:
        clock.ahead += timedelta(minutes=2)

    renewal = fleet.process(meanwhile=pass_time)
    renewal.renew()
    assert fleet.list_failing_since() == {None}
    renewal.renew()
    assert fleet.list_failing_since() != {None}


@limit_to_sqlite("fleet")
def test_stale_feeds_keep_the_last_status_beside_since_when(fleet: Fleet) -> None:
    fleet.publish("web")
    fleet.verdict_renewal.renew()
    fleet.feeds.checked_at = format_time(fleet.system.clock())
    fleet.system.clock.ahead += timedelta(days=8)
    before = format_time(fleet.system.clock())
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == {"web": "Rejected", "api": "Approved", "job": "Approved"}
    since = max(filter(None, fleet.list_failing_since()))
    assert since >= before
    fleet.publish("api")  # what is continuous with old feeds still rejects
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts()["api"] == "Rejected"
    fleet.feeds.checked_at = ""
    fleet.verdict_renewal.renew()
    assert fleet.list_failing_since() == {None}
    assert fleet.list_changes() == [("team/api", "Approved", "Rejected")]


@limit_to_sqlite("fleet")
def test_without_an_advisory_database_nothing_is_rejected(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    fleet.feeds.is_missing = True
    fleet.verdict_renewal.renew()
    (since,) = fleet.list_failing_since()
    assert since is not None
    fleet.system.clock.ahead += timedelta(hours=2)
    fleet.verdict_renewal.renew()
    assert fleet.list_failing_since() == {since}
    assert set(fleet.list_verdicts().values()) == {"Approved"}
    fleet.feeds.is_missing = False
    fleet.verdict_renewal.renew()
    assert fleet.list_failing_since() == {None}
    assert fleet.list_changes() == []


@limit_to_sqlite("fleet")
def test_images_that_came_before_the_first_advisories_are_undetermined_and_then_change(fleet: Fleet) -> None:
    fleet.feeds.is_missing = True
    for _ in range(2):
        fleet.verdict_renewal.renew()
        assert set(fleet.list_verdicts().values()) == {"Undetermined"}
    assert fleet.list_changes() == []
    fleet.feeds.is_missing = False
    fleet.publish("web")
    fleet.verdict_renewal.renew()
    assert sorted(fleet.list_changes()) == [
        ("team/api", "Undetermined", "Approved"),
        ("team/job", "Undetermined", "Approved"),
        ("team/web", "Undetermined", "Rejected"),
    ]


def test_a_process_that_dies_anywhere_leaves_the_same_rows_and_events(tmp_path: Path) -> None:
    def play(folder: Path, crash_at: int) -> tuple[object, list[str]]:
        folder.mkdir()
        system = ServerSystem(folder)
        fleet = Fleet(system, Feeds(system.clock))
        fleet.verdict_renewal.renew()
        fleet.publish("web")
        fleet.publish("shared", Severity.LOW)
        moments: list[str] = []
        try:
            fleet.process(moments, crash_at).renew()
        except CrashError:
            fleet.process().renew()
        result = fleet.list_rows()
        system.close()
        return result, moments

    expected, moments = play(tmp_path / "whole", -1)
    assert {"before rematch", "after rematch", "before renew", "after renew"} <= set(moments)
    for number in range(len(moments)):
        assert play(tmp_path / str(number), number)[0] == expected, moments[number]
