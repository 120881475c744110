"""Small images, made in Python alone: layers, OCI layout folders, archives. For every test that needs an image.

    from tests.scanner.images.make import Hardlink, Symlink, layout

    digest = layout(tmp_path / "image", [
        {"etc/os-release": b"ID=debian\\n", "bin": Symlink("usr/bin")},
        {"etc/.wh.os-release": b""},  # the layer above, which removes a file
    ])

A layer is a mapping from path to content, in the order of its entries, or a tar file's bytes. Content is bytes (a
file), `Symlink`, `Hardlink`, `Folder`, `Device`, or a `tarfile.TarInfo` for anything else. All is deterministic: the
same layers give the same digests.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import zstandard
from isal import igzip

Compression = Literal["gzip", "zstd", "none"]

_MEDIA = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "none": "application/vnd.oci.image.layer.v1.tar",
}
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Symlink:
    target: str


@dataclass(frozen=True)
class Hardlink:
    target: str


@dataclass(frozen=True)
class Folder:
    """A folder; one that only holds other entries needs none."""


@dataclass(frozen=True)
class Device:
    """A character device."""


Content = bytes | Symlink | Hardlink | Folder | Device | tarfile.TarInfo
Layer = Mapping[str, Content] | bytes


@dataclass
class Image:
    """An image's blobs by digest, its manifest among them. `layers` are blob digests, `diff_ids` of the tars inside."""

    digest: str
    platform: str
    config: str
    layers: list[str]
    diff_ids: list[str]
    blobs: dict[str, bytes] = field(default_factory=dict)


def compute_sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def pack_tar(entries: Mapping[str, Content], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar file. Paths may be as strange as the test wishes; they are written as given."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for path, content in entries.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(path)
            match content:
                case bytes():
                    info.size, info.mode = len(content), 0o644
                    archive.addfile(info, io.BytesIO(content))
                    continue
                case Symlink(target):
                    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
                case Hardlink(target):
                    info.type, info.linkname = tarfile.LNKTYPE, target
                case Folder():
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                case Device():
                    info.type = tarfile.CHRTYPE
            archive.addfile(info)
    return file.getvalue()


def compress(data: bytes, compression: Compression = "gzip") -> bytes:
    if compression == "gzip":
        return igzip.compress(data, mtime=0)
    return zstandard.compress(data) if compression == "zstd" else data


def make_image(
    layers: Sequence[Layer],
    *,
    platform: str = "linux/amd64",
    compression: Compression = "gzip",
    config: Mapping[str, Any] | None = None,
) -> Image:
    """An image in memory. `config` is merged into its config document."""
    os, architecture, *variant = platform.split("/")
    tars = [layer if isinstance(layer, bytes) else pack_tar(layer) for layer in layers]
    blobs = [compress(data, compression) for data in tars]
    diff_ids = [compute_sha256(data) for data in tars]
    document = {
        "os": os,
        "architecture": architecture,
        **({"variant": variant[0]} if variant else {}),
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        **(config or {}),
    }
    config_data = _encode_json(document)
    manifest = _encode_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": make_descriptor(config_data, CONFIG),
            "layers": [make_descriptor(blob, _MEDIA[compression]) for blob in blobs],
        }
    )
    blobs_by_digest = {compute_sha256(data): data for data in (*blobs, config_data, manifest)}
    return Image(
        compute_sha256(manifest),
        platform,
        compute_sha256(config_data),
        [compute_sha256(blob) for blob in blobs],
        diff_ids,
        blobs_by_digest,
    )


