"""Images brought from one registry to another, byte for byte."""

from collections.abc import Iterator

import pytest
from tests.docker_registry import Running, run_registry
from tests.scanner.images.make import Image, index, make_image
from tests.scanner.images.webserver import Answer, Request, serve

from dockgate.scanner.images import open_images
from dockgate.scanner.images.image_copy import copy_image
from dockgate.scanner.registry_reference import RegistryReference
from dockgate.shared.errors import ImageError

FIRST, SECOND = make_image([{"one": b"1"}, {"two": b"2"}]), make_image([{"one": b"other"}], platform="linux/arm64")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.mark.real
@pytest.mark.parametrize("image", [FIRST, index([FIRST, SECOND], has_attestations=True)], ids=["image", "index"])
def test_an_image_keeps_its_digest(running: Running, image: Image) -> None:
    digest = running.push("team/app", "1", image)
    for _ in range(2):
        copy_image(
            RegistryReference(running.address, "team/app", digest=digest),
            RegistryReference(running.address, "for/ecs", digest=digest),
        )
    with open_images(f"{running.address}/for/ecs@{digest}", ["linux/amd64"]) as opened_images:
        assert opened_images.digest == digest
        assert [entry.path for layer in opened_images.images[0].layers for entry in layer.read_entries()] == [
            "one",
            "two",
        ]


@pytest.mark.real
def test_a_blob_that_is_another_is_not_copied(running: Running) -> None:
    def serve_altered_blob(request: Request) -> Answer:
        name = request.path.rpartition("/")[2]
        data = FIRST.blobs.get(name, b"")
        return Answer(200, data if name == FIRST.digest else data[:-1] + b"!")

    with serve(serve_altered_blob) as server:
        source = RegistryReference(server.address, "team/app", digest=FIRST.digest)
        with pytest.raises(ImageError):
            copy_image(source, RegistryReference(running.address, "a/lie", digest=FIRST.digest))
