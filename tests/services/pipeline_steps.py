"""A server without background work: the test takes the steps of a deploy one by one."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import Event

from tests.delivery.definitions.definition_files import read_definition
from tests.fakes.target import MemoryTarget
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE, SERVICE
from tests.scenarios.server import ServerSystem

from dockgate.delivery.definitions.service import ServiceDefinition
from dockgate.delivery.model import ActionKey, Approval, ApprovalId, Pipeline, RunState
from dockgate.delivery.pipeline import Plan
from dockgate.delivery.ports import BuildResult
from dockgate.delivery.service_model import Rollout, ServiceChange
from dockgate.gate.policy_reference import PolicyReference
from dockgate.store.verdict_causes import VerdictCause

NOW = "2026-11-24T10:00:00.000Z"


class Steps:
    """A server without background work."""

    def __init__(self, folder: Path, database: str = "sqlite") -> None:
        self.system = ServerSystem(folder, database=database)
        self.store = self.system.store
        self.use_cases = self.system.use_cases
        self.system.scan_may_end = _Always()
        target = self.system.services.delivery.targets["podman"]
        assert isinstance(target, MemoryTarget)
        self.target = target
        self.deployments = self.use_cases.deployments
        self.rollouts = self.system.services.delivery.rollouts
        self.repair = self.use_cases.service_repair.repair
        pipeline = read_definition(PIPELINE.format(name="web", repository="web", service="web", timeout="1d"), "p.yaml")
        assert isinstance(pipeline, Pipeline)
        self.store.pipelines.put(pipeline, NOW)
        service = self._read_service()
        self.store.services.put(service.service, service.definition)

    def _read_service(self, extra_lines: str = "") -> ServiceDefinition:
        service = read_definition(SERVICE.format(name="web", count=1) + extra_lines, "s.yaml")
        assert isinstance(service, ServiceDefinition)
        return service

    def change(self, extra_lines: str = "", count: int | None = None) -> ServiceChange:
        """The service's document with these further settings of its task, or another desired count."""
        return ServiceChange(
            definition=self._read_service(extra_lines).definition if extra_lines else None, desired_count=count
        )

    def begin(self, extra_lines: str = "", count: int | None = None, *, is_restart: bool = False) -> Rollout:
        change = replace(self.change(extra_lines, count), is_restart=is_restart)
        rollout = self.store.rollouts.begin("web", change, "ada", NOW)
        assert rollout is not None
        return rollout

    def apply(self, extra_lines: str) -> None:
        """As `begin`, and carries it out."""
        self.rollouts.run("web", self.begin(extra_lines).number)

    def act_at(self, moment: str, action: Callable[[], object]) -> None:
        """Does this once, at a moment of the target."""
        remaining = [action]

        def act_once(now: str) -> None:
            if now == moment and remaining:
                remaining.pop()()

        self.target.fault = act_once

    def deploy_image(self, name: str) -> None:
        """Deploys an image of this name."""
        self.deployments.deploy(key := self.prepare_deploy(name), self.deployments.register_revision(key))

    def read_environment(self) -> dict[str, str]:
        """Of the revision that the service has."""
        return self.store.services.get_definition("web", self.store.services.get("web").revision).environment

    def prepare_deploy(self, name: str) -> ActionKey:
        """An execution whose build gave an image of this name, approved, and whose deploy has just begun."""
        image = f"sha256:{sha256(name.encode()).hexdigest()}"
        self.system.plans[image] = (name, PlannedFindings())
        self.use_cases.scan_runner.run(self.store.images.request_scan(image, "web/app", NOW))
        approval = Approval(ApprovalId(name), "token", image, "web/app", PolicyReference("default"), "", NOW, NOW)
        verdict = self.use_cases.verdicts.judge_approval(approval, VerdictCause.make_approval(approval.id))
        assert verdict is not None
        self.store.verdicts.store(verdict)
        execution = self.store.executions.start("web", name, {}, NOW).id
        build, deploy = ActionKey(execution, "Build", "Build", 1), ActionKey(execution, "Deploy", "Deploy", 1)
        self.store.executions.advance(execution, lambda *_: Plan(start=(build, deploy)), NOW)
        result = self.use_cases.actions.record_build(build, BuildResult(image, image))
        self.store.executions.finish(
            build, RunState.SUCCEEDED, NOW, variables=result.variables, artifact=result.artifact
        )
        return deploy

    def list_running_images(self) -> list[str]:
        tasks = self.target.list_tasks("web")
        return [self.system.plans[task.digest or ""][0] for task in tasks]


class _Always(dict[str, Event]):
    """Events that have all happened."""

    def __getitem__(self, _: str) -> Event:
        event = Event()
        event.set()
        return event
