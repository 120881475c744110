"""Running images are judged again: a service that cannot be judged keeps no other from it, and does not look safe."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios.planned_images import make_advisory
from tests.services.pipeline_steps import Steps
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.delivery.model import ExecutionId
from dockgate.delivery.service_model import Service
from dockgate.events.notification_texts import describe_event
from dockgate.gate.model import VexSigner, VexStatement, VexStatus
from dockgate.gate.policy import make_policy
from dockgate.services.pipelines.service_risk import ServiceRisk
from dockgate.services.verdicts.case_builder import BaselineFinder, DeploymentContext, find_running_image
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DeployError
from dockgate.shared.timestamps import format_time
from dockgate.store.records import VexRecord
from dockgate.vulnerabilities.model import Cve, Severity

NEXT_BUILD = compute_digest(b"next")


@pytest.fixture(params=sorted(FACTORIES))
def steps(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Steps]:
    result = Steps(tmp_path, request.param)
    result.deploy_image("first")
    yield result
    result.system.discard()


def add_service(steps: Steps, name: str) -> None:
    """Another service that runs the image of "web"."""
    definition = steps.store.services.get_definition("web", steps.store.services.get("web").revision)
    steps.store.services.put(Service(name, "podman", 1, 0), replace(definition, family=name))


def publish(steps: Steps) -> None:
    steps.system.advisories.advisories.append(make_advisory("first", Severity.CRITICAL, "2"))


def forget_execution(steps: Steps) -> None:
    """The execution that deployed "web" is not there any more."""
    steps.store.services.set_revision("web", steps.store.services.get("web").revision, ExecutionId("web/999"))


@limit_to_sqlite("steps")
def test_a_service_whose_execution_is_gone_is_judged_like_the_others(steps: Steps) -> None:
    for name in ("api", "zzz"):
        add_service(steps, name)
    forget_execution(steps)
    publish(steps)
    steps.use_cases.service_risk.review()
    assert all(steps.store.services.get(name).at_risk for name in ("api", "web", "zzz"))


@limit_to_sqlite("steps")
def test_a_service_whose_execution_is_gone_is_deployed_and_only_what_is_approved(steps: Steps) -> None:
    forget_execution(steps)
    key = steps.prepare_deploy("second")
    definition = steps.deployments.register_revision(key)
    steps.system.advisories.advisories.append(make_advisory("second", Severity.CRITICAL, "2"))
    with pytest.raises(DeployError, match="not approved"):
        steps.deployments.deploy(key, definition)
    steps.system.advisories.advisories.pop()
    steps.deployments.deploy(key, definition)
    assert steps.list_running_images() == ["second"]


@limit_to_sqlite("steps")
def test_a_service_that_cannot_be_judged_stops_no_other_and_says_so(steps: Steps) -> None:
    for name in ("api", "zzz"):
        add_service(steps, name)
    failed_images: list[str] = []

    class Failing(type(steps.use_cases.service_risk.verdicts)):  # type: ignore[misc]
        """Fails for one service."""

        def review_deployed(self, image: str, context: object, risk_days: float) -> object:
            if context.service == "web":  # type: ignore[attr-defined]
                failed_images.append(image)
                raise KeyError("an internal error")
            return super().review_deployed(image, context, risk_days)

    verdicts = steps.use_cases.service_risk.verdicts
    failing = Failing(**{name: getattr(verdicts, name) for name in verdicts.__dataclass_fields__})
    publish(steps)
    failing_risk = replace(steps.use_cases.service_risk, verdicts=failing)
    for _ in range(3):
        failing_risk.review()
    assert len(failed_images) == 1  # it is tried again after a pause
    assert all(steps.store.services.get(name).at_risk for name in ("api", "zzz"))
    web = steps.store.services.get("web")
    assert (bool(web.at_risk), web.cannot_judge) == (False, "judging it failed: internal error: KeyError")
    steps.use_cases.service_risk.review()
    web = steps.store.services.get("web")
    assert (bool(web.at_risk), web.cannot_judge) == (True, None)


def count_judged(risk: ServiceRisk) -> tuple[ServiceRisk, list[str]]:
    """The same risk in another process, and the services whose images are judged, in this order."""

    class Counting(type(risk.verdicts)):  # type: ignore[misc]
        def review_deployed(self, image: str, context: DeploymentContext, risk_days: float) -> object:
            judged_services.append(context.service or "")
            return super().review_deployed(image, context, risk_days)

    judged_services: list[str] = []
    verdicts = Counting(**{name: getattr(risk.verdicts, name) for name in risk.verdicts.__dataclass_fields__})
    return replace(risk, verdicts=verdicts), judged_services


@limit_to_sqlite("steps")
def test_services_are_judged_once_when_something_has_changed(steps: Steps) -> None:
    add_service(steps, "api")
    risk, judged_services = count_judged(steps.use_cases.service_risk)

    def review() -> list[str]:
        judged_services.clear()
        for _ in range(2):
            risk.review()
        return list(judged_services)

    assert review() == ["api", "web"]
    assert review() == []
    publish(steps)
    assert review() == ["api", "web"]
    assert all(steps.store.services.get(name).at_risk for name in ("api", "web"))
    assert review() == []
    forget_execution(steps)
    assert review() == ["web"]


def add_vex_document(steps: Steps, product: str) -> None:
    """A document about a vulnerability of no image, in this product."""
    data = product.encode()
    vulnerabilities = ("CVE-2020-1",)
    statement = VexStatement(
        compute_digest(data), "openvex", "ana", None, vulnerabilities, VexStatus.NOT_AFFECTED, (product,)
    )
    record = VexRecord(
        statement.document, None, "openvex", "ana", VexSigner("principal:ana"), format_time(steps.system.clock())
    )
    steps.store.vex.add(record, data, [statement])


@limit_to_sqlite("steps")
def test_a_vex_document_has_only_the_services_judged_again_whose_images_it_names(steps: Steps) -> None:
    risk, judged_services = count_judged(steps.use_cases.service_risk)
    steps.use_cases.fleet_index.add_missing()
    running = find_running_image(steps.store, "web", steps.system.services.addresses.registry)
    assert running is not None
    risk.review()
    for product, services in (
        ("pkg:deb/debian/else", []),
        (NEXT_BUILD, []),
        ("pkg:deb/debian/first", ["web"]),
        (running[0], ["web"]),
    ):
        judged_services.clear()
        add_vex_document(steps, product)
        risk.review()
        assert judged_services == services, product


@limit_to_sqlite("steps")
def test_a_service_without_tasks_is_not_at_risk(steps: Steps) -> None:
    def review() -> tuple[bool, list[str]]:
        steps.use_cases.service_risk.review()
        events = [event.detail_type for event in steps.store.event_log.read()]
        return bool(steps.store.services.get("web").at_risk), [kind for kind in events if kind.startswith("service.")]

    def scale(count: int) -> None:
        steps.rollouts.run("web", steps.begin(count=count).number)

    publish(steps)
    assert review() == (True, ["service.at_risk"])
    running = find_running_image(steps.store, "web", steps.system.services.addresses.registry)
    assert running is not None
    image, context = running
    finder = BaselineFinder(steps.store, (), steps.system.services.addresses.registry)
    policy = make_policy("new", {"max_findings": ({"HIGH": 0, "baseline": "running"},)})
    deploying = replace(context, should_keep_baselines=False)
    assert finder.find(NEXT_BUILD, policy, deploying).inventories["running"] == tuple(
        steps.store.images.list_inventories(image)
    )
    scale(0)
    assert find_running_image(steps.store, "web", steps.system.services.addresses.registry) is None
    assert finder.find(NEXT_BUILD, policy, deploying).inventories == {}
    for _ in range(2):
        assert review() == (False, ["service.at_risk", "service.recovered"])
    (recovery,) = [event for event in steps.store.event_log.read() if event.detail_type == "service.recovered"]
    title, text = describe_event(recovery.body)
    assert title == "web is no longer at risk"
    assert text.startswith("Nothing runs any more: the service has 0 tasks. Before: ")
    assert "deadline" not in text
    steps.system.advisories.advisories.pop()
    steps.begin(count=1)
    assert [entry.service for entry in steps.store.services.list_running_images()] == ["web"]
    publish(steps)
    assert review() == (True, ["service.at_risk", "service.recovered", "service.at_risk"])


@limit_to_sqlite("steps")
def test_a_deadline_that_a_clock_announced_which_was_ahead_is_announced_when_it_passes(steps: Steps) -> None:
    def count_passed_deadlines() -> int:
        steps.use_cases.service_risk.review()
        return sum(event.detail_type == "service.deadline_passed" for event in steps.store.event_log.read())

    publish(steps)
    assert count_passed_deadlines() == 0
    clock = steps.system.clock
    for days, times in ((60, 1), (-60, 1), (1, 1), (20, 2), (1, 2)):
        clock.ahead += timedelta(days=days)
        assert count_passed_deadlines() == times


@limit_to_sqlite("steps")
def test_a_vulnerability_that_is_known_to_be_exploited_moves_the_deadline_once_and_is_named(steps: Steps) -> None:
    """The service is at risk before, because of another vulnerability."""
    publish(steps)
    steps.use_cases.service_risk.review()
    exploited_advisory = make_advisory("first", Severity.HIGH, "2", "exploited")
    due = format_time(steps.system.clock() + timedelta(days=5))[:10]
    steps.system.advisories.advisories.append(exploited_advisory)
    steps.system.advisories.catalogue[exploited_advisory.id] = Cve(
        exploited_advisory.id, exploited="2026-01-01", due=due
    )
    for _ in range(3):
        steps.system.clock.ahead += timedelta(hours=2)
        steps.use_cases.service_risk.review()
    events = [event.body for event in steps.store.event_log.read() if event.detail_type.startswith("service.")]
    assert [event["detail-type"] for event in events] == ["service.at_risk", "service.deadline_moved"]
    first, moved_deadline = (event["detail"]["vulnerabilities"] for event in events)
    assert [entry["severity"] for entry in first] == ["CRITICAL"]
    assert [entry["severity"] for entry in moved_deadline] == ["HIGH", "CRITICAL"]


@limit_to_sqlite("steps")
def test_a_more_severe_vulnerability_of_a_rejected_image_is_announced_once_and_named(steps: Steps) -> None:
    """Its time is as long as that of the other one, so it moves no deadline."""
    steps.system.advisories.advisories.append(make_advisory("first", Severity.HIGH, "2", "high"))
    steps.use_cases.service_risk.review()
    steps.system.advisories.advisories.append(critical := make_advisory("first", Severity.CRITICAL, "2"))
    for _ in range(3):
        steps.system.clock.ahead += timedelta(hours=2)
        steps.use_cases.service_risk.review()
        steps.system.advisories.advisories.remove(critical)
        steps.use_cases.service_risk.review()
        steps.system.advisories.advisories.append(critical)
    events = [event.body for event in steps.store.event_log.read() if event.detail_type.startswith("service.")]
    assert [event["detail-type"] for event in events] == ["service.at_risk", "service.risk_increased"]
    assert [entry["severity"] for entry in events[1]["detail"]["vulnerabilities"]] == ["CRITICAL", "HIGH"]
    assert events[0]["detail"]["deadline"] == events[1]["detail"]["deadline"]


@limit_to_sqlite("steps")
def test_a_service_on_an_unknown_target_keeps_no_other_from_being_repaired(steps: Steps) -> None:
    add_service(steps, "api")
    definition = steps.store.services.get_definition("web", steps.store.services.get("web").revision)
    steps.store.services.put(Service("aaa", "nowhere", 1, 0), replace(definition, family="aaa"))
    steps.use_cases.service_repair.repair_all()
    assert len(steps.target.list_tasks("api")) == 1
