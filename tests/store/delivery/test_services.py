"""Contract of the store: services and task definitions. Each changing call is made twice."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, LATER, NOW, deploy, open_store_of_kind
from tests.store.risks import accept, reject

from dockgate.delivery.model import ExecutionId
from dockgate.delivery.service_model import HealthCheck, PortMapping, Service, ServiceEvent, TaskDefinition
from dockgate.delivery.service_risk import RiskChange, RiskTerms, RunningVerdict, TimeAtRisk
from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.references import ImageReference
from dockgate.store import Store

SERVICE = Service("web", "podman", 0, 0)
DEFINITION = TaskDefinition(
    family="web",
    revision=0,
    container="app",
    image=None,
    ports=(PortMapping(8080),),
    environment={"MODE": "demo"},
    command=("serve", "--fast"),
    health_check=HealthCheck(http_port=8080),
)
IMAGE = ImageReference("127.0.0.1:5000/web", "sha256:1")
BUILT = replace(DEFINITION, image=IMAGE)
DIGEST = IMAGE.digest
LATEST = "2026-12-24T10:00:00.000Z"
NOW_TIME = datetime.fromisoformat(NOW)


def announce_nothing(change: RiskChange, risk: TimeAtRisk) -> Sequence[NewEvent]:
    return ()


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def test_a_service_starts_with_revision_1(store: Store) -> None:
    assert store.services.put(SERVICE, DEFINITION)
    assert store.services.get("web") == replace(SERVICE, revision=1)
    assert list(store.services.list_definitions("web")) == [replace(DEFINITION, revision=1)]
    assert store.services.get_definition("web", 1) == replace(DEFINITION, revision=1)
    assert store.services.find_deployed_by("web") is None


def test_the_family_is_the_service(store: Store) -> None:
    store.services.put(SERVICE, replace(DEFINITION, family="other"))
    assert store.services.get_definition("web", 1).family == "web"


def test_an_existing_service_is_not_changed_by_put(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    changed_definition = replace(DEFINITION, environment={"MODE": "real"})
    assert not store.services.put(replace(SERVICE, desired_count=2), changed_definition)
    assert store.services.get("web") == replace(SERVICE, revision=1)
    assert list(store.services.list_definitions("web")) == [replace(DEFINITION, revision=1)]


def test_a_service_that_can_never_run_is_refused_and_not_stored(store: Store) -> None:
    fixed = replace(DEFINITION, ports=(PortMapping(8080, 80),))
    with pytest.raises(UsageError, match="share one hostPort"):
        store.services.put(replace(SERVICE, desired_count=2), fixed)
    assert list(store.services.list()) == []


def test_a_definition_is_registered_once_for_each_cause(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    definition = replace(DEFINITION, image=IMAGE, family="ignored", revision=77)
    first = store.services.register("web", definition, deploy("web-1"))
    assert first == replace(DEFINITION, revision=2, image=IMAGE)
    assert store.services.register("web", DEFINITION, deploy("web-1")) == first
    assert store.services.register("web", definition, deploy("web-2")).revision == 3
    assert [registered_definition.revision for registered_definition in store.services.list_definitions("web")] == [
        3,
        2,
        1,
    ]
    assert store.services.get("web").revision == 1


def test_causes_and_revisions_are_separate_for_each_service(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    store.services.put(replace(SERVICE, name="api"), DEFINITION)
    store.services.register("web", BUILT, deploy("web-1"))
    assert store.services.register("api", BUILT, deploy("web-1")) == replace(
        DEFINITION, family="api", revision=2, image=IMAGE
    )
    assert [service.name for service in store.services.list()] == ["api", "web"]


def test_setting_a_revision_clears_the_risk(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    store.services.register("web", BUILT, deploy("web-1"))
    reject(store, "web", "CVE-1", LATER)
    store.services.set_revision("web", 2, ExecutionId("web-1"))
    assert store.services.get("web") == replace(SERVICE, revision=2)
    assert store.services.find_deployed_by("web") == "web-1"

    reject(store, "web", "found since", LATER)
    store.services.set_revision("web", 2, ExecutionId("web-1"))
    assert store.services.get("web").at_risk == "found since"
    store.services.set_revision("web", 1, None)
    assert (store.services.get("web").revision, store.services.find_deployed_by("web")) == (1, None)


def test_a_service_keeps_its_earliest_deadline_while_it_is_at_risk(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    for reason, until, expected in (("1", LATEST, LATEST), ("1", LATER, LATER), ("1, 2", LATEST, LATER)):
        reject(store, "web", reason, until)
        service = store.services.get("web")
        assert (service.at_risk, service.at_risk_until) == (reason, expected)
    for _ in range(2):
        accept(store, "web")
        assert store.services.get("web") == replace(SERVICE, revision=1)
    reject(store, "web", "again", LATEST)
    assert store.services.get("web").at_risk_until == LATER
    assert [risk.summary for risk in store.service_risks.list()] == ["again"]
    for _ in range(2):
        accept(store, "web", "sha256:another")
        assert list(store.service_risks.list()) == []
    reject(store, "web", "CVE-3", LATEST)
    assert store.services.get("web").at_risk_until == LATEST


def test_a_verdict_on_a_revision_that_was_replaced_is_not_recorded(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    record = store.service_risks.record
    late = record("web", 9, RunningVerdict(DIGEST, "CVE-1", LATER), NOW_TIME, RiskTerms(), announce_nothing)
    assert not late
    assert (store.services.get("web").at_risk, list(store.service_risks.list())) == (None, [])


def test_what_cannot_be_judged_is_not_at_risk(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    verdict = RunningVerdict(DIGEST, cannot_judge="advisories are stale")
    for _ in range(2):
        assert store.service_risks.record("web", 1, verdict, NOW_TIME, RiskTerms(), announce_nothing)
        service = store.services.get("web")
        assert (service.at_risk, service.at_risk_until, service.cannot_judge) == (None, None, "advisories are stale")
    reject(store, "web", "CVE-1", LATEST)
    assert store.services.get("web").cannot_judge is None
    store.service_risks.record("web", 1, verdict, NOW_TIME, RiskTerms(), announce_nothing)
    service = store.services.get("web")
    assert (service.at_risk, service.cannot_judge) == ("CVE-1", "advisories are stale")


def test_an_announcement_is_written_with_its_time_at_risk(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    announcements: list[str] = []

    def announce(change: RiskChange, risk: TimeAtRisk) -> Sequence[NewEvent]:
        announcements.append(change.value)
        return [
            NewEvent(
                f"{change.value}/{risk.began_at}", "dockgate", change.value, EventSubject("service", "web"), NOW, {}
            )
        ]

    bad = RunningVerdict(DIGEST, "CVE-1", LATER)
    for _ in range(2):
        store.service_risks.record("web", 1, bad, NOW_TIME, RiskTerms(), announce)
    assert [event.detail_type for event in store.event_log.read()] == announcements == ["service.at_risk"]


def test_unknown_services_and_revisions_are_not_found(store: Store) -> None:
    for ask in (
        lambda: store.services.get("web"),
        lambda: store.services.register("web", BUILT, deploy("web-1")),
        lambda: store.services.set_revision("web", 1, None),
        lambda: store.services.find_deployed_by("web"),
        lambda: store.services.record_event(ServiceEvent("one", "web", NOW, "restarted")),
        lambda: accept(store, "web"),
        lambda: store.services.get_definition("web", 1),
    ):
        with pytest.raises(NotFoundError, match="'web'") as error_info:
            ask()
        assert "dockgate deploy list" in str(error_info.value.advice)
    store.services.put(SERVICE, DEFINITION)
    with pytest.raises(NotFoundError, match="revision 9"):
        store.services.set_revision("web", 9, None)
    assert list(store.services.list_definitions("nothing")) == []


def test_events_are_kept_once_newest_first_and_the_oldest_are_deleted(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    store.services.put(replace(SERVICE, name="api"), DEFINITION)
    other_service = ServiceEvent("other", "api", NOW, "restarted")
    store.services.record_event(other_service)
    events = [ServiceEvent(f"restart/{number}", "web", NOW, f"restart {number}") for number in range(103)]
    for event in events:
        for _ in range(2):
            store.services.record_event(event)
    assert list(store.services.list_events("web")) == events[:2:-1]
    assert list(store.services.list_events("api")) == [other_service]
