"""Events that name new, worse and exploited findings of images whose verdicts are renewed."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.services.renewal_fleet import NAMES, Fleet, open_fleet, require_valid
from tests.store.factories import DECISION_KINDS

from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.gate.model import Waiver
from dockgate.shared.digest import compute_digest
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import format_time
from dockgate.store.records import PushedImage
from dockgate.store.schema.base import metadata
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.model import Cve, Severity


@pytest.fixture(params=DECISION_KINDS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


def test_a_changed_verdict_names_the_vulnerabilities_that_are_new(fleet: Fleet) -> None:
    fleet.publish("api", Severity.LOW)
    fleet.verdict_renewal.renew()
    fleet.system.clock.ahead += timedelta(hours=2)
    fleet.publish("shared")
    new = fleet.feeds.advisories[-1].id
    fleet.verdict_renewal.renew()
    assert fleet.list_vulnerabilities() == [(f"team/{name}", [new]) for name in ("web", "api", "job")]
    fleet.feeds.advisories.pop()
    fleet.verdict_renewal.renew()
    assert fleet.list_vulnerabilities()[3:] == [(f"team/{name}", []) for name in ("web", "api", "job")]


@pytest.mark.parametrize("is_known", [True, False], ids=["what changed is known", "it is not known"])
def test_a_changed_verdict_names_what_is_known_to_be_exploited_since(fleet: Fleet, is_known: bool) -> None:
    fleet.publish("web", Severity.LOW)
    fleet.publish("web", Severity.LOW, "other")
    fleet.verdict_renewal.renew()
    fleet.system.clock.ahead += timedelta(hours=2)
    name = fleet.feeds.advisories[0].id
    fleet.feeds.catalogue = {name: Cve(name, exploited="2026-11-01")}
    fleet.advisory_changes = AdvisoryChanges(cves=frozenset([name])) if is_known else None
    fleet.verdict_renewal.renew()
    assert fleet.list_changes() == [("team/web", "Approved", "Rejected")]
    assert fleet.list_vulnerabilities() == [("team/web", [name])]


def test_a_changed_verdict_names_what_is_more_severe_than_before(fleet: Fleet) -> None:
    fleet.publish("web", Severity.LOW)
    fleet.verdict_renewal.renew()
    fleet.system.clock.ahead += timedelta(hours=2)
    fleet.feeds.advisories = []
    fleet.publish("web", Severity.CRITICAL)
    fleet.verdict_renewal.renew()
    assert fleet.list_vulnerabilities() == [("team/web", [fleet.feeds.advisories[0].id])]


def test_a_new_finding_of_a_kept_image_has_one_event_in_the_shape_of_inspector(fleet: Fleet) -> None:
    """Also if the advisory comes and goes."""
    fleet.verdict_renewal.renew()
    fleet.publish("shared", Severity.HIGH)
    fleet.publish("web", Severity.LOW)
    both = fleet.feeds.advisories
    for advisories in (both, [], both, [], both):
        fleet.feeds.advisories = advisories
        fleet.system.clock.ahead += timedelta(minutes=5)
        fleet.verdict_renewal.renew()
    findings = fleet.list_details("Inspector2 Finding")
    assert [entry["title"] for entry in findings] == [f"{both[0].id} - shared"] * 3
    images = [entry["resources"][0]["details"]["awsEcrContainerImage"] for entry in findings]
    assert {(image["repositoryName"], image["architecture"]) for image in images} == {
        (f"team/{name}", "amd64") for name in NAMES
    }
    require_valid(fleet.system.store.event_log.read(limit=1000))


def test_a_rejected_image_that_gets_a_known_exploited_vulnerability_is_announced_once(fleet: Fleet) -> None:
    fleet.publish("web")
    fleet.verdict_renewal.renew()
    fleet.publish("web", Severity.LOW, "other")
    name = fleet.feeds.advisories[-1].id
    for catalogue in ({}, {name: Cve(name, exploited="2026-11-01")}) * 2:
        fleet.feeds.catalogue = catalogue
        fleet.system.clock.ahead += timedelta(minutes=5)
        fleet.verdict_renewal.renew()
    (detail,) = fleet.list_details("finding.exploited")
    assert (detail["repository"], detail["vulnerabilities"]) == ("team/web", [{"id": name, "severity": "LOW"}])
    findings = fleet.list_details("Inspector2 Finding")
    assert [(entry["exploitAvailable"], entry["status"]) for entry in findings] == [("YES", "ACTIVE")]


def test_an_exploited_vulnerability_is_announced_though_the_status_is_of_a_clock_that_was_ahead(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    fleet.system.clock.ahead += timedelta(days=365)
    fleet.publish("web")
    fleet.verdict_renewal.renew()
    fleet.system.clock.ahead -= timedelta(days=365)
    fleet.publish("web", Severity.LOW, "other")
    name = fleet.feeds.advisories[-1].id
    fleet.feeds.catalogue = {name: Cve(name, exploited="2026-11-01")}
    fleet.verdict_renewal.renew()
    (detail,) = fleet.list_details("finding.exploited")
    assert detail["vulnerabilities"] == [{"id": name, "severity": "LOW"}]


def test_a_waived_finding_is_suppressed_and_not_announced(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    until = format_time(fleet.system.clock() + timedelta(days=1))
    waiver = Waiver("w1", "ana", "It is never called.", package="pkg:deb/debian/web", until=until)
    fleet.system.services.policies.waivers.add_waiver(waiver)
    fleet.publish("web")
    name = fleet.feeds.advisories[-1].id
    fleet.feeds.catalogue = {name: Cve(name, exploited="2026-11-01")}
    fleet.verdict_renewal.renew()
    assert fleet.list_details("finding.exploited") == []
    assert [entry["status"] for entry in fleet.list_details("Inspector2 Finding")] == ["SUPPRESSED"]


def test_an_image_without_a_tag_is_notified_only_while_it_runs(fleet: Fleet) -> None:
    store, now = fleet.system.store, format_time(fleet.system.clock())
    for name in ("web", "api"):
        store.images.add_push(PushedImage(f"team/{name}", "1", fleet.images[name], now))
        store.images.add_push(PushedImage(f"team/{name}", "1", compute_digest(b"next"), now))  # the tag moves on
    store.images.add_push(PushedImage("team/job", "1", fleet.images["job"], now))
    store.images.add_push(PushedImage("team/job", None, fleet.images["job"], now))
    reference = ImageReference("registry.example/team/web", fleet.images["web"])
    store.services.put(Service("web", "local", 1, 1), TaskDefinition("web", 1, "web", reference))
    fleet.verdict_renewal.renew()
    fleet.publish("shared")
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == dict.fromkeys(("web", "api", "job"), "Rejected")
    assert sorted(fleet.list_changes()) == [("team/job", "Approved", "Rejected"), ("team/web", "Approved", "Rejected")]


def test_an_advisory_that_flaps_hourly_adds_one_row_for_each_time_however_many_images_have_its_package(
    fleet: Fleet,
) -> None:
    fleet.verdict_renewal.renew()

    def count_rows() -> dict[str, int]:
        tables = [table for name, table in metadata.tables.items() if name.startswith("fleet_")]
        with fleet.system.store.database.read() as connection:
            return {table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables}

    def publish_and_withdraw() -> None:
        fleet.publish("shared")
        fleet.verdict_renewal.renew()
        fleet.system.clock.ahead += timedelta(minutes=30)
        fleet.feeds.advisories = fleet.feeds.advisories[:-1]
        fleet.verdict_renewal.renew()
        fleet.system.clock.ahead += timedelta(minutes=30)

    publish_and_withdraw()
    rows, findings = count_rows(), len(fleet.list_details("Inspector2 Finding"))
    for _ in range(4):
        publish_and_withdraw()
    added_rows = {name: count - rows[name] for name, count in count_rows().items() if count != rows[name]}
    assert added_rows == {"fleet_past_findings": 4}
    assert len(fleet.list_details("Inspector2 Finding")) == findings
