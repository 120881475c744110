"""A registry's client as `open_images` builds it, with credentials handed in and without pauses."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.docker_registry import PASSWORD, USER
from tests.scanner.images import make
from tests.scanner.images.webserver import Answer, Request, as_json

from dockgate.scanner.images.auth import Authorizer
from dockgate.scanner.images.credentials import Credentials
from dockgate.scanner.images.oci_image import read_images
from dockgate.scanner.images.registry import RegistrySource
from dockgate.scanner.images.transport import Transport
from dockgate.scanner.ports import OpenedImages
from dockgate.scanner.registry_reference import parse_remote

IMAGE = make.make_image([{"one": b"1"}, {"two": b"2" * 3000}])
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
LOGIN = Credentials(USER, PASSWORD)


@contextmanager
def open_remote(
    reference: str,
    credentials: Credentials | None = None,
    pauses: list[float] | None = None,
    *,
    timeout: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[OpenedImages]:
    """As `open_images` does it, with credentials given and without pauses."""
    parsed_reference = parse_remote(reference)
    sleep = (pauses if pauses is not None else []).append
    transport = Transport(parsed_reference.registry, None, False, sleep, timeout=timeout, clock=clock)
    authorizer = Authorizer(transport, parsed_reference.registry, parsed_reference.repository, lambda: credentials)
    origin = RegistrySource(parsed_reference, transport, authorizer)
    try:
        digest, data = origin.read_root()
        yield OpenedImages(digest, read_images(origin, digest, data, None), origin.close)
    finally:
        origin.close()


def list_files(images: OpenedImages) -> list[str]:
    return [entry.path for layer in images.images[0].layers for entry in layer.read_entries()]


def serve_image(image: make.Image = IMAGE) -> Callable[[Request], Answer]:
    """A registry that holds the image as team/app:1, and checks nothing."""

    def answer(request: Request) -> Answer:
        kind, name = request.path.removeprefix("/v2/team/app/").split("/")
        data = image.blobs.get(image.digest if name == "1" else name)
        if data is None:
            return as_json({"errors": [{"code": f"{kind.upper()[:-1]}_UNKNOWN", "message": "not known"}]}, 404)
        return Answer(200, data)

    return answer
