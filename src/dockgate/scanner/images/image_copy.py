"""Copy an image between registries unchanged, so that it keeps its digest."""

import tempfile
from contextlib import closing
from pathlib import Path

from dockgate.scanner.images.auth import Issuers
from dockgate.scanner.images.blobs import ImageSource, copy_blob
from dockgate.scanner.images.push import Pusher
from dockgate.scanner.images.registry import open_registry_source
from dockgate.scanner.images.spool import find_large_file_folder
from dockgate.scanner.manifest import INDEXES, MANIFESTS, Descriptor, Index, load_object, parse_manifest
from dockgate.scanner.registry_reference import RegistryReference
from dockgate.shared.errors import ImageError


def copy_image(
    source: RegistryReference,
    target: RegistryReference,
    *,
    ca_bundle: Path | None = None,
    issuers: Issuers | None = None,
) -> None:
    """Copy the image with the digest of `source`, an index with all its images.

    Existing blobs are skipped. Raises ImageError, and errors of both registries.
    """
    with (
        closing(open_registry_source(source, ca_bundle=ca_bundle, issuers=issuers)) as image_source,
        Pusher(target, ca_bundle=ca_bundle, issuers=issuers) as pusher,
    ):
        digest, data = image_source.read_root()
        _push_manifest(image_source, pusher, digest, data, is_nested=False)


def _push_manifest(image_source: ImageSource, pusher: Pusher, digest: str, data: bytes, is_nested: bool) -> None:
    document = parse_manifest(data, digest)
    stated_type = load_object(data, digest, frozenset()).get("mediaType")
    if isinstance(document, Index):
        if is_nested:
            raise ImageError(f"{digest} is an index in an index", "Name the image by its own digest.")
        for child in document.manifests:
            _push_manifest(image_source, pusher, child.digest, image_source.read_manifest(child.digest), is_nested=True)
        pusher.push_manifest(data, kind=str(stated_type or INDEXES[0]))
        return
    for blob in {child.digest: child for child in (document.config, *document.layers)}.values():
        _push_blob(image_source, pusher, blob)
    pusher.push_manifest(data, kind=str(stated_type or MANIFESTS[0]))


def _push_blob(image_source: ImageSource, pusher: Pusher, descriptor: Descriptor) -> None:
    if pusher.has_blob(descriptor.digest):
        return
    with tempfile.NamedTemporaryFile(dir=find_large_file_folder()) as file:
        with image_source.open_blob(descriptor.digest) as source:
            copy_blob(source, file, descriptor.digest, descriptor.size)
        file.flush()
        pusher.push_blob(Path(file.name))
