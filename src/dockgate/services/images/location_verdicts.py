"""The verdict that counts on an image in each of its repositories: the fleet's, or a recorded one.

The fleet judges an image once, by the policy and the waivers of the repository where it was read. In repositories with
others, it is judged by `services.fleet.repository_verdicts`, which records every verdict.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dockgate.gate import patterns
from dockgate.gate.model import Waiver
from dockgate.services.images.watched_images import WatchedRepository
from dockgate.store import Store
from dockgate.store.gate.verdict_facts import CountedWaiver
from dockgate.store.records import ImageLocation, NewestVerdict, VerdictRecord


@dataclass(frozen=True, slots=True)
class LocationVerdicts:
    """What decides which verdict counts where.

    `records` are the newest recorded verdict of each policy, the newest first, and `waived_patterns` the patterns of
    repositories of all waivers that name some. `active_ids` are those of the waivers that count now, if they may be in
    a record.
    """

    watches: Mapping[ImageLocation, WatchedRepository]
    records: Mapping[ImageLocation, Sequence[NewestVerdict]]
    waived_patterns: Sequence[str]
    active_ids: Collection[str] = ()

    def has_fleet_verdict(self, location: ImageLocation, judged_in: str, policy: str | None) -> bool:
        """Return whether the verdict of the fleet counts, which is by this policy (None without one)."""
        repository, _ = location
        if policy is None:
            return repository == judged_in
        return policy == self.watches[location].policy and self._has_same_waivers(repository, judged_in)

    def find_recorded_verdict(self, location: ImageLocation) -> NewestVerdict | None:
        """Return the newest recorded verdict by the repository's policy, else by any other."""
        records = self.records.get(location, ())
        policy = self.watches[location].policy
        return next((entry for entry in records if entry.record.policy == policy), records[0] if records else None)

    def select_active(self, waivers: Sequence[CountedWaiver]) -> Sequence[CountedWaiver]:
        """Return the waivers of a recorded verdict, none if one of them counts no more.

        Others have replaced it since.
        """
        return waivers if all(entry.by in self.active_ids for entry in waivers if entry.kind == "waiver") else ()

    def _has_same_waivers(self, repository: str, judged_in: str) -> bool:
        """Return whether the repository has the same waivers of its own as the one where the image is judged."""
        return repository == judged_in or all(
            patterns.is_match(repository, pattern) == patterns.is_match(judged_in, pattern)
            for pattern in self.waived_patterns
        )


def read_location_verdicts(
    store: Store,
    now: str,
    locations: Mapping[ImageLocation, tuple[str, str | None]],
    watches: Mapping[ImageLocation, WatchedRepository],
    records: Mapping[ImageLocation, Sequence[NewestVerdict]] | None = None,
) -> LocationVerdicts:
    """Read what decides for these locations.

    Each has the repository where the fleet judges its image, and the policy of that verdict. The `records` may be
    known.
    """
    has_same_policy = any(
        location[0] != judged_in and policy == watches[location].policy
        for location, (judged_in, policy) in locations.items()
    )
    if records is None:
        records = store.verdicts.list_newest_by_location({digest for _, digest in locations}) if locations else {}
    has_waivers = any(entry.record.waived for entries in records.values() for entry in entries)
    active = store.waivers.list_active(now) if has_same_policy or has_waivers else ()
    active_ids = {record.waiver.id for record in active}
    return LocationVerdicts(watches, records, list_waived_patterns(record.waiver for record in active), active_ids)


def list_waived_patterns(active_waivers: Iterable[Waiver]) -> list[str]:
    """Return the repositories for which these waivers alone count."""
    return [waiver.repository for waiver in active_waivers if waiver.repository]


def select_newest_verdicts(records: Sequence[VerdictRecord]) -> Mapping[ImageLocation, Sequence[NewestVerdict]]:
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
    entries: dict[ImageLocation, list[NewestVerdict]] = {}
    for (repository, image, _), entry in by_policy.items():
        entries.setdefault(ImageLocation(repository, image), []).append(entry)
    return dict(entries)
