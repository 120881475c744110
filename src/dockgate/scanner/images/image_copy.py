"""Bringing an image from registry to registry as it is: the same bytes, and so the same digest."""

import tempfile
from contextlib import closing
from pathlib import Path

from dockgate.scanner.images.auth import Issuers
from dockgate.scanner.images.blobs import Origin, Verified
from dockgate.scanner.images.manifest import INDEXES, MANIFESTS, Descriptor, Index, load, parse
from dockgate.scanner.images.push import Pusher
from dockgate.scanner.images.reference import Remote
from dockgate.scanner.images.registry import registry_origin
from dockgate.scanner.images.spool import roomy
from dockgate.shared.errors import ImageError

_CHUNK = 2**20


def copy(
    source: Remote,
    target: Remote,
    *,
    ca_bundle: Path | None = None,
    insecure: bool = False,
    issuers: Issuers | None = None,
) -> None:
    """Copies the image of the source's digest, with everything that an index names. What is there already is left.

    Raises what registries do, and ImageError."""
    with (
        closing(registry_origin(source, ca_bundle=ca_bundle, insecure=insecure, issuers=issuers)) as origin,
        Pusher(target, ca_bundle=ca_bundle, insecure=insecure, issuers=issuers) as pusher,
    ):
        _manifest(origin, pusher, source.digest, origin.root()[1], nested=False)


def _manifest(origin: Origin, pusher: Pusher, digest: str, data: bytes, nested: bool) -> None:
    document = parse(data, digest)
    stated = load(data, digest, frozenset()).get("mediaType")
    if isinstance(document, Index):
        if nested:
            raise ImageError(f"{digest} is an index in an index.", "Name the image that is meant by its digest.")
        for one in document.manifests:
            _manifest(origin, pusher, one.digest, origin.manifest(one.digest), nested=True)
        pusher.manifest(data, kind=str(stated or INDEXES[0]))
        return
    for blob in {one.digest: one for one in (document.config, *document.layers)}.values():
        _blob(origin, pusher, blob)
    pusher.manifest(data, kind=str(stated or MANIFESTS[0]))


def _blob(origin: Origin, pusher: Pusher, wanted: Descriptor) -> None:
    if pusher.holds(wanted.digest):
        return
    with tempfile.NamedTemporaryFile(dir=roomy()) as file:
        with origin.blob(wanted.digest) as source:
            verified = Verified(source, wanted.digest, wanted.size)
            while chunk := verified.read(_CHUNK):
                file.write(chunk)
            verified.verify()
        file.flush()
        pusher.blob(Path(file.name))
