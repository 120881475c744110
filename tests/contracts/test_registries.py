"""Every registry whose images can be removed, and its storage: the fake, and CNCF Distribution."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.docker_registry import run_registry as running_registry
from tests.fakes.registry import MemoryRegistry, MemoryStorage
from tests.scanner.images import make

from dockgate.delivery.ports import RegistryContent, RegistryStorage, StoredManifest
from dockgate.delivery.registries.distribution import DistributionRegistry
from dockgate.server.registry_storage import DistributionStorage

NOTHING = "sha256:" + "0" * 64


@dataclass(frozen=True)
class System:
    registry: RegistryContent
    storage: RegistryStorage
    push: Callable[[str, str, make.Image], str]
    # The bytes of all blobs.
    stored: Callable[[], int]


@pytest.fixture(params=["memory", pytest.param("distribution", marks=pytest.mark.real)])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    if request.param == "memory":
        memory = MemoryRegistry()

        def push(repository: str, tag: str, image: make.Image) -> str:
            for digest, data in image.blobs.items():
                if b'"schemaVersion"' in data:
                    kind = make.INDEX if b'"manifests"' in data else make.MANIFEST
                    memory.put_manifest(repository, StoredManifest(digest, kind, data), [])
                else:
                    memory.blobs[digest] = data
            memory.push(repository, tag, image.digest)
            return image.digest

        yield System(memory, MemoryStorage(memory), push, lambda: sum(map(len, memory.blobs.values())))
        return
    with running_registry(tmp_path / "registry") as running:
        data = tmp_path / "registry" / "data"
        storage = DistributionStorage(tmp_path / "registry" / "config.yml", data, {})
        yield System(
            DistributionRegistry(running.address),
            storage,
            running.push,
            lambda: sum(path.stat().st_size for path in data.rglob("data")),
        )


def make_image(text: str) -> make.Image:
    return make.make_image([{"base": b"the same below each" * 100}, {"text": text.encode()}])


def test_a_deleted_manifest_is_gone_with_its_tags_and_the_second_call_says_so(system: System) -> None:
    old, new = make_image("old"), make_image("new")
    for tag, digest in (("1", old), ("first", old), ("2", new)):
        system.push("team/app", tag, digest)
    assert system.registry.delete_manifest("team/app", old.digest)
    assert not system.registry.delete_manifest("team/app", old.digest)
    assert system.registry.read_manifest("team/app", old.digest) is None
    assert list(system.registry.list_tags("team/app")) == ["2"]
    assert system.registry.resolve("team/app", "1") is None


def test_a_manifest_of_another_repository_stays(system: System) -> None:
    system.push("team/one", "1", make_image("a"))
    system.push("team/two", "1", make_image("a"))
    system.registry.delete_manifest("team/one", make_image("a").digest)
    assert system.registry.resolve("team/two", "1") == make_image("a").digest


def test_a_restored_image_has_the_same_digest(system: System) -> None:
    index = make.index([make_image("amd64"), make_image("arm64")])
    system.push("team/app", "1", index)
    before = system.registry.read_manifest("team/app", index.digest)
    assert before is not None
    assert len(json.loads(before.data)["manifests"]) == 2
    system.registry.delete_manifest("team/app", index.digest)
    for _ in range(2):
        system.registry.put_manifest("team/app", before, ["1"])
    assert system.registry.read_manifest("team/app", index.digest) == before
    assert system.registry.resolve("team/app", "1") == index.digest


def test_an_unknown_repository_has_nothing(system: System) -> None:
    assert list(system.registry.list_tags("unknown/app")) == []
    assert system.registry.read_manifest("unknown/app", NOTHING) is None
    assert not system.registry.delete_manifest("unknown/app", NOTHING)


def test_a_storage_without_images_has_no_blobs(system: System) -> None:
    assert list(system.storage.list_unreferenced_blobs()) == []
    system.storage.collect()


def test_blobs_of_deleted_manifests_alone_are_collected(system: System) -> None:
    old, new = make_image("old"), make_image("new")
    system.push("team/app", "1", old)
    system.push("team/app", "2", new)
    assert list(system.storage.list_unreferenced_blobs()) == []
    system.registry.delete_manifest("team/app", old.digest)
    blobs, before = system.storage.list_unreferenced_blobs(), system.stored()
    assert {blob.digest for blob in blobs} - {old.digest} == set(old.blobs) - set(new.blobs) - {old.digest}
    assert all(blob.written_at and blob.size for blob in blobs)
    for _ in range(2):
        system.storage.collect()
    assert system.stored() == before - sum(blob.size or 0 for blob in blobs)
    assert list(system.storage.list_unreferenced_blobs()) == []
    manifest = system.registry.read_manifest("team/app", new.digest)
    assert manifest is not None
    for layer in json.loads(manifest.data)["layers"]:
        assert system.registry.read_blob("team/app", layer["digest"], 1 << 20) == new.blobs[layer["digest"]]


def test_images_in_an_index_need_no_tag_to_stay(system: System) -> None:
    index = make.index([make_image("amd64"), make_image("arm64")])
    system.push("team/app", "1", index)
    system.storage.collect()
    for child in (make_image("amd64"), make_image("arm64")):
        assert system.registry.read_manifest("team/app", child.digest) is not None


@pytest.mark.real
def test_nothing_is_left_of_a_deleted_image(tmp_path: Path) -> None:
    with running_registry(tmp_path) as running:
        registry = DistributionRegistry(running.address)
        storage = DistributionStorage(tmp_path / "config.yml", tmp_path / "data", {})
        running.push("team/app", "keep", make_image("keep"))
        running.push("team/sub/other", "1", make_image("keep"))
        storage.collect()
        before = {path for path in (tmp_path / "data").rglob("*") if path.parent.name != "sha256"}
        running.push("team/app", "gone", make_image("gone"))
        registry.delete_manifest("team/app", make_image("gone").digest)
        storage.collect()
        after = {path for path in (tmp_path / "data").rglob("*") if path.parent.name != "sha256"}
        assert after == before
