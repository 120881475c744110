"""What touches the image that a service runs has it judged again, once; nothing else does."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from tests.scanned_platforms import list_platforms
from tests.scenarios.planned_images import make_package
from tests.services.changing_fleet import World
from tests.services.renewal_fleet import Fleet, open_fleet
from tests.services.running_services import PLAIN, POLICY_TEXTS, RunningServices, check_random_changes
from tests.store.factories import DECISION_KINDS

from dockgate.delivery.model import Action, ActionType, Pipeline, Stage
from dockgate.delivery.registry_access import OPERATOR
from dockgate.gate.model import ExternalReport, Waiver
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.scanner.model import Distribution, Inventory
from dockgate.services.fleet.advisory_revisions import LAG_LIMIT
from dockgate.services.fleet.index import FleetIndex
from dockgate.services.pipelines.service_risk import ServiceRisk
from dockgate.shared.timestamps import format_time
from dockgate.store.records import PushedImage, ReportScope
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.model import Finding, Matches, Rating, Severity

NAMES = [f"image{number}" for number in range(4)]
# The first image has none of the packages with advisories, the second has d, the third could not be read as a whole,
# and the fourth has a.
SEED = 23907


@pytest.fixture(params=DECISION_KINDS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


def test_services_are_those_of_judging_all_images_again_whatever_changes(fleet: Fleet) -> None:
    # More seeds and steps, on each database: tests/slow/test_touched_images.py.
    check_random_changes(fleet, seed=3, steps=5)


@pytest.fixture
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServices]:
    with open_fleet(tmp_path, "sqlite") as fleet:
        world = World(fleet, Random(SEED), NAMES)  # noqa: S311 - the same images each time
        world.renewal.renew()
        services = RunningServices(world, getattr(request, "param", ("plain", "timed")))
        services.review()
        yield services


def publish_only(services: RunningServices, package: str) -> None:
    """Publish another advisory about a package."""
    services.world.fleet.publish(package, variant="second")
    services.world.fleet.advisory_changes = AdvisoryChanges(keys=frozenset({("Debian:13", package)}))


def publish(services: RunningServices, package: str) -> None:
    """Publish another advisory about a package, and have the index follow."""
    publish_only(services, package)
    services.world.renewal.renew()


def list_unsure(services: RunningServices) -> list[str]:
    """The services whose image cannot be judged: some, but not all. They are judged every hour."""
    names = [name for name, risk in sorted(services.store.service_risks.list_recorded().items()) if risk.cannot_judge]
    assert names
    assert set(names) < set(services.names)
    return names


def test_an_advisory_has_the_services_judged_once_that_run_its_package(services: RunningServices) -> None:
    publish(services, "unrelated")
    assert services.review() == []
    publish(services, "d")
    names = services.list_services_with("d")
    assert services.review() == names
    assert {name for name, risk in services.store.service_risks.list_recorded().items() if risk.at_risk} >= set(names)
    assert services.find_differences() == []


def test_an_hour_has_no_service_judged_whose_policies_count_no_time(services: RunningServices) -> None:
    services.world.fleet.system.clock.ahead += timedelta(hours=2)
    services.world.renewal.renew()
    assert services.review() == list_unsure(services)
    assert services.find_differences() == []


def test_time_has_the_services_judged_whose_verdict_it_changes(services: RunningServices) -> None:
    world = services.world
    world.list_as_exploited("a")
    services.review()
    timed_services = [name for name in services.list_services_with("a") if services.find_service(name)[0] == "x/timed"]
    assert timed_services
    unsure = list_unsure(services)
    for days, expected in ((2, timed_services), (1, [])):
        world.fleet.system.clock.ahead += timedelta(days=days)
        world.renewal.renew()
        assert set(services.review()) == {*expected, *unsure}
        assert services.find_differences() == []


def test_the_end_of_a_waiver_counts_when_it_ends(services: RunningServices) -> None:
    world, store = services.world, services.store
    publish(services, "d")
    services.review()
    until = world.fleet.system.clock() + timedelta(minutes=90)
    waiver = Waiver("w", "ana", "Reviewed.", package="pkg:deb/debian/d", until=format_time(until))
    store.waivers.add(replace(waiver, created_at=world.now))
    services.review()
    at_risk = {name for name, risk in store.service_risks.list_recorded().items() if risk.at_risk}
    assert not at_risk & set(services.list_services_with("d"))
    world.fleet.system.clock.ahead = until - world.fleet.system.clock() + world.fleet.system.clock.ahead
    assert set(services.review()) >= set(services.list_services_with("d"))
    assert services.find_differences() == []


def test_a_rollback_clears_nothing_that_is_true(services: RunningServices) -> None:
    """The revision that ran before is at risk at once, though its verdict is the same."""
    publish(services, "d")
    services.review()
    (name, *_) = services.list_services_with("d")
    services.store.services.set_revision(name, 1, None)
    execution = services.store.services.find_deployed_by(name)
    definition = services.store.services.get_definition(name, 1)
    other_revision = services.add_revision(name, definition)
    for revision in (other_revision, 1):
        services.store.services.set_revision(name, revision, execution)
    assert services.store.services.get(name).at_risk is None
    services.review()
    assert services.store.services.get(name).at_risk is not None
    assert services.find_differences() == []


def test_what_another_process_has_recorded_is_not_taken_for_the_own_verdict(services: RunningServices) -> None:
    first, second = services.processes
    publish(services, "d")
    services.review(second)
    (name, *_) = services.list_services_with("d")
    assert services.store.services.get(name).at_risk is not None
    services.world.fleet.feeds.advisories.pop()
    services.world.renewal.renew()
    assert name in services.review(first)
    assert services.store.services.get(name).at_risk is None


def test_a_clock_that_was_ahead_leaves_no_deadline_behind(services: RunningServices) -> None:
    clock, store = services.world.fleet.system.clock, services.store
    clock.ahead += timedelta(days=60)
    publish(services, "d")
    services.review()
    clock.ahead -= timedelta(days=60)
    names = services.list_services_with("d")
    for hours in (0, 1, 24, 0, 0):
        clock.ahead += timedelta(hours=hours)
        services.world.renewal.renew()
        services.review()
    soon = format_time(clock() + timedelta(days=15))
    assert all((store.services.get(name).at_risk_until or "9") < soon for name in names)
    assert services.find_differences() == []


def test_stale_feeds_put_no_service_at_risk_and_are_judged_by_the_hour(services: RunningServices) -> None:
    world, store = services.world, services.store
    at_risk = {name: risk.at_risk for name, risk in store.service_risks.list_recorded().items()}
    unsure = set(list_unsure(services))
    old = format_time(world.fleet.system.clock() - timedelta(days=8))
    for checked_at in (old, "", old):
        world.fleet.feeds.checked_at = checked_at
        world.renewal.renew()
        services.review()
        recorded_risks = store.service_risks.list_recorded()
        assert {name: risk.at_risk for name, risk in recorded_risks.items()} == at_risk
        cannot_judge = {name for name, risk in recorded_risks.items() if risk.cannot_judge}
        assert cannot_judge == {name for name in services.names if checked_at and not at_risk[name]} | unsure
    world.fleet.system.clock.ahead += timedelta(hours=1)
    assert services.review() == [name for name, risk in sorted(recorded_risks.items()) if risk.cannot_judge]


def test_another_report_of_a_running_image_counts_at_once(services: RunningServices) -> None:
    world, (_, image) = services.world, services.find_service("service0")
    package = make_package("reported")
    finding = Finding("CVE-2026-1", (), package, Severity.CRITICAL, Rating("advisory", Severity.CRITICAL), "2")
    inventory = Inventory(image, "linux/amd64", None, (), (package,), ())
    for findings in ((), (finding,), ()):
        report = ExternalReport("trivy", world.now, inventory, Matches(findings, ()))
        services.store.reports.put(report, "ana", ReportScope(), world.now)
        assert "service0" in services.review()
        assert services.find_differences() == []


def test_an_update_waits_for_the_index_but_not_for_ever(services: RunningServices) -> None:
    world = services.world
    publish_only(services, "d")
    assert services.review() == []
    world.renewal.renew()
    assert services.review() == services.list_services_with("d")
    publish_only(services, "a")
    assert services.review() == []
    world.fleet.system.clock.ahead += LAG_LIMIT + timedelta(seconds=1)
    assert sorted(services.review()) == services.names
    assert services.find_differences() == []


@pytest.mark.parametrize("services", [("lax",)], indirect=True)
def test_a_policy_that_compares_images_judges_them_with_every_update_and_every_hour(services: RunningServices) -> None:
    publish(services, "unrelated")
    assert set(services.review()) == set(services.names)
    services.world.fleet.system.clock.ahead += timedelta(hours=1)
    assert set(services.review()) == set(services.names)
    assert services.find_differences() == []


def test_an_image_that_is_being_read_again_keeps_its_verdict_until_it_was_read(services: RunningServices) -> None:
    world, images, name = services.world, services.store.images, services.world.names[1]
    digest, repository = world.digest(name), world.get_repository(name)
    inventories = images.list_inventories(digest)
    number = images.request_new_scan(digest, repository, 1, world.now).number
    assert services.review() == []
    publish(services, "d")
    services.review()
    assert services.store.services.get("service1").cannot_judge == "it is being scanned"
    images.finish_scan(digest, number, list_platforms(*inventories), None, world.now)
    assert services.review() == ["service1"]
    assert services.store.services.get("service1").at_risk is not None
    number = images.request_new_scan(digest, repository, number, world.now).number
    images.finish_scan(digest, number, (), "It is broken.", world.now)
    assert services.review() == ["service1"]
    assert services.find_differences() == []


class BrokenIndex(FleetIndex):
    """An index with a defect."""

    def find_unmatched_images(self) -> set[int]:
        raise KeyError("an internal error")


def test_a_defect_of_the_index_keeps_no_service_from_being_judged(services: RunningServices) -> None:
    process = services.start_process()
    revisions = process.advisory_revisions
    index = BrokenIndex(**{name: getattr(revisions.index, name) for name in FleetIndex.__dataclass_fields__})
    broken_process: ServiceRisk = replace(process, advisory_revisions=replace(revisions, index=index))
    assert services.review(broken_process) == services.names
    services.world.fleet.publish("d", variant="second")
    assert services.review(broken_process) == services.names
    assert services.find_differences() == []


def test_a_changed_policy_has_the_services_judged_that_it_has_to_approve(services: RunningServices) -> None:
    services.put_policy("plain", PLAIN.replace("CRITICAL", "LOW"))
    plain = [name for name in services.names if services.find_service(name)[0] == "x/plain"]
    assert services.review() == plain
    assert services.find_differences() == []


@pytest.mark.parametrize("services", [("timed", "plain")], indirect=True)
def test_the_waivers_of_a_built_repository_count_once_the_operator_pushed_the_image(services: RunningServices) -> None:
    world, store, name = services.world, services.store, "service1"
    repository, image = services.find_service(name)
    publish(services, "d")
    waiver = Waiver("w", "ana", "x", package="pkg:deb/debian/*", repository=repository, until="2099-01-01")
    store.waivers.add(replace(waiver, created_at=world.now))
    services.review()
    assert store.services.get(name).at_risk is None
    build = Action("Build", ActionType.BUILD, input="SourceOutput", configuration={"image": repository})
    store.pipelines.put(Pipeline("web", (Stage("Build", (build,)),)), world.now)
    services.review()
    assert store.services.get(name).at_risk is not None
    store.images.add_push(PushedImage(repository, "1", image, world.now, pushed_by=OPERATOR))
    services.review()
    assert store.services.get(name).at_risk is None


@pytest.mark.parametrize("services", [("signed",)], indirect=True)
def test_provenance_that_was_fetched_counts_for_the_image(services: RunningServices) -> None:
    name = services.names[0]
    repository, image = services.find_service(name)
    services.store.provenance.record_fetch_error(image, repository, "It is down.", services.world.now)
    assert services.review() == [name]
    assert services.find_differences() == []
    services.world.fleet.system.clock.ahead += timedelta(seconds=1)
    services.store.provenance.replace_fetched(image, repository, [], services.world.now)
    assert services.review() == [name]


@pytest.mark.parametrize("has_report", [False, True])
def test_an_image_that_was_read_again_is_judged_by_what_it_contains_now(
    services: RunningServices, has_report: bool
) -> None:
    world, (_, image), now = services.world, services.find_service("service1"), services.world.now
    publish(services, "new")
    if has_report:
        inventory = Inventory(image, "linux/amd64", None, (), (), ())
        services.store.reports.put(ExternalReport("trivy", now, inventory, Matches((), ())), "ana", ReportScope(), now)
    services.review()
    scan = services.store.images.request_new_scan(image, world.get_repository(world.names[1]), 1, now)
    inventory = Inventory(image, "linux/amd64", Distribution("debian", "13"), (), (make_package("new"),), ())
    services.store.images.finish_scan(image, scan.number, list_platforms(inventory), None, now)
    world.renewal.renew()
    assert services.review() == ["service1"]
    assert services.find_differences() == []


def test_epss_values_count_for_policies_that_read_them(services: RunningServices) -> None:
    world = services.world
    services.put_policy("timed", POLICY_TEXTS["timed"][2])
    services.review()
    timed_services = [name for name in services.list_services_with("a") if services.find_service(name)[0] == "x/timed"]
    for epss in (0.1, 0.9):
        world.change_epss("a", epss)
        assert services.review() == timed_services
        assert services.find_differences() == []


def test_another_policy_that_has_judged_the_image_has_to_approve_it(services: RunningServices) -> None:
    repository, image = services.find_service("service0")
    services.approve(repository, image, "strict")
    assert services.review() == ["service0"]
    recorded_risks = services.store.service_risks.list_recorded()
    assert "strict" in f"{recorded_risks['service0'].at_risk} {recorded_risks['service0'].cannot_judge}"


def test_a_repository_with_two_policies_says_that_its_services_cannot_be_judged(services: RunningServices) -> None:
    services.store.policy_assignments.put(PolicyAssignment("another", ("x/plain",), "timed"), "ana", services.world.now)
    services.review()
    recorded_risks = services.store.service_risks.list_recorded()
    for name in services.names:
        is_conflict = services.find_service(name)[0] == "x/plain"
        assert ("judging it failed" in (recorded_risks[name].cannot_judge or "")) == is_conflict
    assert services.find_differences() == []


def test_an_update_that_is_taken_back_while_an_image_is_judged_leaves_no_verdict(services: RunningServices) -> None:
    services.verdicts.changes.append(lambda: publish(services, "d"))
    services.put_policy("timed", POLICY_TEXTS["timed"][2])
    services.leader.review()
    assert services.verdicts.changes == []
    assert services.store.services.get("service1").at_risk is not None
    services.world.fleet.feeds.advisories.pop()
    services.world.renewal.renew()
    services.review()
    assert services.find_differences() == []
    assert services.store.services.get("service1").at_risk is None


def test_an_image_that_is_replaced_while_it_is_judged_has_the_new_one_judged(services: RunningServices) -> None:
    publish(services, "d")
    services.verdicts.changes.append(lambda: services.replace_image("service1", "service0"))
    services.leader.review()
    assert services.verdicts.changes == []
    assert services.store.services.get("service1").at_risk is None
    services.review()
    assert services.find_differences() == []
    services.replace_image("service0", "service3")
    services.review()
    assert services.store.services.get("service0").at_risk is not None
    assert services.find_differences() == []


def test_the_version_that_a_verdict_proposes_is_one_without_a_known_vulnerability(services: RunningServices) -> None:
    """The image has no finding of an advisory about that version alone."""
    publish(services, "d")
    services.review()
    advisories = services.world.fleet.feeds.advisories
    (*_, advisory) = [entry for entry in advisories if entry.name == "d"]
    events = (("introduced", "2"), ("fixed", "3"))
    advisories.append(replace(advisory, id="CVE-2026-999999", ranges=(replace(advisory.ranges[0], events=events),)))
    services.world.fleet.advisory_changes = AdvisoryChanges(keys=frozenset({("Debian:13", "d")}))
    services.world.renewal.renew()
    assert services.review() == services.list_services_with("d")
    assert services.find_differences() == []


def test_a_scan_that_fails_for_another_reason_changes_why_nothing_can_be_judged(services: RunningServices) -> None:
    images, now = services.store.images, services.world.now
    repository, digest = services.find_service("service1")
    number = 1
    for reason in ("It is broken.", "Quite another reason."):
        number = images.request_new_scan(digest, repository, number, now).number
        images.finish_scan(digest, number, (), reason, now)
        assert services.review() == ["service1"]
        assert reason in (services.store.services.get("service1").cannot_judge or "")
    assert services.find_differences() == []
