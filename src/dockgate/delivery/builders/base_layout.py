"""Base images as folders from which podman loads them inside the box of a build.

An OCI image layout has those in OCI's format. podman refuses Docker's format (Image Manifest V2, Schema 2) in a layout,
and another manifest would have another digest than the one in `FROM`: such an image has a folder of its own.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from dockgate.delivery.builders.images import Base
from dockgate.delivery.builders.sandbox.runner import Paths
from dockgate.shared.digest import get_hex
from dockgate.shared.references import TagReference, strip_digest

_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
# containers-transports(5), "dir:".
_VERSION = "Directory Transport Version: 1.1\n"


def write_layout(bases: Iterable[Base], folder: Path) -> None:
    """Write the base images for podman: its names of those in OCI's format are in the layout's index."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    manifests = []
    for base in bases:
        if _has_docker_format(base):
            _write_docker_folder(base, folder / _name_docker_folder(base))
            continue
        for name in base.files:
            if not (folder / "blobs" / name).exists():
                _link(base.blobs / name, folder / "blobs" / name)
        manifests.append(
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": base.manifest,
                "size": base.size,
                "annotations": {"org.opencontainers.image.ref.name": base.name},
            }
        )
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    # The build's user reads them, below a folder that is closed to everybody else.
    for path in (folder, folder / "blobs", blobs):
        path.chmod(0o755)
    for path in (folder / "oci-layout", folder / "index.json", *blobs.iterdir()):
        path.chmod(0o644)


def list_load_commands(base: Base, paths: Paths) -> list[list[str]]:
    """Return the commands that load a base image out of the layout of `write_layout`.

    podman before 4.4 names an image of a layout after the path of the folder, and has to be given the name. A name with
    a digest cannot be given.
    """
    if _has_docker_format(base):
        pull = [*paths.podman, "pull", "--quiet", f"dir:{paths.scratch}/bases/{_name_docker_folder(base)}"]
        # `FROM name@digest` finds an image with this digest and any name of its repository.
        name = strip_digest(base.name)
        if name != base.name and TagReference.parse(name) is None:
            name = str(TagReference(name, get_hex(base.manifest)[:32]))
        return [pull, [*paths.podman, "tag", get_hex(base.config), name]]
    pull = [*paths.podman, "pull", "--quiet", f"oci:{paths.scratch}/bases:{base.name}"]
    return [pull] if "@" in base.name else [pull, [*paths.podman, "tag", get_hex(base.config), base.name]]


def _has_docker_format(base: Base) -> bool:
    manifest = json.loads((base.blobs / "sha256" / get_hex(base.manifest)).read_bytes())
    return str(manifest.get("mediaType")) == _DOCKER_MANIFEST


def _name_docker_folder(base: Base) -> str:
    return f"docker-{get_hex(base.manifest)}"


def _write_docker_folder(base: Base, folder: Path) -> None:
    """Write an image as podman's transport `dir:` reads it."""
    if folder.exists():
        return  # another name of the same image
    folder.mkdir()
    (folder / "version").write_text(_VERSION)
    for name in base.files:
        digest = name.rpartition("/")[2]
        _link(base.blobs / name, folder / ("manifest.json" if digest == get_hex(base.manifest) else digest))
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        shutil.copyfile(source, target)
