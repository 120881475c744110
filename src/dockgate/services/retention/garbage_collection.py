"""Remove what is not needed any more: images with their blobs, and old rows and files.

A collection is a row. It is requested by a person or by time, and a round of the reconciler carries it out; after a
crash the next round begins it again. Everything may be removed twice.

Manifests and blobs are removed while nothing can be pushed (`store.retention.collections.PushBarrier`): a push may rely
on a blob, or push a manifest again, that is about to be deleted. Whether an image is needed is asked again right before
its manifest is deleted, and once more before its blobs are: what was used meanwhile is stored again.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta

from dockgate.delivery.ports import RegistryContent, RegistryStorage, StoredManifest
from dockgate.delivery.registry_access import PERMIT_SECONDS
from dockgate.delivery.retention import StoredImage
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.retention.registry_snapshot import RegistryReader, RegistrySnapshot
from dockgate.services.retention.retention_clock import RetentionClock
from dockgate.shared.errors import DockgateError
from dockgate.shared.timestamps import compute_latest_time, format_time
from dockgate.store import Store
from dockgate.store.retention.collections import GarbageCollectionRun

# An unreferenced blob that is younger may be of a push that has not ended.
PUSH_SECONDS = 3600.0
# How long the barrier is closed at most, if it is not opened.
CLOSED_SECONDS = 3600.0
# Images that are removed before it is asked again whether they are needed.
BATCH = 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemovedImage:
    """An image that is removed.

    `size` is that of its manifest and blobs in bytes; other images may share blobs.
    """

    repository: str
    digest: str
    tags: tuple[str, ...]
    used_at: str
    size: int


@dataclass(frozen=True, slots=True)
class KeptImageReport:
    """An image that is kept, and the first reason for it; `reasons` counts all."""

    repository: str
    digest: str
    tags: tuple[str, ...]
    reason: str
    detail: str
    reasons: int


@dataclass(frozen=True, slots=True)
class RemovedObjects:
    """Other things that are removed: how many, and their size in bytes (None if it is not known)."""

    kind: str
    count: int
    size: int | None = None


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """The objects that a collection removes, or would remove.

    `blob_bytes` are those of blobs that no image names, as far as sizes are known, with those of the removed images.
    `notes` are sentences about what could not be removed.
    """

    images: tuple[RemovedImage, ...] = ()
    kept_images: tuple[KeptImageReport, ...] = ()
    blobs: int = 0
    blob_bytes: int = 0
    others: tuple[RemovedObjects, ...] = ()
    notes: tuple[str, ...] = ()


# Removes old rows and files, by their kinds; with false it only counts them.
RowCollector = Callable[[bool], Sequence[RemovedObjects]]


@dataclass(slots=True)
class GarbageCollection:
    """Collections, planned and carried out.

    `storage` is None if the registry's blobs are not ours to delete. `every_hours` is how often a collection starts by
    itself, 0 for never. `collect_rows` removes what is not an image. `retention_clock` gives the age of blobs.
    """

    store: Store
    registry_reader: RegistryReader
    registry: RegistryContent
    storage: RegistryStorage | None
    clock: ServerClock
    retention_clock: RetentionClock
    effects: Effects
    every_hours: float = 0
    collect_rows: RowCollector = lambda _: ()
    _notes: list[str] = field(default_factory=list, init=False)

    def plan(self) -> CollectionReport:
        """Return what a collection would remove now. Nothing changes."""
        snapshot = self.registry_reader.take_snapshot()
        removed_images = [_make_removed_image(image, snapshot) for image in snapshot.plan.removable_images]
        blobs = (
            {}
            if self.storage is None
            else {blob.digest: blob.size or 0 for blob in self.storage.list_unreferenced_blobs()}
        )
        blobs |= _list_removed_blobs(snapshot)
        removed_objects = tuple(entry for entry in self.collect_rows(False) if entry.count)
        return CollectionReport(
            tuple(removed_images), _list_kept_images(snapshot), len(blobs), sum(blobs.values()), removed_objects
        )

    def request(self, by: str) -> GarbageCollectionRun:
        """Request a collection. One that is not finished is returned instead."""
        return self.store.collections.request(by, self.clock.now())

    def run_due(self) -> None:
        """Carry out the collection that is requested or due, as far as it can go now. Called repeatedly."""
        collection = self.store.collections.find_unfinished() or self._request_due()
        if collection is None:
            return
        number = collection.seq
        self.store.collections.start(number, self.clock.now())
        report, error = CollectionReport(), None
        try:
            has_work = bool(self.registry_reader.take_snapshot().plan.removable_images) or (
                self.storage is not None and bool(self.storage.list_unreferenced_blobs())
            )
            if has_work and not self._close_barrier():
                return  # the next round goes on
            report = self._collect_images() if has_work else report
            self.store.push_barrier.open()
            removed_objects = tuple(entry for entry in self.collect_rows(True) if entry.count)
            report = replace(report, others=removed_objects)
        except DockgateError as failure:
            _log.warning("collection %s ended early: %s", number, failure.full_message)
            error = failure.full_message
        except Exception as failure:
            _log.error("collection %s failed", number, exc_info=failure)
            error = f"internal error: {type(failure).__name__}: {failure}"
        self.store.push_barrier.open()
        self.store.collections.finish(number, asdict(report), error, self.clock.now())
        _log.info("collection %s removed %s images", number, len(report.images))

    def _request_due(self) -> GarbageCollectionRun | None:
        """A new collection, if the last one was requested long enough ago, or by a clock that was ahead."""
        if not self.every_hours:
            return None
        last = self.store.collections.list(limit=1)
        since = format_time(self.clock() - timedelta(hours=self.every_hours))
        is_recent = last and since < last[0].requested_at <= compute_latest_time(self.clock.now())
        return None if is_recent else self.request("server")

    def _close_barrier(self) -> bool:
        """Close the barrier for pushes. Return whether no token that was issued before can be valid any more."""
        now = self.clock()
        closed_until = format_time(now + timedelta(seconds=CLOSED_SECONDS))
        # One that was issued while the clock was ahead is not valid before the time of its issue.
        latest_valid = self.clock.compute_time_after(PERMIT_SECONDS)
        return self.store.push_barrier.close(closed_until, latest_valid) <= format_time(now)

    def _collect_images(self) -> CollectionReport:
        """Remove images and blobs. The barrier is closed."""
        self._notes = []
        snapshot = self.registry_reader.take_snapshot()  # as it is now that nothing is pushed
        removed_images: list[StoredImage] = []
        planned_images = list(snapshot.plan.removable_images)
        for start in range(0, len(planned_images), BATCH):
            if not self._close_barrier():  # it was open meanwhile: this took longer than CLOSED_SECONDS
                self._notes.append(
                    f"{len(planned_images) - start} images were not removed: pushes have begun meanwhile."
                )
                break
            batch = planned_images[start : start + BATCH]
            removed_images += self.effects.run(
                EffectKind.PURGE, self._remove_images, batch, snapshot, [*removed_images]
            )
        blobs, size = self._remove_blobs() if self.storage is not None else (0, 0)
        reports = tuple(_make_removed_image(image, snapshot) for image in removed_images)
        return CollectionReport(reports, (), blobs, size, (), tuple(self._notes))

    # --- images ---------------------------------------------------------------------------------------------------

    def _remove_images(
        self, images: Sequence[StoredImage], snapshot: RegistrySnapshot, removed_images: Sequence[StoredImage]
    ) -> list[StoredImage]:
        """Remove those of the images that nothing needs, and return them."""
        deleted_images: list[tuple[StoredImage, StoredManifest | None]] = []
        for image in images:
            if self._is_removable(image, snapshot, [*removed_images, *(entry for entry, _ in deleted_images)]):
                name = self.registry_reader.get_name_in_registry(image.repository)
                manifest = self.registry.read_manifest(name, image.digest)
                self.registry.delete_manifest(name, image.digest)
                deleted_images.append((image, manifest))
        unneeded_images = self._select_unneeded_images([image for image, _ in deleted_images], snapshot, removed_images)
        # In the other order: the registry takes an index only with the images in it.
        for image, manifest in reversed(deleted_images):
            if image not in unneeded_images:
                self._put_back(image, manifest, snapshot)
        for image in unneeded_images:
            remove, now = self.store.image_removals.remove, self.clock.now()
            self.effects.run(EffectKind.RECORD_IMAGE, remove, image.repository, image.digest, now)
            self.store.image_retention.forget_uses(image.repository, image.digest)
        return unneeded_images

    def _select_unneeded_images(
        self, deleted_images: Sequence[StoredImage], snapshot: RegistrySnapshot, removed_images: Sequence[StoredImage]
    ) -> list[StoredImage]:
        """Return those of the deleted images that nothing has used meanwhile.

        An index that returns needs what is in it.
        """
        unneeded_images = list(deleted_images)
        while True:
            other_image_lists = [
                [*removed_images, *(entry for entry in unneeded_images if entry != image)] for image in unneeded_images
            ]
            remaining = [
                image
                for image, other_images in zip(unneeded_images, other_image_lists, strict=True)
                if self._is_removable(image, snapshot, other_images)
            ]
            if remaining == unneeded_images:
                return unneeded_images
            unneeded_images = remaining

    def _is_removable(
        self, image: StoredImage, snapshot: RegistrySnapshot, removed_images: Sequence[StoredImage]
    ) -> bool:
        digests = {entry.digest for entry in removed_images if entry.repository == image.repository}
        return self.registry_reader.is_removable(image, snapshot, digests)

    def _put_back(self, image: StoredImage, manifest: StoredManifest | None, snapshot: RegistrySnapshot) -> None:
        """Store an image again that was used while its manifest was deleted."""
        if manifest is not None:
            tags = [tag for tag, digest in snapshot.tags[image.repository].items() if digest == image.digest]
            self.registry.put_manifest(self.registry_reader.get_name_in_registry(image.repository), manifest, tags)

    # --- blobs ----------------------------------------------------------------------------------------------------

    def _remove_blobs(self) -> tuple[int, int]:
        """Delete the blobs that no manifest names, unless one may be of a push that has not ended.

        Returns how many, and their size.
        """
        assert self.storage is not None  # noqa: S101 - for mypy
        blobs = self.storage.list_unreferenced_blobs()
        if not blobs:
            return 0, 0
        since = self.retention_clock() - timedelta(seconds=PUSH_SECONDS)
        young = [blob for blob in blobs if blob.written_at is not None and blob.written_at > since.timestamp()]
        if young:
            self._notes.append(
                f"No blob was removed: {len(young)} blobs without a manifest are younger than an hour, and may be of a "
                "push that has not ended."
            )
            return 0, 0
        # Until then, a token may be valid that can push.
        pushes_until = self.store.push_barrier.find_pushes_until()
        has_recent_push = pushes_until is not None and pushes_until > format_time(since)
        if has_recent_push and any(blob.written_at is None for blob in blobs):
            self._notes.append("No blob was removed: something was pushed within the last hour.")
            return 0, 0
        if not self._close_barrier():
            self._notes.append("No blob was removed: pushes have begun meanwhile.")
            return 0, 0
        self.effects.run(EffectKind.PURGE, self.storage.collect)
        return len(blobs), sum(blob.size or 0 for blob in blobs)


def _make_removed_image(image: StoredImage, snapshot: RegistrySnapshot) -> RemovedImage:
    content = snapshot.contents.get(image.digest)
    size = content.size + sum(content.blobs.values()) if content else 0
    return RemovedImage(image.repository, image.digest, image.tags, max(image.used_at, image.pushed_at), size)


def _list_removed_blobs(snapshot: RegistrySnapshot) -> dict[str, int]:
    """Return the manifests and blobs that only removed images name, with their sizes.

    Only manifests that were read count.
    """
    kept_digests = {entry.image.digest for entry in snapshot.plan.kept_images}
    kept_blobs = {
        blob for digest in kept_digests if digest in snapshot.contents for blob in snapshot.contents[digest].blobs
    }
    blobs: dict[str, int] = {}
    for image in snapshot.plan.removable_images:
        content = snapshot.contents.get(image.digest)
        if content is not None and image.digest not in kept_digests:
            blobs |= {blob: size for blob, size in content.blobs.items() if blob not in kept_blobs}
            if content.size:
                blobs[image.digest] = content.size
    return blobs


def _list_kept_images(snapshot: RegistrySnapshot) -> tuple[KeptImageReport, ...]:
    return tuple(
        KeptImageReport(
            entry.image.repository,
            entry.image.digest,
            entry.image.tags,
            entry.needs[0].reason,
            entry.needs[0].detail,
            len(entry.needs),
        )
        for entry in snapshot.plan.kept_images
    )
