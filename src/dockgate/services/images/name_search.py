"""Find images by the names that pages and commands show: REPOSITORY:TAG and REPOSITORY@DIGEST."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dockgate.identity.model import Caller
from dockgate.services.images.visibility import ImageVisibility
from dockgate.shared.digest import PREFIX, is_digest, read_digest_start
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.references import (
    ImageReference,
    RepositoryReference,
    TagReference,
    normalize_registry,
    parse_repository,
)
from dockgate.store import Store
from dockgate.store.images.image_filter import ImageFilter, ImageSort

# Images of an answer.
MAX_IMAGES = 10
# The tag of a name without tag and digest, as for docker, skopeo and crane.
DEFAULT_TAG = "latest"


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image by a name that a person typed. `repository` is null for a digest alone."""

    digest: str
    repository: str | None


def strip_own_registry(name: str, registries: Collection[str]) -> str:
    """Return the name of an image without our own registry, whatever its name and spelling."""
    reference = RepositoryReference.parse(name)
    own_names = set(map(normalize_registry, registries))
    is_own = reference.registry is not None and normalize_registry(reference.registry) in own_names
    return reference.name if is_own and RepositoryReference.parse(reference.name).is_own else name


def read_own_pattern(pattern: str, registries: Collection[str]) -> str:
    """Return a pattern of repositories without our own registry, however that is spelled.

    UsageError if what remains begins with `*`: without its registry, it would match repositories of others, too.
    """
    own_pattern = strip_own_registry(pattern, registries)
    if own_pattern != pattern and own_pattern.startswith("*"):
        raise UsageError(
            f"the pattern {pattern!r} would match repositories of other registries, too",
            "Repositories of this registry have no registry in their names. Write the beginning of a name: team/*.",
        )
    return own_pattern


def find_named_images(store: Store, caller: Caller, name: str) -> Sequence[ImageReference | TagReference]:
    """Find the tag, or the images, that the caller may see under a name without our own registry.

    The beginning of a digest is enough. Tags that have moved on or are gone are found too.
    """
    if image := ImageReference.parse(name):
        start, repository = read_digest_start(image.digest), parse_repository(name)
        if start is None:
            return []
        visibility = ImageVisibility(store, caller)
        digests = store.images.find_digests(
            "image", start, MAX_IMAGES, lambda digest, _: repository in visibility.list_repositories(digest)
        )
        return [ImageReference(repository, digest) for digest, _ in digests]
    tag = TagReference.parse(name)
    is_visible = tag is not None and caller.can_reach(repository=tag.repository)
    return [tag] if tag and is_visible and store.trends.list_tag_periods(tag.repository, tag.tag, 1) else []


def resolve_image(store: Store, caller: Caller, text: str, registries: Collection[str]) -> NamedImage:
    """Return the image that a text names: one that the caller may see, unless the text is a whole digest.

    It is a digest or its first characters, REPOSITORY:TAG, REPOSITORY@DIGEST, or REPOSITORY for its tag `latest`; the
    repository with or without our own registry. UsageError if ambiguous; NotFoundError, which names what there is.
    """
    name = strip_own_registry(text.strip(), registries)
    if is_digest(name):
        return NamedImage(name, None)
    if image := ImageReference.parse(name):
        return _find_by_digest(store, caller, parse_repository(name), image.digest)
    if (start := read_digest_start(name)) and (digests := _list_digests(store, caller, start)):
        return NamedImage(_require_single(digests, start), None)
    tag = TagReference.parse(name)
    if name.startswith(PREFIX) and start is None:
        raise UsageError(f"{name!r} is too short, or not a digest", "Give at least 6 digits: sha256:1a2b3c.")
    if name.startswith(PREFIX) or (start and tag is None and not _list_names(store, caller, name)):
        raise NotFoundError(f"no image digest begins with {start or name}", "`dockgate image list` lists the images.")
    repository, tag_name = (tag.repository, tag.tag) if tag else (name, DEFAULT_TAG)
    digest = store.tag_history.find_digest(repository, tag_name) if caller.can_reach(repository=repository) else None
    if digest is None:
        raise NotFoundError(f"{repository} has no tag {tag_name!r}", _advise(store, caller, repository))
    return NamedImage(digest, repository)


def _find_by_digest(store: Store, caller: Caller, repository: str, text: str) -> NamedImage:
    start, visibility = read_digest_start(text), ImageVisibility(store, caller)
    if start is None:
        raise UsageError(
            f"{text!r} is too short, or not a digest",
            "Name an image as REPOSITORY:TAG or REPOSITORY@DIGEST, with at least 6 digits of it.",
        )
    digests = [
        digest
        for digest, _ in store.images.find_digests(
            "image", start, MAX_IMAGES, lambda digest, _: repository in visibility.list_repositories(digest)
        )
    ]
    if not digests:
        raise NotFoundError(f"{repository} has no image {text}", _advise(store, caller, repository))
    return NamedImage(_require_single(digests, start), repository)


def _list_digests(store: Store, caller: Caller, start: str) -> list[str]:
    visibility = ImageVisibility(store, caller)
    can_see = (lambda _, image: visibility.can_see_image(image)) if caller.is_limited else None
    return [digest for digest, _ in store.images.find_digests("image", start, MAX_IMAGES, can_see)]


def _require_single(digests: Sequence[str], start: str) -> str:
    if len(digests) > 1:
        raise UsageError(f"several image digests begin with {start}", "Use more characters: " + ", ".join(digests))
    return digests[0]


def _list_names(store: Store, caller: Caller, repository: str) -> list[str]:
    """The newest present tags of a repository that the caller may see; digests of images without a tag."""
    if not caller.can_reach(repository=repository):
        return []
    image_filter = ImageFilter([repository])
    rows, _ = store.image_listing.read_page(image_filter, ImageSort.PUSHED, None, MAX_IMAGES, judged_before="")
    names = (TagReference(repository, row.tag) if row.tag else ImageReference(repository, row.digest) for row in rows)
    return list(map(str, names))


def _advise(store: Store, caller: Caller, repository: str) -> str:
    if names := _list_names(store, caller, repository):
        return f"Newest images: {', '.join(names)}. `dockgate image list {repository} --all-tags` lists all."
    return "`dockgate image list` lists the repositories and their images."
