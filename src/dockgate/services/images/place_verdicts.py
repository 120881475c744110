"""The verdict that counts on an image in each of its repositories: the fleet's, or a recorded one.

The fleet judges an image once, by the policy and the waivers of the repository where it was read. In repositories with
others, it is judged by `services.fleet.repository_verdicts`, which records every verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dockgate.gate import patterns
from dockgate.services.images.watched_images import WatchedImages, WatchedRepository
from dockgate.store import Store
from dockgate.store.records import VerdictRecord

# A repository, and the digest of an image in it.
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PlaceVerdicts:
    """What decides which verdict counts where.

    `records` are the newest recorded verdict of each policy, the newest first, and `waived_patterns` the patterns of
    repositories of all waivers that name some.
    """

    watches: Mapping[Place, WatchedRepository]
    records: Mapping[Place, Sequence[VerdictRecord]]
    waived_patterns: Sequence[str]

    def has_fleet_verdict(self, place: Place, judged_in: str, policy: str | None) -> bool:
        """Return whether the verdict of the fleet counts, which is by this policy (None without one)."""
        repository, _ = place
        if policy is None:
            return repository == judged_in
        return policy == self.watches[place].policy and self._has_same_waivers(repository, judged_in)

    def find_record(self, place: Place) -> VerdictRecord | None:
        """Return the newest recorded verdict by the repository's policy, else by any other."""
        records = self.records.get(place, ())
        policy = self.watches[place].policy
        return next((record for record in records if record.policy == policy), records[0] if records else None)

    def _has_same_waivers(self, repository: str, judged_in: str) -> bool:
        """Return whether the repository has the same waivers of its own as the one where the image is judged."""
        return repository == judged_in or all(
            patterns.is_match(repository, pattern) == patterns.is_match(judged_in, pattern)
            for pattern in self.waived_patterns
        )


def read_place_verdicts(
    store: Store,
    watched_images: WatchedImages,
    now: str,
    places: Mapping[Place, str],
    watches: Mapping[Place, WatchedRepository] | None = None,
) -> PlaceVerdicts:
    """Read what decides for these places, each with the repository where the fleet judges its image.

    Some `watches` may be known. ConflictError as `WatchedImages.read_state`.
    """
    known_watches = watches or {}
    if missing := places.keys() - known_watches.keys():
        known_watches = {**known_watches, **watched_images.read_watches(missing)}
    is_elsewhere = any(repository != judged_in for (repository, _), judged_in in places.items())
    active = store.waivers.list_active(now) if is_elsewhere else ()
    return PlaceVerdicts(
        known_watches,
        store.verdicts.list_newest_of_places({digest for _, digest in places}),
        [record.waiver.repository for record in active if record.waiver.repository],
    )
