"""Rollouts: a changed service is deployed, and changes when its tasks are healthy. The steps are taken one by one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios.planned_images import make_advisory
from tests.services.pipeline_steps import NOW, Steps

from dockgate.delivery.model import RunState
from dockgate.delivery.service_model import TaskState
from dockgate.shared.errors import DeployError, UnavailableError
from dockgate.vulnerabilities.model import Severity

ON = "  environment: {FEATURE: 'on'}\n"
OFF = "  environment: {FEATURE: 'off'}\n"


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    result = Steps(tmp_path)
    yield result
    result.system.close()


def list_task_states(steps: Steps) -> list[tuple[int, TaskState]]:
    return [(task.revision, task.state) for task in steps.target.list_tasks("web")]


def test_a_change_of_a_service_that_runs_is_deployed_with_the_same_image(steps: Steps) -> None:
    steps.deploy_image("first")
    rollout = steps.begin(ON)
    for _ in range(2):
        steps.rollouts.run("web", rollout.number)
    assert steps.read_environment() == {"FEATURE": "on"}
    assert steps.list_running_images() == ["first"]
    revision = steps.store.services.get("web").revision
    assert list_task_states(steps) == [(revision, TaskState.RUNNING)]
    assert steps.store.rollouts.get("web", 1).state is RunState.SUCCEEDED
    assert len(steps.target.started_tasks) == 2


def test_a_change_that_does_not_become_healthy_is_rolled_back_and_not_stored(steps: Steps) -> None:
    steps.deploy_image("first")
    before, result = steps.store.services.get("web"), list_task_states(steps)
    rollout = steps.begin(ON)
    steps.target.unhealthy_revisions.add(before.revision + 1)
    with pytest.raises(DeployError, match="healthy"):
        steps.rollouts.run("web", rollout.number)
    steps.rollouts.fail("web", rollout.number, "not healthy")
    assert steps.store.services.get("web") == before
    assert list_task_states(steps) == result
    assert steps.read_environment() == {}
    steps.repair("web")
    assert list_task_states(steps) == result


def test_a_change_before_the_first_deploy_deploys_nothing(steps: Steps) -> None:
    steps.apply(ON)
    assert steps.read_environment() == {"FEATURE": "on"}
    assert list_task_states(steps) == []
    steps.deploy_image("first")
    assert steps.read_environment() == {"FEATURE": "on"}


def test_a_change_deploys_only_what_is_approved_as_of_now(steps: Steps) -> None:
    steps.deploy_image("first")
    result = list_task_states(steps)
    steps.system.advisories.advisories.append(make_advisory("first", Severity.CRITICAL, "2"))
    rollout = steps.begin(ON)
    with pytest.raises(DeployError, match="CRITICAL"):
        steps.rollouts.run("web", rollout.number)
    assert list_task_states(steps) == result
    steps.rollouts.fail("web", rollout.number, "not approved")
    scale_rollout = steps.begin(count=2)
    steps.rollouts.run("web", scale_rollout.number)
    assert len(list_task_states(steps)) == 2


def test_a_restart_replaces_all_tasks_and_never_the_image(steps: Steps) -> None:
    steps.deploy_image("first")
    steps.rollouts.run("web", steps.begin(count=2).number)
    before = steps.store.services.get("web")
    steps.system.advisories.advisories.append(make_advisory("first", Severity.CRITICAL, "2"))
    rollout = steps.begin(is_restart=True)
    for _ in range(2):
        steps.rollouts.run("web", rollout.number)
    assert steps.list_running_images() == ["first", "first"]
    assert list_task_states(steps) == [(before.revision + 1, TaskState.RUNNING)] * 2
    assert len(steps.target.started_tasks) == 4
    steps.repair("web")
    assert len(steps.target.started_tasks) == 4


def test_a_restart_that_does_not_become_healthy_leaves_the_present_tasks(steps: Steps) -> None:
    steps.deploy_image("first")
    before, result = steps.store.services.get("web"), list_task_states(steps)
    rollout = steps.begin(is_restart=True)
    steps.target.unhealthy_revisions.add(before.revision + 1)
    with pytest.raises(DeployError, match="healthy"):
        steps.rollouts.run("web", rollout.number)
    steps.rollouts.fail("web", rollout.number, "not healthy")
    assert (steps.store.services.get("web"), list_task_states(steps)) == (before, result)


def test_a_count_that_does_not_become_healthy_is_not_kept(steps: Steps) -> None:
    steps.deploy_image("first")
    result = list_task_states(steps)
    rollout = steps.begin(count=3)
    steps.target.room = 2
    with pytest.raises(DeployError, match="The desired count stays 1"):
        steps.rollouts.run("web", rollout.number)
    steps.rollouts.fail("web", rollout.number, "no room")
    assert steps.store.services.get("web").desired_count == 1
    assert list_task_states(steps) == result


def test_a_service_is_scaled_to_nothing_and_back(steps: Steps) -> None:
    steps.deploy_image("first")
    for count in (0, 2):
        steps.rollouts.run("web", steps.begin(count=count).number)
        assert steps.list_running_images() == ["first"] * count
        assert steps.store.services.get("web").desired_count == count


def test_a_service_that_runs_nothing_starts_only_what_is_approved_as_of_now(steps: Steps) -> None:
    steps.deploy_image("first")
    steps.rollouts.run("web", steps.begin(count=0).number)
    steps.system.advisories.advisories.append(make_advisory("first", Severity.CRITICAL, "2"))
    rollout = steps.begin(count=2)
    with pytest.raises(DeployError, match="CRITICAL"):
        steps.rollouts.run("web", rollout.number)
    assert steps.list_running_images() == []
    steps.rollouts.fail("web", rollout.number, "not approved")
    steps.repair("web")
    assert steps.list_running_images() == []
    steps.system.advisories.advisories.pop()
    steps.rollouts.run("web", steps.begin(count=2).number)
    assert steps.list_running_images() == ["first", "first"]


def test_an_engine_that_is_down_changes_nothing(steps: Steps) -> None:
    steps.deploy_image("first")
    before = steps.store.services.get("web")
    rollout = steps.begin(ON)
    steps.target.available = False
    with pytest.raises(UnavailableError):
        steps.rollouts.run("web", rollout.number)
    assert steps.store.services.get("web") == before


def test_a_superseded_rollout_deploys_nothing(steps: Steps) -> None:
    steps.deploy_image("first")
    older, newer = steps.begin(ON), steps.begin(OFF)
    steps.rollouts.run("web", newer.number)
    steps.rollouts.run("web", older.number)
    assert steps.read_environment() == {"FEATURE": "off"}
    assert "superseded" in str(steps.store.rollouts.get("web", older.number).reason)


def test_a_rollout_that_is_superseded_while_it_deploys_does_not_change_the_service(steps: Steps) -> None:
    steps.deploy_image("first")
    older = steps.begin(ON)
    steps.act_at("after deploy", lambda: steps.begin(OFF))
    steps.rollouts.run("web", older.number)
    assert steps.read_environment() == {}
    (newer,) = steps.store.rollouts.list_in_progress()
    steps.rollouts.run("web", newer.number)
    assert steps.read_environment() == {"FEATURE": "off"}
    assert steps.list_running_images() == ["first"]


def test_a_rollout_goes_on_after_a_crash_at_any_moment(steps: Steps) -> None:
    steps.deploy_image("first")
    for number, moment in enumerate(("before deploy", "before start", "after start", "before stop", "after deploy")):
        rollout = steps.begin(f"  environment: {{NUMBER: '{number}'}}\n")
        steps.act_at(moment, _cut_power)
        with pytest.raises(UnavailableError):
            steps.rollouts.run("web", rollout.number)
        steps.repair("web")
        steps.rollouts.run("web", rollout.number)
        assert steps.read_environment() == {"NUMBER": str(number)}
        assert steps.list_running_images() == ["first"]


def test_a_deploy_during_a_rollout_comes_first_and_the_rollout_keeps_its_image(steps: Steps) -> None:
    steps.deploy_image("first")
    rollout = steps.begin(ON)
    steps.deploy_image("second")
    steps.rollouts.run("web", rollout.number)
    assert steps.read_environment() == {"FEATURE": "on"}
    assert steps.list_running_images() == ["second"]
    assert steps.store.services.find_deployed_by("web") == "web-2"


def test_a_rollout_that_failed_is_over(steps: Steps) -> None:
    steps.deploy_image("first")
    rollout = steps.begin(ON)
    for reason in ("the first", "the second"):
        steps.rollouts.fail("web", rollout.number, reason)
    assert steps.store.rollouts.get("web", 1).reason == "the first"
    steps.rollouts.run("web", rollout.number)
    assert steps.read_environment() == {}
    assert steps.store.rollouts.begin("web", steps.change(ON), "ada", NOW) is not None


def _cut_power() -> None:
    raise UnavailableError("power cut")
