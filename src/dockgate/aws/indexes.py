"""Manifests of an image index (ECR's API, BatchGetImage).

Inspector scans the manifests, never the index.
"""

from typing import TYPE_CHECKING, Any

from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import ImageError

if TYPE_CHECKING:
    from dockgate.scanner.manifest import Descriptor, Index

# Manifests of one index, at most: each is asked for by itself.
_PLATFORMS = 32


class Indexes:
    """The indexes in ECR, read by `ecr`, a boto3 client."""

    def __init__(self, ecr: Any) -> None:
        self._ecr = ecr

    def find_children(self, repository: str, digest: str) -> tuple["Descriptor", ...] | None:
        """The images of an index, without attestation manifests.

        () for a digest that is not an index, None for one that does not exist (yet). Raises ImageError for an index
        that cannot be judged by its images.
        """
        from dockgate.scanner import manifest

        data = self._read_manifests(repository, [digest]).get(digest)
        if data is None:
            return None
        index = manifest.parse_manifest(data, digest)
        if not isinstance(index, manifest.Index):
            return ()
        children = [entry for entry in index.manifests if entry.platform != manifest.NOT_RUNNABLE]
        if not children or len(children) > _PLATFORMS:
            raise ImageError(
                f"the index {digest} contains {len(children)} images; 1 to {_PLATFORMS} are supported",
                f"Push an index of 1 to {_PLATFORMS} images.",
            )
        if any(entry.media_type in manifest.INDEXES for entry in children):
            raise ImageError(f"the index {digest} contains another index", "Push an index that contains only images.")
        self._require_attestations(repository, digest, index, {entry.digest for entry in children})
        return tuple({entry.digest: entry for entry in children}.values())

    def _require_attestations(self, repository: str, digest: str, index: "Index", images: set[str]) -> None:
        """Raise ImageError unless every other manifest has the form of an attestation manifest."""
        from dockgate.scanner import manifest
        from dockgate.scanner.images.attestation_form import find_objection

        attestations = [entry for entry in index.manifests if entry.platform == manifest.NOT_RUNNABLE]
        if len(attestations) > _PLATFORMS:
            raise ImageError(
                f"the index {digest} contains {len(attestations)} attestations; at most {_PLATFORMS} are supported",
                "Push an index with fewer attestations.",
            )
        manifests = self._read_manifests(repository, [entry.digest for entry in attestations]) if attestations else {}
        for entry in attestations:
            data = manifests.get(entry.digest)
            reason = "ECR does not have it" if data is None else find_objection(entry, images, data)
            if reason:
                raise ImageError(
                    f"the index {digest} contains {entry.digest}, neither an image nor an attestation: {reason}",
                    "Push an index that contains only images and their attestations.",
                )

    def _read_manifests(self, repository: str, digests: list[str]) -> dict[str, bytes]:
        """The manifests in ECR, by digest. Raises ImageError for one that does not match its digest."""
        from dockgate.scanner import manifest

        answer = self._ecr.batch_get_image(
            repositoryName=repository,
            imageIds=[{"imageDigest": digest} for digest in dict.fromkeys(digests)],
            acceptedMediaTypes=[*manifest.INDEXES, *manifest.MANIFESTS],
        )
        manifests = {}
        for image in answer.get("images", []):
            digest, data = str(image["imageId"]["imageDigest"]), str(image["imageManifest"]).encode()
            if compute_digest(data) != digest or digest not in digests:
                raise ImageError(
                    f"the manifest that ECR returned for {digest} does not have this digest", "Push the image again."
                )
            manifests[digest] = data
        return manifests