def make_descriptor(data: bytes, media_type: str, **fields: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": compute_sha256(data), "size": len(data), **fields}


def index(images: Sequence[Image], *, has_attestations: bool = False) -> Image:
    """An index of the images, as an Image whose manifest it is; `has_attestations` adds one, as BuildKit does."""
    entries = []
    for image in images:
        os, architecture, *variant = image.platform.split("/")
        platform = {"os": os, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
        entries.append(make_descriptor(image.blobs[image.digest], MANIFEST, platform=platform))
    blobs = {digest: data for image in images for digest, data in image.blobs.items()}
    if has_attestations:
        manifest, attestation_blobs = make_attestation()
        blobs |= attestation_blobs
        entries.append(make_attestation_entry(manifest, images[0].digest))
    data = _encode_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    return Image(compute_sha256(data), "", "", [], [], {**blobs, compute_sha256(data): data})


def make_attestation(
    statement: bytes = b'{"_type": "https://in-toto.io/Statement/v0.1", "subject": [], "predicate": {}}',
    *,
    kind: str = "application/vnd.in-toto+json",
    platform: str = "unknown/unknown",
    artifact: bool = False,
) -> tuple[bytes, dict[str, bytes]]:
    """An attestation manifest as BuildKit writes it, and its blobs with itself; `artifact` in its newer form."""
    os, _, architecture = platform.partition("/")
    image_config = {
        "architecture": architecture,
        "os": os,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [compute_sha256(statement)]},
    }
    config = b"{}" if artifact else _encode_json(image_config)
    config_kind = "application/vnd.oci.empty.v1+json" if artifact else CONFIG
    manifest = _encode_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            **({"artifactType": "application/vnd.docker.attestation.manifest.v1+json"} if artifact else {}),
            "config": make_descriptor(config, config_kind),
            "layers": [
                make_descriptor(statement, kind, annotations={"in-toto.io/predicate-type": "https://slsa.dev/v1"})
            ],
        }
    )
    return manifest, {compute_sha256(data): data for data in (statement, config, manifest)}


def make_attestation_entry(
    manifest: bytes, image_digest: str, platform: str = "unknown/unknown", **fields: Any
) -> dict[str, Any]:
    """How BuildKit lists an attestation manifest of the image `image_digest` in its index; `more` replaces fields."""
    os, _, architecture = platform.partition("/")
    marks = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image_digest}
    return {
        **make_descriptor(manifest, MANIFEST, platform={"os": os, "architecture": architecture}, annotations=marks),
        **fields,
    }


def make_index(entries: Sequence[Mapping[str, Any]], blobs: Mapping[str, bytes]) -> Image:
    """An index of these entries."""
    data = _encode_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)})
    return Image(compute_sha256(data), "", "", [], [], {**blobs, compute_sha256(data): data})


def write_image_layout(
    folder: Path,
    layers: Sequence[Layer],
    *,
    platform: str = "linux/amd64",
    compression: Compression = "gzip",
    tag: str = "latest",
) -> str:
    """Writes an OCI layout folder with one image; its manifest's digest."""
    new_image = make_image(layers, platform=platform, compression=compression)
    write_layout(folder, {tag: new_image})
    return new_image.digest


def write_layout(folder: Path, images: Mapping[str, Image]) -> None:
    """Writes an OCI layout folder with images or indexes by tag ("" for none)."""
    for path, data in make_layout_files(images).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def make_layout_files(images: Mapping[str, Image]) -> dict[str, bytes]:
    """The files of an OCI layout by path."""
    entries = []
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    for tag, image in images.items():
        annotations = {"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {}
        entries.append(make_descriptor(image.blobs[image.digest], MANIFEST if image.config else INDEX, **annotations))
        files |= {f"blobs/{digest.replace(':', '/')}": data for digest, data in image.blobs.items()}
    files["index.json"] = _encode_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    return files


def write_oci_archive(file: Path, images: Mapping[str, Image]) -> None:
    """Writes what `podman save --format oci-archive` writes."""
    file.write_bytes(pack_tar(make_layout_files(images)))


def write_docker_archive(file: Path, images: Mapping[str, Image]) -> None:
    """Writes what `docker save` wrote before version 25; `images` by name, "app:1". Layers are stored as they are."""
    entries: dict[str, Content] = {}
    manifest_entries = []
    for name, image in images.items():
        config = f"{image.config.removeprefix('sha256:')}.json"
        paths = [f"{digest.removeprefix('sha256:')}/layer.tar" for digest in image.layers]
        entries |= {path: image.blobs[digest] for path, digest in zip(paths, image.layers, strict=True)}
        entries[config] = image.blobs[image.config]
        manifest_entries.append({"Config": config, "RepoTags": [name], "Layers": paths})
    entries["manifest.json"] = _encode_json(manifest_entries)
    file.write_bytes(pack_tar(entries))


def _encode_json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
