"""Images: by repository and tag, and one image with what it holds."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from fastapi import Request
from fastapi.responses import Response

from dockgate import reports
from dockgate.gate.model import Status
from dockgate.scanner.model import Inventory, Package
from dockgate.services.exposure.advisory_matching import find_unreadable
from dockgate.services.images.findings import ImageLayer
from dockgate.services.images.name_search import resolve_image, strip_own_registry
from dockgate.services.images.search import NOT_JUDGED, CountedImages, ImageQuery, ImageSummary, list_differing_statuses
from dockgate.services.images.visibility import ImageVisibility
from dockgate.shared.digest import get_hex, is_digest, read_digest_start
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.references import ImageReference
from dockgate.store.images.image_filter import ImageSort
from dockgate.store.records import PushedImage, VerdictRecord
from dockgate.vulnerabilities.model import Severity
from dockgate.web import api
from dockgate.web.api import images as calls
from dockgate.web.api import search as search_calls
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.formats import quote_word, shorten_digest
from dockgate.web.console.list_links import FilterRow, ListLinks
from dockgate.web.console.pages.platform_tabs import PlatformChoice, choose_platform
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.pages.verdicts import FindingRow, list_finding_rows, read_verdict
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router, redirect_to
from dockgate.web.console.tables import PageTable, make_page_table
from dockgate.web.downloads import REPORT_KINDS, SBOM_KINDS, download_text
from dockgate.web.image_filters import ImageFilterDependency, ImageFilters, Text
from dockgate.web.page_paths import make_image_path
from dockgate.web.paging import MAX_COUNT, Page, PageQuery
from dockgate.web.query_parameters import choose_value, mark_parameters

# Images on one page, and verdicts on that of an image.
PAGE_SIZE = 50
VERDICTS_PER_PAGE = 20
# Layers of a table: more than an image may have.
LAYERS_PER_PAGE = 200
STATUSES = (Status.REJECTED, Status.UNDETERMINED, Status.APPROVED, NOT_JUDGED)
# Filters that are set or not, by the names of their parameters.
_FLAGS: dict[str, Callable[[ImageFilters], bool]] = {
    "fixable": lambda filters: filters.is_fixable,
    "exploited": lambda filters: filters.is_exploited,
    "running": lambda filters: filters.is_running,
    "include_moved": lambda filters: filters.should_include_moved,
}
# Filters with one value.
_VALUES = ("origin", "epss", "layer", "repository", "package")
# Probabilities of EPSS that a person chooses from, with their titles.
EPSS_STEPS = {"0.01": "EPSS from 1%", "0.1": "EPSS from 10%", "0.5": "EPSS from 50%"}
# Filters with several values.
REPEATABLE = ("severity", "status")
# Orders that begin with the largest.
LAST_FIRST = (ImageSort.PUSHED, ImageSort.SEVERITY)

# What the tables on the page of an image are sorted by: packages as they are found, the others the newest first.
_PACKAGE_KEYS: dict[str, Callable[[Package], str | int]] = {
    "name": lambda package: package.name.lower(),
    "version": lambda package: package.version,
    "kind": lambda package: package.ecosystem,
    "path": lambda package: package.path,
}
_PACKAGE_SORTS = ("", "name", "-name", "version", "-version", "kind", "-kind", "path", "-path", "layer", "-layer")
_LAYER_KEYS: dict[str, Callable[[ImageLayer], int]] = {
    "layer": lambda layer: layer.position,
    "size": lambda layer: layer.size or 0,
    "packages": lambda layer: layer.packages,
    "findings": lambda layer: sum((layer.findings or {}).values()),
}
_LAYER_SORTS = ("layer", "-layer", "-size", "size", "-packages", "packages", "-findings", "findings")
_VERDICT_KEYS: dict[str, Callable[[VerdictRecord], str]] = {
    "when": lambda record: record.judged_at,
    "verdict": lambda record: record.status,
    "policy": lambda record: record.policy,
}
_VERDICT_SORTS = ("-when", "when", "verdict", "-verdict", "policy", "-policy")
_PUSH_KEYS: dict[str, Callable[[PushedImage], str]] = {
    "when": lambda push: push.pushed_at,
    "name": lambda push: f"{push.repository}:{push.tag or ''}",
}
_PUSH_SORTS = ("-when", "when", "name", "-name")
_FINDING_KEYS: dict[str, Callable[[FindingRow], str | int]] = {
    "severity": lambda row: row.finding.severity.rank,
    "name": lambda row: row.finding.id,
    "package": lambda row: row.finding.package.name.lower(),
}
_FINDING_SORTS = ("severity", "-severity", "name", "-name", "package", "-package")
# The parts of an image's page, of which it shows one.
TABS = ("verdicts", "findings", "packages", "layers", "documents")

router = make_page_router()


@router.get("/images")
@api.mark_self_checking
def show_images(
    request: Request,
    caller: api.ReadCaller,
    images: api.ImageDependency,
    store: api.StoreDependency,
    fleet: api.FleetDependency,
    filters: ImageFilterDependency,
    after: Text = "",
) -> Response:
    """List images, by the filters of the API's call."""
    query = filters.make_query(caller, PAGE_SIZE, after)
    counted_images = images.search.list_counted_images(query, MAX_COUNT + 1)
    page = _make_page(counted_images)
    flags = [name for name, is_set in _FLAGS.items() if is_set(filters)]
    pairs: list[tuple[str, str]] = [
        *(("severity", name.value) for name in filters.severity),
        *(("status", name) for name in filters.status),
        *((name, "true") for name in flags),
        *((name, str(value)) for name in _VALUES if (value := getattr(filters, name)) not in (None, "")),
    ]
    links = ListLinks.from_page(
        "/images", list(ImageSort), PageQuery(filters.sort, query.after), page, pairs, LAST_FIRST
    )
    return render_page(
        request,
        caller,
        "images.html",
        title="Images",
        images=page.entries,
        matching=filters.read_matching(
            store,
            fleet.advisories,
            fleet.exposure_search.clock.now(),
            images.search,
            caller,
            counted_images.repositories,
        ),
        repositories=counted_images.repositories,
        query=query,
        filters=pairs,
        links=replace(links, repeatable_names=REPEATABLE),
        command=make_list_command(query),
        filter_rows=_make_filter_rows(filters),
        page_size=PAGE_SIZE,
    )


