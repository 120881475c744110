"""Deploys: in order, of what is approved as of now, and not of what was stopped. The steps are taken one by one."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from tests.scenarios.defects import Found
from tests.scenarios.live import PIPELINE, SERVICE
from tests.scenarios.server import ServerSystem, advisory

from dockgate.core.adapters import BuildResult
from dockgate.core.errors import DeployError, NotFoundError
from dockgate.core.model import Severity
from dockgate.core.pipeline import ActionKey, Pipeline, Plan, State
from dockgate.core.verdict import Policy
from dockgate.definitions import documents
from dockgate.pipeline.actions import Actions
from dockgate.pipeline.deploys import Deploys
from dockgate.pipeline.judging import Judging
from dockgate.pipeline.reading import Reading

NOW = "2026-11-24T10:00:00.000Z"


class Steps:
    """A server's parts, with nobody working but the test."""

    def __init__(self, folder: Path) -> None:
        self.system = ServerSystem(folder)
        self.store = self.system.parts.store
        self.judging = Judging(self.system.parts)
        self.deploys = Deploys(self.system.parts, self.judging)
        pipeline = documents.read(PIPELINE.format(name="web", repository="web", service="web", timeout="1d"), "p.yaml")
        assert isinstance(pipeline, Pipeline)
        self.store.pipelines.put(pipeline, NOW)
        self.apply()

    def apply(self, more: str = "") -> None:
        service = documents.read(SERVICE.format(name="web", count=1) + more, "s.yaml")
        assert isinstance(service, documents.ServiceDefinition)
        self.deploys.put(service.service, service.definition)

    def at_deploy(self, name: str) -> ActionKey:
        """An execution whose build gave an image of this name, approved, and whose deploy has just begun."""
        image = f"sha256:{sha256(name.encode()).hexdigest()}"
        self.system.found[image] = (name, Found())
        Reading(self.system.parts, self.judging.accepting).read(self.store.images.request_scan(image, "web/app", NOW))
        self.judging.judge(image, "default", f"approval of {name}")
        execution = self.store.executions.start("web", name, {}, NOW).id
        build, deploy = ActionKey(execution, "Build", "Build", 1), ActionKey(execution, "Deploy", "Deploy", 1)
        self.store.executions.advance(execution, lambda *_: Plan(start=(build, deploy)), NOW)
        done = Actions(self.system.parts, self.judging).image_definitions(build, BuildResult(image, image))
        self.store.executions.finish(build, State.SUCCEEDED, NOW, variables=done.variables, artifact=done.artifact)
        return deploy

    def running(self) -> list[str]:
        tasks = self.system.parts.targets["podman"].tasks("web")
        return [self.system.found[task.digest][0] for task in tasks]


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    found = Steps(tmp_path)
    found.system.scan_may_end = _Always()
    yield found
    found.system.store.close()


class _Always(dict[str, object]):
    def __getitem__(self, _: str) -> "_Always":
        return self

    def wait(self, timeout: float | None = None) -> bool:
        return True


def test_an_older_execution_that_registered_first_does_not_replace_a_newer_one(steps: Steps) -> None:
    older, newer = steps.at_deploy("older"), steps.at_deploy("newer")
    first = steps.deploys.register_revision(older)
    steps.deploys.deploy(newer, steps.deploys.register_revision(newer))
    with pytest.raises(DeployError, match="superseded"):
        steps.deploys.deploy(older, first)
    steps.deploys.converge("web")
    assert steps.running() == ["newer"]


def test_what_the_database_forbids_by_now_is_not_deployed_though_it_was_approved(steps: Steps) -> None:
    key = steps.at_deploy("late")
    definition = steps.deploys.register_revision(key)
    steps.system.advisories.known.append(advisory("late", Severity.CRITICAL, "2"))
    with pytest.raises(DeployError, match="CRITICAL"):
        steps.deploys.deploy(key, definition)
    assert steps.running() == []


def test_a_stopped_execution_deploys_nothing(steps: Steps) -> None:
    key = steps.at_deploy("stopped")
    definition = steps.deploys.register_revision(key)
    steps.store.executions.stop(key.execution, "enough", NOW)
    with pytest.raises(DeployError, match="stopped"):
        steps.deploys.deploy(key, definition)
    assert steps.running() == []


def test_a_deploy_made_twice_ends_as_one(steps: Steps) -> None:
    key = steps.at_deploy("twice")
    definition = steps.deploys.register_revision(key)
    assert steps.deploys.register_revision(key) == definition
    assert steps.deploys.deploy(key, definition) == steps.deploys.deploy(key, definition)
    assert steps.running() == ["twice"]


def test_a_change_of_the_service_during_a_deploy_is_kept(steps: Steps) -> None:
    steps.deploys.deploy(first := steps.at_deploy("first"), steps.deploys.register_revision(first))
    key = steps.at_deploy("second")
    definition = steps.deploys.register_revision(key)
    steps.apply("  environment: {FEATURE: 'on'}\n")
    steps.deploys.deploy(key, definition)
    service = steps.store.services.get("web")
    present = steps.store.services.definition("web", service.revision)
    assert present.environment == {"FEATURE": "on"}
    assert steps.running() == ["second"]


def test_an_advisory_that_came_during_a_deploy_marks_what_runs_since(steps: Steps) -> None:
    steps.deploys.deploy(first := steps.at_deploy("before"), steps.deploys.register_revision(first))
    key = steps.at_deploy("after")
    definition = steps.deploys.register_revision(key)
    known = steps.judging.renew({})
    steps.deploys.deploy(key, definition)
    steps.system.advisories.known.append(advisory("after", Severity.CRITICAL, "2"))
    known = steps.judging.renew(known)
    assert "CRITICAL" in steps.store.services.get("web").at_risk
    steps.system.advisories.known.pop()
    steps.judging.renew(known)
    assert steps.store.services.get("web").at_risk == ""


@pytest.mark.parametrize("readings", range(5))
def test_a_policy_that_is_removed_meanwhile_says_so_or_has_judged(steps: Steps, readings: int) -> None:
    steps.deploys.deploy(first := steps.at_deploy("first"), steps.deploys.register_revision(first))
    Judging(replace(steps.system.parts, policies=Going(steps.system.parts.policies, readings))).renew({})
    risk = steps.store.services.get("web").at_risk
    assert risk in ("", "every policy that judged it was removed since")
    assert bool(risk) == (readings < 2)


class Going:
    """Policies that are removed after so many readings."""

    def __init__(self, policies: Callable[[str], Policy], readings: int) -> None:
        self._policies = policies
        self._left = readings

    def __call__(self, name: str) -> Policy:
        self._left -= 1
        if self._left < 0:
            raise NotFoundError(f"There is no policy {name!r}.")
        return self._policies(name)
