"""Base images are fetched by the server, by digest, and are on record with the result."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.parts import Host

from dockgate.delivery.builders.registry_images import require_no_hidden_source
from dockgate.delivery.ports import BaseImage, BuildRequest
from dockgate.scanner.images.push import Pusher
from dockgate.scanner.images.registry import open_registry_source
from dockgate.scanner.registry_reference import RegistryReference
from dockgate.shared.errors import BuildError, ImageError

pytestmark = pytest.mark.real

Source = Callable[[str], Path]


def build_image(host: Host, source: Path, repository: str, key: str = "key", **arguments: str) -> Any:
    return host.make_builder().build(BuildRequest(key, repository, source, args=arguments), lambda lines: None)


def list_layers(host: Host, repository: str, digest: str) -> list[str]:
    reference = RegistryReference(host.registry.address, repository, digest=digest)
    with closing(open_registry_source(reference, issuers=host.issuers)) as origin:
        return [layer["digest"] for layer in json.loads(origin.read_root()[1])["layers"]]


def retag_image(host: Host, repository: str, tag: str, new_tag: str, change: str = "") -> None:
    """Puts an image of the repository under another tag; with a `change`, another image of the same layers."""
    reference = RegistryReference(host.registry.address, repository, tag)
    with closing(open_registry_source(reference, issuers=host.issuers)) as origin:
        manifest = json.loads(origin.read_root()[1])
    if change:
        manifest["annotations"] = {"change": change}
    with Pusher(RegistryReference(host.registry.address, repository, new_tag), issuers=host.issuers) as pusher:
        pusher.push_manifest(json.dumps(manifest).encode(), has_digest_name=False)


def push_as_docker(host: Host, repository: str, tag: str, new_tag: str) -> str:
    """Puts an image under another tag, with a manifest of Docker's Image Manifest V2, Schema 2; its digest."""
    reference = RegistryReference(host.registry.address, repository, tag)
    with closing(open_registry_source(reference, issuers=host.issuers)) as origin:
        manifest = json.loads(origin.read_root()[1])
    docker = "application/vnd.docker"
    manifest["mediaType"] = f"{docker}.distribution.manifest.v2+json"
    manifest["config"]["mediaType"] = f"{docker}.container.image.v1+json"
    for layer in manifest["layers"]:
        layer["mediaType"] = f"{docker}.image.rootfs.diff.tar.gzip"
    with Pusher(RegistryReference(host.registry.address, repository, new_tag), issuers=host.issuers) as pusher:
        return pusher.push_manifest(json.dumps(manifest).encode(), has_digest_name=False, kind=manifest["mediaType"])


@pytest.mark.slow
def test_a_base_image_in_dockers_own_format_is_used(host: Host, source: Source) -> None:
    """docker pushed nothing else before version 29, nor does skopeo from an archive of docker."""
    host.push_base("docker-form/base", "oci", {"/first": "1"})
    digest = push_as_docker(host, "docker-form/base", "oci", "docker")
    name = f"{host.registry.address}/docker-form/base"
    references = [f"{name}:docker", f"{name}@{digest}", f"{name}:docker@{digest}"]
    folder = source("true")
    (folder / "Dockerfile").write_text(
        f"FROM {references[0]} AS tagged\nFROM {references[1]} AS pinned\nFROM {references[2]}\n"
        "COPY --from=tagged /first /second\nCOPY --from=pinned /first /third\n"
        'RUN ["/bin/sh", "-c", "cat /first /second /third"]\n'
    )
    result = build_image(host, folder, "docker-form/result")
    assert set(result.bases) == {BaseImage(reference, digest) for reference in references}


