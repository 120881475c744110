"""The status of images as their repositories judge them: each by its own policy and waivers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dockgate.gate.model import Status
from dockgate.services.images.place_verdicts import Place, read_place_verdicts
from dockgate.services.images.watched_images import WatchedImages
from dockgate.store import Store
from dockgate.store.exposure.records import ExposureScope, MatchingImage

_WORST_FIRST = (Status.REJECTED, Status.UNDETERMINED, Status.APPROVED, None)


class ImageStatus(NamedTuple):
    """The worst status of an image, None before there is one, and the repositories whose verdicts say why."""

    status: Status | None
    repositories: frozenset[str]


def read_image_statuses(
    store: Store,
    watched_images: WatchedImages,
    now: str,
    images: Mapping[int, MatchingImage],
    scope: ExposureScope,
    running: Sequence[Place],
) -> dict[int, ImageStatus]:
    """Return the status of each image in its repositories, by its id.

    They are those of the scope, and those from which services run it. A repository counts that
    has the image now; if none has, those that had it.
    """
    statuses = {number: ImageStatus(image.status, frozenset({image.repository})) for number, image in images.items()}
    ids = {image.digest: number for number, image in images.items()}
    repositories: dict[int, set[str]] = {}
    for repository, digest in running:
        if digest in ids:
            repositories.setdefault(ids[digest], set()).add(repository)
    run_elsewhere = {number for number, names in repositories.items() if names != {images[number].repository}}
    elsewhere = store.exposures.list_elsewhere(images, scope) | run_elsewhere
    if not elsewhere:
        return statuses
    by_image: dict[int, set[str]] = {}
    for image, periods in store.exposures.list_image_periods(elsewhere, scope):
        present = {period.repository for period in periods if period.until is None} | repositories.get(image.id, set())
        by_image[image.id] = present or {period.repository for period in periods}
    return statuses | _judge_elsewhere(store, watched_images, now, images, by_image)


def _judge_elsewhere(
    store: Store,
    watched_images: WatchedImages,
    now: str,
    images: Mapping[int, MatchingImage],
    by_image: Mapping[int, set[str]],
) -> dict[int, ImageStatus]:
    """Return the status of each image in these repositories, without those whose policy is not clear."""
    clear = watched_images.selection.find_clear_assignments(set().union(*by_image.values()))
    places = {
        (repository, images[number].digest): images[number].repository
        for number, repositories in by_image.items()
        for repository in repositories
        if repository in clear
    }
    verdicts = read_place_verdicts(store, watched_images, now, places)
    answer = {}
    for number, repositories in by_image.items():
        image, statuses = images[number], dict[str, Status | None]()
        for repository in sorted(repositories & clear.keys()):
            place = repository, image.digest
            if not verdicts.watches[place].is_watched:
                statuses[repository] = Status.UNDETERMINED
            elif verdicts.has_fleet_verdict(place, image.repository, image.policy):
                # What it says is recorded where the image was read, or here.
                statuses[repository] = statuses[image.repository] = image.status
            else:
                record = verdicts.find_record(place)
                statuses[repository] = Status(record.status) if record else None
        worst_status = min(statuses.values(), key=_WORST_FIRST.index, default=None)
        deciding = (repository for repository, status in statuses.items() if status is worst_status)
        answer[number] = ImageStatus(worst_status, frozenset(deciding))
    return answer