def make_list_command(query: ImageQuery) -> str:
    """The command that lists the same images."""
    values = {
        "--severity": ",".join(query.severities),
        "--epss": query.epss and f"{query.epss:g}",
        "--package": query.package,
        "--origin": query.origin,
        "--layer": query.layer,
        "--sort": query.sort if query.sort != ImageSort.PUSHED else None,
    }
    flags = {
        "--fixable": query.is_fixable,
        "--exploited": query.is_exploited,
        "--running": query.is_running,
        "--all-tags": query.should_include_moved,
    }
    words = ["dockgate", "image", "list", *([quote_word(query.repository)] if query.repository else [])]
    words += [word for option, value in values.items() if value for word in (option, quote_word(value))]
    words += [
        word for name in query.statuses for word in ("--status", "not-judged" if name == NOT_JUDGED else name.lower())
    ]
    return " ".join([*words, *(option for option, is_set in flags.items() if is_set)])


def _make_page(images: CountedImages) -> Page[ImageSummary]:
    is_capped = images.total is not None and images.total > MAX_COUNT
    total = MAX_COUNT if is_capped else images.total
    return Page(images.page.images, images.page.next, images.previous, total, is_capped)


def _make_filter_rows(chosen_filters: ImageFilters) -> Sequence[FilterRow]:
    """The filters that links choose, and those that are chosen by an address alone: a layer, another EPSS."""
    epss = "" if chosen_filters.epss is None else str(chosen_filters.epss)
    layer = chosen_filters.layer
    other_step = {epss: f"EPSS from {float(epss):.4g}"} if epss and epss not in EPSS_STEPS else {}
    findings = [
        *(("severity", severity.value, severity.value.lower()) for severity in list(Severity)[:4]),
        *(("fixable", "true", "fixable"), ("exploited", "true", "known exploited")),
        *(("epss", value, title) for value, title in {**EPSS_STEPS, **other_step}.items()),
        *(("origin", "base", "in the base"), ("origin", "own", "in own layers")),
        ("origin", "unknown", "of an unknown base"),
        *((("layer", layer, f"in layer {shorten_digest(layer)}"),) if layer else ()),
    ]
    return (
        FilterRow("Verdict", [("status", name, "Not judged" if name == NOT_JUDGED else name) for name in STATUSES]),
        FilterRow("A finding that is", findings),
        FilterRow("Image", [("running", "true", "running"), ("include_moved", "true", "earlier tags, too")]),
    )


