"""Deploys: in order, of what is approved now, and not of what was stopped. The steps are taken one by one."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from tests.postgres import open_postgres
from tests.scenarios.planned_images import make_advisory
from tests.services.pipeline_steps import NOW, Steps
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.bootstrap.use_cases import make_use_cases
from dockgate.delivery.service_model import Rollout
from dockgate.gate.model import Policy
from dockgate.services.durable_effects import Effects
from dockgate.services.workflow_starter import UnservedQueue
from dockgate.shared.errors import DeployError, NotFoundError, UnavailableError
from dockgate.store.records import Worker
from dockgate.vulnerabilities.model import Severity


@pytest.fixture(params=FACTORIES)
def steps(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Steps]:
    result = Steps(tmp_path, request.param)
    yield result
    result.system.discard()


def test_an_older_execution_that_registered_first_does_not_replace_a_newer_one(steps: Steps) -> None:
    older, newer = steps.prepare_deploy("older"), steps.prepare_deploy("newer")
    first = steps.deployments.register_revision(older)
    steps.deployments.deploy(newer, steps.deployments.register_revision(newer))
    with pytest.raises(DeployError, match="superseded"):
        steps.deployments.deploy(older, first)
    steps.repair("web")
    assert steps.list_running_images() == ["newer"]


def test_two_servers_deploy_to_one_service_one_after_the_other(steps: Steps, tmp_path: Path) -> None:
    """The later one begins in the middle of the earlier one, and waits for it."""
    older, newer = steps.prepare_deploy("older"), steps.prepare_deploy("newer")
    definitions = {key: steps.deployments.register_revision(key) for key in (older, newer)}
    is_sqlite = steps.store.database.is_sqlite  # which has one server: then it is another thread of that
    with nullcontext(steps.store) if is_sqlite else closing(open_postgres(tmp_path)) as other_store:
        other_server = replace(steps.deployments, store=other_store)
        finished_deployments: list[str] = []

        def deploy_newer() -> None:
            other_server.deploy(newer, definitions[newer])
            finished_deployments.append("newer")

        thread = threading.Thread(target=deploy_newer)

        def begin_newer() -> None:
            thread.start()
            thread.join(timeout=0.5)
            finished_deployments.append("in the middle of older")

        steps.act_at("before deploy", begin_newer)
        steps.deployments.deploy(older, definitions[older])
        thread.join(timeout=20)
    assert finished_deployments == ["in the middle of older", "newer"]
    assert steps.list_running_images() == ["newer"]


@limit_to_sqlite("steps")
def test_what_the_database_forbids_by_now_is_not_deployed_though_it_was_approved(steps: Steps) -> None:
    key = steps.prepare_deploy("late")
    definition = steps.deployments.register_revision(key)
    steps.system.advisories.advisories.append(make_advisory("late", Severity.CRITICAL, "2"))
    with pytest.raises(DeployError, match="CRITICAL"):
        steps.deployments.deploy(key, definition)
    assert steps.list_running_images() == []


def test_a_stopped_execution_deploys_nothing(steps: Steps) -> None:
    key = steps.prepare_deploy("stopped")
    definition = steps.deployments.register_revision(key)
    steps.store.executions.stop(key.execution, "enough", NOW)
    with pytest.raises(DeployError, match="stopped"):
        steps.deployments.deploy(key, definition)
    assert steps.list_running_images() == []


def test_a_deploy_made_twice_ends_as_one(steps: Steps) -> None:
    key = steps.prepare_deploy("twice")
    definition = steps.deployments.register_revision(key)
    assert steps.deployments.register_revision(key) == definition
    assert steps.deployments.deploy(key, definition) == steps.deployments.deploy(key, definition)
    assert steps.list_running_images() == ["twice"]


def test_a_change_of_the_service_during_a_deploy_is_kept(steps: Steps) -> None:
    steps.deployments.deploy(first := steps.prepare_deploy("first"), steps.deployments.register_revision(first))
    key = steps.prepare_deploy("second")
    definition = steps.deployments.register_revision(key)
    steps.apply("  environment: {FEATURE: 'on'}\n")
    steps.deployments.deploy(key, definition)
    assert steps.read_environment() == {"FEATURE": "on"}
    assert steps.list_running_images() == ["second"]


def test_a_deploy_on_top_of_a_changed_service_made_twice_ends_as_one(steps: Steps) -> None:
    """Also when it is made again after a crash that came when the service had the revision already."""
    steps.deploy_image("first")
    key = steps.prepare_deploy("second")
    definition = steps.deployments.register_revision(key)
    steps.apply("  environment: {FEATURE: 'on'}\n")
    assert steps.deployments.deploy(key, definition) == steps.deployments.deploy(key, definition)
    assert steps.read_environment() == {"FEATURE": "on"}
    assert steps.list_running_images() == ["second"]


def test_a_revision_that_was_registered_during_a_rollout_keeps_the_change(steps: Steps) -> None:
    """It is newer than the rollout's, and a copy of the service before the change."""
    steps.deploy_image("first")
    rollout = steps.begin("  environment: {FEATURE: 'on'}\n")
    steps.target.available = False
    with pytest.raises(UnavailableError):
        steps.rollouts.run("web", rollout.number)
    steps.target.available = True
    definition = steps.deployments.register_revision(key := steps.prepare_deploy("second"))
    steps.rollouts.run("web", rollout.number)
    steps.deployments.deploy(key, definition)
    assert steps.read_environment() == {"FEATURE": "on"}
    assert steps.list_running_images() == ["second"]


