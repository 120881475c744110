"""Images that run, made in Python and pushed to a real registry: a build by podman takes ten times as long."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.scanner.images.make import make_image

from dockgate.scanner.images.auth import Issuers
from dockgate.scanner.images.push import Pusher
from dockgate.scanner.registry_reference import RegistryReference

BUSYBOX = Path("/usr/bin/busybox")
PROGRAMS = ("cat", "sh", "test")


def push_busybox_image(
    reference: RegistryReference, issuers: Issuers, files: Mapping[str, str], config: Mapping[str, Any] | None = None
) -> str:
    """Push an image of busybox and files under the reference's tag. Returns its digest."""
    image = make_image([_pack_busybox(files)], config={"config": dict(config or {})})
    with Pusher(reference, issuers=issuers) as pusher:
        for digest, content in image.blobs.items():
            if digest != image.digest:
                pusher.push_blob(content)
        return pusher.push_manifest(image.blobs[image.digest])


def _pack_busybox(files: Mapping[str, str]) -> bytes:
    """A layer with /bin/busybox, a few of its programs by their names, and the files."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        archive.add(BUSYBOX, "bin/busybox")
        for name in PROGRAMS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        for name, text in files.items():
            file = tarfile.TarInfo(name.lstrip("/"))
            file.size = len(text.encode())
            archive.addfile(file, io.BytesIO(text.encode()))
    return layer.getvalue()