def test_base_images_of_every_stage_are_recorded_by_digest(host: Host, source: Source) -> None:
    address = host.registry.address
    first = host.push_base("bases/first", "v1", {"/first": "1"})
    host.push_base("bases/second", "oci", {"/second": "2"})
    second = push_as_docker(host, "bases/second", "oci", "v1")
    folder = source("true")
    (folder / "Dockerfile").write_text(
        f"ARG PLACE={address}/bases\nARG TAG=wrong\n"
        "FROM ${PLACE}/first:${TAG:-v1} AS maker\nCOPY Dockerfile /made\n"
        "FROM maker AS again\n"
        f"FROM {address}/bases/first@{first}\nCOPY --from=again /made /made\n"
        f"COPY --from={address}/bases/second:v1 /second /\n"
    )
    result = build_image(host, folder, "bases/result", TAG="v1")
    assert result.bases == tuple(
        sorted(
            [
                BaseImage(f"{address}/bases/first:v1", first),
                BaseImage(f"{address}/bases/first@{first}", first),
                BaseImage(f"{address}/bases/second:v1", second),
            ]
        )
    )
    base_layers = list_layers(host, "bases/first", first)
    assert list_layers(host, "bases/result", result.digest)[: len(base_layers)] == base_layers, (
        "the base's own layers, as they are"
    )


def test_a_base_image_whose_tag_moves_is_fetched_again(host: Host, source: Source) -> None:
    base = f"{host.registry.address}/moving/base:latest"
    for number in range(2):
        digest = host.push_base("moving/base", "latest", {"/number": str(number)})
        folder = source("true")
        (folder / "Dockerfile").write_text(f"FROM {base}\nLABEL name=app\n")
        result = build_image(host, folder, "moving/app", f"key-{number}")
        assert result.bases == (BaseImage(base, digest),)
        base_layers = list_layers(host, "moving/base", digest)
        assert list_layers(host, "moving/app", result.digest)[: len(base_layers)] == base_layers


def test_an_image_inherits_no_annotation_of_its_base_that_a_runtime_would_obey(host: Host, source: Source) -> None:
    """podman 4 hands the annotations of an image to the OCI runtime: crun loads a library that one of them names."""
    base = host.push_base("annotated/base", "v1", {})
    annotations_of_base = {
        "org.opencontainers.image.vendor": "me",
        "run.oci.seccomp.plugins": "/evil.so",
        "io.podman.x": "1",
    }
    reference = host.push_annotated_image(f"{host.registry.address}/annotated/base@{base}", annotations_of_base, "v2")
    folder = source("true")
    (folder / "Dockerfile").write_text(f"FROM {reference}\nLABEL name=app\n")
    result = build_image(host, folder, "annotated/app")
    built_image = RegistryReference(host.registry.address, "annotated/app", digest=result.digest)
    with closing(open_registry_source(built_image, issuers=host.issuers)) as origin:
        annotations = json.loads(origin.read_root()[1])["annotations"]
    assert annotations["org.opencontainers.image.vendor"] == "me"
    assert not [name for name in annotations if not name.startswith("org.opencontainers.image.")]


def test_the_record_of_a_build_outlives_a_crash_and_a_strange_image_under_its_key_does_not_count(
    host: Host, source: Source
) -> None:
    base = f"{host.registry.address}/record/base:v1"
    host.push_base("record/base", "v1", {})
    folder = source("true")
    (folder / "Dockerfile").write_text(f"FROM {base}\nLABEL name=app\n")
    result = build_image(host, folder, "record/app")
    assert result.bases
    (folder / "Dockerfile").write_text("FROM nowhere.invalid/missing\n")
    assert build_image(host, folder, "record/app") == result
    (folder / "Dockerfile").write_text(f"FROM {base}\nLABEL name=app\n")
    retag_image(host, "record/app", "key", "key", change="by another pipeline")
    assert host.registry.resolve("record/app", "key") != result.digest
    second_build = build_image(host, folder, "record/app")
    assert host.registry.resolve("record/app", "key") == second_build.digest
    assert second_build.bases == result.bases


@pytest.mark.parametrize(
    "registry", ["localhost:1", "169.254.169.254", "127.0.0.1:2", "10.0.0.1", "[::1]:3", "[fd00::1]:4"]
)
def test_a_base_image_at_a_private_address_is_refused_unless_it_is_listed(
    host: Host, source: Source, registry: str
) -> None:
    folder = source("true")
    (folder / "Dockerfile").write_text(f"FROM {registry}/base\n")
    with pytest.raises(BuildError, match="is at a private address"):
        build_image(host, folder, "private")


