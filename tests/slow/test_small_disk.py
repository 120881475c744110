"""Ten thousand executions on a small disk: with collections, neither the database nor the folder grows for ever."""

import os
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tests.delivery.definitions.definition_files import read_definition
from tests.fakes.registry import push_image
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE, SERVICE
from tests.scenarios.server import ServerSystem

from dockgate.delivery.definitions.service import ServiceDefinition
from dockgate.delivery.model import ActionKey, Answer, Approval, ApprovalId, ApprovalState, Pipeline, RunState
from dockgate.delivery.pipeline import Plan
from dockgate.delivery.ports import BuildResult
from dockgate.delivery.retention import Retention
from dockgate.events.model import PushEvent, PushKind
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import LOCAL, Caller
from dockgate.services.durable_effects import EffectKind
from dockgate.services.pipelines.actions import ActionResult
from dockgate.services.retention.purge import Purge
from dockgate.store.records import OutboxKind
from dockgate.store.verdict_causes import VerdictCause

EXECUTIONS = int(os.environ.get("EXECUTIONS", "10000"))
# An execution every hour, and three days are kept.
HOURS, KEEP_DAYS, EVERY = 1, 3, 50
# Bytes, of the database and all files, and of the registry.
BOUND, REGISTRY_BOUND = 24 << 20, 1 << 20
ASSIGNMENT = """\
kind: PolicyAssignment
name: short
repositories: ["web/*"]
policy: default
watch: 1h after push
"""


class Delivery:
    """A server without background work, whose executions the test carries out one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.system = ServerSystem(folder)
        self.store, self.use_cases = self.system.store, self.system.use_cases
        self.clock = self.system.services.clock
        self.scan_ends = threading.Event()
        self.scan_ends.set()
        retention = Retention(KEEP_DAYS, keep_images=5, keep_revisions=5)
        self.collection = self.use_cases.garbage_collection
        self.collection.registry_reader.retention = retention
        self.collection.collect_rows.__self__.retention = retention  # type: ignore[attr-defined]
        pipeline = read_definition(PIPELINE.format(name="web", repository="web", service="web", timeout="1d"), "p.yaml")
        assert isinstance(pipeline, Pipeline)
        self.store.pipelines.put(pipeline, self.clock.now())
        service = read_definition(SERVICE.format(name="web", count=1), "s.yaml")
        assert isinstance(service, ServiceDefinition)
        self.store.services.put(service.service, service.definition)
        self.system.services.delivery.documents.apply(ASSIGNMENT, "a.yaml", Caller(LOCAL))
        self.purge = Purge(self.store, self.clock, self.collection.retention_clock, self.collection.effects, KEEP_DAYS)

    def deliver(self, number: int) -> None:
        """An execution: source, build, push, scan, approval, deploy."""
        self.system.clock.ahead += timedelta(hours=HOURS)
        now, store = self.clock.now(), self.store
        layers = (b"base" * 5000, f"application {number}".encode() * 20)
        image = push_image(self.system.registry, "web/app", f"build-{number}", *layers)
        self.system.plans[image] = (f"web-{number % 7}", PlannedFindings())
        self.system.scan_may_end[image] = self.scan_ends
        detail = {"repository": "web/app", "digest": image, "tag": f"build-{number}"}
        scan = store.images.record_push(PushEvent(f"push/{number}", PushKind.IMAGE_PUSH, detail, now))
        assert scan is not None
        self.use_cases.scan_runner.run(scan)
        self.use_cases.fleet_index.add(image)
        execution = store.executions.start("web", f"push {number}", {"commit": f"{number:040}"}, now).id
        build, gate, deploy = (
            ActionKey(execution, stage, action, 1)
            for stage, action in (
                ("Build", "Build"),
                ("ContainerVulnerabilityAssessment", "Approval"),
                ("Deploy", "Deploy"),
            )
        )
        store.executions.advance(execution, lambda *_: Plan(start=(build, gate, deploy)), now)
        store.logs.append(build, f"building {number}\n" * 20)
        self.finish(build, self.use_cases.actions.record_build(build, BuildResult(image, image)))
        approval = store.approvals.add(
            Approval(
                ApprovalId.from_action(gate),
                "token",
                image,
                "web/app",
                PolicyReference("default"),
                "",
                now,
                self.clock.compute_time_after(86400),
            )
        )
        verdict = self.use_cases.verdicts.judge_approval(
            approval, VerdictCause.make_approval(ApprovalId.from_action(gate))
        )
        assert verdict is not None
        approval_answer = Answer(ApprovalState.APPROVED, "ok", verdict.digest)
        store.approvals.settle_by_verdict([approval.id], verdict, lambda _: approval_answer, now)
        definition = self.use_cases.deployments.register_revision(deploy)
        self.finish(deploy, self.use_cases.deployments.deploy(deploy, definition))
        store.executions.advance(execution, lambda *_: Plan(state=RunState.SUCCEEDED), now)
        self.use_cases.watched_images.record_runs()

    def finish(self, key: ActionKey, result: ActionResult) -> None:
        now = self.clock.now()
        self.store.executions.finish(key, RunState.SUCCEEDED, now, variables=result.variables, artifact=result.artifact)

    def send(self, kind: OutboxKind) -> None:
        """Send what is to be attached to images, as the outbox does."""
        outbox = self.store.outbox
        while entries := outbox.claim(kind, self.clock.now(), "test", 1000, 1000):
            for entry in entries:
                outbox.complete(entry, self.clock.now())

    def collect(self) -> None:
        self.send(OutboxKind.ATTESTATION)
        self.send(OutboxKind.PROVENANCE)
        self.use_cases.event_matcher.run()
        self.use_cases.approved_images.review()
        self.collection.effects.run(EffectKind.PURGE, self.purge.run)
        number = self.collection.request("test").seq
        self.collection.run_due()
        collection = self.store.collections.get(number)
        assert collection.finished_at
        assert collection.error is None

    def measure_database(self) -> int:
        """Bytes of the database and of all files, without the log of writes, which is bounded by itself."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm")))
        return sum(path.stat().st_size for path in files)

    def measure_registry(self) -> int:
        """Bytes in the registry."""
        return sum(map(len, self.system.registry.blobs.values()))


def test_ten_thousand_executions_fit_on_a_small_disk(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    delivery = Delivery(tmp_path)
    sizes: list[int] = []
    for number in range(EXECUTIONS):
        delivery.deliver(number)
        if number % EVERY == EVERY - 1:
            delivery.collect()
            sizes.append(delivery.measure_database())
            record_property("bytes", (number + 1, sizes[-1], delivery.measure_registry()))
            sys.stderr.write(
                f"{number + 1} executions: {sizes[-1]:,} bytes, {delivery.measure_registry():,} in the registry\n"
            )
            assert sizes[-1] < BOUND
            assert delivery.measure_registry() < REGISTRY_BOUND
    store = delivery.store
    assert len(store.images.list_pushed()) < 400
    assert len(store.due_images.list()) < 400, "no renewal has judged any image: only collections remove rows"
    last = store.executions.list_for_pipeline("web", 1)[0]
    assert last.number == EXECUTIONS
    (task,) = delivery.system.services.delivery.targets["podman"].list_tasks("web")
    assert task.digest
    assert any(digest == task.digest for _, digest in delivery.system.registry.manifests)
    record = store.verdicts.list_of_image(task.digest)[0]
    assert store.verdicts.get_case(record.digest).image == task.digest
    if len(sizes) >= 20:
        assert max(sizes[len(sizes) // 2 :]) < 1.3 * max(sizes[: len(sizes) // 2]), "it still grows"
    store.close()
