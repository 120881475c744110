"""The status of images as their repositories judge them: each by its own policy and waivers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from dockgate.gate.model import Status, Waiver
from dockgate.services.images.location_verdicts import LocationVerdicts, list_waived_patterns
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.policies.selection import SplitRepositories
from dockgate.store import Store
from dockgate.store.exposure.records import MatchingImage
from dockgate.store.records import ImageLocation

_WORST_FIRST = (Status.REJECTED, Status.UNDETERMINED, Status.APPROVED, None)


class ImageStatus(NamedTuple):
    """The worst status of an image, None before there is one, and the repositories whose verdicts say why.

    `undetermined_reason` says why no policy judges it in one of its repositories, None if one does in each.
    """

    status: Status | None
    repositories: frozenset[str]
    undetermined_reason: str | None = None


def read_image_statuses(
    store: Store,
    watched_images: WatchedImages,
    images: Mapping[int, MatchingImage],
    running: Sequence[ImageLocation],
    running_digests: Collection[str],
    active_waivers: Sequence[Waiver],
) -> dict[int, ImageStatus]:
    """Return the status of each image in its repositories, by its id.

    They are those of the scope where it is now, or else was, and those from which services run it that the caller sees
    (`running`); `running_digests` are all that services run.
    """
    run_in: dict[str, set[str]] = {}
    for repository, digest in running:
        run_in.setdefault(digest, set()).add(repository)
    repositories = {number: image.repositories | run_in.get(image.digest, set()) for number, image in images.items()}
    all_names = frozenset().union(*repositories.values())
    split_names = watched_images.selection.split_repositories(all_names)
    other_repositories = {
        number: names
        for number, names in repositories.items()
        if names - {images[number].repository} or not split_names.conflicts.keys().isdisjoint(names)
    }
    statuses = {number: ImageStatus(image.status, frozenset({image.repository})) for number, image in images.items()}
    if other_repositories:
        statuses |= _judge_elsewhere(
            store, watched_images, images, other_repositories, running_digests, split_names, active_waivers
        )
    return statuses


def _judge_elsewhere(
    store: Store,
    watched_images: WatchedImages,
    images: Mapping[int, MatchingImage],
    by_image: Mapping[int, Collection[str]],
    running_digests: Collection[str],
    split_names: SplitRepositories,
    active_waivers: Sequence[Waiver],
) -> dict[int, ImageStatus]:
    """Return the status of each image in these repositories: Undetermined where its policy is not clear."""
    locations = {
        ImageLocation(repository, images[number].digest): (images[number].repository, images[number].policy)
        for number, repositories in by_image.items()
        for repository in repositories
    }
    watches = watched_images.read_watches(locations, running_digests, split_names)
    verdicts = LocationVerdicts(watches, {}, list_waived_patterns(active_waivers))
    if other_digests := {
        location.image for location in locations if not verdicts.has_fleet_verdict(location, *locations[location])
    }:
        verdicts = replace(verdicts, records=store.verdicts.list_newest_by_location(other_digests))
    answer = {}
    for number, repositories in by_image.items():
        image, statuses = images[number], dict[str, Status | None]()
        for repository in sorted(repositories):
            location = ImageLocation(repository, image.digest)
            if watches[location].conflict or not watches[location].is_watched:
                statuses[repository] = Status.UNDETERMINED
            elif verdicts.has_fleet_verdict(location, image.repository, image.policy):
                # What it says is recorded where the image was read, or here.
                statuses[repository] = statuses[image.repository] = image.status
            else:
                newest_verdict = verdicts.find_recorded_verdict(location)
                statuses[repository] = newest_verdict.record.status if newest_verdict else None
        worst_status = min(statuses.values(), key=_WORST_FIRST.index, default=None)
        deciding = (repository for repository, status in statuses.items() if status is worst_status)
        conflicts = (watches[ImageLocation(repository, image.digest)].conflict for repository in sorted(repositories))
        answer[number] = ImageStatus(worst_status, frozenset(deciding), next(filter(None, conflicts), None))
    return answer
