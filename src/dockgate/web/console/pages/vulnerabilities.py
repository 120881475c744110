"""Vulnerabilities and packages: what is known of one, and every image and service that it touches.

Reports on them can be downloaded.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, TextIO

from fastapi import Depends, Query, Request
from fastapi.responses import Response

from dockgate.identity.model import Caller
from dockgate.reports import _exposure_csv, _exposure_html
from dockgate.reports import _wording as wording
from dockgate.services.exposure.advisory_matching import read_matching
from dockgate.services.exposure.answer import (
    LONGEST_QUESTION,
    Exposure,
    ExposureFilter,
    ExposureRequest,
    ExposureSort,
)
from dockgate.services.exposure.catalogue_ages import read_catalogue_ages
from dockgate.services.exposure.finding_waivers import FindingWaiver
from dockgate.services.exposure.package import PackageVersion, PackageVulnerability, find_package
from dockgate.services.exposure.vulnerability_facts import AffectedPackage, read_facts
from dockgate.services.web_services import FleetServices
from dockgate.shared.cursors import LARGEST_PAGE
from dockgate.store.exposure.vulnerability_lists import VulnerabilityFilter, VulnerabilitySort
from dockgate.vulnerabilities.model import Severity
from dockgate.web import api
from dockgate.web.api.exposure import VulnerabilitySelection, list_needed_catalogues, read_vulnerability_page
from dockgate.web.console.list_links import ListLinks
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router, redirect_to
from dockgate.web.console.tables import make_page_table
from dockgate.web.console.task_counts import count_running_tasks
from dockgate.web.downloads import download_text
from dockgate.web.page_paths import make_package_path, make_request_path, make_vulnerability_path
from dockgate.web.paging import Cursor, PageQuery
from dockgate.web.query_parameters import mark_parameters

# Images on a page that asks where something is: each has a row for each of its packages.
EXPOSED_IMAGES = 15
# Rows of another table on such a page.
ROWS = 25
# Images with another version of the package, which may be all of a fleet, that are counted.
MANY_UNAFFECTED = 1000
# Lines of the details of a vulnerability that are shown at once.
SHOWN_LINES = 6

# What the tables on these pages are sorted by. Vulnerabilities come in the order of their urgency.
_AFFECTED_KEYS: dict[str, Callable[[AffectedPackage], str]] = {
    "ecosystem": lambda entry: entry.ecosystem.lower(),
    "package": lambda entry: entry.package.lower(),
    "record": lambda entry: entry.record,
}
_AFFECTED_SORTS = ("ecosystem", "-ecosystem", "package", "-package", "record", "-record")
_VERSION_KEYS: dict[str, Callable[[PackageVersion], str | int]] = {
    "version": lambda entry: entry.version,
    "package": lambda entry: entry.name.lower(),
    "ecosystem": lambda entry: entry.ecosystem.lower(),
    "images": lambda entry: entry.images,
    "findings": lambda entry: sum(count for count, _ in entry.counts),
}
_VERSION_SORTS = (
    *("", "version", "-version", "package", "-package", "ecosystem", "-ecosystem"),
    *("-images", "images", "-findings", "findings"),
)
_VULNERABILITY_KEYS: dict[str, Callable[[PackageVulnerability], str | int]] = {
    "severity": lambda entry: -entry.severity.rank,
    "name": lambda entry: entry.name,
}
_VULNERABILITY_SORTS = ("", "-severity", "severity", "name", "-name")


@dataclass(frozen=True, slots=True)
class ExposureQuery:
    """The part of a vulnerability or a package that its page shows.

    `after` begins the page of images, `unknown_after` that of unknown images; `only` filters the images.
    """

    after: api.Count | None = None
    unknown_after: api.Count = 0
    only: ExposureFilter | None = None
    sort: ExposureSort = ExposureSort.NEWEST


_ExposureQueryDependency = Annotated[ExposureQuery, Depends()]

router = make_page_router()


class ReportForm(StrEnum):
    """The forms of a report on where something is."""

    HTML = "html"
    CSV = "csv"
    JSON = "json"


_MEDIA_TYPES = {
    ReportForm.HTML: "text/html; charset=utf-8",
    ReportForm.CSV: "text/csv; charset=utf-8",
    ReportForm.JSON: "application/json",
}


@router.get("/vulnerabilities")
@api.mark_self_checking
def show_vulnerabilities(
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    fleet: api.FleetDependency,
    q: str = "",
    severity: Severity | None = None,
    only: VulnerabilitySelection = "",
    sort: VulnerabilitySort = VulnerabilitySort.URGENCY,
    after: Cursor = None,
) -> Response:
    """List the vulnerabilities of packages in images that the caller may see, the most urgent first.

    With `only`, only exploited or fixable ones.
    """
    filters = VulnerabilityFilter(q.strip(), severity, only == "exploited", only == "fixable", sort)
    query = PageQuery(sort, after)
    scope = fleet.exposure_search.make_present_scope(caller, store.services.list_running_images())
    page = read_vulnerability_page(store, filters, query, scope)
    numbers = [entry.id for entry in page.entries]
    return render_page(
        request,
        caller,
        "vulnerabilities.html",
        title="Vulnerabilities",
        entries=page.entries,
        packages=store.vulnerability_lists.list_packages(numbers, scope=scope),
        images=store.vulnerability_lists.count_images(numbers, scope),
        severities=list(Severity),
        matching=read_matching(
            store, fleet.advisories, fleet.exposure_search.clock.now(), scope, list_needed_catalogues(only)
        ),
        catalogues=read_catalogue_ages(fleet.advisories, fleet.exposure_search.clock.now()),
        q=q,
        severity=severity,
        only=only,
        links=ListLinks.from_page(
            "/vulnerabilities",
            list(VulnerabilitySort),
            query,
            page,
            [("q", q), ("severity", severity), ("only", only)],
            descending=(VulnerabilitySort.URGENCY, VulnerabilitySort.EPSS),
        ),
    )


@router.get("/vulnerabilities/{name:path}")
@api.mark_self_checking
@mark_parameters(tables=("versions",))
def show_vulnerability(
    name: str,
    request: Request,
    caller: api.ReadCaller,
    fleet: api.FleetDependency,
    delivery: api.DeliveryDependency,
    query: _ExposureQueryDependency,
) -> Response:
    """Show a vulnerability: what is known of it, and everything that it touches."""
    question = name[:LONGEST_QUESTION]
    exposure = fleet.exposure_search.find(_make_request(question, caller, query))
    if exposure.kind != "vulnerability":
        return redirect_to(make_package_path("", question))
    facts = read_facts(fleet.advisories, exposure.question, exposure.names)
    links = _make_links(request, exposure, query)
    return render_page(
        request,
        caller,
        "vulnerability.html",
        title=exposure.question,
        exposure=exposure,
        facts=facts,
        affected=make_page_table(request, "versions", facts.affected, _AFFECTED_KEYS, _AFFECTED_SORTS, ROWS),
        severity=_find_worst_severity(exposure),
        source_url=wording.build_advisory_url(exposure.question),
        build_advisory_url=wording.build_advisory_url,
        fixed=sorted({entry.fixed for image in exposure.images for entry in image.packages if entry.fixed}),
        statements=_list_statements(exposure),
        many_unaffected=MANY_UNAFFECTED,
        shown_lines=SHOWN_LINES,
        tasks=count_running_tasks(delivery, [(entry.service, entry.target) for entry in exposure.services]),
        links=links,
        unknown_links=make_unknown_links(links, exposure.unknown.next, query.unknown_after),
        only=query.only or "",
    )


@router.get("/packages/{question:path}")
@api.mark_self_checking
@mark_parameters(tables=("versions", "vulnerabilities"))
def show_package(
    question: str,
    request: Request,
    caller: api.ReadCaller,
    fleet: api.FleetDependency,
    delivery: api.DeliveryDependency,
    query: _ExposureQueryDependency,
) -> Response:
    """Show a package: the versions that images hold, their vulnerabilities, and every image and service."""
    question = question[:LONGEST_QUESTION]
    look_up = fleet.exposure_search.look_up(question)
    exposure = fleet.exposure_search.find(_make_request(question, caller, query), look_up)
    if exposure.kind != "package":
        return redirect_to(make_vulnerability_path(question))
    contents = find_package(fleet.exposure_search, exposure.question, caller, look_up)
    links = _make_links(request, exposure, query)
    return render_page(
        request,
        caller,
        "package.html",
        title=exposure.question,
        exposure=exposure,
        contents=contents,
        versions=make_page_table(request, "versions", contents.versions, _VERSION_KEYS, _VERSION_SORTS, ROWS),
        vulnerabilities=make_page_table(
            request, "vulnerabilities", contents.vulnerabilities, _VULNERABILITY_KEYS, _VULNERABILITY_SORTS, ROWS
        ),
        tasks=count_running_tasks(delivery, [(entry.service, entry.target) for entry in exposure.services]),
        links=links,
        unknown_links=make_unknown_links(links, exposure.unknown.next, query.unknown_after),
        only=query.only or "",
    )


def _make_links(request: Request, exposure: Exposure, query: ExposureQuery) -> ListLinks:
    """The links of the table of images: by the filter `only`, in both orders, and to its other pages."""
    return ListLinks(
        make_request_path(request),
        list(ExposureSort),
        query.sort,
        [("only", query.only)] if query.only else [],
        after="" if query.after is None else str(query.after),
        next_cursor=exposure.next,
        previous_cursor=exposure.previous,
        fragment="#images",
    )


def make_unknown_links(links: ListLinks, next_cursor: str | None, cursor: int) -> ListLinks:
    """The links between pages of unknown images.

    The table of images, which has `links`, stays filtered and sorted.
    """
    return dataclasses.replace(
        links,
        sorts=("",),
        sort="",
        filters=[*links.filters, *links.order],
        after=str(cursor) if cursor else None,
        next_cursor=next_cursor,
        previous_cursor=str(cursor - EXPOSED_IMAGES) if cursor > EXPOSED_IMAGES else None,
        names=("", "unknown_after"),
        fragment="#unknown",
    )


def _make_request(question: str, caller: Caller, query: ExposureQuery) -> ExposureRequest:
    return ExposureRequest(
        question,
        caller,
        only=query.only,
        limit=EXPOSED_IMAGES,
        after=query.after,
        unknown_after=query.unknown_after,
        most_unaffected=MANY_UNAFFECTED + 1,
        sort=query.sort,
    )


def _list_statements(exposure: Exposure) -> list[FindingWaiver]:
    """The VEX statements that excuse it in the shown images, each once."""
    entries = (entry for image in exposure.images for package in image.packages for entry in package.waived)
    by_document = {(entry.by, entry.owner, entry.reason): entry for entry in entries if entry.kind == "vex"}
    return list(by_document.values())


@router.get("/exposure/report", dependencies=[api.DOCUMENT])
@api.mark_self_checking
def download_report(
    caller: api.ReadCaller,
    fleet: api.FleetDependency,
    q: Annotated[str, Query(min_length=1, max_length=LONGEST_QUESTION)],
    form: ReportForm = ReportForm.HTML,
) -> Response:
    """Download where a vulnerability or a package is, in all images, as `dockgate where -o` writes it."""
    exposure = _read_all_pages(fleet, caller, q)

    def write(target: TextIO) -> None:
        if form is ReportForm.JSON:
            json.dump(exposure, target, indent=2, ensure_ascii=False)
        else:
            (_exposure_csv if form is ReportForm.CSV else _exposure_html).write(exposure, target)

    day = exposure["answered_at"][:10]
    return download_text(f"exposure-{exposure['question']}-{day}.{form}", _MEDIA_TYPES[form], write)


def _read_all_pages(fleet: FleetServices, caller: api.ReadCaller, question: str) -> dict[str, Any]:
    """All pages of an answer as one, as JSON."""
    request = ExposureRequest(question, caller, limit=LARGEST_PAGE)
    page = fleet.exposure_search.find(request)
    exposure = dataclasses.asdict(page)
    while page.next or page.unknown.next:
        cursor = int(page.next) if page.next else 0
        unknown_after = int(page.unknown.next) if page.unknown.next else 1 << 50
        page = fleet.exposure_search.find(dataclasses.replace(request, after=cursor, unknown_after=unknown_after))
        next_fields = dataclasses.asdict(page)
        exposure["images"] += next_fields["images"]
        exposure["unknown"]["images"] += next_fields["unknown"]["images"]
    return {**exposure, "next": None, "unknown": {**exposure["unknown"], "next": None}}


def _find_worst_severity(exposure: Exposure) -> Severity | None:
    """The worst severity that packages of the shown images have."""
    severities = [Severity(entry.severity) for image in exposure.images for entry in image.packages if entry.severity]
    return min(severities, key=lambda severity: severity.rank, default=None)
