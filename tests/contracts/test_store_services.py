"""What every store promises of services and task definitions. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, LATER, NOW, opened

from dockgate.core.deploy import HealthCheck, PortMapping, Service, TaskDefinition
from dockgate.core.errors import NotFoundError
from dockgate.core.stores import Store

SERVICE = Service("web", "podman", 0, 0)
DEFINITION = TaskDefinition(
    family="web",
    revision=0,
    container="app",
    image="",
    ports=(PortMapping(8080),),
    environment={"MODE": "demo"},
    command=("serve", "--fast"),
    health_check=HealthCheck(http_port=8080),
)
IMAGE = "127.0.0.1:5000/web@sha256:1"


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path) as store:
        yield store


def test_a_service_begins_with_revision_1(store: Store) -> None:
    for _ in range(2):
        assert store.services.put(SERVICE, DEFINITION) == replace(SERVICE, revision=1)
    assert store.services.get("web") == replace(SERVICE, revision=1)
    assert list(store.services.definitions("web")) == [replace(DEFINITION, revision=1)]
    assert store.services.definition("web", 1) == replace(DEFINITION, revision=1)
    assert store.services.deployed_by("web") == ""


def test_the_family_is_the_service(store: Store) -> None:
    store.services.put(SERVICE, replace(DEFINITION, family="other"))
    assert store.services.definition("web", 1).family == "web"


def test_a_changed_definition_is_the_next_revision_and_keeps_the_image(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    store.services.point("web", store.services.register("web", IMAGE, "deploy/1").revision, "web-1")
    changed = replace(DEFINITION, environment={"MODE": "real"}, image="ignored", revision=77)
    for _ in range(2):
        assert store.services.put(SERVICE, changed).revision == 3
    assert store.services.definition("web", 3) == replace(changed, revision=3, image=IMAGE)
    assert store.services.deployed_by("web") == "web-1"
    assert store.services.register("web", "next", "deploy/2").environment == {"MODE": "real"}


def test_an_image_alone_is_no_change(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    assert store.services.put(SERVICE, replace(DEFINITION, image="other", revision=9)).revision == 1


def test_the_desired_count_of_a_definition_is_for_a_new_service_only(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    for _ in range(2):
        assert store.services.scale("web", 2).desired_count == 2
    again = store.services.put(replace(SERVICE, target="kubernetes"), DEFINITION)
    assert (again.desired_count, again.target) == (2, "kubernetes")


def test_register_copies_the_present_definition_once_for_each_cause(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    first = store.services.register("web", IMAGE, "deploy/1")
    assert first == replace(DEFINITION, revision=2, image=IMAGE)
    assert store.services.register("web", "another", "deploy/1") == first
    assert store.services.register("web", IMAGE, "deploy/2").revision == 3
    assert [there.revision for there in store.services.definitions("web")] == [3, 2, 1]
    assert store.services.get("web").revision == 1


def test_causes_and_revisions_are_each_services_own(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    store.services.put(replace(SERVICE, name="api"), DEFINITION)
    store.services.register("web", IMAGE, "deploy/1")
    assert store.services.register("api", IMAGE, "deploy/1") == replace(
        DEFINITION, family="api", revision=2, image=IMAGE
    )
    assert [service.name for service in store.services.list()] == ["api", "web"]


def test_point_deploys_a_revision_and_clears_the_risk(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    store.services.register("web", IMAGE, "deploy/1")
    store.services.at_risk("web", "CVE-1", LATER)
    store.services.point("web", 2, "web-1")
    assert store.services.get("web") == replace(SERVICE, revision=2)
    assert store.services.deployed_by("web") == "web-1"

    store.services.at_risk("web", "found since", LATER)
    store.services.point("web", 2, "web-1")
    assert store.services.get("web").at_risk == "found since"
    store.services.point("web", 1, "")
    assert (store.services.get("web").revision, store.services.deployed_by("web")) == (1, "")


def test_a_deadline_stands_while_the_service_stays_at_risk(store: Store) -> None:
    store.services.put(SERVICE, DEFINITION)
    for reason, until in (("CVE-1", NOW), ("CVE-1", LATER), ("CVE-1, CVE-2", LATER)):
        store.services.at_risk("web", reason, until)
        service = store.services.get("web")
        assert (service.at_risk, service.at_risk_until) == (reason, NOW)
    for _ in range(2):
        store.services.at_risk("web", "", "")
        assert store.services.get("web") == replace(SERVICE, revision=1)
    store.services.at_risk("web", "CVE-3", LATER)
    assert store.services.get("web").at_risk_until == LATER


def test_unknown_services_and_revisions_are_not_found(store: Store) -> None:
    for ask in (
        lambda: store.services.get("web"),
        lambda: store.services.register("web", IMAGE, "deploy/1"),
        lambda: store.services.point("web", 1, ""),
        lambda: store.services.deployed_by("web"),
        lambda: store.services.scale("web", 1),
        lambda: store.services.at_risk("web", "", ""),
        lambda: store.services.definition("web", 1),
    ):
        with pytest.raises(NotFoundError, match="'web'") as caught:
            ask()
        assert "dockgate deploy list" in caught.value.advice
    store.services.put(SERVICE, DEFINITION)
    with pytest.raises(NotFoundError, match="revision 9"):
        store.services.point("web", 9, "")
    assert list(store.services.definitions("nothing")) == []
