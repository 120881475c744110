"""Read images from a registry, folder, archive or container engine.

They are read entry by entry, without trusting their content.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dockgate.scanner.ports import OpenedImages

if TYPE_CHECKING:
    from dockgate.scanner.images.auth import Issuers
    from dockgate.scanner.images.blobs import ImageSource
    from dockgate.scanner.images.reference import EngineReference, FileReference, StdinReference
    from dockgate.scanner.registry_reference import RegistryReference


def open_images(
    reference: "str | RegistryReference",
    platforms: Sequence[str] | None = None,
    *,
    ca_bundle: Path | None = None,
    is_insecure: bool = False,
    stdin: BinaryIO | None = None,
    issuers: "Issuers | None" = None,
    seconds: float | None = None,
) -> OpenedImages:
    """Open the images that `reference` names.

    Text is one of:

    - a name in a registry,
    - oci:FOLDER, oci-archive:FILE, docker-archive:FILE, or the path alone; a file may be gzip or zstd as a whole,
    - "-", an archive on `stdin` (None: this process's),
    - podman:NAME or docker:NAME (or containers-storage:, docker-daemon:), an image in that engine's store,
    - dir:FOLDER, the root of a system. Its image has no digest.

    `platforms`: None for this machine's if there is a choice, ["all"], or "os/arch[/variant]" each. `ca_bundle` (PEM)
    is trusted in addition to the system's authorities; `is_insecure` allows plain HTTP to a registry.

    `issuers` issue tokens for registries whose token server this process is. `seconds`: the time limit for all requests
    to a registry; after that TooSlowError is raised.

    Layers are streamed from registries. Images from standard input or an engine, and compressed archives, are copied
    into an unlinked temporary file.

    Raises UsageError for an invalid reference; NotFoundError if the image, tag or platform does not exist; DeniedError
    and UnavailableError from registries and engines; ImageError for broken images.
    """
    from dockgate.scanner.images.reference import FolderReference, parse_reference
    from dockgate.scanner.registry_reference import RegistryReference

    parsed_reference = parse_reference(reference) if isinstance(reference, str) else reference
    if isinstance(parsed_reference, FolderReference):
        from dockgate.scanner.images.folder import open_folder_image

        image, close = open_folder_image(parsed_reference.path, platforms)
        return OpenedImages(image.digest, (image,), close)
    from dockgate.scanner.images.oci_image import read_images

    image_source = _open_source(parsed_reference, ca_bundle, is_insecure, stdin, issuers, seconds)
    try:
        digest, data = image_source.read_root()
        is_local = not isinstance(parsed_reference, RegistryReference)
        return OpenedImages(digest, read_images(image_source, digest, data, platforms), image_source.close, is_local)
    except BaseException:
        image_source.close()
        raise


def _open_source(
    reference: "RegistryReference | FileReference | StdinReference | EngineReference",
    ca_bundle: Path | None,
    is_insecure: bool,
    stdin: BinaryIO | None,
    issuers: "Issuers | None",
    seconds: float | None,
) -> "ImageSource":
    """Open a source. Each kind is imported when it is used, so that a scan starts fast."""
    from dockgate.scanner.images.reference import EngineReference, StdinReference
    from dockgate.scanner.registry_reference import RegistryReference

    if isinstance(reference, RegistryReference):
        from dockgate.scanner.images.registry import open_registry_source

        return open_registry_source(
            reference, ca_bundle=ca_bundle, is_insecure=is_insecure, issuers=issuers, seconds=seconds
        )
    if isinstance(reference, EngineReference):
        from dockgate.scanner.images.engine import open_engine_source

        return open_engine_source(reference, os.environ)
    if isinstance(reference, StdinReference):
        from dockgate.scanner.images.archive import open_stdin_source

        return open_stdin_source(stdin or (sys.stdin.buffer if sys.stdin else None))
    if reference.path.is_dir():
        from dockgate.scanner.images.layout import Folder, LayoutSource

        return LayoutSource(Folder(reference.path), str(reference), reference.tag, reference.digest)
    from dockgate.scanner.images.archive import open_file_source

    return open_file_source(reference)
