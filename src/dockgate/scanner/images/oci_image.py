"""Select the images of the requested platforms from a manifest or index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dockgate.scanner.images.attestation_check import AttestationCheck
from dockgate.scanner.images.blobs import ImageSource, read_document
from dockgate.scanner.images.metadata import read_metadata
from dockgate.scanner.images.tar_layer import TarLayer
from dockgate.scanner.manifest import (
    CONFIG_NAMES,
    INDEXES,
    NOT_RUNNABLE,
    Descriptor,
    Index,
    Manifest,
    format_platform,
    load_object,
    parse_manifest,
)
from dockgate.scanner.ports import ImageMetadata, Layer
from dockgate.shared.errors import ImageError, NotFoundError
from dockgate.shared.host_platform import detect_host_platform
from dockgate.shared.platforms import Platform

# How deep indexes may lie in indexes.
_NESTING_LIMIT = 3
# Manifests below one reference.
_CHILDREN = 256


@dataclass(slots=True)
class OciImage:
    """See `scanner.ports.Image`."""

    digest: str | None
    platform: str
    layers: Sequence[Layer]
    diff_ids: Sequence[str] | None
    metadata: ImageMetadata


def read_images(image_source: ImageSource, digest: str, data: bytes, platforms: Sequence[str] | None) -> list[OciImage]:
    """Return the images of the manifest or index `data`, in its order, without attestation manifests.

    `platforms`: None for this machine's if there is a choice, ["all"], or "os/arch[/variant]" each; without a variant
    all variants are selected. Raises NotFoundError, which lists the available ones.
    """
    document = parse_manifest(data, digest)
    if isinstance(document, Manifest):
        image = _build_image(image_source, digest, document)
        images, available, names = [(image.platform, image)], {image.platform}, platforms or ["all"]
    else:
        names = platforms or [detect_host_platform()]
        children = list_child_manifests(image_source, document)
        images = _select_images(image_source, children, document.annotations, names)
        available = {child.platform or "one without a name" for child in children if child.platform != NOT_RUNNABLE}
    missing_platforms = [
        name for name in names if not any(_is_platform_match(platform, name) for platform, _ in images)
    ]
    if missing_platforms:
        raise NotFoundError(
            f"{image_source.name} has no image for {', '.join(missing_platforms)}; "
            f"it has: {', '.join(sorted(available)) or 'no images'}",
            "Choose one of these platforms with --platform, or scan all of them with --platform all.",
        )
    return [image for _, image in images]


def _select_images(
    image_source: ImageSource, children: list[Descriptor], annotations: Mapping[str, str], names: Sequence[str]
) -> list[tuple[str, OciImage]]:
    """Return the requested images, each with the platform that selects it.

    The platform is the index's, or the config's where the index has none, because runtimes choose like that.

    Only attestation manifests are left out: everything else is an image, whatever platform it claims, or the whole
    index cannot be read.
    """
    images: list[tuple[str, OciImage]] = []
    check = AttestationCheck(image_source, (name.digest for name in children if name.platform != NOT_RUNNABLE))
    for child in children:
        if child.platform and not any(_is_platform_match(child.platform, name) for name in names):
            continue
        data = image_source.read_manifest(child.digest)
        reason = check.find_objection(child, data) if child.platform == NOT_RUNNABLE else None
        if child.platform == NOT_RUNNABLE and not reason:
            continue
        try:
            document = parse_manifest(data, child.digest)
            if isinstance(document, Index):
                raise ImageError(f"manifest {child.digest} is an index, but its index lists it as something else")
            image = _build_image(image_source, child.digest, document, child.annotations, annotations)
        except ImageError as error:
            if not reason:
                raise ImageError(str(error), error.advice) from error  # the index itself may be an image
            raise ImageError(f"{error}; it is no attestation manifest either: {reason}") from error
        chosen_platform = child.platform or image.platform
        if any(_is_platform_match(chosen_platform, name) for name in names):
            images.append((chosen_platform, image))
    return images


def list_child_manifests(image_source: ImageSource, index: Index, depth: int = 1) -> list[Descriptor]:
    """List the manifests of an index and of the indexes in it."""
    descriptors: list[Descriptor] = []
    for descriptor in index.manifests:
        if descriptor.media_type not in INDEXES:
            descriptors.append(descriptor)
            continue
        inner = parse_manifest(image_source.read_manifest(descriptor.digest), descriptor.digest)
        if depth == _NESTING_LIMIT or not isinstance(inner, Index):
            raise ImageError(f"index {descriptor.digest} is nested too deeply, or is not an index")
        descriptors += list_child_manifests(image_source, inner, depth + 1)
    if len(descriptors) > _CHILDREN:
        raise ImageError(f"{image_source.name} has more than {_CHILDREN} manifests")
    return descriptors


def _build_image(
    image_source: ImageSource, digest: str, manifest: Manifest, *index_annotations: Mapping[str, str]
) -> OciImage:
    """Build the image.

    `index_annotations` are those of its entry in the index, then those of the whole index.
    """
    data = read_document(image_source.open_blob(manifest.config.digest), manifest.config.digest, manifest.config.size)
    config = load_object(data, f"config {manifest.config.digest}", CONFIG_NAMES)
    platform_name = format_platform(config)
    if not platform_name:
        raise ImageError(f"config {manifest.config.digest} names no operating system and architecture")
    annotations = manifest.annotations, *index_annotations
    return OciImage(
        digest,
        platform_name,
        tuple(
            TarLayer(
                layer.digest, partial(image_source.open_blob, layer.digest), layer.size, media_type=layer.media_type
            )
            for layer in manifest.layers
        ),
        _read_diff_ids(config),
        read_metadata(config, annotations, manifest.layers, platform_name, image_source.read_base_manifest),
    )


def _read_diff_ids(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the digests of the uncompressed layers in the config; they are verified later."""
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    return tuple(map(str, diff_ids)) if isinstance(diff_ids, list) else ()


def _is_platform_match(platform: str, name: str) -> bool:
    return name == "all" or Platform.parse(platform).is_match(Platform.parse(name))
