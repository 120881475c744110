"""What an index holds (ECR's API, BatchGetImage): Inspector scans the manifests in it, each by itself, and never it."""

from typing import TYPE_CHECKING, Any

from dockgate.core import canonical
from dockgate.core.errors import ImageError

if TYPE_CHECKING:
    from dockgate.images.manifest import Descriptor

_PLATFORMS = 32
"""manifests of one index, at most: each is asked for by itself"""


class Indexes:
    """`ecr` is a boto3 client."""

    def __init__(self, ecr: Any) -> None:
        self._ecr = ecr

    def platforms(self, repository: str, digest: str) -> tuple[str, ...] | None:
        """The digests of `children`."""
        children = self.children(repository, digest)
        return None if children is None else tuple(one.digest for one in children)

    def children(self, repository: str, digest: str) -> tuple["Descriptor", ...] | None:
        """The images in an index, each once, attestation manifests aside; () for what is none, None for what is not
        there, and may be tomorrow.

        Raises ImageError for an index that cannot be judged by its images."""
        from dockgate.images import manifest

        answer = self._ecr.batch_get_image(
            repositoryName=repository,
            imageIds=[{"imageDigest": digest}],
            acceptedMediaTypes=[*manifest.INDEXES, *manifest.MANIFESTS],
        )
        document = next((str(image["imageManifest"]) for image in answer.get("images", [])), None)
        if document is None:
            return None
        data = document.encode()
        if canonical.digest(data) != digest:
            raise ImageError(f"ECR's manifest of {digest} has another digest.", "Push the image again.")
        index = manifest.parse(data, digest)
        if not isinstance(index, manifest.Index):
            return ()
        children = [one for one in index.manifests if one.platform != manifest.NOT_RUNNABLE]
        if not children or len(children) > _PLATFORMS:
            raise ImageError(
                f"The index {digest} holds {len(children)} images, of 1 to {_PLATFORMS}.", "Push another one."
            )
        if any(one.media_type in manifest.INDEXES for one in children):
            raise ImageError(f"The index {digest} holds another index.", "Push an index of images alone.")
        return tuple({one.digest: one for one in children}.values())
