"""Another policy or assignment renews the verdicts of the images that it judges."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios.planned_images import make_advisory
from tests.services.renewal_fleet import NAMES, CrashError, Fleet, open_fleet
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities.model import Severity

STRICT = "kind: Policy\nname: strict\nrules:\n  max_findings: {LOW: 0}\n"


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


@limit_to_sqlite("fleet")
def test_two_assignments_that_match_equally_well_leave_only_their_repository_unjudged(fleet: Fleet) -> None:
    fleet.system.services.policies.policies.put("strict", STRICT, "ana")
    for name, policy in (("a", "default"), ("b", "strict")):
        assignment = PolicyAssignment(name, ("team/web",), policy)
        fleet.system.store.policy_assignments.put(assignment, "ana", format_time(fleet.system.clock()))
    for _ in range(2):
        fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == {"api": "Approved", "job": "Approved"}
    fleet.system.store.policy_assignments.remove("b", "ana", format_time(fleet.system.clock()))
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == dict.fromkeys(NAMES, "Approved")


@limit_to_sqlite("fleet")
def test_a_changed_policy_or_assignment_renews_verdicts(fleet: Fleet) -> None:
    fleet.publish("shared", Severity.LOW)
    fleet.verdict_renewal.renew()
    assert set(fleet.list_verdicts().values()) == {"Approved"}
    now = format_time(fleet.system.clock())
    fleet.system.services.policies.policies.put("strict", STRICT, "ana")
    fleet.system.store.policy_assignments.put(PolicyAssignment("web", ("team/web",), "strict"), "ana", now)
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts("strict") == {"web": "Rejected"}
    assert fleet.list_verdicts().keys() == {"api", "job"}


@limit_to_sqlite("fleet")
def test_another_policy_of_a_repository_is_an_event_where_it_changes_the_status(fleet: Fleet) -> None:
    fleet.publish("shared", Severity.LOW)
    fleet.verdict_renewal.renew()
    store, now = fleet.system.store, format_time(fleet.system.clock())
    # The names of the policies are sorted before and after that of the policy before.
    for policy in ("a-strict", "z-strict"):
        fleet.system.services.policies.policies.put(policy, STRICT.replace("strict", policy), "ana")
    fleet.system.services.policies.policies.put("z-lax", STRICT.replace("strict", "z-lax").replace("0", "9"), "ana")
    for name, policy in (("web", "a-strict"), ("api", "z-strict"), ("job", "z-lax")):
        store.policy_assignments.put(PolicyAssignment(name, (f"team/{name}",), policy), "ana", now)
    with pytest.raises(CrashError):  # when the first policy's verdicts are written
        fleet.process(crash_at=2).renew()
    for _ in range(2):
        fleet.process().renew()
    assert sorted(fleet.list_changes()) == [("team/api", "Approved", "Rejected"), ("team/web", "Approved", "Rejected")]
    details = [event.body["detail"] for event in store.event_log.read(limit=1000)]
    assert {detail["former_policy"] for detail in details if "previous" in detail} == {"default"}
    store.policy_assignments.put(PolicyAssignment("web", ("team/web",), "z-lax"), "ana", now)
    fleet.process().renew()
    assert fleet.list_changes()[-1] == ("team/web", "Rejected", "Approved")
    assert (fleet.list_verdicts(), fleet.list_verdicts("a-strict")) == ({}, {})


@limit_to_sqlite("fleet")
def test_a_clock_that_jumps_ahead_and_back_leaves_the_verdicts_of_the_present(fleet: Fleet) -> None:
    """The advisory is in its grace period, which has ended for the clock that is ahead."""
    grace = STRICT.replace("LOW: 0", "LOW: 0, grace_days: 30")
    fleet.system.services.policies.policies.put("strict", grace, "ana")
    now = format_time(fleet.system.clock())
    fleet.system.store.policy_assignments.put(PolicyAssignment("all", ("team/*",), "strict"), "ana", now)
    fleet.feeds.advisories = [replace(make_advisory("web", Severity.LOW, "2"), published=now)]
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts("strict")["web"] == "Approved"
    fleet.system.clock.ahead += timedelta(days=40)
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts("strict")["web"] == "Rejected"
    fleet.system.clock.ahead -= timedelta(days=40)
    for _ in range(2):
        fleet.process().renew()
    assert fleet.list_verdicts("strict")["web"] == "Approved"
    assert fleet.is_consistent("strict")
