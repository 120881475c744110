"""The images in our registry at one moment: their uses, what needs them, and the content of manifests."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dockgate.attestations.statements import parse_attachment_tag
from dockgate.delivery.ports import RegistryContent, Target
from dockgate.delivery.retention import ImagePlan, KeptImage, Need, Reason, Retention, StoredImage, plan_images
from dockgate.gate.policy_choice import Watch
from dockgate.gate.watch import WatchState, compute_watch_state
from dockgate.scanner import manifest as manifests
from dockgate.services.clock import ServerClock
from dockgate.services.policies.selection import PolicySelection
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import ImageError
from dockgate.shared.references import name_own_repository, strip_registry
from dockgate.store import Store
from dockgate.store.records import ImageLocation
from dockgate.store.retention.images import UsedImage


@dataclass(frozen=True, slots=True)
class ManifestContent:
    """The content of a manifest: the images of an index, and blobs with their sizes.

    `size` is its own, in bytes.
    """

    size: int
    children: tuple[str, ...] = ()
    blobs: Mapping[str, int] = field(default_factory=dict)
    is_readable: bool = True


@dataclass(frozen=True, slots=True)
class RegistrySnapshot:
    """The images of our registry at one moment, what needs them, and the plan that follows.

    `contents` has the manifests that were read, by digest; `tags` the digests of tags, by repository. Images are found
    by their locations; `indexes` are those that an image is in.
    """

    images: Mapping[ImageLocation, StoredImage]
    needs: Mapping[str, Sequence[Need]]
    plan: ImagePlan
    contents: Mapping[str, ManifestContent]
    tags: Mapping[str, Mapping[str, str]]
    indexes: Mapping[ImageLocation, Sequence[str]]
    kept_images: Mapping[ImageLocation, KeptImage]

    def find_related_images(self, image: StoredImage) -> list[StoredImage]:
        """The image, what is in it, and the indexes that it is in."""
        indexes = self.indexes.get(ImageLocation(image.repository, image.digest), ())
        digests = dict.fromkeys((image.digest, *image.children, *indexes))
        locations = [ImageLocation(image.repository, digest) for digest in digests]
        return [self.images[location] for location in locations if location in self.images]


@dataclass(slots=True)
class RegistryReader:
    """A reader of what our registry, the store and the targets say of images."""

    store: Store
    registry: RegistryContent
    targets: Mapping[str, Target]
    selection: PolicySelection
    clock: ServerClock
    retention: Retention
    # By digest. A manifest never changes.
    _contents: dict[str, ManifestContent] = field(default_factory=dict, init=False)

    def take_snapshot(self) -> RegistrySnapshot:
        """Read everything, and plan.

        Manifests and tags are read in repositories where anything may be removed. UnavailableError, and nothing may be
        removed, if the registry or a target does not answer.
        """
        now = self.clock()
        needs = defaultdict(list, {digest: list(reasons) for digest, reasons in self._read_needs(None).items()})
        for digest, task in self._list_running_tasks():
            needs[digest].append(Need(Reason.RUNS, f"task {task}"))
        images = self._list_stored_images(self.store.image_retention.list_pushed_images(self.clock.now()))
        plan = plan_images(list(images.values()), needs, self.retention, now)
        contents: dict[str, ManifestContent] = {}
        tags: dict[str, Mapping[str, str]] = {}
        for repository in sorted({image.repository for image in plan.removable_images}):
            tags[repository] = self._read_tags(repository)
            attached_digests: defaultdict[str, list[str]] = defaultdict(list)
            for tag, digest in sorted(tags[repository].items()):
                subject = parse_attachment_tag(tag)
                location = ImageLocation(repository, digest)
                if subject and ImageLocation(repository, subject) in images:
                    attached_digests[subject].append(digest)
                elif location not in images:  # its push is not recorded yet, or never will be
                    images[location] = self._make_unrecorded_image(repository, digest, tags[repository])
                elif tag not in images[location].tags:  # its push under this tag is not
                    images[location] = replace(images[location], used_at=self.clock.now())
            self._add_contents(repository, images, contents, needs, attached_digests)
        if plan.removable_images:  # the manifests may say that something is needed
            plan = plan_images(list(images.values()), needs, self.retention, now)
        indexes: defaultdict[ImageLocation, list[str]] = defaultdict(list)
        for location, image in images.items():
            for child in image.children:
                indexes[ImageLocation(location.repository, child)].append(image.digest)
        by_location = {ImageLocation(entry.image.repository, entry.image.digest): entry for entry in plan.kept_images}
        return RegistrySnapshot(images, needs, plan, contents, tags, indexes, by_location)

    def is_removable(self, image: StoredImage, snapshot: RegistrySnapshot, removed_digests: Collection[str]) -> bool:
        """Return whether nothing needs the image now.

        `removed_digests` are the digests that were removed from its repository since. Images that were kept when the
        snapshot was taken are kept.
        """
        related_images = [
            entry
            for entry in snapshot.find_related_images(image)
            if entry.digest not in removed_digests or entry == image
        ]
        digests = {entry.digest for entry in related_images}
        stored_images = self._list_stored_images(
            self.store.image_retention.list_pushed_images(self.clock.now(), digests)
        )
        present_images = [
            replace(stored_images.get(ImageLocation(entry.repository, entry.digest), entry), children=entry.children)
            for entry in related_images
        ]
        needs = {digest: list(reasons) for digest, reasons in self._read_needs(digests).items()}
        for digest in digests:
            before = snapshot.kept_images.get(ImageLocation(image.repository, digest))
            tasks = [need for need in snapshot.needs.get(digest, ()) if need.reason is Reason.RUNS]
            needs.setdefault(digest, []).extend([*(before.needs if before else ()), *tasks])
        plan = plan_images(present_images, needs, replace(self.retention, keep_images=0), self.clock())
        return any(entry.digest == image.digest for entry in plan.removable_images)

    def get_name_in_registry(self, repository: str) -> str:
        """The name by which our registry knows a repository."""
        return strip_registry(repository, self.registry.address)

    def _read_needs(self, digests: Collection[str] | None) -> Mapping[str, Sequence[Need]]:
        return self.store.image_retention.list_needs(self.retention.keep_revisions, digests)

    def _list_running_tasks(self) -> list[tuple[str, str]]:
        """Return the digests of all tasks, with their ids."""
        return [
            (task.digest, task.id)
            for service in self.store.services.list()
            for task in self.targets[service.target].list_tasks(service.name)
            if task.digest
        ]

    def _list_stored_images(self, pushed_images: Sequence[UsedImage]) -> dict[ImageLocation, StoredImage]:
        """Return the images of our own registry."""
        now, images = self.clock.now(), {}
        own_repositories = {
            repository
            for repository in {image.use.repository for image in pushed_images}
            if name_own_repository(self.get_name_in_registry(repository), self.registry.address) == repository
        }
        assignments = self.selection.find_assignments(own_repositories)
        for image in pushed_images:
            repository = image.use.repository
            if repository not in own_repositories:
                continue
            assignment = assignments[repository]
            watch = compute_watch_state(assignment.watch if assignment else Watch(), image.use, now, is_running=False)
            images[ImageLocation(repository, image.digest)] = StoredImage(
                repository, image.digest, image.pushed_at, image.used_at, watch, image.tags
            )
        return images

    def _read_tags(self, repository: str) -> dict[str, str]:
        """Return the digests of a repository's tags in the registry."""
        name = self.get_name_in_registry(repository)
        digests = {tag: self.registry.resolve(name, tag) for tag in self.registry.list_tags(name)}
        return {tag: digest for tag, digest in digests.items() if digest is not None}

    def _make_unrecorded_image(self, repository: str, digest: str, tags: Mapping[str, str]) -> StoredImage:
        """Return an image whose push is not recorded: it counts as pushed now."""
        digest_tags = tuple(sorted(tag for tag, tagged_digest in tags.items() if tagged_digest == digest))
        now = self.clock.now()
        return StoredImage(repository, digest, now, now, WatchState(False), digest_tags)

    def _add_contents(
        self,
        repository: str,
        images: dict[ImageLocation, StoredImage],
        contents: dict[str, ManifestContent],
        needs: dict[str, list[Need]],
        attached_digests: Mapping[str, Sequence[str]],
    ) -> None:
        """Read the manifests of a repository's images.

        Documents that are attached to an image count as part of it. A manifest in an image that is not listed becomes
        an image, too.
        """
        open_images = [image for image in images.values() if image.repository == repository]
        while open_images:
            image = open_images.pop()
            # Without a manifest it was removed, and a crash came before its rows were deleted.
            content = self._read_content(repository, image.digest) or ManifestContent(0)
            contents[image.digest] = content
            if not content.is_readable:
                needs.setdefault(image.digest, []).append(Need(Reason.UNREADABLE, "its manifest cannot be read"))
            children = (*content.children, *attached_digests.get(image.digest, ()))
            images[ImageLocation(repository, image.digest)] = replace(image, children=children)
            for child in children:
                location = ImageLocation(repository, child)
                if location not in images:
                    pushed_at = image.pushed_at
                    images[location] = StoredImage(repository, child, pushed_at, pushed_at, WatchState(False))
                    open_images.append(images[location])

    def _read_content(self, repository: str, digest: str) -> ManifestContent | None:
        """Return what a manifest contains, or None. One that was read before may be gone since."""
        if digest not in self._contents:
            manifest = self.registry.read_manifest(self.get_name_in_registry(repository), digest)
            if manifest is None:
                return None
            self._contents[digest] = read_manifest(manifest.data)
        return self._contents[digest]


def read_manifest(data: bytes) -> ManifestContent:
    """Read a manifest leniently: it is never run, only looked at for what it names."""
    try:
        document = manifests.load_object(data, "The manifest", manifests.NAMES)
        children = tuple(str(entry["digest"]) for entry in document.get("manifests") or ())
        blobs = {
            str(entry["digest"]): int(entry["size"])
            for entry in (*filter(None, [document.get("config")]), *(document.get("layers") or ()))
        }
        is_readable = all(map(is_digest, children)) and document.get("schemaVersion") == 2
    except (AttributeError, KeyError, TypeError, ValueError, ImageError):
        return ManifestContent(len(data), is_readable=False)
    return ManifestContent(len(data), children, blobs, is_readable)
