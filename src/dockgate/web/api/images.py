"""Images, their scans and verdicts."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from dockgate.delivery.approval_request import pipeline_of
from dockgate.delivery.model import REPOSITORY
from dockgate.gate.model import Verdict
from dockgate.gate.replay import case_file
from dockgate.gate.replay.explain import Explanation
from dockgate.identity.model import Caller, Permission
from dockgate.services import external_findings as reading
from dockgate.services.explain import Replay, compare, replay
from dockgate.services.server import Server
from dockgate.shared.digest import PATTERN
from dockgate.shared.errors import DeniedError, NotFoundError, UsageError
from dockgate.store.records import PushedImage, ReportRecord, Scan, TagMove, VerdictRecord
from dockgate.web.api import Digest, GuardedRoute, Reader, Runner, TheServer, TheThreads, body_of, narrow

router = APIRouter(route_class=GuardedRoute)


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """`scan` is the scan's state; `status`, `summary` and `waived` (what does not count, in words) are of the newest
    verdict ("" without one)."""

    repository: str
    tag: str
    digest: str
    pushed_at: str
    scan: str
    status: str
    summary: str
    waived: str


@dataclass(frozen=True, slots=True)
class InventoryView:
    platform: str
    distribution: str
    packages: int
    unread: int


@dataclass(frozen=True, slots=True)
class ImageView:
    """`moves` are the moves of tags to this digest and away from it, newest first."""

    digest: str
    scan: Scan | None
    pushes: list[PushedImage]
    moves: list[TagMove]
    inventories: list[InventoryView]
    verdicts: list[VerdictRecord]


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """`repository` is where in our registry the digest lies."""

    repository: str


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """`replay`: whether the verdict's case gives the same bytes again."""

    replay: Replay
    explanation: Explanation | None


MOST_DIGESTS = 10
Kind = Literal["image", "verdict"]
Start = Annotated[str, Path(pattern=r"^[0-9a-f]{6,64}$")]
OtherDigest = Annotated[str | None, Query(pattern=f"^{PATTERN}$")]


@router.get("/images")
def images(who: Reader, server: TheServer, repository: str | None = None) -> list[ImageSummary]:
    """What was pushed to our registry, newest first."""
    found = []
    for pushed in server.store.images.pushed_images(repository):
        scan = server.store.images.scan(pushed.digest)
        verdicts = server.store.images.verdicts(pushed.digest)
        found.append(
            ImageSummary(
                repository=pushed.repository,
                tag=pushed.tag,
                digest=pushed.digest,
                pushed_at=pushed.pushed_at,
                scan=scan.state if scan else "",
                status=verdicts[0].status if verdicts else "",
                summary=verdicts[0].summary if verdicts else "",
                waived=verdicts[0].waived if verdicts else "",
            )
        )
    return found


@router.get("/digests/{kind}/{start}")
@narrow
def digests(kind: Kind, start: Start, who: Reader, server: TheServer) -> list[str]:
    """The digests of images or verdicts that begin with these hexadecimal digits: at most ten, those that the caller
    may see."""
    found = server.store.images.find_digests(kind, start, MOST_DIGESTS)
    return [digest for digest, image in found if _may_see(who, image, server)]


@router.get("/images/{digest}")
@narrow
def image(digest: Digest, who: Reader, server: TheServer) -> ImageView:
    """One digest: its scan, its inventories in short, its verdicts newest first."""
    require(who, digest, server)
    scan = server.store.images.scan(digest)
    pushes = [pushed for pushed in server.store.images.pushed_images() if pushed.digest == digest]
    if scan is None and not pushes:
        raise NotFoundError(
            f"nothing is known of an image {digest}", "`dockgate image list` names those that were pushed."
        )
    inventories = server.store.images.inventories(digest) if scan and scan.finished_at and not scan.reason else ()
    return ImageView(
        digest=digest,
        scan=scan,
        pushes=pushes,
        moves=list(server.store.images.tag_moves(digest)),
        inventories=[
            InventoryView(
                item.platform,
                item.distribution.name if item.distribution else "",
                len(item.packages),
                len(item.unread),
            )
            for item in inventories
        ],
        verdicts=list(server.store.images.verdicts(digest)),
    )


