"""The verdict that counts on an image in each of its repositories: the fleet's, or a recorded one.

The fleet judges an image once, by the policy and the waivers of the repository where it was read. In repositories with
others, it is judged by `services.fleet.repository_verdicts`, which records every verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dockgate.gate import patterns
from dockgate.services.images.watched_images import WatchedRepository
from dockgate.store import Store
from dockgate.store.records import NewestVerdict, VerdictRecord

# A repository, and the digest of an image in it.
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PlaceVerdicts:
    """What decides which verdict counts where.

    `records` are the newest recorded verdict of each policy, the newest first, and `waived_patterns` the patterns of
    repositories of all waivers that name some.
    """

    watches: Mapping[Place, WatchedRepository]
    records: Mapping[Place, Sequence[NewestVerdict]]
    waived_patterns: Sequence[str]

    def has_fleet_verdict(self, place: Place, judged_in: str, policy: str | None) -> bool:
        """Return whether the verdict of the fleet counts, which is by this policy (None without one)."""
        repository, _ = place
        if policy is None:
            return repository == judged_in
        return policy == self.watches[place].policy and self._has_same_waivers(repository, judged_in)

    def find_recorded_verdict(self, place: Place) -> NewestVerdict | None:
        """Return the newest recorded verdict by the repository's policy, else by any other."""
        records = self.records.get(place, ())
        policy = self.watches[place].policy
        return next((entry for entry in records if entry.record.policy == policy), records[0] if records else None)

    def _has_same_waivers(self, repository: str, judged_in: str) -> bool:
        """Return whether the repository has the same waivers of its own as the one where the image is judged."""
        return repository == judged_in or all(
            patterns.is_match(repository, pattern) == patterns.is_match(judged_in, pattern)
            for pattern in self.waived_patterns
        )


def read_place_verdicts(
    store: Store,
    now: str,
    places: Mapping[Place, tuple[str, str | None]],
    watches: Mapping[Place, WatchedRepository],
    records: Mapping[Place, Sequence[NewestVerdict]] | None = None,
) -> PlaceVerdicts:
    """Read what decides for these places.

    Each has the repository where the fleet judges its image, and the policy of that verdict. The `records` may be
    known.
    """
    has_same_policy = any(
        place[0] != judged_in and policy == watches[place].policy for place, (judged_in, policy) in places.items()
    )
    active = store.waivers.list_active(now) if has_same_policy else ()
    if records is None:
        records = store.verdicts.list_newest_of_places({digest for _, digest in places}) if places else {}
    return PlaceVerdicts(watches, records, [record.waiver.repository for record in active if record.waiver.repository])


def select_newest_verdicts(records: Sequence[VerdictRecord]) -> Mapping[Place, Sequence[NewestVerdict]]:
    """Select the newest verdict of each policy in each repository from all those on images, newest first."""
    by_policy: dict[tuple[str, str, str], NewestVerdict] = {}
    changed_keys = set()
    for record in records:
        key = record.repository, record.image, record.policy
        entry = by_policy.setdefault(key, NewestVerdict(record, record.judged_at))
        if entry.record.status != record.status:
            changed_keys.add(key)
        elif key not in changed_keys:
            by_policy[key] = entry._replace(since=record.judged_at)
    entries: dict[Place, list[NewestVerdict]] = {}
    for (repository, image, _), entry in by_policy.items():
        entries.setdefault((repository, image), []).append(entry)
    return dict(entries)
