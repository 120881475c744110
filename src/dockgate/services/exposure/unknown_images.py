"""Images of which it is unknown whether they contain a vulnerability or a package."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dockgate.delivery.ports import Advisories
from dockgate.services.exposure.catalogue_ages import CatalogueAge, list_catalogue_ages
from dockgate.services.exposure.caveats import FeedChecks
from dockgate.services.exposure.conclusion import Outcome
from dockgate.services.exposure.feed_ages import FeedAge, list_feed_ages
from dockgate.shared.errors import DatabaseError
from dockgate.shared.wording import format_count
from dockgate.store import Store
from dockgate.store.exposure.records import ExposureScope, HistoryBegin, IndexState, UnknownImage
from dockgate.store.fleet.records import IndexedImage, TagPeriod
from dockgate.store.records import ScanState
from dockgate.vulnerabilities.model import CATALOGUES, Coverage


@dataclass(frozen=True, slots=True)
class UnknownExposure:
    """An image that contains it or not, and why that is unknown.

    `tag` is null for one that is there by its digest, `repository` for one that only runs.
    """

    digest: str
    repository: str | None
    tag: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class UnknownPage:
    """A page of the images of which it is unknown for a reason of their own.

    `next` is the following cursor. `total` is their number, null while it is unknown of every image that is not named
    to contain it. `reason` says why, null where it is not, or where nothing has the name.
    """

    total: int | None
    images: list[UnknownExposure]
    next: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class AdvisoryKnowledge:
    """The knowledge of the advisory database about some vulnerabilities, or about a package.

    `is_known`: it has their names, None if it cannot be read. `packages` are those that their advisories are about:
    (ecosystem, source name). The components of `uncovered_components` may be such packages, and it does not cover them.
    `reason` says why no image can be judged, `checks` how old the advisories are, `feeds` how old those for the
    ecosystems of the images are, and `catalogues` how old KEV and EPSS are: none of them for a question about a
    package.
    """

    is_known: bool | None
    packages: Collection[tuple[str, str]] = ()
    uncovered_components: Collection[int] = ()
    reason: str | None = None
    checks: FeedChecks = field(default_factory=FeedChecks)
    feeds: Sequence[FeedAge] = ()
    catalogues: Sequence[CatalogueAge] = ()

    @property
    def stale_feeds(self) -> Sequence[FeedAge]:
        """The feeds that are stale."""
        return [feed for feed in self.feeds if feed.is_stale]


def read_advisory_knowledge(
    store: Store, advisories: Advisories, names: Sequence[str], state: IndexState, now: str, as_of: str | None = None
) -> AdvisoryKnowledge:
    """Return what the advisory database knows of the vulnerabilities with these names, and how old it is."""
    try:
        reader = advisories()
        packages, coverage = reader.find_packages(names), reader.list_coverage()
        is_known = packages is not None or bool(reader.find_cves(names))
    except DatabaseError as error:
        return _make_unread_knowledge(error)
    uncovered_components = store.fleet.list_uncovered_components(coverage, packages or (), state.ecosystems)
    reason = None
    if not state.is_matched:
        reason = "The packages of the images have not been matched with the advisory database yet."
    feeds = list_feed_ages(coverage, state.ecosystems, now, as_of)
    catalogues = list_catalogue_ages(coverage, now, as_of, ("kev",) if as_of else CATALOGUES)
    checks = _read_checks(coverage)
    return AdvisoryKnowledge(is_known, packages or (), uncovered_components, reason, checks, feeds, catalogues)


def read_package_knowledge(advisories: Advisories, names: Sequence[str]) -> AdvisoryKnowledge:
    """Return whether the advisory database knows a package of one of these names."""
    try:
        reader = advisories()
        return AdvisoryKnowledge(reader.has_package(names), checks=_read_checks(reader.list_coverage()))
    except DatabaseError as error:
        return _make_unread_knowledge(error)


def _make_unread_knowledge(error: DatabaseError) -> AdvisoryKnowledge:
    return AdvisoryKnowledge(None, reason=f"The advisories cannot be read: {error.full_message}")


def _read_checks(coverage: Sequence[Coverage]) -> FeedChecks:
    times = [entry.checked_at for entry in coverage]
    return FeedChecks(min(filter(None, times), default=None), None in times)


class UnknownSlice(NamedTuple):
    """The images of one page: how many there are on all pages, and those of the index by id."""

    total: int
    unindexed_images: Sequence[UnknownExposure]
    indexed_ids: Sequence[int]
    next: str | None


class UnknownImages:
    """Unknown images for one question about components, as in `Exposures.list_images`.

    `exposed_images` are the images that contain one for sure.
    """

    def __init__(
        self,
        store: Store,
        scope: ExposureScope,
        exposed_images: Collection[int],
        components: Collection[int],
        *,
        is_owned: bool,
    ) -> None:
        self._store = store
        self._components = components
        self._is_owned = is_owned
        self._scope = scope
        self._exposed_images = frozenset(exposed_images)
        # Why, by the id of the image.
        self._reasons: dict[int, list[str]] = {}
        # How many images contain one of these packages, neither affected nor unknown.
        self.unaffected_count = 0
        self.unaffected_packages: Sequence[str] = ()
        # How many images contain it and do not count, since no tag names them any more.
        self.moved_count = 0

    def add(
        self,
        components: Mapping[str, Collection[int]],
        packages: Mapping[str, Collection[str]],
        limit: int | None = None,
    ) -> None:
        """Add the images with unread files, and those that contain one of these components, by reason.

        `packages` are the source packages that it is about, by their ecosystems: see `unaffected_count`, which is
        counted no further than `limit`.
        """
        self.unaffected_packages = sorted(set().union(*packages.values()))
        partly_read = self._store.exposures.list_partly_read_images(
            [*components.values()],
            self._scope,
            packages,
            self._exposed_images,
            limit,
            self._components,
            is_owned=self._is_owned,
        )
        self.unaffected_count, self.moved_count = partly_read.other_count, partly_read.moved_count
        for image, count in partly_read.unread_counts:
            self._add(image, f"{format_count(count, 'file')} of it could not be read")
        for reason, images in zip(components, partly_read.images_by_group, strict=True):
            for image in images:
                self._add(image, reason)

    def slice(self, after: int, limit: int) -> UnknownSlice:
        """The images of the page that begins after so many; those that are in no index come first."""
        not_indexed = [
            UnknownExposure(entry.digest, entry.repository, entry.tag, _explain_unknown(entry))
            for entry in self._store.exposures.list_unindexed_images(self._scope)
        ]
        ids = sorted(self._reasons, reverse=True)
        total, end = len(not_indexed) + len(ids), after + limit
        indexed_ids = ids[max(0, after - len(not_indexed)) : max(0, end - len(not_indexed))]
        return UnknownSlice(total, not_indexed[after:end], indexed_ids, str(end) if end < total else None)

    def make_page(
        self,
        part: UnknownSlice,
        outcome: Outcome,
        images: Mapping[int, IndexedImage],
        tag_periods: Mapping[str, Sequence[TagPeriod]],
    ) -> UnknownPage:
        """The page of these images. `images` and `tag_periods` are those of the index, by id and by digest."""
        indexed_images = [
            self._describe_image(images[number], tag_periods.get(images[number].digest, ()))
            for number in part.indexed_ids
        ]
        return UnknownPage(outcome.unknown, [*part.unindexed_images, *indexed_images], part.next, outcome.reason)

    def _add(self, image: int, reason: str) -> None:
        if image not in self._exposed_images:
            self._reasons.setdefault(image, []).append(reason)

    def _describe_image(self, image: IndexedImage, periods: Sequence[TagPeriod]) -> UnknownExposure:
        # One whose images do not count in the question: then the image runs from another one.
        repository = image.repository if self._scope.has_repository(image.repository) else None
        tag = None
        if periods:
            repository, tag = periods[-1].repository, periods[-1].tag
        return UnknownExposure(image.digest, repository, tag, "; ".join(self._reasons[image.id]))


def explain_missing_history(begin: HistoryBegin, at: str, *, is_vulnerability: bool) -> str | None:
    """Explain why nothing is recorded of a time, None where something is: it lies before all records."""
    if begin.images_since is None:
        return "Nothing is recorded: the history begins with the first scan of an image."
    if at < begin.images_since:
        return f"Nothing was recorded before {begin.images_since}, when the history begins: ask about a later time."
    if begin.retained_since is not None and at < begin.retained_since:
        return f"What ended before {begin.retained_since} was removed by a garbage collection: ask about a later time."
    if is_vulnerability and begin.findings_since is not None and at < begin.findings_since:
        return f"No package was matched with advisories before {begin.findings_since}: ask about a later time."
    return None


def _explain_unknown(entry: UnknownImage) -> str:
    if entry.is_indexed:
        return "it was not scanned yet at that time"
    if entry.state is None:
        return "it was never scanned"
    if entry.state is ScanState.REQUESTED:
        return "its scan has not ended yet"
    return f"its scan failed: {entry.reason}" if entry.reason else "it is not in the index yet"
