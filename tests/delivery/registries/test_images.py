"""Which registries a server reads images in."""

from functools import partial
from pathlib import Path

import pytest
from tests.docker_registry import run_registry
from tests.scanner.images.make import Layer, make_image, write_image_layout

from dockgate.attestations.keys import Keys
from dockgate.delivery.registries.attestor import RegistryAttestor
from dockgate.delivery.registries.images import ImageAccess
from dockgate.gate.policy_reference import PolicyReference
from dockgate.scanner.cache.image_reader import read_images
from dockgate.shared.errors import DeniedError, NotFoundError, UnavailableError
from dockgate.shared.references import ImageReference

DIGEST = "sha256:" + "a" * 64
OWN = "127.0.0.1:7421"


def reach(folder: Path, *registries: str) -> ImageAccess:
    return ImageAccess(OWN, registries, partial(read_images, cache=folder), None)


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        (f"{OWN}/web/app", "web/app"),
        ("quay.io/team/app", "quay.io/team/app"),
        ("QUAY.io/team/app", "quay.io/team/app"),
        ("registry.example:5000/app", "registry.example:5000/app"),
        ("eu.images.example/app", "eu.images.example/app"),
    ],
)
def test_images_are_named_in_our_registry_and_in_those_that_are_listed(
    tmp_path: Path, reference: str, repository: str
) -> None:
    access = reach(tmp_path, "quay.io", "registry.example", "*.images.example")
    for item in (access, reach(tmp_path)):
        assert item.resolve(f"{reference}@{DIGEST}") == ImageReference(repository, DIGEST)


@pytest.mark.parametrize("name", ["images.example", "IMAGES.example", "images.example:443", "images.example:0443"])
def test_every_spelling_of_our_public_registry_is_ours(tmp_path: Path, name: str) -> None:
    """Else a request could name the image there, and be judged by another policy than that of its repository."""
    for public in ("images.example", "images.example:443"):
        own_access = ImageAccess(OWN, (OWN,), partial(read_images, cache=tmp_path), None, public_registry=public)
        assert own_access.resolve(f"{name}/team/app@{DIGEST}") == ImageReference("team/app", DIGEST)


@pytest.mark.parametrize(
    "registry",
    ["docker.io", "quay.io.evil.example", "169.254.169.254", "quay.io:8443", "images.example", "localhost:1"],
)
def test_no_other_registry_is_spoken_to(tmp_path: Path, registry: str) -> None:
    access = reach(tmp_path, "quay.io:443", "*.images.example")
    with pytest.raises(DeniedError, match=f"the registry {registry} is not allowed") as messages:
        access.resolve(f"{registry}/team/app:1")
    assert "DOCKGATE_REGISTRIES" in str(messages.value.advice)
    for call in (access.read, access.read_attached):
        with pytest.raises(DeniedError):
            call(f"{registry}/team/app", DIGEST)
    attestor = RegistryAttestor(Keys(tmp_path / "keys"), OWN, require=access.require)
    with pytest.raises(DeniedError):
        attestor.attest(f"{registry}/team/app", DIGEST, DIGEST, PolicyReference("default"), lambda name, digest: b"")


def test_docker_hubs_short_names_are_docker_hubs(tmp_path: Path) -> None:
    assert reach(tmp_path, "docker.io").resolve(f"debian@{DIGEST}") == ImageReference(
        "docker.io/library/debian", DIGEST
    )
    with pytest.raises(DeniedError, match=r"the registry docker\.io is not allowed"):
        reach(tmp_path, "quay.io").resolve("debian")


@pytest.mark.parametrize("scheme", ["oci", "dir"])
def test_a_registry_with_the_name_of_a_scheme_is_no_folder_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    digest = write_image_layout(tmp_path / "80" / "app", [{"etc/os-release": b"ID=debian\n"}])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnavailableError):
        reach(tmp_path).read(f"{scheme}:80/app", digest)


@pytest.mark.real
def test_an_image_that_must_exist_is_looked_up(tmp_path: Path) -> None:
    with run_registry(tmp_path / "registry") as running:
        digest = running.push("team/app", "1", make_image([{"etc/os-release": b"ID=debian\n"}]))
        access = ImageAccess(running.address, (), partial(read_images, cache=tmp_path), None)
        assert access.resolve(f"{running.address}/team/app@{digest}", should_check_existence=True) == ImageReference(
            "team/app", digest
        )
        second = f"{running.address}/team/other@{digest}"
        assert access.resolve(second) == ImageReference("team/other", digest)
        with pytest.raises(NotFoundError):
            access.resolve(second, should_check_existence=True)


@pytest.mark.real
def test_a_server_holds_layers_to_their_diff_ids(tmp_path: Path) -> None:
    layers: list[Layer] = [{"etc/os-release": b"ID=debian\n"}, {"a": b"1"}]
    true_image, lying = (
        make_image(layers),
        make_image(layers, config={"rootfs": {"diff_ids": ["sha256:" + "0" * 64] * 2}}),
    )
    with run_registry(tmp_path / "registry") as running:
        access = ImageAccess(running.address, (), partial(read_images, cache=tmp_path / "cache"), None)
        for item in (true_image, lying):
            (platform,) = access.read("team/app", running.push("team/app", "1", item))
            inventory = platform.inventory
            assert inventory.diff_ids == tuple(true_image.diff_ids)
            reasons = [entry.reason for entry in inventory.unread if "uncompressed content" in entry.reason]
            assert len(reasons) == (2 if item is lying else 0)
