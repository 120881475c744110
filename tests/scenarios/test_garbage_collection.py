"""Images are removed by the API, and from a real registry: what is kept can be pulled, and the disk gets room."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tests.fakes.registry import push_image
from tests.parts import wait_until
from tests.ports import find_free_port
from tests.scanner.images import make
from tests.scenarios.server import ServerSystem
from tests.services.collection_site import ASSIGNMENT, REPOSITORY
from tests.store.factories import deploy

from dockgate.delivery.registries.distribution import DistributionRegistry
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import OPERATOR, PULL, PUSH, SERVER, Access, Login
from dockgate.delivery.retention import Retention
from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.identity.model import LOCAL, Caller
from dockgate.scanner.images.push import Pusher
from dockgate.scanner.registry_reference import RegistryReference
from dockgate.server import registry_service
from dockgate.server.registry_storage import DistributionStorage
from dockgate.services.registry.push_permits import PushPermits
from dockgate.services.retention.garbage_collection import GarbageCollection
from dockgate.shared.references import ImageReference
from dockgate.store.records import PushedImage


def test_a_collection_is_requested_and_followed_by_the_api(tmp_path: Path) -> None:
    with ServerSystem(tmp_path, sweep_seconds=0.05) as server:
        server.apply(ASSIGNMENT)
        server.use_cases.garbage_collection.registry_reader.retention = Retention(keep_days=30, keep_images=0)
        digest = push_image(server.registry, REPOSITORY, "1", b"old")
        server.store.images.add_push(PushedImage(REPOSITORY, "1", digest, server.services.clock.now()))
        assert [entry["reason"] for entry in server.get("/gc")["kept_images"]] == ["watched"]
        server.clock.ahead += timedelta(days=40)
        plan = server.get("/gc")
        assert [(image["digest"], image["tags"], image["size"] > 3) for image in plan["images"]] == [
            (digest, ["1"], True)
        ]
        assert server.registry.blobs
        number = server.post("/gc")["seq"]
        wait_until(lambda: server.get(f"/gc/runs/{number}")["finished_at"])
        finished_run = server.get(f"/gc/runs/{number}")
        assert finished_run["error"] is None
        assert [image["digest"] for image in finished_run["report"]["images"]] == [digest]
        assert not server.registry.blobs
        assert server.get("/gc")["images"] == []
        assert [run["seq"] for run in server.get("/gc/runs")] == [number]
        assert "POST /api/v1/gc" in [entry["call"] for entry in server.get("/audit")]


class Site:
    """A server without background work that removes images from a real registry, in `folder`."""

    def __init__(self, folder: Path, port: int, tokens: RegistryTokens) -> None:
        self.folder = folder
        self.tokens = tokens
        self.address = f"127.0.0.1:{port}"
        self.system = ServerSystem(folder / "server")
        self.system.registry.address = self.address
        self.storage = DistributionStorage(folder / "run" / "registry.json", folder / "registry", {})
        registry = DistributionRegistry(self.address, lambda access: tokens.issue_token(SERVER, access))
        collection = self.system.use_cases.garbage_collection
        reader = replace(
            collection.registry_reader, registry=registry, retention=Retention(keep_days=30, keep_images=0)
        )
        self.collection: GarbageCollection = replace(
            collection, registry_reader=reader, registry=registry, storage=self.storage
        )

    @property
    def now(self) -> str:
        return self.system.services.clock.now()

    def push(self, tag: str, image: make.Image) -> str:
        """Push an image or index, and record it."""
        issuers = {self.address: self.tokens.issue_repository_token}
        with Pusher(RegistryReference(self.address, REPOSITORY, tag), issuers=issuers) as pusher:
            documents = [digest for digest, data in image.blobs.items() if b'"schemaVersion"' in data]
            for digest, data in image.blobs.items():
                if digest not in documents:
                    pusher.push_blob(data)
            for digest in sorted(documents, key=lambda digest: digest == image.digest):
                data = image.blobs[digest]
                kind = make.INDEX if b'"manifests"' in data else make.MANIFEST
                pusher.push_manifest(data, has_digest_name=digest != image.digest, kind=kind)
                name = tag if digest == image.digest else ""
                self.system.store.images.add_push(PushedImage(REPOSITORY, name, digest, self.now))
        return image.digest

    def pull(self, image: make.Image, digest: str = "") -> bool:
        """Whether a client gets the manifest and every blob."""
        token = self.tokens.issue_token("someone", [Access("repository", REPOSITORY, (PULL,))])
        headers = {"Accept": f"{make.MANIFEST}, {make.INDEX}", "Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"http://{self.address}/v2/{REPOSITORY}", headers=headers) as client:
            answers = [client.get(f"/manifests/{digest or image.digest}")]
            answers += [
                client.get(f"/{'manifests' if b'schemaVersion' in data else 'blobs'}/{name}")
                for name, data in image.blobs.items()
            ]
        return all(answer.status_code == 200 for answer in answers)

    def measure_registry(self) -> int:
        return sum(path.stat().st_size for path in (self.folder / "registry").rglob("*") if path.is_file())

    def deploy_image(self, digest: str) -> None:
        store = self.system.store
        store.services.put(Service("web", "podman", 1, 0), TaskDefinition("web", 0, "app", None))
        image = ImageReference(f"{self.address}/{REPOSITORY}", digest)
        definition = store.services.register("web", TaskDefinition("web", 0, "app", image), deploy())
        store.services.set_revision("web", definition.revision, None)

    def collect(self) -> str | None:
        """Carry out a collection, and return its error."""
        number = self.collection.request("ada").seq
        self.collection.run_due()
        run = self.system.store.collections.get(number)
        assert run.finished_at
        return run.error


@contextmanager
def run_site(folder: Path) -> Iterator[Site]:
    port, tokens = find_free_port(), RegistryTokens(folder / "keys")
    (folder / "server").mkdir()
    endpoint = registry_service.Endpoint("registry", "127.0.0.1", port, "http://127.0.0.1:9/registry/token")
    child = registry_service.make_registry(
        folder, endpoint, tokens.get_certificate(), "http://127.0.0.1:9/events", "secret"
    )
    child.start()
    site = Site(folder, port, tokens)
    try:
        site.system.services.delivery.documents.apply(ASSIGNMENT, "a.yaml", Caller(LOCAL))
        yield site
    finally:
        child.stop()
        site.system.close()


def make_image(text: str, size: int = 20_000) -> make.Image:
    noise = b"".join(str(number * 7919 % 10_007).encode() for number in range(size // 4))
    return make.make_image([{"base": b"one for all" * 1000}, {"text": text.encode() + noise}])


@pytest.mark.real
def test_the_disk_gets_room_and_what_is_kept_can_be_pulled(tmp_path: Path) -> None:
    with run_site(tmp_path) as site:
        old = [make_image(f"old {number}") for number in range(2)]
        for number, pushed_image in enumerate(old):
            site.push(str(number), pushed_image)
        index = make.index([make_image("amd64"), make_image("arm64")])
        site.push("index", index)
        unneeded_index = make.index([make_image("amd64"), make_image("s390x")])
        site.push("gone", unneeded_index)
        site.deploy_image(index.digest)
        site.system.clock.ahead += timedelta(days=40)
        new = make_image("new")
        site.push("new", new)
        before, plan = site.measure_registry(), site.collection.plan()
        assert {entry.digest for entry in plan.images} == {
            unneeded_index.digest, make_image("s390x").digest, *(pushed_image.digest for pushed_image in old)
        }  # fmt: skip
        assert site.collect() is None
        assert before - site.measure_registry() >= plan.blob_bytes > 0
        assert site.pull(index)
        assert site.pull(new)
        assert not any(site.pull(pushed_image) for pushed_image in (*old, unneeded_index))
        assert site.collection.plan().images == ()
        assert list(site.storage.list_unreferenced_blobs()) == []
        site.push("again", old[0])
        assert site.pull(old[0])


@pytest.mark.real
def test_a_collection_of_blobs_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    with run_site(tmp_path) as site:
        needed_image, old = make_image("needed"), make_image("old")
        site.push("needed", needed_image)
        site.push("old", old)
        site.deploy_image(needed_image.digest)
        site.system.clock.ahead += timedelta(days=40)
        plan, before = site.collection.plan(), site.measure_registry()
        site.collection.storage = KilledStorage(site.storage, site.folder)
        error = site.collect()
        assert error is not None
        assert "not collected within" in error
        PushPermits(site.system.store.push_barrier, site.system.services.clock).require()  # the gate is open again
        site.system.clock.ahead += timedelta(minutes=10)
        site.collection.storage = site.storage
        assert site.collect() is None
        assert before - site.measure_registry() >= plan.blob_bytes
        assert site.pull(needed_image)
        assert list(site.storage.list_unreferenced_blobs()) == []


class KilledStorage:
    """A storage whose program is killed when it has just started."""

    def __init__(self, storage: DistributionStorage, folder: Path) -> None:
        self.list_unreferenced_blobs = storage.list_unreferenced_blobs
        self.collect = DistributionStorage(
            folder / "run" / "registry.json", folder / "registry", {}, seconds=0.001
        ).collect


def test_a_client_gets_no_token_to_push_while_images_are_removed(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        scope = f"repository:{REPOSITORY}:pull,push"
        login = server.services.registries.access.tokens.issue_login(Login(OPERATOR, REPOSITORY, (PULL, PUSH)))
        url = f"{server.url}/registry/token"
        ask = {"service": "dockgate-registry", "scope": scope}
        assert httpx.get(url, params=ask, auth=login).status_code == 200
        now = server.services.clock.now()
        server.store.push_barrier.close(server.services.clock.compute_time_after(600), now)
        response = httpx.get(url, params=ask, auth=login)
        assert response.status_code == 429
        assert "unused images are removed" in response.text
        assert httpx.get(url, params={**ask, "scope": f"repository:{REPOSITORY}:pull"}, auth=login).status_code == 200
        server.store.push_barrier.open()
        assert httpx.get(url, params=ask, auth=login).status_code == 200
