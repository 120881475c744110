"""Contract of the store: rollouts. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, LATER, NOW, deploy, open_store_of_kind
from tests.store.risks import reject

from dockgate.delivery.model import ExecutionId, RunState
from dockgate.delivery.service_model import PortMapping, RevisionCause, Rollout, Service, ServiceChange, TaskDefinition
from dockgate.shared.errors import ConflictError, NotFoundError, UsageError
from dockgate.shared.references import ImageReference
from dockgate.store import Store

DEFINITION = TaskDefinition("web", 0, "app", None, environment={"MODE": "demo"})
CHANGED = replace(DEFINITION, environment={"MODE": "real"})
IMAGE = ImageReference("127.0.0.1:5000/web", "sha256:1")
RESTART = ServiceChange(is_restart=True)
UPDATE = ServiceChange(target="podman", definition=CHANGED)


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        store.services.put(Service("web", "podman", 1, 0), DEFINITION)
        yield store


def deploy_image(store: Store) -> None:
    """An execution has deployed an image as revision 2."""
    definition = replace(DEFINITION, image=IMAGE)
    store.services.set_revision(
        "web", store.services.register("web", definition, deploy()).revision, ExecutionId("web-1")
    )


def begin_rollout(store: Store, change: ServiceChange) -> Rollout:
    rollout = store.rollouts.begin("web", change, "ada", NOW)
    assert rollout is not None
    return rollout


def test_a_change_begins_one_rollout_and_leaves_the_service_as_it_is(store: Store) -> None:
    before = store.services.get("web")
    goal = replace(CHANGED, image=ImageReference("ignored", "sha256:9"), revision=77, family="ignored")
    for _ in range(2):
        rollout = begin_rollout(store, replace(UPDATE, definition=goal))
        assert rollout == Rollout("web", 1, "podman", 1, CHANGED, started_at=NOW, started_by="ada")
    assert store.services.get("web") == before
    assert list(store.rollouts.list("web")) == list(store.rollouts.list_in_progress()) == [rollout]
    assert store.rollouts.get("web", 1) == rollout


@pytest.mark.parametrize("change", [ServiceChange(), ServiceChange("podman", 1, DEFINITION)])
def test_a_change_without_effect_begins_no_rollout(store: Store, change: ServiceChange) -> None:
    deploy_image(store)
    assert store.rollouts.begin("web", change, "ada", NOW) is None
    assert list(store.rollouts.list("web")) == []


def test_a_rollout_that_succeeds_changes_the_service(store: Store) -> None:
    deploy_image(store)
    reject(store, "web", "CVE-1", LATER)
    rollout = begin_rollout(store, replace(UPDATE, desired_count=3))
    revision = store.services.register(
        "web", replace(rollout.definition, image=IMAGE), RevisionCause(rollout.key, 2)
    ).revision
    assert store.rollouts.end(rollout, RunState.SUCCEEDED, revision, None, LATER, repository="team/web")
    assert not store.rollouts.end(rollout, RunState.FAILED, None, "too late", LATER)
    assert store.services.get("web") == Service("web", "podman", 3, revision)
    assert store.services.find_deployed_by("web") == "web-1"
    ended_rollout = replace(rollout, state=RunState.SUCCEEDED, revision=revision, finished_at=LATER)
    assert store.rollouts.get("web", 1) == ended_rollout
    assert store.rollouts.begin("web", replace(UPDATE, desired_count=3), "ada", NOW) is None
    (event,) = (event for event in store.event_log.read() if event.body["detail"].get("desired_count"))
    assert event.body["detail"] == {"service": "web", "revision": revision, "desired_count": 3}
    assert (event.detail_type, event.repository) == ("deploy.succeeded", "team/web")


def test_another_count_alone_does_not_clear_the_risk(store: Store) -> None:
    deploy_image(store)
    reject(store, "web", "CVE-1", LATER)
    store.rollouts.end(begin_rollout(store, ServiceChange(desired_count=2)), RunState.SUCCEEDED, 2, None, NOW)
    assert store.services.get("web").at_risk == "CVE-1"


def test_a_restart_begins_with_tasks_only_and_does_not_clear_the_risk(store: Store) -> None:
    with pytest.raises(ConflictError, match="no tasks"):
        store.rollouts.begin("web", RESTART, "ada", NOW)
    deploy_image(store)
    reject(store, "web", "CVE-1", LATER)
    for _ in range(2):
        rollout = begin_rollout(store, RESTART)
        assert (rollout.number, rollout.is_restart, rollout.started_by) == (1, True, "ada")
    definition_of_image = replace(DEFINITION, image=IMAGE)
    revision = store.services.register("web", definition_of_image, RevisionCause(rollout.key, 2)).revision
    store.rollouts.end(rollout, RunState.SUCCEEDED, revision, None, NOW)
    restarted_service = store.services.get("web")
    assert (restarted_service.revision, restarted_service.at_risk) == (3, "CVE-1")
    store.rollouts.end(begin_rollout(store, ServiceChange(desired_count=0)), RunState.SUCCEEDED, 3, None, NOW)
    with pytest.raises(ConflictError, match="no tasks"):
        store.rollouts.check("web", RESTART)


def test_a_change_during_a_restart_includes_it(store: Store) -> None:
    deploy_image(store)
    begin_rollout(store, RESTART)
    later = begin_rollout(store, ServiceChange(desired_count=2))
    assert (later.number, later.desired_count, later.is_restart) == (2, 2, True)


def test_a_rollout_that_fails_leaves_the_service_as_it_is_and_may_be_begun_again(store: Store) -> None:
    deploy_image(store)
    before = store.services.get("web")
    rollout = begin_rollout(store, UPDATE)
    assert store.rollouts.end(rollout, RunState.FAILED, None, "not healthy", NOW)
    assert not store.rollouts.end(rollout, RunState.SUCCEEDED, 2, None, NOW)
    assert store.services.get("web") == before
    assert store.rollouts.get("web", 1).reason == "not healthy"
    assert begin_rollout(store, UPDATE).number == 2


def test_a_later_change_supersedes_the_rollout_in_progress_and_includes_it(store: Store) -> None:
    deploy_image(store)
    first = begin_rollout(store, UPDATE)
    second = begin_rollout(store, ServiceChange(desired_count=4))
    assert (second.number, second.definition, second.desired_count) == (2, CHANGED, 4)
    assert "superseded" in str(store.rollouts.get("web", 1).reason)
    assert not store.rollouts.end(first, RunState.SUCCEEDED, 2, None, NOW)
    assert list(store.rollouts.list_in_progress()) == [second]
    back = begin_rollout(store, ServiceChange(desired_count=1, definition=DEFINITION))
    assert (back.number, back.definition, back.desired_count) == (3, DEFINITION, 1)


@pytest.mark.parametrize(
    "definition", [replace(DEFINITION, ports=(PortMapping(80, 80),)), replace(DEFINITION, network="host")]
)
def test_an_impossible_change_is_rejected_and_begins_no_rollout(store: Store, definition: TaskDefinition) -> None:
    fixed = begin_rollout(store, ServiceChange(definition=definition))
    with pytest.raises(UsageError, match="2 tasks cannot"):
        store.rollouts.begin("web", ServiceChange(desired_count=2), "ada", NOW)
    assert list(store.rollouts.list_in_progress()) == [fixed]
    with pytest.raises(UsageError, match="2 tasks cannot"):
        store.rollouts.begin("web", ServiceChange(desired_count=2, definition=definition), "ada", NOW)


def test_a_service_moves_to_another_target_only_without_tasks(store: Store) -> None:
    deploy_image(store)
    with pytest.raises(ConflictError, match="runs on podman") as error_info:
        store.rollouts.begin("web", ServiceChange(target="elsewhere"), "ada", NOW)
    assert "deploy scale web 0" in str(error_info.value.advice)
    assert list(store.rollouts.list("web")) == []
    store.rollouts.end(begin_rollout(store, ServiceChange(desired_count=0)), RunState.SUCCEEDED, 2, None, NOW)
    move = begin_rollout(store, ServiceChange(target="elsewhere"))
    store.rollouts.end(move, RunState.SUCCEEDED, 2, None, NOW)
    assert store.services.get("web").target == "elsewhere"


def test_only_the_newest_rollouts_of_a_service_are_kept(store: Store) -> None:
    for number in range(105):
        store.rollouts.end(
            begin_rollout(store, ServiceChange(desired_count=number + 2)), RunState.FAILED, None, None, NOW
        )
    assert [rollout.number for rollout in store.rollouts.list("web", 200)] == list(range(105, 5, -1))
    assert len(store.rollouts.list("web")) == 10


def test_unknown_services_and_rollouts_are_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no service 'api'"):
        store.rollouts.begin("api", UPDATE, "ada", NOW)
    with pytest.raises(NotFoundError, match="no rollout 1 of 'web'") as error_info:
        store.rollouts.get("web", 1)
    assert "deploy show web" in str(error_info.value.advice)
    assert list(store.rollouts.list("api")) == []
