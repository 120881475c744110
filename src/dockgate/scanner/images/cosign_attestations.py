"""Attach signed statements to an image in its registry, as cosign does.

They are the layers of an image under the tag "sha256-<hex>.att", each a DSSE envelope
(sigstore/cosign, specs/SIGNATURE_SPEC.md, "Storage").
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockgate.scanner.images.auth import Issuers
from dockgate.scanner.images.blobs import ImageSource, read_document
from dockgate.scanner.images.oci_image import list_child_manifests
from dockgate.scanner.images.push import Pusher
from dockgate.scanner.images.registry import open_registry_source
from dockgate.scanner.manifest import MANIFESTS, Index, load_object, parse_manifest
from dockgate.scanner.registry_reference import RegistryReference, check_digest, parse_remote
from dockgate.shared.canonical import encode
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import ImageError, NotFoundError, UnavailableError

ENVELOPE = "application/vnd.dsse.envelope.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_NAMES = frozenset({"mediaType", "config", "layers", "digest", "size", "annotations"})
_LAYER_LIMIT = 500
_SIZE_LIMIT = 16 * 1024 * 1024
_EPOCH = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class RegistryRepository:
    """A repository in a registry, and how it is reached: see `images.open_images`.

    `seconds` is the time limit for all requests of one opened image, or of one pusher.
    """

    registry: str
    repository: str
    ca_bundle: Path | None = None
    is_insecure: bool = False
    issuers: Issuers | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}"

    def make_reference(self, tag: str | None = None, digest: str | None = None) -> RegistryReference:
        """Return the reference to an image of this repository."""
        return RegistryReference(self.registry, self.repository, tag, digest)

    def open(self, tag: str | None = None, digest: str | None = None) -> ImageSource:
        """Open an image of this repository by tag or digest; the caller closes it."""
        return open_registry_source(
            self.make_reference(tag, digest),
            ca_bundle=self.ca_bundle,
            is_insecure=self.is_insecure,
            issuers=self.issuers,
            seconds=self.seconds,
        )

    def open_pusher(self, tag: str) -> Pusher:
        """Return a connection that pushes to this tag; the caller closes it."""
        return Pusher(
            self.make_reference(tag),
            ca_bundle=self.ca_bundle,
            is_insecure=self.is_insecure,
            issuers=self.issuers,
            seconds=self.seconds,
        )


def make_attestation_tag(digest: str) -> str:
    """Return the tag of an image's attestations."""
    check_digest(digest)
    return digest.replace(":", "-") + ".att"


def list_manifests(repository: RegistryRepository, digest: str) -> tuple[str, ...]:
    """List the manifests of an index, also those in nested indexes; none if it is not an index.

    Raises ImageError, and errors of registries.
    """
    with closing(repository.open(digest=digest)) as image_source:
        _, data = image_source.read_root()
        document = parse_manifest(data, digest)
        descriptors = list_child_manifests(image_source, document) if isinstance(document, Index) else []
    return tuple(dict.fromkeys(descriptor.digest for descriptor in descriptors if is_digest(descriptor.digest)))


def read_image_attestations(
    reference: str, *, ca_bundle: Path | None = None, is_insecure: bool = False
) -> tuple[str, tuple[bytes, ...]]:
    """The digest of the image that `reference` names, and the envelopes attached to it.

    An image without such a digest has none. Raises NotFoundError for a tag that does not exist.
    """
    image = parse_remote(reference)
    repository = RegistryRepository(image.registry, image.repository, ca_bundle, is_insecure)
    digest = image.digest
    if not digest:
        with closing(repository.open(tag=image.tag)) as origin:
            digest, _ = origin.read_root()
    return digest, read_attestations(repository, digest)


def read_attestations(repository: RegistryRepository, digest: str) -> tuple[bytes, ...]:
    """Read the envelopes attached to an image, in order and unverified.

    Anyone who can push may have attached them. Raises errors of registries, and ImageError for broken or too large
    attestations.
    """
    with closing(repository.open(tag=make_attestation_tag(digest))) as image_source:
        layers = _read_layers(image_source)
        return tuple(_read_blob(image_source, layer) for layer in layers if layer.get("mediaType") == ENVELOPE)


def add_attestation(
    repository: RegistryRepository,
    digest: str,
    content: Callable[[], bytes],
    annotations: Mapping[str, str],
    *,
    key: tuple[str, str],
    replaces: Mapping[str, str],
) -> bool:
    """Attach an envelope to an image, after the existing ones.

    Those with all annotations of `replaces` are removed. Returns False, without calling `content`, if one with the
    annotation `key` (name, value) exists.

    UnavailableError if something was attached meanwhile. Registries have no conditional update: what is attached in the
    moment before the write is lost.
    """
    layers = _read_attached_layers(repository, digest)
    if any(_get_annotations(layer).get(key[0]) == key[1] for layer in layers):
        return False
    new_layers = [layer for layer in layers if not replaces.items() <= _get_annotations(layer).items()]
    with repository.open_pusher(make_attestation_tag(digest)) as pusher:
        blob, size = pusher.push_blob(content())
        layer_annotations = {**annotations, key[0]: key[1], **replaces}
        new_layers.append({"mediaType": ENVELOPE, "digest": blob, "size": size, "annotations": layer_annotations})
        config = {
            "architecture": "",
            "os": "",
            "created": _EPOCH,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in new_layers]},
        }
        config_digest, config_size = pusher.push_blob(encode(config))
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFESTS[0],
            "config": {"mediaType": _CONFIG, "digest": config_digest, "size": config_size},
            "layers": new_layers,
        }
        if _read_attached_layers(repository, digest) != layers:
            raise UnavailableError(f"something else was attached to {digest} in {repository} meanwhile", "Try again.")
        pusher.push_manifest(encode(manifest), has_digest_name=False)
    return True


def _read_attached_layers(repository: RegistryRepository, digest: str) -> list[dict[str, Any]]:
    """Read the layers of the image that has the attestations of an image; none without it."""
    with closing(repository.open(tag=make_attestation_tag(digest))) as image_source:
        return _read_layers(image_source)


def _read_layers(image_source: ImageSource) -> list[dict[str, Any]]:
    try:
        digest, data = image_source.read_root()
    except NotFoundError:
        return []
    subject = f"the image of attestations {digest}"
    layers = load_object(data, subject, _NAMES).get("layers")
    if (
        not isinstance(layers, list)
        or not all(isinstance(layer, dict) for layer in layers)
        or len(layers) > _LAYER_LIMIT
    ):
        raise ImageError(
            f"{subject} is broken, or has more than {_LAYER_LIMIT} layers",
            "Remove its tag in the registry, and try again.",
        )
    for layer in layers:
        if not isinstance(layer.get("digest"), str) or not isinstance(layer.get("size"), int):
            raise ImageError(
                f"{subject} is broken: a layer has no digest or size", "Remove its tag in the registry, and try again."
            )
    return layers


def _get_annotations(layer: dict[str, Any]) -> dict[str, Any]:
    annotations = layer.get("annotations")
    return annotations if isinstance(annotations, dict) else {}


def _read_blob(image_source: ImageSource, layer: dict[str, Any]) -> bytes:
    digest, size = str(layer["digest"]), int(layer["size"])
    check_digest(digest)
    if not 0 <= size <= _SIZE_LIMIT:
        raise ImageError(f"the attestation {digest} has more than {_SIZE_LIMIT} bytes")
    return read_document(image_source.open_blob(digest), digest, size, limit=_SIZE_LIMIT)