@router.post("/images/{digest}/scan", status_code=202)
@narrow
def scan(digest: Digest, body: ScanRequest, who: Runner, server: TheServer) -> Scan:
    """Asks for a scan. One that is requested or done stands."""
    if not re.fullmatch(REPOSITORY, body.repository):
        raise UsageError(f"{body.repository!r} is no repository", "Name one of our registry: `dockgate image list`.")
    who.require(repository=body.repository)
    return server.engine.scan(body.repository, digest)


@router.post("/images/{digest}/findings", status_code=201, openapi_extra=body_of("application/json", "object"))
@narrow
async def findings(
    digest: Digest,
    request: Request,
    who: Runner,
    server: TheServer,
    threads: TheThreads,
    name: str = "findings.json",
    found_at: str = "",
) -> list[ReportRecord]:
    """Takes what another scanner found, given as the body, and answers whoever waits on the image."""
    await threads.run_prompt(_require_place, who, digest, server)
    body = await request.body()
    return await threads.run_remote(who.name, _report, server, who, digest, body, name, found_at)


def _report(server: Server, who: Caller, digest: str, body: bytes, name: str, found_at: str) -> list[ReportRecord]:
    """Whoever may accept risks may have a report stand in for a scan."""
    reported = reading.read(body, name[:200], digest, found_at)
    return list(server.engine.report(reported, who.name, who.may(Permission.ACCEPT)))


@router.get("/images/{digest}/findings")
@narrow
def reports(digest: Digest, who: Reader, server: TheServer) -> list[ReportRecord]:
    """What other scanners reported of an image. `/documents/{digest}` gives the body of one."""
    require(who, digest, server)
    return list(server.store.reports.for_image(digest))


@router.get("/verdicts/{digest}")
@narrow
def verdict(digest: Digest, who: Reader, server: TheServer) -> Verdict:
    """A verdict, whole."""
    found = server.store.images.verdict(digest)
    require(who, found.image, server)
    return found


@router.get("/verdicts/{digest}/case")
@narrow
def case(digest: Digest, who: Reader, server: TheServer) -> Response:
    """A verdict with all that it was made from: what `dockgate gate -o case` writes, and `dockgate explain` reads."""
    return Response(case_file.text(_recorded(digest, who, server)), media_type="application/json")


@router.get("/verdicts/{digest}/explanation")
@narrow
def explanation(digest: Digest, who: Reader, server: TheServer, against: OtherDigest = None) -> ExplanationView:
    """A verdict judged again, and with `against` (another verdict's digest) what changed from it to that one."""
    recorded = _recorded(digest, who, server)
    told = compare(recorded, _recorded(against, who, server)) if against else None
    return ExplanationView(replay(recorded), told)


@router.get("/documents/{digest}")
def document(digest: Digest, who: Reader, server: TheServer) -> Response:
    """The canonical bytes of what a verdict was made from: an inventory, a snapshot, a policy."""
    return Response(server.store.images.document(digest), media_type="application/json")


def _recorded(digest: str, who: Caller, server: Server) -> case_file.RecordedVerdict:
    images = server.store.images
    found = images.verdict(digest)
    require(who, found.image, server)
    return case_file.RecordedVerdict(found, images.case(digest))


def require(who: Caller, image: str, server: Server) -> None:
    """A token that is for some repositories or pipelines only shows the images that lie there, and those that these
    have asked about: whoever waits is to hear why."""
    if who.limited:
        asked = server.store.approvals.for_image(image)
        if not any(who.reaches(pipeline=pipeline_of(request), repository=request.repository) for request in asked):
            _require_place(who, image, server)


def _may_see(who: Caller, image: str, server: Server) -> bool:
    try:
        require(who, image, server)
    except DeniedError:
        return False
    return True


def _require_place(who: Caller, image: str, server: Server) -> None:
    """A token that is for some repositories only changes what is known of their images alone."""
    if who.limited:
        scan = server.store.images.scan(image)
        who.require(repository=scan.repository if scan else "")
