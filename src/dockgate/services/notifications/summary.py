"""The daily summary of a target: how its images and services are, also when all is well."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from dockgate.delivery.ports import Advisories
from dockgate.events.model import Target
from dockgate.gate.model import Status
from dockgate.gate.waivers import select_expiring_waivers
from dockgate.services.images.location_verdicts import LocationVerdicts, read_location_verdicts
from dockgate.services.images.search import JUDGING_MINUTES
from dockgate.services.images.watched_images import WatchedImages, WatchedRepository
from dockgate.services.notifications.owners import Owners
from dockgate.shared.errors import DatabaseError
from dockgate.shared.timestamps import format_time
from dockgate.shared.wording import format_count, shorten_text, to_one_line
from dockgate.store import Store
from dockgate.store.images.image_filter import ImageFilter, ImageSort
from dockgate.store.images.listing import LocationVerdict
from dockgate.store.records import ImageLocation, ScanState
from dockgate.vulnerabilities.feed_age import STALE_AFTER, is_stale

LIST_LIMIT = 10
WAIVER_DAYS = 7


class _State(StrEnum):
    """The state of an image: the first of these that it has in any of its repositories."""

    REJECTED = "Rejected"
    UNDETERMINED = "Undetermined"
    UNJUDGED = "NotJudged"
    APPROVED = "Approved"
    UNWATCHED = "NotWatched"


_ORDER = list(_State)


@dataclass(frozen=True, slots=True)
class _Images:
    """The numbers of images in each state, with the first that are rejected and unknown."""

    counts: Mapping[_State, int]
    rejected_images: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def count(self, state: _State) -> int:
        return self.counts.get(state, 0)


@dataclass(frozen=True, slots=True)
class NotificationSummary:
    """Summaries for targets. One that is not an owner's target gets a summary of the whole server.

    All is well only while everything is known: images without a verdict, stale advisories and feeds that bring nothing
    new are no good news. `suspect_feeds` returns why feeds are suspect, by feed.
    """

    store: Store
    watched_images: WatchedImages
    advisories: Advisories
    suspect_feeds: Callable[[], Mapping[str, str]] = dict

    def describe(self, target: Target, owners: Owners, now: datetime) -> tuple[str, str, Mapping[str, Any]]:
        """Title, text and detail of the summary of a target. `owners` know all targets."""
        is_owner = owners.is_owner(target.name)
        at_risk, unclear, services = [], [], 0
        for service in self.store.services.list():
            if is_owner and target.name not in owners.find_targets({"detail": {"service": service.name}}):
                continue
            services += 1
            if service.at_risk:
                at_risk.append(f"{service.name}: {_describe_deadline(service.at_risk_until, format_time(now))}")
            elif service.cannot_judge:
                unclear.append(f"{service.name}: {service.cannot_judge}")
        waivers = self._list_expiring_waivers(now, owners, target, is_owner)
        images = self._collect_images(now, owners, target, is_owner)
        stale_advisories = self._list_stale_advisories(now)
        suspect = [f"{feed}: {to_one_line(reason)}" for feed, reason in sorted(self.suspect_feeds().items())]
        total = sum(images.counts.values()) - images.count(_State.UNWATCHED)
        rejected_count, undetermined_count = images.count(_State.REJECTED), images.count(_State.UNDETERMINED)
        unjudged_count, unwatched_count = images.count(_State.UNJUDGED), images.count(_State.UNWATCHED)
        not_watched = f", {unwatched_count} not watched" if unwatched_count else ""
        problems = (
            (at_risk, f"{len(at_risk)} of {format_count(services, 'service')} at risk"),
            (unclear, f"{format_count(len(unclear), 'service')} not judged"),
            (rejected_count, f"{rejected_count:,} of {format_count(total, 'image')} rejected"),
            (undetermined_count, f"{format_count(undetermined_count, 'image')} undetermined"),
            (unjudged_count, f"{format_count(unjudged_count, 'image')} without a verdict"),
            (waivers, f"{format_count(len(waivers), 'waiver')} ending soon"),
            (stale_advisories, "stale advisories"),
            (suspect, f"{format_count(len(suspect), 'feed')} without new records"),
        )
        title = ", ".join(text for is_there, text in problems if is_there)
        if not title:
            counts = f"{format_count(services, 'service')}, none at risk; {format_count(total, 'image')}, all approved"
            title = f"All is well: {counts}{not_watched}"
        scope = "of your repositories" if is_owner else "of this server"
        lines = [f"Services {scope}: {services}, at risk: {len(at_risk)}.", *_list_lines(at_risk)]
        if unclear:
            lines += [f"Services that cannot be judged: {len(unclear)}.", *_list_lines(unclear)]
        lines.append(
            f"Images: {total}, rejected: {rejected_count}, undetermined: {undetermined_count}, "
            f"without a verdict: {unjudged_count}{not_watched}."
        )
        lines += _list_lines(images.rejected_images, rejected_count)
        if undetermined_count or unjudged_count:
            lines += ["Not known to be safe:", *_list_lines(images.unknown, undetermined_count + unjudged_count)]
        if stale_advisories:
            lines += [f"Stale or missing advisories: {len(stale_advisories)}.", *_list_lines(stale_advisories)]
        if suspect:
            lines += [f"Feeds that are checked and bring no new records: {len(suspect)}.", *_list_lines(suspect)]
        lines += [f"Waivers that expire within {WAIVER_DAYS} days: {len(waivers)}.", *_list_lines(waivers)]
        detail = {
            "services": services,
            "at_risk": at_risk[:LIST_LIMIT],
            "cannot_judge": unclear[:LIST_LIMIT],
            "images": {state.value: count for state, count in images.counts.items()},
            "rejected": images.rejected_images,
            "unknown": images.unknown,
            "stale_advisories": stale_advisories[:LIST_LIMIT],
            "suspect_feeds": suspect[:LIST_LIMIT],
            "expiring_waivers": waivers[:LIST_LIMIT],
        }
        return title, "\n".join(lines), detail

    def _collect_images(self, now: datetime, owners: Owners, target: Target, is_owner: bool) -> _Images:
        """Return the states of the images that the target is notified about."""
        repositories = None
        if is_owner:
            repositories = [
                name for name in self.store.exposures.list_repositories() if owners.is_owner_of(target.name, name)
            ]
        judged_before = format_time(now - timedelta(minutes=JUDGING_MINUTES))
        locations = self.store.image_listing.list_current_locations(repositories, judged_before)
        watches = self.watched_images.read_watches({_get_place(location) for location in locations})
        worst_locations: dict[str, tuple[int, LocationVerdict]] = {}
        for location, state in zip(
            locations, self._determine_states(locations, watches, format_time(now)), strict=True
        ):
            rank = _ORDER.index(state)
            if location.digest not in worst_locations or rank < worst_locations[location.digest][0]:
                worst_locations[location.digest] = rank, location
        locations_by_state: dict[_State, list[LocationVerdict]] = {state: [] for state in _State}
        for rank, location in worst_locations.values():
            locations_by_state[_ORDER[rank]].append(location)
        unclear_lines = [
            *(
                f"{_format_name(location)}: {watches[_get_place(location)].conflict or _explain_undetermined(location)}"
                for location in locations_by_state[_State.UNDETERMINED][:LIST_LIMIT]
            ),
            *(
                f"{_format_name(location)}: {_explain_unjudged(location)}"
                for location in locations_by_state[_State.UNJUDGED][:LIST_LIMIT]
            ),
        ]
        counts = Counter(
            {state: len(state_locations) for state, state_locations in locations_by_state.items() if state_locations}
        )
        rejected_images = self._list_worst_rejected(repositories, locations_by_state[_State.REJECTED])
        return _Images(counts, rejected_images, unclear_lines[:LIST_LIMIT])

    def _determine_states(
        self,
        locations: Sequence[LocationVerdict],
        watches: Mapping[ImageLocation, WatchedRepository],
        now: str,
    ) -> Iterable[_State]:
        """Return the state of each location: Undetermined where the policy is not clear, as in lists of images."""
        other_locations = {
            _get_place(location): (location.judged_in, location.policy)
            for location in locations
            if location.repository != location.judged_in
        }
        verdicts = read_location_verdicts(self.store, now, other_locations, watches)
        for location in locations:
            watch = watches[_get_place(location)]
            if not watch.is_watched:
                yield _State.UNWATCHED
            elif watch.conflict:
                yield _State.UNDETERMINED
            else:
                yield _determine_state(location, verdicts)

    def _list_worst_rejected(
        self, repositories: Sequence[str] | None, rejected_locations: Sequence[LocationVerdict]
    ) -> list[str]:
        """Return the names of rejected images, those with the worst findings first."""
        image_filter = ImageFilter(repositories, statuses=(Status.REJECTED,))
        worst_images, _ = self.store.image_listing.read_page(
            image_filter, ImageSort.SEVERITY, None, LIST_LIMIT, judged_before=""
        )
        names = {location.digest: _format_name(location) for location in rejected_locations}
        digests = dict.fromkeys(image.digest for image in worst_images if image.digest in names)
        return [names[digest] for digest in [*digests, *(names.keys() - digests.keys())]][:LIST_LIMIT]

    def _list_stale_advisories(self, now: datetime) -> list[str]:
        """Return what is too old to judge by, in words; the database itself if it is missing."""
        try:
            reader = self.advisories()
            coverage = reader.list_coverage()
        except DatabaseError as error:
            return [error.full_message]
        return [
            f"{entry.ecosystem}: last checked {entry.checked_at or 'never'}, more than {STALE_AFTER.days} days ago"
            for entry in coverage
            if is_stale(entry.checked_at, now)
        ]

    def _list_expiring_waivers(self, now: datetime, owners: Owners, target: Target, is_owner: bool) -> list[str]:
        at = format_time(now)
        active = [record.waiver for record in self.store.waivers.list_active(at)]
        return [
            f"{waiver.id} of {to_one_line(waiver.owner)} expires at {waiver.until}"
            for waiver in select_expiring_waivers(active, at, WAIVER_DAYS)
            if not is_owner or owners.is_owner_of_waiver(target.name, waiver)
        ]


def _get_place(location: LocationVerdict) -> ImageLocation:
    return ImageLocation(location.repository, location.digest)


def _determine_state(location: LocationVerdict, verdicts: LocationVerdicts) -> _State:
    """Return the state of an image in a repository where it is watched."""
    key = _get_place(location)
    is_of_fleet = location.repository == location.judged_in or verdicts.has_fleet_verdict(
        key, location.judged_in, location.policy
    )
    newest_verdict = None if is_of_fleet else verdicts.find_recorded_verdict(key)
    status = location.status if is_of_fleet else newest_verdict.record.status if newest_verdict else None
    if location.scan is not ScanState.DONE:
        # An earlier scan may have found something, but nothing that it did not find is known.
        return _State.REJECTED if status is Status.REJECTED else _State.UNJUDGED
    if status is None:
        return _State.UNJUDGED
    if status is Status.APPROVED and is_of_fleet and location.cannot_judge_since:
        return _State.UNDETERMINED
    return _State(status.value)


def _describe_deadline(deadline: str | None, now: str) -> str:
    if deadline is None:
        return "replace it"
    return f"replace it before {deadline}" if now < deadline else f"replace it: its deadline passed at {deadline}"


def _format_name(location: LocationVerdict) -> str:
    return f"{location.repository}{f':{location.tag}' if location.tag else f'@{location.digest}'}"


def _explain_undetermined(location: LocationVerdict) -> str:
    since = location.cannot_judge_since
    return f"advisories are stale or missing since {since}" if since else "undetermined"


def _explain_unjudged(location: LocationVerdict) -> str:
    if location.scan is ScanState.FAILED:
        return "its scan has failed"
    return "not judged yet" if location.scan is ScanState.DONE else "not scanned yet"


def _list_lines(lines: list[str], count: int | None = None) -> list[str]:
    """The first lines of `count`, by default as many as there are."""
    visible_lines = [f"- {shorten_text(to_one_line(line), 200)}" for line in lines[:LIST_LIMIT]]
    remaining = (len(lines) if count is None else count) - len(visible_lines)
    return [*visible_lines, f"and {remaining} more"] if remaining > 0 else visible_lines
