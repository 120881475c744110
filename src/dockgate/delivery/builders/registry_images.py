"""The work for builds outside their box: download base images, push results."""

import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any, cast

from dockgate.delivery.builders.images import Base, BuildImages, Layer, Publication
from dockgate.delivery.builders.sandbox.network import list_host_addresses
from dockgate.delivery.dockerfile import find_base_images
from dockgate.delivery.ports import BaseImage
from dockgate.scanner.images.archive import open_archive_source
from dockgate.scanner.images.auth import Issuers
from dockgate.scanner.images.blobs import ImageSource, VerifiedBlob, copy_blob, read_document
from dockgate.scanner.images.inflate import InflatedStream, LayerLimits
from dockgate.scanner.images.push import Pusher
from dockgate.scanner.images.registry import open_registry_source
from dockgate.scanner.manifest import CONFIG_NAMES, Descriptor, Index, Manifest, load_object, parse_manifest
from dockgate.scanner.registry_reference import RegistryReference, parse_remote
from dockgate.shared.addresses import Nearness, classify_address
from dockgate.shared.destinations import resolve_addresses
from dockgate.shared.digest import compute_digest, from_hex
from dockgate.shared.errors import (
    BuildError,
    DeniedError,
    ImageError,
    NotFoundError,
    TooSlowError,
    UnavailableError,
    UsageError,
)
from dockgate.shared.host_platform import detect_host_platform
from dockgate.shared.host_port import strip_port
from dockgate.shared.interfaces import override
from dockgate.shared.platforms import Platform

_CHUNK = 2**20
# Annotations that describe an image (OCI image specification, "Pre-Defined Annotation Keys"). Images inherit those of
# their base, and podman 4 hands all of them to the OCI runtime, which obeys some: crun loads the library that
# `run.oci.seccomp.plugins` names, as the host's root.
_DESCRIPTIONS = "org.opencontainers.image."
# How long a blob of a base image is kept after its last use.
_UNUSED_SECONDS = 30 * 24 * 3600
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_GZIP = f"{_LAYER}+gzip"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
# What is read of a config to find its ONBUILD instructions.
_ONBUILD_NAMES = frozenset({"config", "OnBuild"})
# How media types of layers end that are pushed as they are, and OCI's name for each.
_COMPRESSED_TYPES = {"+gzip": _GZIP, ".gzip": _GZIP, "+zstd": f"{_LAYER}+zstd"}


