"""From what a reference names to the images of the platforms asked for."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dockgate.scanner.images import metadata
from dockgate.scanner.images.attestation_check import AttestationCheck
from dockgate.scanner.images.blobs import Origin, read_document
from dockgate.scanner.images.manifest import (
    CONFIG_NAMES,
    INDEXES,
    NOT_RUNNABLE,
    Descriptor,
    Index,
    Manifest,
    load,
    parse,
    platform,
)
from dockgate.scanner.images.tar_layer import TarLayer
from dockgate.scanner.ports import Layer, Origins
from dockgate.shared.errors import ImageError, NotFoundError

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
# How deep indexes may lie in indexes.
_NESTING = 3
# Manifests below one reference.
_CHILDREN = 256


@dataclass(slots=True)
class OciImage:
    """See `core.ports.Image`."""

    digest: str
    platform: str
    layers: Sequence[Layer]
    diff_ids: Sequence[str] | None
    origins: Origins


def read_images(origin: Origin, digest: str, data: bytes, platforms: Sequence[str] | None) -> list[OciImage]:
    """The images below the manifest or index `data`, in its order, attestation manifests aside.

    `platforms`: None for this machine's when there is a choice; ["all"]; or those wanted, "os/arch[/variant]", where
    without a variant all variants are meant. NotFoundError, telling what there is, when one is not there.
    """
    document = parse(data, digest)
    if isinstance(document, Manifest):
        image = _assemble(origin, digest, document)
        found, there, wanted = [(image.platform, image)], {image.platform}, platforms or ["all"]
    else:
        wanted = platforms or [here()]
        children = children_of(origin, document)
        found, there = (
            _chosen(origin, children, document.annotations, wanted),
            {one.platform or "one without a name" for one in children if one.platform != NOT_RUNNABLE},
        )
    missing = [one for one in wanted if not any(_fits(platform, one) for platform, _ in found)]
    if missing:
        raise NotFoundError(
            f"{origin.name} has no image for {', '.join(missing)}; it has {', '.join(sorted(there)) or 'none at all'}.",
            "Ask for one of those with --platform, or for all of them with --platform all.",
        )
    return [image for _, image in found]


def _chosen(
    origin: Origin, children: list[Descriptor], annotations: Mapping[str, str], wanted: Sequence[str]
) -> list[tuple[str, OciImage]]:
    """The images wanted, each with the platform that it is chosen by: what the index says of it, or, where the index is
    silent, its config, for runtimes choose like that.

    Nothing is left out of all but attestation manifests: what is none is an image, whatever platform it claims, or the
    whole index cannot be read.
    """
    found: list[tuple[str, OciImage]] = []
    check = AttestationCheck(origin, (one.digest for one in children if one.platform != NOT_RUNNABLE))
    for child in children:
        if child.platform and not any(_fits(child.platform, one) for one in wanted):
            continue
        data = origin.manifest(child.digest)
        reason = check.objection(child, data) if child.platform == NOT_RUNNABLE else ""
        if child.platform == NOT_RUNNABLE and not reason:
            continue
        try:
            document = parse(data, child.digest)
            if isinstance(document, Index):
                raise ImageError(f"Manifest {child.digest} is an index, and its index calls it something else.")
            image = _assemble(origin, child.digest, document, child.annotations, annotations)
        except ImageError as error:
            if not reason:
                raise ImageError(str(error), error.advice) from error  # the index itself may be an image
            raise ImageError(f"{error} Nor is it an attestation manifest: {reason}.") from error
        chosen = child.platform or image.platform
        if any(_fits(chosen, one) for one in wanted):
            found.append((chosen, image))
    return found


def children_of(origin: Origin, index: Index, depth: int = 1) -> list[Descriptor]:
    """The manifests below an index, those of indexes in it included."""
    found: list[Descriptor] = []
    for descriptor in index.manifests:
        if descriptor.media_type not in INDEXES:
            found.append(descriptor)
            continue
        inner = parse(origin.manifest(descriptor.digest), descriptor.digest)
        if depth == _NESTING or not isinstance(inner, Index):
            raise ImageError(f"Index {descriptor.digest} lies too deep in other indexes, or is none.")
        found += children_of(origin, inner, depth + 1)
    if len(found) > _CHILDREN:
        raise ImageError(f"{origin.name} has more than {_CHILDREN} manifests.")
    return found


def _assemble(origin: Origin, digest: str, manifest: Manifest, *above: Mapping[str, str]) -> OciImage:
    """`above` are the annotations of the index that lists the manifest: of its entry, then of the whole."""
    data = read_document(origin.blob(manifest.config.digest), manifest.config.digest, manifest.config.size)
    config = load(data, f"Config {manifest.config.digest}", CONFIG_NAMES)
    found = platform(config)
    if not found:
        raise ImageError(f"Config {manifest.config.digest} names no operating system and architecture.")
    digests = [one.digest for one in manifest.layers]
    return OciImage(
        digest,
        found,
        tuple(
            TarLayer(one.digest, partial(origin.blob, one.digest), one.size, media_type=one.media_type)
            for one in manifest.layers
        ),
        _diff_ids(config),
        metadata.find(config, (manifest.annotations, *above), digests, found, origin.base),
    )


def _diff_ids(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The digests of the uncompressed layers, as far as the config names them: it is held to them afterwards."""
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    return tuple(map(str, diff_ids)) if isinstance(diff_ids, list) else ()


def here() -> str:
    """This machine's platform: containers on it run Linux, whatever it runs itself."""
    machine = os.uname().machine.lower()
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"


def _fits(platform: str, wanted: str) -> bool:
    if wanted == "all":
        return True
    have, want = platform.split("/"), wanted.split("/")
    return have[: len(want)] == want or (have == want[:2] and want[1:] in (["arm64", "v8"], ["arm", "v7"]))
