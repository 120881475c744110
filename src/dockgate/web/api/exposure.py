"""The locations of vulnerabilities and packages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Query

from dockgate.services.exposure.advisory_matching import AdvisoryMatching, judge_matching_state, read_matching
from dockgate.services.exposure.answer import (
    LONGEST_QUESTION,
    Exposure,
    ExposureFilter,
    ExposureRequest,
    ExposureSort,
)
from dockgate.services.exposure.catalogue_ages import CatalogueAge, read_catalogue_ages
from dockgate.services.exposure.package import PackageContents, find_package
from dockgate.services.exposure.vulnerability_facts import VulnerabilityFacts, read_facts
from dockgate.services.fleet.finding_trends import DAYS, FindingTrends
from dockgate.services.images.findings import (
    RepositoryFindings,
    TagFindings,
    find_repository_findings,
    find_tag_findings,
)
from dockgate.shared.cursors import LARGEST_PAGE, PAGE
from dockgate.shared.errors import UsageError
from dockgate.shared.timestamps import format_time, parse_time
from dockgate.store import Store
from dockgate.store.exposure.records import ExposureScope
from dockgate.store.exposure.vulnerability_lists import (
    POSITIONS,
    OpenVulnerability,
    VulnerabilityFilter,
    VulnerabilitySort,
    make_position,
)
from dockgate.vulnerabilities.model import Severity
from dockgate.web import api
from dockgate.web.paging import Cursor, Page, PageQuery, read_page

router = api.make_router()

_DATE = len("2026-01-01")


Days = Annotated[int, Query(ge=1, le=366)]
VulnerabilitySelection = Literal["", "exploited", "fixable"]
Question = Annotated[str, Query(min_length=1, max_length=LONGEST_QUESTION)]


@router.get("/exposure")
@api.mark_self_checking
def find_exposure(
    caller: api.ReadCaller,
    clock: api.ClockDependency,
    fleet: api.FleetDependency,
    q: Question,
    as_of: str | None = None,
    include_moved: bool = False,
    only: ExposureFilter | None = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
    after: api.Count | None = None,
    unknown_after: api.Count = 0,
    sort: ExposureSort = ExposureSort.NEWEST,
) -> Exposure:
    """Find every image that contains a vulnerability (any name), a package URL, or PACKAGE[@VERSION].

    `as_of` (a date, or a time in RFC 3339) asks for the images at that time. `include_moved` adds images whose tags
    have all moved on. `only` lists the images that are `running`, those that the vulnerability blocks by their newest
    recorded verdict (`blocked`), those that are `rejected` now, or those in which it is `waived`. `sort` orders by when
    images became known, the newest or the oldest first. `after` and `unknown_after` take the cursors of the previous
    page, in the same order. A limited token sees its repositories only.
    """
    return fleet.exposure_search.find(
        ExposureRequest(
            q,
            caller,
            as_of=_parse_past_time(as_of, clock.now()) if as_of else None,
            should_include_moved=include_moved,
            only=only,
            limit=limit,
            after=after,
            unknown_after=unknown_after,
            sort=sort,
        )
    )


@dataclass(frozen=True, slots=True)
class ListedPackage:
    """A package that has a vulnerability, and the versions that fix it, none without a fix."""

    name: str
    fixed: list[str]


@dataclass(frozen=True, slots=True)
class ListedVulnerability:
    """A vulnerability with its worst severity.

    `exploited` and `epss` are null if nothing is known of them. `images` counts those under a tag or running.
    """

    name: str
    severity: Severity
    exploited: str | None
    epss: float | None
    is_fixed: bool
    images: int
    packages: list[ListedPackage]


@dataclass(frozen=True, slots=True)
class VulnerabilityPage:
    """Vulnerabilities of packages in images, the most urgent first.

    `next` is the cursor of the following page. `matching` says whether vulnerabilities may be missing, `catalogues` how
    old KEV and EPSS are, none if the advisories cannot be read.
    """

    vulnerabilities: list[ListedVulnerability]
    next: str | None
    matching: AdvisoryMatching
    catalogues: list[CatalogueAge]


@dataclass(frozen=True, slots=True)
class MatchedTrends(FindingTrends):
    """Trends of the last days. `matching` says whether findings may be missing."""

    matching: AdvisoryMatching


@dataclass(frozen=True, slots=True)
class MatchedTagFindings(TagFindings):
    """The findings of a tag over days. `matching` says whether findings may be missing."""

    matching: AdvisoryMatching


@dataclass(frozen=True, slots=True)
class MatchedRepositoryFindings(RepositoryFindings):
    """The findings of the newest images of a repository. `matching` says whether findings may be missing."""

    matching: AdvisoryMatching


_make_trends = api.make_view_maker(MatchedTrends, FindingTrends, "matching")
_make_tag_findings = api.make_view_maker(MatchedTagFindings, TagFindings, "matching")
_make_repository_findings = api.make_view_maker(MatchedRepositoryFindings, RepositoryFindings, "matching")


@router.get("/vulnerabilities")
@api.mark_self_checking
def list_vulnerabilities(
    caller: api.ReadCaller,
    store: api.StoreDependency,
    fleet: api.FleetDependency,
    q: str = "",
    severity: Severity | None = None,
    only: VulnerabilitySelection = "",
    sort: VulnerabilitySort = VulnerabilitySort.URGENCY,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
    after: Cursor = None,
) -> VulnerabilityPage:
    """List vulnerabilities of packages in images, those whose name begins with `q`.

    `matching` says whether some may be missing: its `certainty` is Complete, Partial or Unknown, with the `reason`. A
    limited caller sees those of images in its repositories, as they are there.
    """
    filters = VulnerabilityFilter(q.strip(), severity, only == "exploited", only == "fixable", sort)
    scope = fleet.exposure_search.make_present_scope(caller, store.services.list_running_images())
    page = read_vulnerability_page(store, filters, PageQuery(sort, after, limit, is_forward_only=True), scope)
    numbers = [entry.id for entry in page.entries]
    packages = store.vulnerability_lists.list_packages(numbers, scope=scope)
    images = store.vulnerability_lists.count_images(numbers, scope)
    entries = [
        ListedVulnerability(
            entry.name,
            entry.severity,
            entry.exploited,
            entry.epss,
            entry.is_fixed,
            images.get(entry.id, 0),
            [ListedPackage(package.name, list(package.fixed)) for package in packages.get(entry.id, [])],
        )
        for entry in page.entries
    ]
    matching = read_matching(
        store, fleet.advisories, fleet.exposure_search.clock.now(), scope, list_needed_catalogues(only)
    )
    catalogues = read_catalogue_ages(fleet.advisories, fleet.exposure_search.clock.now())
    return VulnerabilityPage(entries, page.next, matching, list(catalogues))


def list_needed_catalogues(only: VulnerabilitySelection) -> Sequence[str]:
    """The catalogues without which it is unknown which vulnerabilities are selected."""
    return ("kev",) if only == "exploited" else ()


def read_vulnerability_page(
    store: Store, filters: VulnerabilityFilter, query: PageQuery, scope: ExposureScope
) -> Page[OpenVulnerability]:
    """A page of the vulnerabilities of packages in images. UsageError for a cursor of another order."""
    lists = store.vulnerability_lists

    def read(after: tuple[Any, ...] | None, limit: int, is_backward: bool) -> Sequence[OpenVulnerability]:
        return lists.list_open_vulnerabilities(filters, limit, after, scope=scope, is_backward=is_backward)

    return read_page(
        read,
        partial(make_position, sort=filters.sort),
        POSITIONS[filters.sort],
        query,
        partial(lists.count_open_vulnerabilities, filters, scope=scope),
    )


@router.get("/vulnerabilities/{name}")
@api.mark_self_checking
def get_vulnerability(
    name: str, caller: api.ReadCaller, store: api.StoreDependency, fleet: api.FleetDependency
) -> VulnerabilityFacts:
    """Get what the advisory database says of a vulnerability, by any of its names.

    It has ratings, affected versions, and the details, references and weaknesses (CWE) of its records.
    """
    entries = store.component_search.find_vulnerabilities(name)
    names = {alias for entry in entries.values() for alias in (entry.name, *entry.aliases)}
    return read_facts(fleet.advisories, name, sorted(names))


@router.get("/packages")
@api.mark_self_checking
def get_package(q: Question, caller: api.ReadCaller, fleet: api.FleetDependency) -> PackageContents:
    """List the versions of a package that images hold, with their vulnerabilities.

    Name a package URL, or PACKAGE[@VERSION]. A limited token sees its repositories only.
    """
    return find_package(fleet.exposure_search, q, caller)


@router.get("/trends")
def get_trends(caller: api.ReadCaller, fleet: api.FleetDependency) -> MatchedTrends:
    """Get 90 days of open vulnerabilities by severity, of fixes, and of verdicts. At most ten minutes old."""
    trends, state = fleet.trends.read()
    now = fleet.exposure_search.clock.now()
    return _make_trends(trends, matching=judge_matching_state(state, fleet.advisories, now))


@router.get("/tag-findings")
@api.mark_self_checking
def tag_findings(
    caller: api.ReadCaller,
    store: api.StoreDependency,
    clock: api.ClockDependency,
    fleet: api.FleetDependency,
    repository: str,
    tag: str,
    days: Days = DAYS,
) -> MatchedTagFindings:
    """Get the findings of a tag over time: of what it named at the end of each of the last days."""
    caller.require(repository=repository)
    findings = find_tag_findings(store, repository, tag, clock(), days)
    return _make_tag_findings(
        findings,
        matching=read_matching(
            store, fleet.advisories, fleet.exposure_search.clock.now(), ExposureScope(None, [repository])
        ),
    )


@router.get("/repository-findings")
@api.mark_self_checking
def get_repository_findings(
    caller: api.ReadCaller, store: api.StoreDependency, fleet: api.FleetDependency, repository: str
) -> MatchedRepositoryFindings:
    """Get the findings by severity of the newest 30 images of an image repository, as they are known now."""
    caller.require(repository=repository)
    findings = find_repository_findings(store, repository)
    return _make_repository_findings(
        findings,
        matching=read_matching(
            store, fleet.advisories, fleet.exposure_search.clock.now(), ExposureScope(None, [repository])
        ),
    )


def _parse_past_time(text: str, now: str) -> str:
    """The time that is named; of a date its last moment. UsageError for another text, or a time in the future."""
    moment = parse_time(text)
    if moment is None:
        raise UsageError(f"as_of: {text[:100]!r} is not a time", "Write a date, 2026-12-31, or a time in RFC 3339.")
    if format_time(moment) > now:
        raise UsageError(f"as_of: {text[:100]} is in the future", "Name a time in the past, or leave it out.")
    if len(text) == _DATE:
        return min(format_time(datetime.combine(moment.date(), time.max, UTC)), now)
    return format_time(moment)
