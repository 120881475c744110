"""The stored plan of the next collection: what it would remove, as of a time.

A plan reads every image, which takes too long for each request of a page. A collection never follows a stored plan: it
decides again, right before it removes something (`garbage_collection.py`).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from dockgate.services.clock import ServerClock
from dockgate.services.retention.garbage_collection import GarbageCollection, RemovedImage, RemovedObjects
from dockgate.shared import canonical
from dockgate.shared.timestamps import compute_latest_time, format_time
from dockgate.store import Store

# Images that a stored plan names.
MAX_IMAGES = 100
# Hours after which a stored plan is made again.
RENEWED_AFTER_HOURS = 24


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """What a collection would have removed at `made_at`.

    `made_by` is "server" or a principal. `images` are the first of `image_count`. `kept_counts` has the number of kept
    images by their first reason. `is_outdated`: a collection has finished since.
    """

    made_at: str
    made_by: str
    image_count: int = 0
    images: tuple[RemovedImage, ...] = ()
    kept_counts: Mapping[str, int] = field(default_factory=dict)
    blobs: int = 0
    blob_bytes: int = 0
    others: tuple[RemovedObjects, ...] = ()
    is_outdated: bool = False

    @property
    def is_empty(self) -> bool:
        """Return whether nothing would have been removed."""
        return not (self.image_count or self.blobs or self.others)


@dataclass(frozen=True, slots=True)
class CollectionPlans:
    """The plan of the next collection. The newest replaces the one before."""

    store: Store
    collection: GarbageCollection
    clock: ServerClock

    def find(self) -> CollectionPlan | None:
        """Return the stored plan, None before the first."""
        document = self.store.collections.find_plan()
        if document is None:
            return None
        plan: CollectionPlan = canonical.build(CollectionPlan, {**document, "is_outdated": self._is_outdated(document)})
        return plan

    def make(self, by: str) -> CollectionPlan:
        """Plan a collection as of now, and store the plan.

        UnavailableError, and the plan before stays, if the registry or a target does not answer.
        """
        made_at = self.clock.now()
        report = self.collection.plan()
        plan = CollectionPlan(
            made_at,
            by,
            len(report.images),
            report.images[:MAX_IMAGES],
            dict(sorted(Counter(image.reason for image in report.kept_images).items())),
            report.blobs,
            report.blob_bytes,
            report.others,
        )
        self.store.collections.save_plan(asdict(plan))
        return plan

    def make_due(self) -> None:
        """Make a plan if none is stored, if it is old, or after a collection. Called repeatedly.

        Times in the future are those of a clock that was ahead.
        """
        document = self.store.collections.find_plan()
        old = format_time(self.clock() - timedelta(hours=RENEWED_AFTER_HOURS))
        is_recent = document is not None and old < document["made_at"] <= compute_latest_time(self.clock.now())
        if document is None or not is_recent or self._is_outdated(document):
            self.make("server")

    def _is_outdated(self, document: Mapping[str, object]) -> bool:
        finished_at = self.store.collections.find_last_end(compute_latest_time(self.clock.now()))
        return finished_at is not None and finished_at >= str(document["made_at"])
