"""Find images by the names that pages and commands show: REPOSITORY:TAG and REPOSITORY@DIGEST."""

from collections.abc import Sequence

from dockgate.identity.model import Caller
from dockgate.services.images.visibility import ImageVisibility
from dockgate.shared.digest import read_digest_start
from dockgate.shared.references import (
    ImageReference,
    RepositoryReference,
    TagReference,
    normalize_registry,
    parse_repository,
)
from dockgate.store import Store

# Images of an answer.
MAX_IMAGES = 10


def strip_own_registry(name: str, registry: str) -> str:
    """Return the name of an image without our own registry, however that is spelled."""
    place = RepositoryReference.parse(name)
    is_own = place.registry is not None and normalize_registry(place.registry) == normalize_registry(registry)
    return place.name if is_own and RepositoryReference.parse(place.name).is_own else name


def find_named_images(store: Store, caller: Caller, name: str) -> Sequence[ImageReference | TagReference]:
    """Find the tag, or the images, that the caller may see under a name without our own registry.

    The beginning of a digest is enough. Tags that have moved on or are gone are found too.
    """
    if image := ImageReference.parse(name):
        start, repository = read_digest_start(image.digest), parse_repository(name)
        if start is None:
            return []
        visibility = ImageVisibility(store, caller)
        return [
            ImageReference(repository, digest)
            for digest, _ in store.images.find_digests("image", start, MAX_IMAGES)
            if repository in visibility.list_repositories(digest)
        ]
    tag = TagReference.parse(name)
    is_visible = tag is not None and caller.can_reach(repository=tag.repository)
    return [tag] if tag and is_visible and store.trends.list_tag_periods(tag.repository, tag.tag, 1) else []
