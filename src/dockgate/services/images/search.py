"""Lists of images for people and programs: what `dockgate image list`, the API and the console show."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dockgate.gate import patterns
from dockgate.gate.model import Status
from dockgate.gate.policy_choice import DEFAULT_POLICY
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Caller
from dockgate.services.clock import ServerClock
from dockgate.services.images.fleet_packages import FleetPackages
from dockgate.services.images.location_verdicts import LocationVerdicts, read_location_verdicts, select_newest_verdicts
from dockgate.services.images.name_search import strip_own_registry
from dockgate.services.images.watched_images import WatchedImages, WatchedRepository
from dockgate.shared.cursors import LARGEST_PAGE, PAGE, read_cursor, write_cursor
from dockgate.store import Store
from dockgate.store.exposure.records import RunningImage
from dockgate.store.gate.verdict_facts import CountedWaiver
from dockgate.store.images.image_filter import ImageFilter, ImageSort, Origin
from dockgate.store.images.listing import ListedImage
from dockgate.store.records import ImageLocation, NewestVerdict, VerdictRecord
from dockgate.vulnerabilities.model import Severity

# Minutes after its scan in which an image may have no current verdict yet.
JUDGING_MINUTES = 2
# How filters name images without a verdict.
NOT_JUDGED = "NotJudged"
# The status of an image that is in several repositories is the worst; one that is not judged is the last.
_WORST_FIRST = (Status.REJECTED, Status.UNDETERMINED, Status.APPROVED, None)
# Numbers are compared with columns of 32 bits.
_LARGEST_NUMBER = (1 << 31) - 1
# Columns of each order.
_POSITIONS: Mapping[ImageSort, tuple[type, ...]] = {
    ImageSort.PUSHED: (str, int),
    ImageSort.SEVERITY: (int, int, int, int, int),
    ImageSort.NAME: (str, str, int),
}


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """A location of an image: its tag (null without one), and its verdict.

    `until` is null unless the tag has moved on, or the image was deleted: then `gone_at` is set. `scan` is the state of
    its scan, null without one, `scanner` the version that read it, null if unknown. `status`, `policy`, `counts` (by
    severity, what the policy counts) and `since` are those of the current verdict, which is renewed when anything
    changes; in a repository with another policy or other waivers than where it was read, those of the newest recorded
    verdict there. Null: it was not judged. `summary` is the reason if a verdict with this status and these counts is
    recorded, or else the counts in words, and other rules that it violates or why it is Undetermined.
    `cannot_judge_since`: since when it is the last status that could be judged, because feeds are stale or missing.
    `waived` says how much waivers and VEX statements excuse in that verdict ("3 waived"), null for nothing; `waivers`
    are these, empty too while no recorded verdict says which. `services` run the image.
    """

    repository: str
    tag: str | None
    digest: str
    pushed_at: str
    until: str | None
    gone_at: str | None
    scan: str | None
    scanner: str | None
    status: str | None
    summary: str | None
    waived: str | None
    waivers: Sequence[CountedWaiver]
    policy: PolicyReference | None
    counts: dict[str, int] | None
    since: str | None
    cannot_judge_since: str | None
    services: list[str]


@dataclass(frozen=True, slots=True)
class ImagePage:
    """A page of images. `next` is the cursor of the following one, null for the last.

    A page by `status` may be short: images are left out that have another verdict in their repository than elsewhere.
    """

    images: list[ImageSummary]
    next: str | None


@dataclass(frozen=True, slots=True)
class CountedImages:
    """A page of images.

    `previous` is the cursor of the page before, None if that is the first page or this is. `total` is the number of
    images on all pages; None if there is only this page, or for a query by verdict or findings. `repositories` are
    those that the caller may see.
    """

    page: ImagePage
    previous: str | None
    total: int | None
    repositories: Sequence[str]


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """A query for images. Filters of findings apply to one finding (`store.images.listing`).

    `repository` is a name, or a pattern with `*` and `**`, with or without our own registry; `package` a package URL or
    NAME[@VERSION]; `epss` the least probability of EPSS, from 0 to 1; `layer` the digest of a layer. `statuses` may
    have NOT_JUDGED. With `should_include_moved`, tags that have moved on and images that are gone are listed, too.
    `after` is the cursor of a page. `caller` asks: a limited token sees its own repositories only.
    """

    caller: Caller | None = None
    repository: str | None = None
    severities: Collection[Severity] = ()
    is_fixable: bool = False
    is_exploited: bool = False
    epss: float | None = None
    package: str | None = None
    origin: Origin | None = None
    layer: str | None = None
    statuses: Collection[str] = ()
    is_running: bool = False
    should_include_moved: bool = False
    sort: ImageSort = ImageSort.PUSHED
    limit: int = PAGE
    after: str | None = None


@dataclass(frozen=True, slots=True)
class ImageSearch:
    """Lists of images. `registry` is our own registry, `registry_names` what people call it."""

    store: Store
    packages: FleetPackages
    watched_images: WatchedImages
    clock: ServerClock
    registry: str
    registry_names: Sequence[str]

    def list_images(self, query: ImageQuery) -> ImagePage:
        """A page of images. UsageError for a wrong cursor or package URL."""
        with self.store.database.read():  # one connection, and one state of the tables, for all of it
            return self._list_page(query, *self._make_filter(query, None))

    def list_counted_images(self, query: ImageQuery, limit: int) -> CountedImages:
        """A page of images, the way to the page before, and the number of images: at most `limit` are counted."""
        with self.store.database.read():
            names = self.store.exposures.list_repositories()
            repositories = _select_visible_repositories(names, query.caller)
            running, image_filter = self._make_filter(query, names)
            page = self._list_page(query, running, image_filter)
            if not query.after and page.next is None:
                return CountedImages(page, None, None, repositories)
            total = self.store.image_listing.count(image_filter, limit)
            return CountedImages(page, self._find_previous_page(query, image_filter), total, repositories)

    def _list_page(self, query: ImageQuery, running: Sequence[RunningImage], image_filter: ImageFilter) -> ImagePage:
        images, position = self._read(image_filter, query.sort, _read_cursor(query), query.limit, running, {})
        if position and (missing_count := query.limit - len(images)):  # where they are, another verdict counts
            rows, position = self._read(image_filter, query.sort, position, missing_count, running, {})
            images += rows
        return ImagePage(images, write_cursor(query.sort, position) if position else None)

    def _find_previous_page(self, query: ImageQuery, image_filter: ImageFilter) -> str | None:
        after = _read_cursor(query)
        if after is None:
            return None
        judged_before = self.clock.compute_time_before(JUDGING_MINUTES / 1440)
        listing = self.store.image_listing
        position = listing.find_previous_position(image_filter, query.sort, after, query.limit, judged_before)
        return write_cursor(query.sort, position) if position else None

    def _make_filter(
        self, query: ImageQuery, names: Sequence[str] | None
    ) -> tuple[Sequence[RunningImage], ImageFilter]:
        """Return what runs that the caller may see, and the conditions of the query.

        `names` are all repositories, None to read them if a condition needs them.
        """
        running_images = self.select_visible_services(self.store.services.list_running_images(), query.caller)
        is_undetermined, is_by_severity = Status.UNDETERMINED in query.statuses, query.sort is ImageSort.SEVERITY
        is_limited = query.caller is not None and query.caller.is_limited
        if names is None:
            needs_names = bool(query.repository) or is_limited or is_undetermined or is_by_severity
            names = self.store.exposures.list_repositories() if needs_names else ()
        return running_images, ImageFilter(
            repositories=self._list_matching_repositories(query.repository, query.caller, names),
            severities=query.severities,
            is_fixable=query.is_fixable,
            is_exploited=query.is_exploited,
            epss=query.epss,
            components=self.packages.find(query.package).keys() if query.package else None,
            origin=query.origin,
            layer=query.layer,
            statuses=[None if name == NOT_JUDGED else Status(name) for name in query.statuses],
            undetermined_repositories=self.watched_images.selection.find_conflicts(names) if is_undetermined else (),
            digests={entry.digest for entry in running_images} if query.is_running else None,
            should_include_moved=query.should_include_moved,
            policies=self._group_repositories_by_policy(names) if is_by_severity else {},
        )

    def _group_repositories_by_policy(self, names: Sequence[str]) -> Mapping[str, Collection[str]]:
        """Group these repositories by their policy."""
        groups: dict[str, list[str]] = {}
        for repository, assignment in self.watched_images.selection.split_repositories(names).assignments.items():
            policy = DEFAULT_POLICY if assignment is None else assignment.policy
            groups.setdefault(policy, []).append(repository)
        return groups

    def list_locations(
        self,
        image: str,
        watches: Sequence[WatchedRepository],
        verdicts: Sequence[VerdictRecord],
        running_images: Sequence[RunningImage],
        repository: str | None = None,
    ) -> Sequence[ImageSummary]:
        """Return the locations of an image (a digest), with the services of `running_images` that run it.

        Those in `repository` come first, then those where it is now, the watched ones before others, the worst verdict
        first. `watches` are of its repositories, `verdicts` those on it, newest first.
        """
        records = select_newest_verdicts(verdicts)
        by_location = {ImageLocation(entry.repository, image): entry for entry in watches}
        with self.store.database.read():
            image_filter = ImageFilter(digests=[image], should_include_moved=True)
            locations, _ = self._read(
                image_filter, ImageSort.PUSHED, None, LARGEST_PAGE, running_images, by_location, records
            )
        watched_repositories = {watch.repository for watch in watches if watch.is_watched}
        return sorted(
            locations,
            key=lambda location: (
                location.repository != repository,
                location.until is not None,
                location.repository not in watched_repositories,
                _WORST_FIRST.index(location.status),
            ),
        )

    def _read(
        self,
        image_filter: ImageFilter,
        sort: ImageSort,
        after: Sequence[str | int] | None,
        limit: int,
        running_images: Sequence[RunningImage],
        watches: Mapping[ImageLocation, WatchedRepository],
        records: Mapping[ImageLocation, Sequence[NewestVerdict]] | None = None,
    ) -> tuple[list[ImageSummary], Sequence[str | int] | None]:
        judged_before = self.clock.compute_time_before(JUDGING_MINUTES / 1440)
        rows, position = self.store.image_listing.read_page(image_filter, sort, after, limit, judged_before)
        locations = {ImageLocation(row.repository, row.digest): (row.judged_in, row.policy) for row in rows}
        if missing_locations := locations.keys() - watches.keys():
            watches = {**watches, **self.watched_images.read_watches(missing_locations)}
        location_verdicts = read_location_verdicts(self.store, self.clock.now(), locations, watches, records)
        rows = [self._read_own_verdict(row, location_verdicts) for row in rows]
        rows = [row for row in rows if not image_filter.statuses or row.status in image_filter.statuses]
        return [self._make_summary(row, location_verdicts, running_images) for row in rows], position

    def _read_own_verdict(self, row: ListedImage, location_verdicts: LocationVerdicts) -> ListedImage:
        """Return the row with the verdict that counts in its repository."""
        location = ImageLocation(row.repository, row.digest)
        if conflict := location_verdicts.watches[location].conflict:
            status = Status.UNDETERMINED if row.gone_at is None else None
            row = row._replace(status=status, policy=None, counts=None, since=None)
            return row._replace(cannot_judge_since=None, waived_count=None, reason=conflict)
        if location_verdicts.has_fleet_verdict(location, row.judged_in, row.policy):
            return row
        row = row._replace(cannot_judge_since=None, waived_count=None, reason=None)
        if (newest_verdict := location_verdicts.find_recorded_verdict(location)) is None:
            return row._replace(status=None, policy=None, counts=None, since=None)
        record, since = newest_verdict
        by_severity = self.store.verdicts.get_counts(record.digest)
        counts = tuple(by_severity.get(severity, 0) for severity in Severity)
        return row._replace(status=record.status, policy=record.policy, counts=counts, since=since)

    def _make_summary(
        self, row: ListedImage, location_verdicts: LocationVerdicts, running_images: Sequence[RunningImage]
    ) -> ImageSummary:
        location = ImageLocation(row.repository, row.digest)
        newest_verdict, watch = location_verdicts.find_recorded_verdict(location), location_verdicts.watches[location]
        record = newest_verdict.record if newest_verdict else None
        status, counts = row.status.value if row.status else None, None
        if row.counts is not None:
            counts = dict(zip(map(str, Severity), row.counts, strict=True))
        waived_counts = record.waived if record is not None and record.status == status else None
        if row.waived_count is not None:
            waived_counts = f"{row.waived_count} waived" if row.waived_count else None
        waivers: Sequence[CountedWaiver] = ()
        # The recorded verdict may be older than a waiver, a finding or an advisory that names no version: then its
        # reasons are not those of today.
        if (
            record is not None
            and not (row.status is Status.UNDETERMINED and row.reason)
            and record.status == status
            and bool(record.waived) == bool(waived_counts)
            and (counts is None or self.store.verdicts.get_counts(record.digest) == counts)
        ):
            summary: str | None = record.summary
            if waived_counts:
                waivers = location_verdicts.select_active(self.store.verdicts.list_waivers(record.digest))
        else:
            summary = _describe_verdict(row)
        if row.gone_at is None and not watch.is_watched:
            status, summary = Status.UNDETERMINED.value, f"not watched any more since {watch.until}"
        return ImageSummary(
            repository=row.repository,
            tag=row.tag,
            digest=row.digest,
            pushed_at=row.pushed_at,
            until=row.until,
            gone_at=row.gone_at,
            scan=row.scan,
            scanner=row.scanner,
            status=status,
            summary=summary,
            waived=waived_counts,
            waivers=waivers,
            policy=row.policy,
            counts=counts,
            since=row.since,
            cannot_judge_since=row.cannot_judge_since,
            services=[entry.service for entry in running_images if entry.digest == row.digest],
        )

    def select_visible_services(self, running: Sequence[RunningImage], caller: Caller | None) -> Sequence[RunningImage]:
        """Return those of the services that run an image of a repository that the caller sees."""
        return [
            entry
            for entry in running
            if caller is None or caller.can_reach(repository=entry.reference.strip_registry(self.registry))
        ]

    def list_repositories(self, caller: Caller | None = None) -> Sequence[str]:
        """The repositories that have or had images, as far as the caller sees them, sorted."""
        return _select_visible_repositories(self.store.exposures.list_repositories(), caller)

    def _list_matching_repositories(
        self, pattern: str | None, caller: Caller | None, names: Sequence[str]
    ) -> Collection[str] | None:
        """Return those of all repositories that match and that the caller sees, None for no limit."""
        is_limited = caller is not None and caller.is_limited
        if pattern is None and not is_limited:
            return None
        repositories = _select_visible_repositories(names, caller)
        if pattern is not None:
            own_pattern = strip_own_registry(pattern, self.registry_names)
            repositories = [name for name in repositories if patterns.is_match(name, own_pattern)]
        # All that there are need no filter, which would look for each image's repository among them.
        return None if len(repositories) == len(names) and not is_limited else repositories


def _select_visible_repositories(names: Sequence[str], caller: Caller | None) -> Sequence[str]:
    if caller is None or not caller.is_limited:
        return names
    return [name for name in names if caller.can_reach(repository=name)]


def _read_cursor(query: ImageQuery) -> Sequence[str | int] | None:
    return read_cursor(query.after, query.sort, _POSITIONS[query.sort], _LARGEST_NUMBER) if query.after else None


def _describe_verdict(row: ListedImage) -> str | None:
    """What counts in the verdict of the row, in words; None if it was not judged."""
    if row.status is Status.UNDETERMINED and row.policy is None and row.reason is None:
        return "it has no current verdict yet"
    if row.status is None or (row.counts is None and row.status is not Status.UNDETERMINED):
        return row.reason or None
    return describe_verdict(row.status, row.counts or (), row.reason, row.cannot_judge_since)


def list_differing_statuses(locations: Sequence[ImageSummary]) -> Mapping[str, str | None]:
    """Return the status of an image in each repository where it is now; none if all are the same."""
    statuses = {location.repository: location.status for location in locations if location.until is None}
    return statuses if len(set(statuses.values())) > 1 else {}


def describe_verdict(status: Status, counts: Sequence[int], reason: str | None, cannot_judge_since: str | None) -> str:
    """The findings of a verdict in words, by severity, and its reason.

    It is never silent on why a verdict is Undetermined, or Approved with findings: limits may allow them, or a grace
    period.
    """
    if reason is None and status is Status.UNDETERMINED:
        reason = "not everything in the image could be judged"
        if cannot_judge_since:
            reason = f"advisories are stale or missing since {cannot_judge_since}"
    if reason is None and status is Status.APPROVED and any(counts) and not cannot_judge_since:
        reason = "within the policy's limits"
    findings = _describe_counts(counts) if any(counts) or not reason else ""
    return "; ".join(filter(None, (findings, reason)))


def _describe_counts(counts: Sequence[int]) -> str:
    parts = [f"{count} {severity}" for severity, count in zip(Severity, counts, strict=True) if count]
    if not parts:
        return "no finding counts"
    return f"{', '.join(parts)} {'findings' if sum(counts) > 1 else 'finding'}"
