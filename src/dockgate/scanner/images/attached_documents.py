"""Read documents attached to an image: OCI referrers and cosign attestations.

They lie in its registry or layout. OCI distribution spec 1.1, "Listing Referrers" and "Referrers Tag Schema"; cosign's
SIGNATURE_SPEC.md for the tag `sha256-<hex>.att`, under which a manifest has an attestation a layer.
"""

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from dockgate.scanner.images.archive import open_file_source
from dockgate.scanner.images.auth import Issuers
from dockgate.scanner.images.blobs import read_document
from dockgate.scanner.images.layout import Folder, LayoutSource
from dockgate.scanner.images.reference import FileReference, parse_reference
from dockgate.scanner.images.registry import RegistrySource, open_registry_source
from dockgate.scanner.manifest import load_object
from dockgate.scanner.registry_reference import RegistryReference, parse_remote
from dockgate.shared.digest import Digest, is_digest
from dockgate.shared.errors import (
    DockgateError,
    ImageError,
    NotFoundError,
    TooSlowError,
    UnavailableError,
    UsageError,
)

# Documents of one image that are read.
MAX_DOCUMENTS = 64
# Bytes of one document, and of all that are read; larger ones are left out.
SIZE_LIMIT = 16 * 2**20
TOTAL_LIMIT = 4 * SIZE_LIMIT
# Parts of the media types of documents that are read; no layer of an image has one.
_KINDS = ("openvex", "vex", "in-toto", "dsse", "sigstore.bundle", "cyclonedx", "csaf")
_NAMES = frozenset({"manifests", "layers", "subject", "digest", "size", "mediaType", "artifactType", "config"})


def read_documents(
    reference: str,
    *,
    ca_bundle: Path | None = None,
    is_insecure: bool = False,
    issuers: Issuers | None = None,
    seconds: float | None = None,
) -> list[bytes]:
    """Read the documents attached to the image, which `reference` names by digest, each once.

    `seconds`: the time limit for all requests. Broken documents are skipped: they could only help the image. Raises
    UnavailableError, TooSlowError, DeniedError.
    """
    image_reference = parse_remote(reference)
    with closing(
        open_registry_source(
            image_reference, ca_bundle=ca_bundle, is_insecure=is_insecure, issuers=issuers, seconds=seconds
        )
    ) as image_source:
        documents: dict[str, bytes] = {}
        for manifest in _fetch_manifests(image_source, image_reference.digest or ""):
            for digest, size in _list_documents(manifest):
                with suppress(ImageError):
                    _read_into(documents, image_source, digest, size)
        return list(documents.values())


def read_beside(
    reference: str, digest: str, *, ca_bundle: Path | None = None, is_insecure: bool = False
) -> list[bytes] | None:
    """Read the documents attached to an image, in the registry or layout that `reference` names.

    `digest` is the image's. None for references of other kinds, and without a digest: nothing can be attached there.
    Raises what `read_documents` and `read_layout` do.
    """
    image = parse_reference(reference) if is_digest(digest) else None
    if isinstance(image, RegistryReference):
        image_name = str(image._replace(tag=None, digest=digest))
        return read_documents(image_name, ca_bundle=ca_bundle, is_insecure=is_insecure)
    return read_layout(image.path, digest) if isinstance(image, FileReference) else None


def read_layout(path: Path, image: str) -> list[bytes]:
    """Read the documents in an OCI layout beside the image of this digest, each once.

    The layout is a folder or an archive. Reads every entry of index.json except the image: the caller checks which
    image a document is about. Raises UsageError if it is not a layout, UnavailableError, and ImageError for a broken
    index.
    """
    with closing(_open_layout(path)) as image_source:
        index = load_object(image_source.read_index(), f"the index.json of {path}", _NAMES)
        contents: dict[str, bytes] = {}
        for entry in _list_entries(index):
            if entry["digest"] == image:
                continue
            try:
                documents = list(_list_documents(_load(image_source.read_manifest(entry["digest"]))))
                for digest, size in documents:
                    _read_into(contents, image_source, digest, size)
            except ImageError:
                continue
        return list(contents.values())


def _read_into(documents: dict[str, bytes], source: RegistrySource | LayoutSource, digest: str, size: int) -> None:
    """Read a document, unless it is there already or would be one too many. Raises ImageError."""
    room = TOTAL_LIMIT - sum(map(len, documents.values()))
    if digest not in documents and len(documents) < MAX_DOCUMENTS and size <= room:
        documents[digest] = read_document(source.open_blob(digest), digest, size, limit=SIZE_LIMIT)


def _open_layout(path: Path) -> LayoutSource:
    image_source = LayoutSource(Folder(path), str(path)) if path.is_dir() else open_file_source(FileReference(path))
    if not isinstance(image_source, LayoutSource):
        image_source.close()
        raise UsageError(
            f"{path} is not an OCI layout, so no documents can be attached to its image",
            "Name an image in a registry or in an OCI layout.",
        )
    return image_source


def _list_entries(index: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the first entries of an index that have a digest."""
    manifests = index.get("manifests")
    entries = manifests[:MAX_DOCUMENTS] if isinstance(manifests, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and _is_digest(entry.get("digest"))]


def _fetch_manifests(image_source: RegistrySource, digest: str) -> Iterator[dict[str, Any]]:
    """Yield the manifests that refer to the digest, then cosign's."""
    tag = digest.replace(":", "-")
    index = image_source.read_referrers(digest)
    if index is None:
        index = _find_manifest_by_tag(image_source, tag)
    for entry in _list_entries(_load(index)) if index else ():
        if not f"{entry.get('artifactType', '')} {entry.get('mediaType', '')}".strip():
            continue
        try:
            manifest = _load(image_source.read_manifest(entry["digest"]))
        except (UnavailableError, TooSlowError):
            raise  # unavailable is not the same as missing
        except (DockgateError, ValueError):
            continue
        subject = manifest.get("subject")
        if isinstance(subject, dict) and subject.get("digest") == digest:
            yield manifest
    attestations = _find_manifest_by_tag(image_source, f"{tag}.att")
    if attestations:
        yield _load(attestations)


def _find_manifest_by_tag(image_source: RegistrySource, tag: str) -> bytes | None:
    try:
        return image_source.read_manifest_by_tag(tag)
    except NotFoundError:
        return None


def _load(data: bytes) -> dict[str, Any]:
    try:
        return load_object(data, "What is attached", _NAMES)
    except ImageError:
        return {}


def _list_documents(manifest: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield digest and size of each layer that may be a document."""
    layers = manifest.get("layers")
    artifact_type = str(manifest.get("artifactType", ""))
    for layer in layers[:MAX_DOCUMENTS] if isinstance(layers, list) else ():
        if not isinstance(layer, dict):
            continue
        digest, size = layer.get("digest"), layer.get("size")
        kind = f"{layer.get('mediaType', '')} {artifact_type}".lower()
        if (
            isinstance(digest, str)
            and is_digest(digest)
            and isinstance(size, int)
            and 0 < size <= SIZE_LIMIT
            and any(name in kind for name in _KINDS)
        ):
            yield digest, size


def _is_digest(text: object) -> bool:
    """Return whether it is a digest: untrusted text would become part of a URL."""
    return isinstance(text, str) and Digest.parse(text).is_known
