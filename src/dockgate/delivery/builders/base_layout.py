"""Base images as an OCI image layout, from which podman loads them inside the box of a build."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from dockgate.delivery.builders.images import Base
from dockgate.delivery.builders.sandbox.sandbox import Paths
from dockgate.shared.digest import get_hex


def write_layout(bases: Iterable[Base], folder: Path) -> None:
    """Write an OCI image layout of the base images for podman, which takes their names from its index."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    manifests = []
    for base in bases:
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
    pull = [*paths.podman, "pull", "--quiet", f"oci:{paths.scratch}/bases:{base.name}"]
    return [pull] if "@" in base.name else [pull, [*paths.podman, "tag", get_hex(base.config), base.name]]


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        shutil.copyfile(source, target)
