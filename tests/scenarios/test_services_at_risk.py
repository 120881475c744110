"""Services at risk and services that cannot be judged: what is announced, when, and that it is announced once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import AdvisoryDatabase, make_advisory
from tests.scenarios.rounds import NEVER, run_rounds_until
from tests.scenarios.server import ServerSystem

from dockgate.events.model import StoredEvent
from dockgate.events.subject import EventSubject
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities.model import Coverage, Severity

POLICY = """\
kind: Policy
name: timed
rules:
  max_findings: {CRITICAL: 0, HIGH: 0}
  at_risk: {CRITICAL: 3d, HIGH: 10d}
"""
ASSIGNMENT = """\
kind: PolicyAssignment
name: timed
repositories: ["**"]
policy: timed
owners: ["role:security", "target:chat"]
"""
BEGAN, NEAR, PASSED, ENDED = (
    "service.at_risk",
    "service.deadline_near",
    "service.deadline_passed",
    "service.recovered",
)


@dataclass
class UncheckedDatabase(AdvisoryDatabase):
    """An advisory database whose feeds were checked at a time long ago."""

    checked_at: str = ""

    def list_coverage(self) -> Sequence[Coverage]:
        return (Coverage("Debian:13", True, (), self.checked_at), Coverage("kev", True, (), self.checked_at))


@pytest.fixture(scope="module")
def database() -> str:
    """Its statements have tests of their own on both databases; tests/slow plays this on Postgres."""
    return "sqlite"


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), database=database, sweep_seconds=NEVER) as system:
        system.apply(POLICY)
        system.apply(ASSIGNMENT)
        yield system


def get_service(server: ServerSystem, name: str) -> Any:
    return server.get(f"/services/{name}")["service"]


def list_announced_kinds(server: ServerSystem, name: str) -> list[str]:
    """The kinds of the service's events, oldest first."""
    return [
        event.detail_type for event in list_events(server, name) if event.detail_type in (BEGAN, NEAR, PASSED, ENDED)
    ]


def list_events(server: ServerSystem, name: str) -> list[StoredEvent]:
    """The service's events, oldest first."""
    return [event for event in server.store.event_log.read(0, 1000) if event.subject == EventSubject("service", name)]


def list_notice_kinds(server: ServerSystem, name: str) -> list[str]:
    """The kinds that people were notified about, as the log has them."""
    return [
        kind for kind in (BEGAN, NEAR, PASSED, ENDED) for key in server.list_notifications(kind) if f"/{name}/" in key
    ]


def publish(server: ServerSystem, name: str, severity: Severity) -> None:
    server.advisories.advisories = [*server.advisories.advisories, make_advisory(name, severity, "2")]


def withdraw(server: ServerSystem, name: str) -> None:
    server.advisories.advisories = [advisory for advisory in server.advisories.advisories if advisory.name != name]


def test_a_service_at_risk_is_announced_once_at_each_stage_and_keeps_running(server: ServerSystem) -> None:
    image = server.plan_image("staged", PlannedFindings())
    server.deploy_image(image)
    began = server.clock()
    publish(server, "staged", Severity.CRITICAL)
    run_rounds_until(server, lambda: get_service(server, "staged")["at_risk"])
    deadline = get_service(server, "staged")["at_risk_until"]
    # The review that finds it may have begun just before.
    assert timedelta(days=3, minutes=-1) <= datetime.fromisoformat(deadline) - began < timedelta(days=3, minutes=5)
    assert server.is_running(image)
    assert server.redeploy_image(image) == "Refused"
    (event,) = [event for event in list_events(server, "staged") if event.detail_type == BEGAN]
    detail = event.body["detail"]
    assert (detail["image"], detail["repository"], detail["deadline"]) == (image, "staged/app", deadline)
    assert detail["owners"] == ["role:security", "target:chat"]

    server.clock.ahead += timedelta(days=2, hours=1)
    run_rounds_until(server, lambda: list_announced_kinds(server, "staged") == [BEGAN, NEAR])
    server.clock.ahead += timedelta(days=1)
    run_rounds_until(server, lambda: list_announced_kinds(server, "staged") == [BEGAN, NEAR, PASSED])
    assert server.is_running(image)
    assert get_service(server, "staged")["at_risk_until"] == deadline
    vulnerability = detail["vulnerabilities"][0]["id"]
    for path in ("/", "/running", "/running/staged", f"/vulnerabilities/{vulnerability}"):
        page = server.client.get(f"{server.services.addresses.url}{path}").text
        assert "passed at" in page, path
        assert "replace it before" not in page
        assert " until <time" not in page, path

    withdraw(server, "staged")
    run_rounds_until(server, lambda: not get_service(server, "staged")["at_risk"])
    assert server.redeploy_image(image) == "Deployed"
    assert list_announced_kinds(server, "staged") == [BEGAN, NEAR, PASSED]
    server.clock.ahead += timedelta(days=1, hours=1)
    run_rounds_until(server, lambda: list_announced_kinds(server, "staged") == [BEGAN, NEAR, PASSED, ENDED])
    run_rounds_until(server, lambda: len(list_notice_kinds(server, "staged")) == 4)
    assert list_notice_kinds(server, "staged") == [BEGAN, NEAR, PASSED, ENDED]