def test_an_advisory_that_came_during_a_deploy_marks_what_runs_since(steps: Steps) -> None:
    steps.deployments.deploy(first := steps.prepare_deploy("before"), steps.deployments.register_revision(first))
    key = steps.prepare_deploy("after")
    definition = steps.deployments.register_revision(key)
    risk = steps.use_cases.service_risk
    risk.review()
    steps.deployments.deploy(key, definition)
    steps.system.advisories.advisories.append(make_advisory("after", Severity.CRITICAL, "2"))
    risk.review()
    assert "CRITICAL" in (steps.store.services.get("web").at_risk or "")
    steps.system.advisories.advisories.pop()
    risk.review()
    assert steps.store.services.get("web").at_risk is None


@limit_to_sqlite("steps")
@pytest.mark.parametrize("readings", range(7))
def test_a_policy_that_is_removed_meanwhile_says_so_or_has_judged(steps: Steps, readings: int) -> None:
    steps.deployments.deploy(first := steps.prepare_deploy("first"), steps.deployments.register_revision(first))
    system, effects = steps.system, Effects()
    clock, policies = system.services.clock, Going(system.services.policies.policies, readings)
    use_cases = make_use_cases(system.adapters, system.options, clock, effects, NotStarted(), policies)
    use_cases.service_risk.review()
    service = steps.store.services.get("web")
    assert service.at_risk is None
    reason = "every policy that judged it was removed since"
    assert service.cannot_judge in (None, reason)
    assert service.cannot_judge == reason or readings > 0
    assert service.cannot_judge is None or readings < 6


class NotStarted:
    """A `Starter` that starts nothing."""

    def continue_execution(self, execution: str) -> None:
        pass

    def start_event(self, event_id: str) -> None:
        pass

    def start_rollout(self, rollout: Rollout) -> None:
        pass

    def list_unserved_queues(self, workers: Sequence[Worker]) -> Sequence[UnservedQueue]:
        return ()


class Going:
    """Policies that are removed after so many readings."""

    def __init__(self, policies: Callable[[str], Policy], readings: int) -> None:
        self._policies = policies
        self._remaining = readings

    def __call__(self, name: str) -> Policy:
        self._remaining -= 1
        if self._remaining < 0:
            raise NotFoundError(f"there is no policy {name!r}")
        return self._policies(name)