def test_builds_may_change_their_bases_and_find_none_that_they_do_not_name(host: Host, source: Source) -> None:
    """podman finds images by their ids, which everybody can compute: those of bases, and of earlier builds."""
    registry = f"{host.registry.address}/bases"
    digest = host.push_base("bases/pinned", "v1", {"/which": "pinned"})
    tagged_digest = host.push_base("bases/tagged", "v1", {"/which": "tagged"})
    folder = source("true")
    stored_images = []
    for key, name, base, base_digest in (
        ("a", "pinned", f"{registry}/pinned@{digest}", digest),
        ("b", "tagged", f"{registry}/tagged:v1", tagged_digest),
        ("c", "pinned", f"{registry}/pinned@{digest}", digest),
    ):
        (folder / "Dockerfile").write_text(f"FROM {base}\nLABEL name={name}\nLABEL key={key}\n")
        result = build_image(host, folder, "bases/changing", key)
        assert result.bases == (BaseImage(base, base_digest),)
        base_layers = list_layers(host, f"bases/{name}", base_digest)
        assert list_layers(host, "bases/changing", result.digest)[: len(base_layers)] == base_layers
        stored_images.append(set(host.list_stored_images("bases/changing", "--all", "--no-trunc")))
    reference = RegistryReference(host.registry.address, "bases/pinned", digest=digest)
    with closing(open_registry_source(reference, issuers=host.issuers)) as origin:
        pinned_image = json.loads(origin.read_root()[1])["config"]["digest"]
    assert [pinned_image in images for images in stored_images] == [True, False, True]
    assert {len(images) for images in stored_images} == {len(stored_images[0])}
    assert stored_images[0] & stored_images[2] == {pinned_image}
    assert not stored_images[1] & (stored_images[0] | stored_images[2])


@pytest.mark.parametrize(
    "triggers",
    [
        ["COPY --from=evil:v1 /bin /bin"],
        ["run --mount=type=bind,FROM=evil:v1,target=/t /t/run"],
        ['COPY --fr"o"m=evil:v1 /bin /bin'],
        ["COPY --fr\\om=evil:v1 /bin /bin"],
        ["COPY --fr\\", "om=evil:v1 /bin /bin"],
        ["COPY --fr\\\nom=evil:v1 /bin /bin"],
        ["COPY --from=0 /bin /bin"],
        ["FROM evil:v1"],
        ["\u00a0COPY --from=evil:v1 /bin /bin"],
    ],
)
def test_a_base_whose_onbuild_takes_from_another_image_is_refused(triggers: list[str]) -> None:
    """podman runs it with images of its storage, and no Dockerfile names them."""
    config = {"config": {"OnBuild": ["RUN true", *triggers]}}
    with pytest.raises(ImageError, match="ONBUILD"):
        require_no_hidden_source(RegistryReference("quay.io", "team/base", "1"), json.dumps(config).encode())


@pytest.mark.parametrize(
    "config",
    [
        b'{"Config": {"OnBuild": ["COPY --from=evil:v1 / /"]}}',
        b'{"config": {"onbuild": ["COPY --from=evil:v1 / /"]}}',
        b'{"config": {"OnBuild": ["COPY --from=evil:v1 / /"]}, "config": {}}',
        b'{"config": {"OnBuild": ["COPY --from=evil:v1 / /"], "OnBuild": []}}',
    ],
)
def test_a_base_whose_onbuild_podman_would_read_otherwise_is_refused(config: bytes) -> None:
    """Go ignores the case of names, and merges objects of one name."""
    with pytest.raises(ImageError, match="read in two ways"):
        require_no_hidden_source(RegistryReference("quay.io", "team/base", "1"), config)


@pytest.mark.parametrize(
    "config", [{}, {"config": None}, {"config": {"OnBuild": ["RUN make", "COPY . /from", "ARG V=1"]}}]
)
def test_other_bases_are_accepted(config: object) -> None:
    require_no_hidden_source(RegistryReference("quay.io", "team/base", "1"), json.dumps(config).encode())