class RegistryBuildImages(BuildImages):
    """`builders.images.BuildImages`.

    `folder` keeps the blobs of base images. `own_registry` is our registry's address; `require` raises DeniedError for
    another that the server may not use. `has_list`: those that it may use are listed by name. `issuers` make the
    tokens for our own.
    """

    def __init__(
        self,
        folder: Path,
        own_registry: str,
        require: Callable[[str], None],
        ca_bundle: Path | None = None,
        *,
        has_list: bool = False,
        issuers: Issuers | None = None,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._own_registry = own_registry
        self._require = require
        self._has_list = has_list
        self._issuers = issuers
        self._ca_bundle = ca_bundle

    @override
    def fetch(self, reference: str, limit: int, seconds: float) -> Base:
        try:
            image = parse_remote(reference)
            self._check(image.registry)
            opened_source = open_registry_source(
                image, ca_bundle=self._ca_bundle, issuers=self._issuers, seconds=seconds
            )
            with closing(opened_source) as origin:
                return self._fetch(reference, image, origin, limit)
        except (UsageError, NotFoundError, DeniedError, ImageError, TooSlowError) as error:
            advice = error.advice or "Name another base image in the Dockerfile."
            raise BuildError(f"the base image {reference} cannot be used: {error}", advice) from error

    def _check(self, registry: str) -> None:
        """Raise DeniedError for a registry that a Dockerfile may not have the server speak to.

        One at a private address has to be named by who runs the server: else a Dockerfile could look around in its
        networks.
        """
        if registry == self._own_registry:
            return
        self._require(registry)
        if self._has_list:
            return
        with suppress(OSError, UnicodeError):  # a registry without an address here is reached by a proxy, or not at all
            own_addresses = set(list_host_addresses())
            if any(
                classify_address(address) is not Nearness.PUBLIC or address in own_addresses
                for address in resolve_addresses(strip_port(registry).strip("[]"))
            ):
                raise DeniedError(
                    f"{registry} is at a private address", "Name it in DOCKGATE_REGISTRIES on the server."
                )

    @override
    def prepare(
        self, archive: IO[bytes], repository: str, tag: str, layers: Mapping[str, Layer]
    ) -> "RegistryPublication":
        pusher = Pusher(
            RegistryReference(self._own_registry, repository, tag), ca_bundle=self._ca_bundle, issuers=self._issuers
        )
        try:
            with closing(open_archive_source(cast(Any, archive), "the image that was built")) as origin:
                data, used_layers, diff_ids = _push_layers(origin, pusher, layers, self._folder)
        except ImageError as error:
            pusher.__exit__()
            raise BuildError(f"the build left an image that cannot be pushed: {error}", "Build it again.") from error
        except BaseException:
            pusher.__exit__()
            raise
        return RegistryPublication(pusher, data, used_layers, diff_ids)

    def _fetch(self, reference: str, image: RegistryReference, origin: ImageSource, limit: int) -> Base:
        digest, data = origin.read_root()
        platform_digest, data = _select_platform_manifest(origin, digest, data)
        manifest = parse_manifest(data, platform_digest)
        assert isinstance(manifest, Manifest)  # noqa: S101 - `_select_platform_manifest` sees to it
        blobs = {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
        if sum(blob.size for blob in blobs.values()) > limit:
            raise ImageError(f"{image} is larger than the {limit} bytes of disk that a build may have")
        self._forget_unused()
        for blob in blobs.values():
            self._download(origin, blob)
        _replace_file(self._folder / _make_blob_name(platform_digest), data)
        require_no_hidden_source(image, (self._folder / _make_blob_name(manifest.config.digest)).read_bytes())
        files = [_make_blob_name(digest) for digest in (platform_digest, *blobs)]
        room = limit
        diff_ids = []
        for layer in manifest.layers:
            diff_id, size = self._compute_diff_id(layer.digest, room)
            room -= size
            diff_ids.append(diff_id)
        layers = {
            diff_id: Layer(layer.digest, layer.size, media_type)
            for diff_id, layer in zip(diff_ids, manifest.layers, strict=True)
            for ending, media_type in _COMPRESSED_TYPES.items()
            if (layer.media_type or "").endswith(ending)
        }
        return Base(
            image=BaseImage(reference, digest),
            name=str(image),
            manifest=platform_digest,
            config=manifest.config.digest,
            size=len(data),
            blobs=self._folder,
            files=tuple(files),
            diff_ids=tuple(diff_ids),
            layers=layers,
        )

    def _download(self, origin: ImageSource, blob: Descriptor) -> None:
        target = self._folder / _make_blob_name(blob.digest)
        with suppress(FileNotFoundError):
            os.utime(target)
            return
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix="new-", delete=False) as file:
            try:
                with origin.open_blob(blob.digest) as source:
                    copy_blob(source, file, blob.digest, blob.size)
                os.fchmod(file.fileno(), 0o644)  # the sandbox reads it; the folder is private
                Path(file.name).replace(target)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def _compute_diff_id(self, digest: str, limit: int) -> tuple[str, int]:
        """Return the digest of a layer's content, and how many bytes were read to compute it (0 if noted).

        Raises ImageError for content of more than `limit` bytes, which no build has room for.
        """
        blob = self._folder / _make_blob_name(digest)
        note = blob.with_suffix(".diff_id")
        with suppress(FileNotFoundError):
            os.utime(note)
            return note.read_text(), 0
        content, size = hashlib.sha256(), 0
        for chunk in _inflate_layer(blob, digest):
            content.update(chunk)
            size += len(chunk)
            if size > limit:
                raise ImageError(f"its layers hold more than the {limit} bytes that are left of a build's disk")
        _replace_file(note, from_hex(content.hexdigest()).encode())
        return note.read_text(), size

    def _forget_unused(self) -> None:
        now = time.time()
        for path in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):
                if now - path.stat().st_mtime > _UNUSED_SECONDS:
                    path.unlink()


class RegistryPublication(Publication):
    """`builders.images.Publication`. Its blobs are in the registry."""

    def __init__(self, pusher: Pusher, data: bytes, layers: Mapping[str, Layer], diff_ids: Sequence[str]) -> None:
        self._pusher = pusher
        self._data = data
        self.digest = compute_digest(data)
        self.layers = layers
        self.diff_ids = diff_ids

    @override
    def push(self) -> None:
        with self._pusher as pusher:
            pusher.push_manifest(self._data, has_digest_name=False, kind=_MANIFEST)


def require_no_hidden_source(reference: RegistryReference, config: bytes) -> None:
    """Refuse a base image whose ONBUILD instructions take files from further images.

    No Dockerfile names these. `config` is the image's (OCI image specification, "Image Configuration"). Raises
    ImageError.
    """
    try:
        document = load_object(config, f"the config of {reference}", _ONBUILD_NAMES)
        triggers = (document.get("config") or {}).get("OnBuild") or []
    except AttributeError:
        raise ImageError(f"the config of {reference} has no object `config`") from None
    try:  # podman reads them as one file
        images = find_base_images("\n".join(map(str, triggers)), {}).images
    except BuildError as error:
        raise ImageError(
            f"{reference} has an ONBUILD instruction that cannot be checked: {error}", error.advice
        ) from None
    if images:
        raise ImageError(
            f"{reference} has an ONBUILD instruction that takes files from another image",
            "Name that image in your Dockerfile instead.",
        )