@router.get("/images/{digest}")
@api.mark_self_checking
@mark_parameters(tables=("layers-*", "findings", "packages", "verdicts", "pushes"))
def show_image(
    digest: str,
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    images: api.ImageDependency,
    fleet: api.FleetDependency,
    q: str = "",
    layer: str = "",
    repository: Text = "",
    tab: str = "",
    platform: Text = "",
) -> Response:
    """Show an image: what was not read, and the part that `tab` names, its verdicts by default.

    The beginning of its digest, or its name, leads to it.

    Of an index, `platform` names the one whose findings, packages and layers are shown; all by default.

    Name, verdict and policy are those in `repository`, or of the worst verdict. With `layer` (a digest), its packages
    are those of that layer.
    """
    if not is_digest(digest):
        named_image = resolve_image(store, caller, digest, addresses.registry_names)
        return redirect_to(make_image_path(named_image.digest, repository or named_image.repository))
    view, inventories = calls.read_image_view(
        digest, caller, store, images, strip_own_registry(repository, addresses.registry_names) or None
    )
    page_path = make_image_path(digest, view.repository)
    if repository and not view.repository:
        return redirect_to(page_path)
    positions = {layer.digest: layer.position for entry in view.inventories for layer in entry.layers}
    choose_value({"layer": layer}, "layer", list(positions))
    layer_keys = {"layer": lambda package: positions.get(package.layer, 0)}
    platforms = choose_platform([(inventory.platform, inventory.image_digest) for inventory in inventories], platform)
    packages = _select_packages(platforms.select(inventories), q, layer or None)
    shown_tab = choose_value({"tab": tab}, "tab", TABS, TABS[0])
    findings: Sequence[FindingRow] = ()
    if shown_tab == "findings" and view.verdicts:
        findings = _list_findings(request, store, view.verdicts[0].digest, inventories, platforms)
    return render_page(
        request,
        caller,
        "image.html",
        title=digest[7:19],
        tab=shown_tab,
        matching=find_unreadable(fleet.advisories) if shown_tab == "layers" else None,
        tab_address=f"{page_path}{'&' if view.repository else '?'}tab=",
        tabs=TABS,
        platforms=platforms,
        digest=digest,
        view=view,
        location=next(iter((*view.places, *view.pushes)), None),
        page_path=page_path,
        differing_statuses=list_differing_statuses(view.places),
        inventories=inventories,
        layers=_make_layer_tables(request, inventories, view, platforms),
        findings=make_page_table(request, "findings", findings, _FINDING_KEYS, _FINDING_SORTS),
        packages=make_page_table(request, "packages", packages, _PACKAGE_KEYS | layer_keys, _PACKAGE_SORTS),
        verdicts=make_page_table(request, "verdicts", view.verdicts, _VERDICT_KEYS, _VERDICT_SORTS, VERDICTS_PER_PAGE),
        pushes=make_page_table(request, "pushes", view.pushes, _PUSH_KEYS, _PUSH_SORTS),
        q=q,
        layer=layer or None,
        positions=positions,
        services=view.services,
        sbom_kinds=SBOM_KINDS,
        report_kinds=REPORT_KINDS,
    )


def _list_findings(
    request: Request,
    store: api.StoreDependency,
    verdict_digest: str,
    inventories: Sequence[Inventory],
    platforms: PlatformChoice,
) -> Sequence[FindingRow]:
    """The findings of a verdict on the platforms that are shown."""
    shown_images = [inventory.image_digest for inventory in platforms.select(inventories)]
    verdict = read_verdict(request, store, verdict_digest)
    return list_finding_rows(verdict, shown_images if platforms.shown_name else None)


