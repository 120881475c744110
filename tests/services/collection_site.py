"""A server whose images are collected."""

from datetime import timedelta
from pathlib import Path

from tests.fakes.registry import push_image
from tests.fakes.target import MemoryTarget
from tests.scenarios.server import ServerSystem
from tests.store.factories import deploy

from dockgate.delivery.model import Approval, ApprovalId
from dockgate.delivery.retention import Retention
from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.events.model import PushEvent, PushKind
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import LOCAL, Caller
from dockgate.services.retention.garbage_collection import GarbageCollection
from dockgate.shared.references import ImageReference

ASSIGNMENT = """\
kind: PolicyAssignment
name: short
repositories: ["team/*"]
policy: default
watch: 1h after push
"""
REPOSITORY = "team/app"


class Site:
    """A server without background work, in whose repositories images are not watched for long."""

    def __init__(self, folder: Path, database: str) -> None:
        self.system = ServerSystem(folder, database=database)
        self.store, self.registry, self.storage = self.system.store, self.system.registry, self.system.storage
        self.collection: GarbageCollection = self.system.use_cases.garbage_collection
        self.collection.registry_reader.retention = Retention(keep_days=30, keep_images=0)
        self.system.services.delivery.documents.apply(ASSIGNMENT, "a.yaml", Caller(LOCAL))
        target = self.system.services.delivery.targets["podman"]
        assert isinstance(target, MemoryTarget)
        self.target = target

    @property
    def now(self) -> str:
        return self.system.services.clock.now()

    def advance_clock(self, **times: float) -> None:
        self.system.clock.ahead += timedelta(**times)

    def record(self, digest: str, tag: str | None = None, repository: str = REPOSITORY) -> str:
        detail = {"repository": repository, "digest": digest} | ({"tag": tag} if tag else {})
        event = PushEvent(f"push/{repository}/{tag}/{digest}/{self.now}", PushKind.IMAGE_PUSH, detail, self.now)
        scan = self.store.images.record_push(event)
        if scan is not None:
            self.store.images.finish_scan(digest, scan.number, [], None, self.now)
        return digest

    def push(self, tag: str, *layers: bytes, repository: str = REPOSITORY) -> str:
        return self.record(push_image(self.registry, repository, tag, *layers), tag, repository)

    def add_service(self, name: str, *digests: str) -> None:
        """A service whose revisions have run these images; the last one runs."""
        self.store.services.put(Service(name, "podman", 1, 0), TaskDefinition(name, 0, "app", None))
        for number, digest in enumerate(digests):
            image = ImageReference(f"{self.registry.address}/{REPOSITORY}", digest)
            definition = TaskDefinition(name, 0, "app", image)
            revision = self.store.services.register(name, definition, deploy(f"deploy-{number}")).revision
            self.store.services.set_revision(name, revision, None)

    def ask(self, digest: str) -> None:
        approval = Approval(
            ApprovalId(f"external/{digest}"),
            "token",
            digest,
            REPOSITORY,
            PolicyReference("default"),
            "",
            self.now,
            "2099-01-01T00:00:00.000Z",
        )
        self.store.approvals.add(approval)

    def collect(self) -> dict[str, object]:
        """Request a collection, and carry it out. Returns its report."""
        number = self.collection.request("ada").seq
        for _ in range(3):
            self.collection.run_due()
        collection = self.store.collections.get(number)
        assert collection.finished_at is not None
        assert collection.error is None, collection.error
        return dict(collection.report)

    def list_manifests(self, repository: str = REPOSITORY) -> set[str]:
        return {digest for name, digest in self.registry.manifests if name == repository}

    def list_pushed_images(self) -> set[str]:
        return {image.digest for image in self.store.images.list_pushed()}