def _select_platform_manifest(origin: ImageSource, digest: str, data: bytes) -> tuple[str, bytes]:
    """The manifest for this machine's platform, below an index or at once. ImageError without one."""
    document = parse_manifest(data, digest)
    if isinstance(document, Manifest):
        return digest, data
    platform = detect_host_platform()
    for candidate in document.manifests:
        if Platform.parse(candidate.platform or "").strip_variant() == Platform.parse(platform):
            manifest = origin.read_manifest(candidate.digest)
            if isinstance(parse_manifest(manifest, candidate.digest), Index):
                raise ImageError(f"{origin.name} is an index in an index")
            return candidate.digest, manifest
    raise ImageError(f"{origin.name} has no image for {platform}")


def _push_layers(
    origin: ImageSource, pusher: Pusher, layers: Mapping[str, Layer], folder: Path
) -> tuple[bytes, dict[str, Layer], list[str]]:
    """Push the config and the layers of an archive.

    Return the manifest to push, the layers by their diff_ids, and the diff_ids.
    """
    digest, data = origin.read_root()
    manifest = parse_manifest(data, digest)
    if not isinstance(manifest, Manifest):
        raise ImageError("it is an index")
    config = read_document(origin.open_blob(manifest.config.digest), manifest.config.digest, manifest.config.size)
    rootfs = load_object(config, "its config", CONFIG_NAMES).get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    # The layers are uncompressed, so their digests are their diff_ids, and a layer can be identified by its diff_id.
    if diff_ids != [descriptor.digest for descriptor in manifest.layers]:
        raise ImageError("its config names other layers than its manifest")
    used_layers: dict[str, Layer] = {}
    for descriptor in manifest.layers:
        if descriptor.digest not in used_layers:
            used_layers[descriptor.digest] = _push_layer(
                origin, pusher, descriptor, layers.get(descriptor.digest), folder
            )
    pusher.push_blob(config)
    layers_of_image = [used_layers[diff_id] for diff_id in diff_ids]
    annotations = {key: text for key, text in manifest.annotations.items() if key.startswith(_DESCRIPTIONS)}
    document = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, "digest": compute_digest(config), "size": len(config)},
        "layers": [
            {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size} for layer in layers_of_image
        ],
        **({"annotations": annotations} if annotations else {}),
    }
    return json.dumps(document, separators=(",", ":")).encode(), used_layers, diff_ids


def _push_layer(
    origin: ImageSource, pusher: Pusher, descriptor: Descriptor, base_layer: Layer | None, folder: Path
) -> Layer:
    if base_layer is not None:
        blob = folder / _make_blob_name(base_layer.digest)
        if pusher.has_blob(base_layer.digest):
            return base_layer
        if blob.exists():
            pusher.push_blob(blob)
            return base_layer
        # The layer came as an empty file, because the builder knew that the registry has it.
        raise UnavailableError(
            f"a layer of an earlier build is no longer in the registry: {base_layer.digest}", "Try again."
        )
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        _compress(origin, descriptor, cast(IO[bytes], file))
        file.flush()
        digest, size = pusher.push_blob(Path(file.name))
    return Layer(digest, size, _GZIP)


def _inflate_layer(blob: Path, name: str) -> Iterator[memoryview]:
    """The content of a layer, bounded in size."""
    with blob.open("rb", buffering=0) as file:
        stream = InflatedStream(VerifiedBlob(file, name, None), f"Layer {name}", LayerLimits())
        buffer = memoryview(bytearray(_CHUNK))
        while count := stream.readinto(buffer):
            yield buffer[:count]


def _compress(origin: ImageSource, descriptor: Descriptor, target: IO[bytes]) -> None:
    from isal import isal_zlib

    packer = isal_zlib.compressobj(2, isal_zlib.DEFLATED, 31)  # gzip
    with origin.open_blob(descriptor.digest) as source:
        blob = VerifiedBlob(source, descriptor.digest, descriptor.size)
        while chunk := blob.read(_CHUNK):
            target.write(packer.compress(chunk))
        blob.verify()
    target.write(packer.flush())


def _replace_file(path: Path, data: bytes) -> None:
    """Write a file that other threads may read at the same time, and the sandbox afterwards."""
    new_file = path.with_name(f"new-{path.name}-{threading.get_ident()}")
    new_file.write_bytes(data)
    new_file.chmod(0o644)
    new_file.replace(path)


def _make_blob_name(digest: str) -> str:
    return digest.replace(":", "/", 1)