def _make_layer_tables(
    request: Request, inventories: Sequence[Inventory], view: calls.ImageView, platforms: PlatformChoice
) -> list[tuple[int, Inventory, PageTable[ImageLayer]]]:
    """The layers of each platform that is shown, as a table."""
    return [
        (
            number,
            inventory,
            make_page_table(request, f"layers-{number}", entry.layers, _LAYER_KEYS, _LAYER_SORTS, LAYERS_PER_PAGE),
        )
        for number, inventory, entry in platforms.select(zip(count(1), inventories, view.inventories))
    ]


def _select_packages(inventories: Sequence[Inventory], words: str, layer: str | None) -> list[Package]:
    """The packages with these words in name, version or URL; with `layer`, those of that layer."""
    return [
        package
        for inventory in inventories
        for package in inventory.packages
        if words.lower() in f"{package.name} {package.version} {package.purl}".lower()
        and layer in (None, package.layer)
    ]


@router.get("/images/{digest}/sbom", dependencies=[api.DOCUMENT])
@api.mark_self_checking
def download_sbom(
    digest: api.Digest, caller: api.ReadCaller, store: api.StoreDependency, form: str = "cyclonedx"
) -> Response:
    """Download the bill of materials of an image, with what could not be read.

    It is as `dockgate sbom -o` writes it.
    """
    kind = SBOM_KINDS.get(form)
    if kind is None:
        raise UsageError(f"there are no bills of materials as {form[:40]!r}", f"Formats: {', '.join(SBOM_KINDS)}.")
    scan, platforms = calls.read_platforms(digest, ImageVisibility(store, caller))
    inventories = tuple(platform.inventory for platform in platforms)
    if scan is None or not inventories:
        raise NotFoundError(f"the image {digest} was not scanned with success", "Scan it, and wait for the end.")
    subject, scanned_at = str(ImageReference(scan.repository, digest)), scan.finished_at or ""
    content = reports.InventoryReport(subject, digest, inventories, scanned_at)
    name = f"sbom-{scan.repository}-{digest[7:19]}.{kind.suffix}"
    return download_text(name, kind.media_type, lambda out: reports.write(content, form, out))


@router.post("/images/{digest}/scan")
@api.mark_self_checking
async def scan_image(
    digest: api.Digest,
    request: Request,
    caller: api.RunCaller,
    addresses: api.AddressesDependency,
    approvals: api.ApprovalDependency,
    images: api.ImageDependency,
    threads: api.ThreadsDependency,
    fields: Form,
) -> Response:
    """Request a scan."""
    repository = fields.get("repository", "")
    await threads.run_remote(caller.name, calls.request_scan, digest, repository, caller, addresses, approvals, images)
    return redirect_with_flash(request, make_image_path(digest, repository), "The scan was requested.")


@router.get("/search")
@api.mark_self_checking
def search_objects(
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    policies: api.PolicyDependency,
    fleet: api.FleetDependency,
    q: str = "",
) -> Response:
    """Find a vulnerability, package, image, execution, service or another thing.

    An exact match opens at once, and so does the only image or verdict whose digest begins so.
    """
    words = q.strip()
    matches = search_calls.find_matches(caller, addresses, store, policies, fleet, words)
    name = strip_own_registry(words, addresses.registry_names).lower()
    exact_matches = [match for match in matches if match.name.lower() == name]
    # The page of the results has the executions of a commit, too.
    starts = [match for match in matches if _has_digits(match, name)]
    for choices in (exact_matches, starts if all(match.kind != "commit" for match in starts) else ()):
        if len(choices) == 1:
            return redirect_to(choices[0].page)
    is_cut = any(number >= search_calls.MAX_NAMES for number in Counter(match.kind for match in matches).values())
    return render_page(
        request,
        caller,
        "search.html",
        title="Search",
        q=words,
        matches=matches,
        is_cut=is_cut,
        MAX_NAMES=search_calls.MAX_NAMES,
    )


def _has_digits(match: search_calls.Match, words: str) -> bool:
    """Return whether the digest or the id of what matches begins with these words, or with what follows their "@"."""
    start = read_digest_start(words.rpartition("@")[2])
    digits = get_hex(match.name.rpartition("@")[2])
    return start is not None and match.kind in ("image", "verdict", "commit") and digits.startswith(start)
