"""Images, their scans, and the reports of other scanners."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Path, Query, Request

from dockgate.delivery.model import REPOSITORY
from dockgate.gate.model import Status
from dockgate.identity.model import Caller, Permission
from dockgate.scanner.model import Inventory, ScannedPlatform
from dockgate.services.exposure.advisory_matching import AdvisoryMatching
from dockgate.services.exposure.catalogue_ages import CatalogueAge, read_catalogue_ages
from dockgate.services.images import external_findings as reading
from dockgate.services.images.findings import ImageLayer, find_layer_findings, list_layers
from dockgate.services.images.name_search import NamedImage, resolve_image, strip_own_registry
from dockgate.services.images.search import ImagePage, ImageSummary, describe_verdict
from dockgate.services.images.verdict_difference import explain_difference
from dockgate.services.images.visibility import ImageVisibility
from dockgate.services.images.watched_images import WatchedRepository, is_watched_in
from dockgate.services.web_services import Addresses, ApprovalServices, ImageServices
from dockgate.shared.cursors import LARGEST_PAGE, PAGE
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.store import Store
from dockgate.store.records import PushedImage, ReportRecord, ReportScope, Scan, TagMove, VerdictRecord
from dockgate.web import api
from dockgate.web.audit_details import note_change
from dockgate.web.image_filters import ImageFilterDependency, Text
from dockgate.web.validation_messages import DIGITS_PATTERN

router = api.make_router()


@dataclass(frozen=True, slots=True)
class MatchedImagePage(ImagePage):
    """A page of images, and how far packages were matched with advisories.

    `next` is the cursor of the following page, null for the last. A page by `status` may be short: images are left out
    that have another verdict in their repository than elsewhere. `matching` is null without a filter of findings or
    packages. `catalogues` says how old KEV and EPSS are.
    """

    matching: AdvisoryMatching | None
    catalogues: list[CatalogueAge]


@dataclass(frozen=True, slots=True)
class InventoryView:
    """A summary of an inventory; `packages` and `unread` are counts. `layers` begin with the lowest.

    `platform` and `distribution` are null if unknown.
    """

    platform: str | None
    distribution: str | None
    packages: int
    unread: int
    layers: list[ImageLayer]


@dataclass(frozen=True, slots=True)
class PushView:
    """A push of an image. `tag` is null for one by digest alone, `pushed_by` if unknown."""

    repository: str
    tag: str | None
    digest: str
    pushed_at: str
    pushed_by: str | None


_make_push_view = api.make_view_maker(PushView, PushedImage)


@dataclass(frozen=True, slots=True)
class ImageView:
    """An image with its history. `moves` are tag moves to and from this digest, newest first.

    `repository` is the one that was asked for, null without one or if the image is not there; then `verdicts` are those
    in it, where it has any.
    `places` are where it is and was, each with its current verdict, as lists of images show them: those in the
    repository that was asked for first, then those where it is watched now, the worst verdict first. `status` and
    `summary` are those of the first of them; without one, of the newest verdict that was requested, or else of the one
    on its push; null without any. An image that is not watched any more is Undetermined.
    `services` run it. `watches` says for each repository of the image whether it is watched there, and who owns it.
    `is_watched`: in any of them. `scanner` is the version of the server's scanner; `scan` has the one that read the
    image. `lag` says why the first of `verdicts` differs from the current verdict, null if it does not.
    """

    digest: str
    repository: str | None
    status: str | None
    summary: str | None
    scan: Scan | None
    places: list[ImageSummary]
    pushes: list[PushView]
    moves: list[TagMove]
    inventories: list[InventoryView]
    verdicts: list[VerdictRecord]
    services: list[str]
    is_watched: bool
    watches: list[WatchedRepository]
    scanner: str
    lag: str | None


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """`repository` is the image's repository in the server's registry."""

    repository: str


MAX_DIGESTS = 10
Name = Annotated[str, Query(min_length=1, max_length=1000)]
Kind = Literal["image", "verdict"]
Start = Annotated[str, Path(pattern=DIGITS_PATTERN)]


@router.get("/images")
@api.mark_self_checking
def list_images(
    caller: api.ReadCaller,
    images: api.ImageDependency,
    filters: ImageFilterDependency,
    store: api.StoreDependency,
    fleet: api.FleetDependency,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
    after: Text = "",
) -> MatchedImagePage:
    """List images where they are, with their current verdicts, a page at a time.

    `repository` is a name or a pattern (`team/*`). `severity`, `fixable`, `exploited` (KEV), `epss` (the least
    probability, 0 to 1), `package` (a package URL or NAME[@VERSION]), `origin` and `layer` (a digest) apply to one
    finding. `counts` are the findings that the policy counts: others, as those without a fix, can be in the verdict.
    `include_moved` also lists tags that have moved on, and images that are gone. `after` is `next` of the
    previous page. `matching` says whether images may be missing: its `certainty` is Complete, Partial or Unknown, with
    the `reason`; null without a filter of findings or packages. `catalogues` says how old KEV and EPSS are, none if the
    advisories cannot be read. A limited token sees its repositories only.
    """
    query = filters.make_query(caller, limit, after)
    page = images.search.list_images(query)
    now = fleet.exposure_search.clock.now()
    matching = filters.read_matching(store, fleet.advisories, now, images.search, caller)
    return MatchedImagePage(page.images, page.next, matching, list(read_catalogue_ages(fleet.advisories, now)))


def _select_newest_columns(verdicts: Sequence[VerdictRecord]) -> dict[str, str | None]:
    """Status and summary of the newest verdict that was requested, or else of the newest on a push."""
    newest_verdict = next((record for record in verdicts if record.is_requested), verdicts[0] if verdicts else None)
    return {name: getattr(newest_verdict, name) if newest_verdict else None for name in ("status", "summary")}


@router.get("/digests/{kind}/{start}")
@api.mark_self_checking
def list_digests(kind: Kind, start: Start, caller: api.ReadCaller, store: api.StoreDependency) -> list[str]:
    """List at most ten visible digests of images or verdicts that begin with these hexadecimal digits."""
    return list_visible_digests(kind, start, caller, store)


def list_visible_digests(kind: str, start: str, caller: Caller, store: Store) -> list[str]:
    """The first visible digests of images or verdicts that begin so."""
    visibility = ImageVisibility(store, caller)

    def can_see(digest: str, image: str) -> bool:
        return visibility.can_see_image(image) if kind == "image" else visibility.can_see_verdict(image, digest)

    digests = store.images.find_digests(kind, start, MAX_DIGESTS, can_see if caller.is_limited else None)
    return [digest for digest, _ in digests]


@router.get("/image-references")
@api.mark_self_checking
def resolve_image_reference(
    name: Name, caller: api.ReadCaller, addresses: api.AddressesDependency, store: api.StoreDependency
) -> NamedImage:
    """Find the digest of an image by what a person calls it.

    `name` is a digest or its first characters, REPOSITORY:TAG, REPOSITORY@DIGEST, or REPOSITORY for its tag `latest`. A
    name may begin with the server's own registry. If there is no such image, the answer names those that there are.
    """
    return resolve_image(store, caller, name, addresses.registry_names)


@router.get("/images/{digest}")
@api.mark_self_checking
def get_image(
    digest: api.Digest,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    images: api.ImageDependency,
    repository: Text = "",
) -> ImageView:
    """Get an image: its scan, summaries of its inventories, and its verdicts, newest first.

    Its status is that in `repository`, or the worst of its repositories.
    """
    view, _ = read_image_view(
        digest, caller, store, images, strip_own_registry(repository, addresses.registry_names) or None
    )
    return view


def read_image_view(
    digest: str, caller: Caller, store: Store, images: ImageServices, repository: str | None = None
) -> tuple[ImageView, Sequence[Inventory]]:
    """The view of an image, as it is in the repository, with its whole inventories.

    NotFoundError, DeniedError.
    """
    visibility = ImageVisibility(store, caller)
    scan, platforms = read_platforms(digest, visibility)
    inventories = [platform.inventory for platform in platforms]
    findings = find_layer_findings(store, digest) if platforms else {}
    pushes = visibility.list_pushes(digest)
    if scan is None and not pushes and store.fleet.find_image(digest) is None:
        raise NotFoundError(f"the image {digest} is not known", "`dockgate image list` lists the pushed images.")
    running_images = store.services.list_running_images()
    verdicts, watches = (
        visibility.list_verdicts(digest),
        list(images.watched_images.list_repositories(digest, running_images)),
    )
    running_images = images.search.select_visible_services(running_images, caller)
    locations = list(images.search.list_locations(digest, watches, verdicts, running_images, repository))
    moves = list(store.images.list_tag_moves(digest))
    if caller.is_limited:  # the image may be elsewhere, too
        names = visibility.list_repositories(digest)
        pushes = [entry for entry in pushes if entry.repository in names]
        moves = [entry for entry in moves if entry.repository in names]
        locations = [entry for entry in locations if entry.repository in names]
        watches = [entry for entry in watches if entry.repository in names]
    if repository not in {location.repository for location in locations}:
        repository = None
    if repository:
        verdicts = [record for record in verdicts if record.repository == repository] or verdicts
    is_watched = is_watched_in([entry for entry in watches if entry.repository == repository] or watches)
    columns = _select_newest_columns(verdicts)
    if locations and locations[0].status:
        columns |= {"status": locations[0].status, "summary": locations[0].summary}
    if not is_watched:
        recorded_summary = _select_newest_columns(verdicts)["summary"]
        last = _describe_last_verdict(store, digest, visibility) or recorded_summary or "no verdict"
        columns |= {"status": Status.UNDETERMINED, "summary": f"not watched any more; the last verdict: {last}"}
    view = ImageView(
        digest=digest,
        repository=repository,
        status=columns["status"],
        summary=columns["summary"],
        scan=scan,
        places=locations,
        pushes=[_make_push_view(entry) for entry in pushes],
        moves=moves,
        inventories=[
            InventoryView(
                platform=inventory.platform,
                distribution=inventory.distribution.name if inventory.distribution else None,
                packages=len(inventory.packages),
                unread=len(inventory.unread),
                layers=list_layers(platform, number, findings),
            )
            for number, (platform, inventory) in enumerate(zip(platforms, inventories, strict=True))
        ],
        verdicts=list(verdicts),
        services=[entry.service for entry in running_images if entry.digest == digest],
        is_watched=is_watched,
        watches=watches,
        scanner=images.scans.runner.version,
        lag=_explain_lag(store, locations, watches, verdicts),
    )
    return view, inventories


def _describe_last_verdict(store: Store, digest: str, visibility: ImageVisibility) -> str | None:
    """The last current verdict on an image in words, None where it had none that the caller may see."""
    image = store.fleet.find_image(digest)
    if image is None or (visibility.caller.is_limited and image.repository not in visibility.list_repositories(digest)):
        return None
    verdict = store.fleet_verdicts.find_last_of_image(digest)
    if verdict is None:
        return None
    words = describe_verdict(verdict.status, verdict.counts, verdict.reason, verdict.cannot_judge_since)
    return f"{verdict.status.value}, {words}"


def _explain_lag(
    store: Store,
    locations: Sequence[ImageSummary],
    watches: Sequence[WatchedRepository],
    verdicts: Sequence[VerdictRecord],
) -> str | None:
    """Return why the newest recorded verdict differs from the current one; None where the image is not watched."""
    is_watched = {watch.repository for watch in watches if watch.is_watched}
    if not verdicts or not locations or locations[0].repository not in is_watched:
        return None
    return explain_difference(locations[0], verdicts[0], store.verdicts.get_counts(verdicts[0].digest))


def read_platforms(digest: str, visibility: ImageVisibility) -> tuple[Scan | None, Sequence[ScannedPlatform]]:
    """The scan of an image, and what it has read if it has succeeded. DeniedError.

    An image that was scanned in a repository that the caller may not see has the scan in one that they may see.
    """
    visibility.require_image(digest)
    scan, platforms = visibility.store.images.read_scan_with_platforms(digest)
    has_succeeded = scan is not None and scan.finished_at and not scan.reason
    if (
        scan is not None
        and visibility.caller.is_limited
        and scan.repository not in (visible := visibility.list_repositories(digest))
    ):
        reason = "it could not be read in another repository" if scan.reason else None
        scan = replace(scan, repository=visible[0], reason=reason)
    return scan, platforms if has_succeeded else ()


@router.post("/images/{digest}/scan", status_code=202)
@api.mark_self_checking
async def scan_image(
    digest: api.Digest,
    body: ScanRequest,
    caller: api.RunCaller,
    addresses: api.AddressesDependency,
    approvals: api.ApprovalDependency,
    images: api.ImageDependency,
    threads: api.ThreadsDependency,
) -> Scan:
    """Request a scan, unless one is requested or finished."""
    return await threads.run_remote(
        caller.name, request_scan, digest, body.repository, caller, addresses, approvals, images
    )


def request_scan(
    digest: str,
    repository: str,
    caller: Caller,
    addresses: Addresses,
    approvals: ApprovalServices,
    images: ImageServices,
) -> Scan:
    """Request a scan of an image that is in the repository, as its registry may have to say. DeniedError."""
    repository = strip_own_registry(repository, addresses.registry_names)
    if not re.fullmatch(REPOSITORY, repository):
        raise UsageError(f"{repository!r} is not a repository name", "See `dockgate image list`.")
    caller.require(repository=repository)
    approvals.requests.require_image(repository, digest)
    scan = images.scans.request(repository, digest)
    note_change(f"scan {scan.number} in {scan.repository}: {scan.state}")
    return scan


@router.post(
    "/images/{digest}/findings", status_code=201, openapi_extra=api.describe_body("application/json", "object")
)
@api.mark_self_checking
async def upload_findings(
    digest: api.Digest,
    request: Request,
    caller: api.RunCaller,
    store: api.StoreDependency,
    images: api.ImageDependency,
    threads: api.ThreadsDependency,
    name: str = "findings.json",
    found_at: str | None = None,
) -> list[ReportRecord]:
    """Upload another scanner's report on an image. Waiting approvals of the image are answered."""
    await threads.run_prompt(ImageVisibility(store, caller).require_all, digest)
    async with threads.take_body_slot(caller.name):
        body = await request.body()
    return await threads.run_remote(caller.name, _record_report, store, images, caller, digest, body, name, found_at)


def _record_report(
    store: Store, images: ImageServices, caller: Caller, digest: str, body: bytes, name: str, found_at: str | None
) -> list[ReportRecord]:
    """Record a report, for the repositories of the caller.

    With the permission accept, in all repositories of the image, it can replace a missing scan.
    """
    external_report = reading.read(body, name[:200], digest, found_at)
    names = ImageVisibility(store, caller).list_all_repositories(digest) or {""}
    can_accept = all(caller.can(Permission.ACCEPT, repository=repository) for repository in names)
    scope = ReportScope(caller.get_limits(Permission.RUN), caller.get_limits(Permission.ACCEPT) if can_accept else None)
    records = list(images.finding_reports.add(external_report, caller.name, scope))
    note_change(", ".join(f"{record.digest} of {record.source} recorded" for record in records))
    return records


@router.get("/images/{digest}/findings")
@api.mark_self_checking
def list_reports(digest: api.Digest, caller: api.ReadCaller, store: api.StoreDependency) -> list[ReportRecord]:
    """List reports of other scanners on an image. `/documents/{digest}` returns a report."""
    ImageVisibility(store, caller).require_image(digest)
    return list(store.reports.list_for_image(digest))