def test_an_advisory_that_flaps_is_announced_once(server: ServerSystem) -> None:
    image = server.plan_image("flapping", PlannedFindings())
    server.deploy_image(image)
    for _ in range(2):
        publish(server, "flapping", Severity.HIGH)
        run_rounds_until(server, lambda: get_service(server, "flapping")["at_risk"])
        withdraw(server, "flapping")
        run_rounds_until(server, lambda: not get_service(server, "flapping")["at_risk"])
        server.clock.ahead += timedelta(hours=1)
    assert list_announced_kinds(server, "flapping") == [BEGAN]
    server.clock.ahead += timedelta(days=1, hours=1)
    run_rounds_until(server, lambda: list_announced_kinds(server, "flapping") == [BEGAN, ENDED])


def test_another_image_ends_the_risk_at_once(server: ServerSystem) -> None:
    image = server.plan_image("replaced", PlannedFindings())
    server.deploy_image(image)
    publish(server, "replaced", Severity.CRITICAL)
    run_rounds_until(server, lambda: list_announced_kinds(server, "replaced") == [BEGAN])
    fixed = server.plan_foreign_image("replaced-fixed", PlannedFindings())
    server.builder.digests["replaced/app"] = fixed
    server.push("replaced")
    server.plans[fixed] = ("replaced-fixed", PlannedFindings())
    server.scan_may_end[fixed].set()
    execution = server.post("/pipelines/replaced/executions")["id"]
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded", seconds=20)
    run_rounds_until(server, lambda: list_announced_kinds(server, "replaced") == [BEGAN, ENDED])
    assert not get_service(server, "replaced")["at_risk"]


def test_stale_advisories_never_put_a_service_at_risk(server: ServerSystem) -> None:
    image = server.plan_image("stale", PlannedFindings())
    server.deploy_image(image)
    current_advisories = server.advisories
    try:
        checked_at = format_time(server.clock() - timedelta(days=8))
        server.advisories = UncheckedDatabase(
            server.clock, [*current_advisories.advisories, make_advisory("x", Severity.LOW, "2")], checked_at
        )
        run_rounds_until(server, lambda: get_service(server, "stale")["cannot_judge"])
        service_view = get_service(server, "stale")
        assert (service_view["at_risk"], service_view["at_risk_until"]) == (None, None)
        assert "timed: " in service_view["cannot_judge"]
        assert server.is_running(image)
        assert server.redeploy_image(image) == "Refused"
    finally:
        server.advisories = current_advisories
    run_rounds_until(server, lambda: not get_service(server, "stale")["cannot_judge"])
    assert list_announced_kinds(server, "stale") == []
    assert list_notice_kinds(server, "stale") == []


def test_a_violation_counts_although_advisories_are_stale(server: ServerSystem) -> None:
    image = server.plan_image("bad-and-stale", PlannedFindings())
    server.deploy_image(image)
    current_advisories = server.advisories
    try:
        advisories = [*current_advisories.advisories, make_advisory("bad-and-stale", Severity.CRITICAL, "2")]
        server.advisories = UncheckedDatabase(server.clock, advisories, format_time(server.clock() - timedelta(days=8)))
        run_rounds_until(server, lambda: get_service(server, "bad-and-stale")["at_risk"])
    finally:
        server.advisories = current_advisories
