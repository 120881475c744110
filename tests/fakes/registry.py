"""A registry and its storage for tests."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from dockgate.delivery.ports import StoredManifest, UnreferencedBlob
from dockgate.shared.digest import compute_digest
from dockgate.shared.references import TagReference

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def make_manifest(digest: str) -> StoredManifest:
    """The manifest of an image that is a digest only."""
    return StoredManifest(digest, MANIFEST, b'{"schemaVersion": 2, "layers": []}')


class MemoryRegistry:
    """Tags and the digests behind them, manifests and blobs.

    `fault` is called with "before resolve" and the like, and may raise.
    """

    def __init__(self, address: str = "127.0.0.1:7421", fault: Callable[[str], None] = lambda moment: None) -> None:
        self.address = address
        self.fault = fault
        # (repository, tag) -> digest.
        self.digests: dict[tuple[str, str], str] = {}
        # (repository, digest) -> manifest.
        self.manifests: dict[tuple[str, str], StoredManifest] = {}
        self.blobs: dict[str, bytes] = {}

    def push(self, repository: str, tag: str, digest: str) -> None:
        """Push a digest whose manifest is made up."""
        self.digests[repository, tag] = digest
        self.manifests.setdefault((repository, digest), make_manifest(digest))

    def read_blob(self, repository: str, digest: str, limit: int) -> bytes | None:
        self.fault("before blob")
        data = self.blobs.get(digest)
        return data if data is not None and len(data) <= limit else None

    def iterate_tags(self) -> Iterator[TagReference]:
        self.fault("before tags")
        yield from (TagReference(*key) for key in sorted(self.digests))

    def resolve(self, repository: str, tag: str) -> str | None:
        self.fault("before resolve")
        return self.digests.get((repository, tag))

    def list_tags(self, repository: str) -> Sequence[str]:
        self.fault("before tags")
        return sorted(tag for name, tag in self.digests if name == repository)

    def read_manifest(self, repository: str, digest: str) -> StoredManifest | None:
        self.fault("before manifest")
        return self.manifests.get((repository, digest))

    def delete_manifest(self, repository: str, digest: str) -> bool:
        self.fault("before delete")
        self.digests = {
            (name, tag): tagged_digest
            for (name, tag), tagged_digest in self.digests.items()
            if (name, tagged_digest) != (repository, digest)
        }
        is_deleted = self.manifests.pop((repository, digest), None) is not None
        self.fault("after delete")
        return is_deleted

    def put_manifest(self, repository: str, manifest: StoredManifest, tags: Sequence[str]) -> None:
        self.fault("before put")
        self.manifests[repository, manifest.digest] = manifest
        self.digests |= {(repository, tag): manifest.digest for tag in tags}


class MemoryStorage:
    """The blobs of a MemoryRegistry. `written_at` has the time of each, in seconds since 1970; else they are old."""

    def __init__(self, registry: MemoryRegistry, fault: Callable[[str], None] = lambda moment: None) -> None:
        self._registry = registry
        self.fault = fault
        self.written_at: dict[str, float] = {}

    def list_unreferenced_blobs(self) -> Sequence[UnreferencedBlob]:
        self.fault("before unreferenced")
        referenced_blobs = {
            entry["digest"]
            for manifest in self._registry.manifests.values()
            for document in [json.loads(manifest.data)]
            for entry in (*document.get("layers", ()), *filter(None, [document.get("config")]))
        }
        old = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
        return [
            UnreferencedBlob(digest, len(data), self.written_at.get(digest, old))
            for digest, data in sorted(self._registry.blobs.items())
            if digest not in referenced_blobs
        ]

    def collect(self) -> None:
        for blob in self.list_unreferenced_blobs():
            self.fault("before remove")
            del self._registry.blobs[blob.digest]


def push_image(registry: MemoryRegistry, repository: str, tag: str, *layers: bytes) -> str:
    """Push an image of these layers. Returns its digest."""
    registry.blobs |= {compute_digest(data): data for data in layers}
    entries = [{"digest": compute_digest(data), "size": len(data)} for data in layers]
    data = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": entries}).encode()
    manifest = StoredManifest(compute_digest(data), MANIFEST, data)
    registry.put_manifest(repository, manifest, [tag] if tag else [])
    return manifest.digest


def push_index(registry: MemoryRegistry, repository: str, tag: str, *digests: str) -> str:
    """Push an index of these images. Returns its digest."""
    entries = [{"digest": digest, "size": 1} for digest in digests]
    data = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    manifest = StoredManifest(compute_digest(data), "application/vnd.oci.image.index.v1+json", data)
    registry.put_manifest(repository, manifest, [tag] if tag else [])
    return manifest.digest
