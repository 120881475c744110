"""The images, revisions of services and executions that are kept, and why.

What has no reason to be kept may be removed. Pure. `plan_images` decides from facts. Before each removal the facts are
read again, because they may have changed.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dockgate.gate.watch import WatchState
from dockgate.shared.timestamps import format_time

# How long an image is always kept after its push or its last use.
LEAST_HOURS = 24.0
# Executions of each pipeline that are always kept.
KEPT_EXECUTIONS = 20


class Reason(StrEnum):
    """The reason why an image is kept."""

    # Something names the image itself: see `STATED_REASONS`.
    RUNS = "runs"
    ROLLBACK = "rollback"
    APPROVAL = "approval"
    EXECUTION = "execution"
    SCAN = "scan"
    ATTACHMENT = "attachment"
    # One of the last images that a policy approved in its repository: the baseline of later ones.
    BASELINE = "baseline"
    WATCHED = "watched"
    RECENT = "recent"
    NEWEST = "newest"
    # An index with this image in it is kept, or this is an index and an image in it is named.
    INDEX = "index"
    UNREADABLE = "unreadable"


# An index stays as long as one of these is true of an image in it.
STATED_REASONS = frozenset(
    {Reason.RUNS, Reason.ROLLBACK, Reason.APPROVAL, Reason.EXECUTION, Reason.SCAN, Reason.ATTACHMENT}
)


@dataclass(frozen=True, slots=True)
class Need:
    """A reason to keep an image. `detail` says what needs it."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Retention:
    """The limits of what is kept.

    `keep_days` counts from the last use. Of each repository the `keep_images` images are kept, of each service the
    `keep_revisions` before the present one. LEAST_HOURS are kept whatever `keep_days` says: they are longer than any
    push, and than the time between two records of pulls.
    """

    keep_days: float = 90
    keep_images: int = 10
    keep_revisions: int = 10

    def compute_kept_since(self, now: datetime) -> str:
        """Return the time after which everything used is kept."""
        return format_time(now - max(timedelta(days=self.keep_days), timedelta(hours=LEAST_HOURS)))


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image or index in a repository of our registry.

    `used_at` is when it was last pushed, pulled, run, or requested to be approved. `children` are the images in an
    index. `tags` are for people.
    """

    repository: str
    digest: str
    pushed_at: str
    used_at: str
    watch: WatchState
    tags: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image that is kept, with all reasons, those that name it first."""

    image: StoredImage
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """The images that may be removed, each index before the images in it, and those that are kept."""

    removable_images: tuple[StoredImage, ...] = ()
    kept_images: tuple[KeptImage, ...] = ()


def plan_images(
    images: Sequence[StoredImage], needs: Mapping[str, Sequence[Need]], retention: Retention, now: datetime
) -> ImagePlan:
    """Decide which images are kept.

    `needs` has, by digest, what needs an image in whatever repository. An image that nothing needs is removed.
    """
    kept_since = retention.compute_kept_since(now)
    by_repository: defaultdict[str, list[StoredImage]] = defaultdict(list)
    for image in images:
        by_repository[image.repository].append(image)
    removed_images: list[StoredImage] = []
    kept_images: list[KeptImage] = []
    for _, repository_images in sorted(by_repository.items()):
        reasons = _find_reasons(repository_images, needs, retention.keep_images, kept_since)
        kept_images += [
            KeptImage(image, reasons[image.digest]) for image in repository_images if reasons.get(image.digest)
        ]
        unneeded_images = [image for image in repository_images if not reasons.get(image.digest)]
        removed_images += sorted(unneeded_images, key=lambda image: (not image.children, image.pushed_at, image.digest))
    return ImagePlan(tuple(removed_images), tuple(kept_images))


def _find_reasons(
    images: Sequence[StoredImage], needs: Mapping[str, Sequence[Need]], keep_images: int, kept_since: str
) -> dict[str, tuple[Need, ...]]:
    """Return the reasons for each image of one repository, by digest."""
    present_images = {image.digest: image for image in images}
    parents: defaultdict[str, list[str]] = defaultdict(list)
    for image in images:
        for child in image.children:
            parents[child].append(image.digest)
    newest_images = sorted(
        (image for image in images if image.digest not in parents),
        key=lambda image: (image.pushed_at, image.digest),
        reverse=True,
    )[:keep_images]
    newest_digests = {image.digest for image in newest_images}
    reasons: dict[str, list[Need]] = {}
    for image in images:
        image_needs = list(needs.get(image.digest, ()))
        if image.watch.is_watched:
            image_needs.append(Need(Reason.WATCHED, f"until {image.watch.until}" if image.watch.until else "forever"))
        used_at = max(image.used_at, image.pushed_at)
        if used_at >= kept_since:
            image_needs.append(Need(Reason.RECENT, f"used at {used_at}"))
        if image.digest in newest_digests:
            image_needs.append(Need(Reason.NEWEST, f"one of the {keep_images} newest of {image.repository}"))
        reasons[image.digest] = image_needs
    for child, indexes in parents.items():
        child_needs = [need for need in needs.get(child, ()) if need.reason in STATED_REASONS]
        for index in indexes if child_needs else ():
            reasons[index].append(Need(Reason.INDEX, f"{child} in it: {child_needs[0].detail}"))
    # From indexes to what is in them, and to indexes in indexes.
    open_digests = [digest for digest, image_needs in reasons.items() if image_needs]
    while open_digests:
        index = open_digests.pop()
        for child in present_images[index].children:
            if child in reasons and all(need.detail != f"part of {index}" for need in reasons[child]):
                reasons[child].append(Need(Reason.INDEX, f"part of {index}"))
                open_digests.append(child)
    return {digest: tuple(image_needs) for digest, image_needs in reasons.items()}


def select_kept_revisions(revisions: Collection[int], present_revision: int, keep: int) -> frozenset[int]:
    """The revisions of a service that are kept: the present one, and `keep` of those before and after it.

    Revisions after the present one are deploys that have not ended, or failed.
    """
    earlier_revisions = sorted(revision for revision in revisions if revision < present_revision)
    later_revisions = sorted(revision for revision in revisions if revision > present_revision)
    return frozenset(
        {
            present_revision,
            *earlier_revisions[max(0, len(earlier_revisions) - keep) :],
            *later_revisions[max(0, len(later_revisions) - max(keep, 1)) :],
        }
    )


@dataclass(frozen=True, slots=True)
class EndedExecution:
    """An execution that is over."""

    id: str
    pipeline: str
    number: int
    finished_at: str


def select_removable_executions(
    executions: Sequence[EndedExecution], newest_numbers: Mapping[str, int], needed_ids: Collection[str], before: str
) -> tuple[str, ...]:
    """Return the executions that may be removed: they ended before that time, and nothing needs them.

    `newest_numbers` has the number of each pipeline's last execution, `needed_ids` those that services run, and that
    made the last success of an action.
    """
    return tuple(
        execution.id
        for execution in executions
        if execution.finished_at < before
        and execution.id not in needed_ids
        and execution.number <= newest_numbers[execution.pipeline] - KEPT_EXECUTIONS
    )
