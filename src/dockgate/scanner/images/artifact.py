"""Files in a registry: OCI artifacts of one blob.

Source: OCI image spec 1.1, "Guidelines for Artifact Usage".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dockgate.scanner.images.blobs import copy_blob
from dockgate.scanner.images.push import Pusher
from dockgate.scanner.images.registry import open_registry_source
from dockgate.scanner.manifest import MANIFESTS, load_object
from dockgate.scanner.registry_reference import check_digest, parse_remote
from dockgate.shared.canonical import encode
from dockgate.shared.errors import ImageError, UnavailableError

_EMPTY = b"{}"
_EMPTY_KIND = "application/vnd.oci.empty.v1+json"
_NAMES = frozenset({"mediaType", "artifactType", "config", "layers", "digest", "size"})


def push_artifact(
    reference: str,
    kind: str,
    file: Path,
    annotations: Mapping[str, str],
    *,
    ca_bundle: Path | None = None,
    is_insecure: bool = False,
) -> str:
    """Push a file as an artifact of the type `kind`. Returns the digest of its manifest.

    Raises UsageError for an invalid reference, DeniedError, UnavailableError.
    """
    with Pusher(parse_remote(reference), ca_bundle=ca_bundle, is_insecure=is_insecure) as pusher:
        empty, blob = pusher.push_blob(_EMPTY), pusher.push_blob(file)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFESTS[0],
            "artifactType": kind,
            "config": _make_descriptor(_EMPTY_KIND, *empty),
            "layers": [_make_descriptor(kind, *blob)],
            "annotations": dict(annotations),
        }
        return pusher.push_manifest(encode(manifest))


def pull_artifact(
    reference: str, kind: str, into: Path, limit: int, *, ca_bundle: Path | None = None, is_insecure: bool = False
) -> str:
    """Write the file of an artifact of the type `kind` to `into`. Returns the digest of its manifest.

    Raises UsageError for an invalid reference, NotFoundError, DeniedError, UnavailableError; ImageError if it is not
    such an artifact, has more than `limit` bytes, or does not match its digest.
    """
    image_source = open_registry_source(parse_remote(reference), ca_bundle=ca_bundle, is_insecure=is_insecure)
    try:
        digest, data = image_source.read_root()
        blob, size = _find_layer(load_object(data, f"manifest {digest}", _NAMES), kind, reference)
        if size > limit:
            raise ImageError(f"{reference} is larger than {limit} bytes")
        with image_source.open_blob(blob) as source, into.open("wb") as file:
            copy_blob(source, file, blob, size)
        return digest
    except OSError as error:
        raise UnavailableError(f"{into} cannot be written: {error.strerror}", "Name another place.") from error
    finally:
        image_source.close()


def _make_descriptor(kind: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest, "size": size}


def _find_layer(manifest: dict[str, Any], kind: str, reference: str) -> tuple[str, int]:
    layers = manifest.get("layers")
    if manifest.get("artifactType") != kind or not isinstance(layers, list) or len(layers) != 1:
        raise ImageError(f"{reference} is not an artifact of the type {kind}", "Check the name.")
    fields = layers[0] if isinstance(layers[0], dict) else {}
    digest, size = fields.get("digest"), fields.get("size")
    if not isinstance(digest, str) or not isinstance(size, int) or size < 0:
        raise ImageError(f"{reference} is broken: it names no blob", "Export it again.")
    check_digest(digest)
    return digest, size
