"""A verdict: the answer, the upgrades that turn it, and every finding with why it counts or not."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import Response

from dockgate import reports
from dockgate.delivery.accept_commands import make_waiver_commands
from dockgate.gate.model import PlatformVerdict, Verdict
from dockgate.gate.next_steps import NextStep, list_next_steps
from dockgate.gate.replay.case_file import RecordedVerdict
from dockgate.identity.model import Caller
from dockgate.reports import _wording as wording
from dockgate.reports._verdict_lines import describe_undetermined
from dockgate.services.images.visibility import ImageVisibility
from dockgate.services.local_gate import Replay, compare, replay
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import format_time
from dockgate.store.records import VerdictRecord
from dockgate.vulnerabilities.model import Finding, Severity
from dockgate.web import api
from dockgate.web.api import verdicts as calls
from dockgate.web.console.list_links import ListLinks
from dockgate.web.console.pages.comparisons import describe_effect, find_verdict, list_candidates
from dockgate.web.console.pages.finding_filter import EPSS_STEPS, FIXES, ORIGINS, SORTS, FindingFilter
from dockgate.web.console.pages.later_waivers import make_later_waiver_finder
from dockgate.web.console.pages.platform_tabs import PLATFORM, make_platform_tabs
from dockgate.web.console.recent_values import RecentVerdicts
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router, redirect_to
from dockgate.web.downloads import REPORT_KINDS, download_text
from dockgate.web.image_filters import Text
from dockgate.web.query_parameters import mark_parameters

# Findings on one page, and upgrades that it lists: the command has all.
PAGE_SIZE, FIRST_UPGRADES, MAX_UPGRADES = 100, 5, 50
# Visitors with a link share the slots of one caller.
_VISITORS = "visitors of verdicts"

# Parameters of an address that stay when the order changes, and orders that begin with the worst.
FILTER_NAMES = ("severity", "fix", "kev", "epss", "origin", "layer", "q", "show", PLATFORM, "expires", "signature")
LAST_FIRST = ("severity", "epss")

router = make_page_router()


class Group(StrEnum):
    """The reason why a finding counts or not."""

    BLOCKS = "blocks"
    WITHIN = "within"
    UNFIXED = "unfixed"
    WAIVED = "waived"


_TITLES = {
    Group.BLOCKS: "Blocks",
    Group.WITHIN: "Within limits",
    Group.UNFIXED: "No fix",
    Group.WAIVED: "Waived",
}


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A finding with why it counts or not, as a sentence. `is_base` is None when the layers are unknown."""

    finding: Finding
    group: Group
    explanation: str
    is_base: bool | None

    @property
    def fixed(self) -> str:
        """The version that fixes it, or that no fix is known, as text."""
        return wording.describe_fix(self.finding)

    @property
    def notes(self) -> list[str]:
        """List what makes the finding urgent, and remarks on it, in short phrases."""
        return [*wording.list_urgent_notes(self.finding), *wording.list_other_notes(self.finding)]


@dataclass(frozen=True, slots=True)
class PlatformPage:
    """The page's part about one platform."""

    platform: PlatformVerdict
    rows: Sequence[FindingRow]
    totals: Sequence[tuple[int, Severity]]
    groups: Sequence[tuple[Group, str, int]]
    undetermined: Sequence[str]
    steps: Sequence[NextStep]
    upgrades: Sequence[tuple[bool, str | None, tuple[str, ...]]]
    obstacles: Sequence[str]
    accepted_items: Sequence[str]


@router.get("/verdicts/{digest}")
@api.mark_self_checking
@mark_parameters(*FILTER_NAMES, "sort")
async def show_verdict(
    digest: str,
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    images: api.ImageDependency,
    threads: api.ThreadsDependency,
    show: Group | None = None,
    page: api.Count = 0,
    against: Text = "",
    replay_now: Annotated[str, Query(alias="replay")] = "",
) -> Response:
    """Show a verdict, or with `against` what differs from another.

    `against` is the digest of a verdict or an image, or its start. The start of the digest itself leads to the verdict.
    """
    run = threads.run_replay if against or replay_now else threads.run
    return await run(
        caller.name, _render, digest, request, caller, addresses, store, images, show, page, against, bool(replay_now)
    )


def _render(
    digest: str,
    request: Request,
    caller: Caller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    images: api.ImageDependency,
    show: Group | None,
    page: int,
    against: str,
    is_replay_requested: bool,
) -> Response:
    if not is_digest(digest):
        return redirect_to(f"/verdicts/{find_verdict(digest, '', caller, store)}")
    stored_verdict, visibility = read_verdict(request, store, digest), ImageVisibility(store, caller)
    repository = visibility.find_verdict_repository(stored_verdict.image, digest)
    records = visibility.list_verdicts(stored_verdict.image)
    second_record, comparison, problem = None, None, None
    if against:
        try:
            second_record = find_verdict(against, stored_verdict.policy, caller, store)
            compared_verdict = read_verdict(request, store, second_record)
            case_of = store.verdicts.read_case
            comparison = compare(
                RecordedVerdict(stored_verdict, case_of(stored_verdict)),
                RecordedVerdict(compared_verdict, case_of(compared_verdict)),
            )
        except (UsageError, NotFoundError) as error:
            problem = error
    code = 200 if problem is None else 404 if isinstance(problem, NotFoundError) else 422
    content = _describe_verdict(
        request, store, images, digest, stored_verdict, repository, is_replay_requested=is_replay_requested
    )
    return render_page(
        request,
        caller,
        "verdict.html",
        code,
        **(content | {"title": f"Error: {content['title']}"} if problem else content),
        query="",
        newer_record=_find_newer(records, digest, stored_verdict),
        candidates=list_candidates(stored_verdict, digest, repository, records, caller, addresses, store),
        second_record=second_record,
        problem=problem,
        effect_lines=describe_effect,
        commands=make_waiver_commands(stored_verdict),
        find_later_waiver=make_later_waiver_finder(
            stored_verdict, repository, store.waivers.list(), format_time(request.app.state.services.clock())
        ),
        show=show,
        page=page,
        against=against,
        report_kinds=REPORT_KINDS,
        comparison=comparison,
    )


def read_verdict(request: Request, store: api.StoreDependency, digest: str) -> Verdict:
    """The verdict, which is remembered for a while."""
    recent: RecentVerdicts = request.app.state.recent_verdicts
    return recent.verdicts.get_or_make(digest, lambda: store.verdicts.get(digest))


def _replay_verdict(
    request: Request, store: api.StoreDependency, digest: str, stored_verdict: Verdict, is_requested: bool
) -> Replay | None:
    """Return whether the verdict is the same when made again.

    None if that is neither requested nor remembered: it takes a few tenths of a second, with many findings longer.
    """
    recent: RecentVerdicts = request.app.state.recent_verdicts
    if not is_requested:
        return recent.replays.get(digest)
    case_of = store.verdicts.read_case
    return recent.replays.get_or_make(digest, lambda: replay(RecordedVerdict(stored_verdict, case_of(stored_verdict))))


@router.get("/verdicts/{digest}/link")
@mark_parameters(*FILTER_NAMES, "sort", "replay")
async def show_linked_verdict(
    digest: api.Digest,
    request: Request,
    store: api.StoreDependency,
    approvals: api.ApprovalDependency,
    images: api.ImageDependency,
    threads: api.ThreadsDependency,
    expires: str = "",
    signature: str = "",
    show: Group | None = None,
    page: api.Count = 0,
) -> Response:
    """Show a verdict, and nothing else, to a visitor with a link to it."""
    link = digest, expires, signature
    return await threads.run(_VISITORS, _render_linked, request, store, approvals, images, link, show, page)


def _render_linked(
    request: Request,
    store: api.StoreDependency,
    approvals: api.ApprovalDependency,
    images: api.ImageDependency,
    link: tuple[str, str, str],
    show: Group | None,
    page: int,
) -> Response:
    digest, expires, signature = link
    approvals.verdict_links.require(digest, expires, signature)
    stored_verdict = read_verdict(request, store, digest)
    repositories = store.verdicts.list_repositories(stored_verdict.image, digest)
    return render_page(
        request,
        None,
        "verdict.html",
        **_describe_verdict(request, store, images, digest, stored_verdict, next(iter(repositories), None)),
        query=f"expires={expires}&signature={signature}&",
        newer_record=None,
        candidates=(),
        second_record=None,
        problem=None,
        commands=(),
        find_later_waiver=lambda finding: None,
        show=show,
        page=page,
        against="",
        report_kinds=(),
        comparison=None,
    )


def _describe_verdict(
    request: Request,
    store: api.StoreDependency,
    images: api.ImageDependency,
    digest: str,
    stored_verdict: Verdict,
    repository: str | None,
    *,
    is_replay_requested: bool = False,
) -> dict[str, Any]:
    """Return what the page shows of the verdict itself."""
    finding_filter = FindingFilter.from_query(request.query_params)
    filters = [(name, value) for name, value in request.query_params.multi_items() if name in FILTER_NAMES]
    base_layers = _find_base_layers(store, stored_verdict.image)
    tabs = make_platform_tabs(stored_verdict.platform_verdicts, request.query_params.get(PLATFORM, ""))
    shown_verdict = tabs.shown_verdict
    return {
        "links": ListLinks(request.url.path, SORTS, finding_filter.sort, filters, descending=LAST_FIRST),
        "finding_filter": finding_filter,
        "filters": {"fix": FIXES, "origin": ORIGINS, "epss": EPSS_STEPS, "sort": SORTS, "severity": list(Severity)},
        "title": f"{stored_verdict.status}: {stored_verdict.image[7:19]}",
        "digest": digest,
        "verdict": stored_verdict,
        "tabs": tabs,
        "kept_query": "".join(f"{pair}&" for pair in (finding_filter.query, urlencode(tabs.fields)) if pair),
        "part": shown_verdict
        and _make_platform_page(stored_verdict, shown_verdict, base_layers.get(shown_verdict.image), finding_filter),
        "repository": repository,
        "scan": store.images.find_newest_scan(stored_verdict.image),
        "scanner": images.scans.runner.version,
        "page_size": PAGE_SIZE,
        "first_upgrades": FIRST_UPGRADES,
        "most_upgrades": MAX_UPGRADES,
        "replay": _replay_verdict(request, store, digest, stored_verdict, is_replay_requested),
    }


@router.get("/verdicts/{digest}/report", dependencies=[api.DOCUMENT])
@api.mark_self_checking
def download_report(
    digest: api.Digest, caller: api.ReadCaller, store: api.StoreDependency, form: str = "html"
) -> Response:
    """Download a verdict as a report, in a format of `dockgate verdict show -o`."""
    kind = REPORT_KINDS.get(form)
    if kind is None:
        raise UsageError(f"there are no reports as {form[:40]!r}", f"Formats: {', '.join(REPORT_KINDS)}.")
    stored_verdict = calls.read_visible_verdict(digest, caller, store)
    case = store.verdicts.read_case(stored_verdict)
    repository = ImageVisibility(store, caller).find_verdict_repository(stored_verdict.image, digest)
    reference = str(ImageReference(repository, stored_verdict.image)) if repository else stored_verdict.image
    content = reports.GateReport(reference, stored_verdict, case.inventories, case)
    name = "-".join(filter(None, ("verdict", repository, f"{digest[7:19]}.{kind.suffix}")))
    return download_text(name, kind.media_type, lambda out: reports.write(content, form, out))


def _find_newer(records: Sequence[VerdictRecord], digest: str, stored_verdict: Verdict) -> VerdictRecord | None:
    """The newest verdict on the image by the same policy, if that is another one."""
    by_policy = next((record for record in records if record.policy == stored_verdict.policy), None)
    return by_policy if by_policy and by_policy.digest != digest else None


def _make_platform_page(
    stored_verdict: Verdict,
    platform: PlatformVerdict,
    base_layers: frozenset[str] | None,
    finding_filter: FindingFilter,
) -> PlatformPage:
    order = list(Group)
    all_rows = sorted(
        make_rows(platform, base_layers), key=lambda row: (order.index(row.group), row.finding.severity.rank)
    )
    sort_key = finding_filter.make_sort_key()
    rows = sorted(
        (row for row in all_rows if finding_filter.has(row.finding, row.is_base)), key=lambda row: sort_key(row.finding)
    )
    return PlatformPage(
        platform=platform,
        rows=rows,
        totals=wording.count_severities(platform.findings),
        groups=[
            (group, title, count)
            for group, title in _TITLES.items()
            if (count := sum(row.group is group for row in rows))
        ],
        undetermined=list(describe_undetermined(platform.undetermined)),
        steps=list_next_steps(platform.undetermined, stored_verdict.image),
        upgrades=wording.group_upgrades(platform.remediation),
        obstacles=wording.list_obstacle_reasons(platform),
        accepted_items=list(
            dict.fromkeys(
                f"{wording.describe_waived_subject(entry)}: {wording.describe_waiver(entry)}"
                for entry in platform.waived
                if entry.finding is None
            )
        ),
    )


def _find_base_layers(store: api.StoreDependency, image: str) -> dict[str, frozenset[str]]:
    """The digests of the base image's layers by the platform's image, without platforms whose base is unknown."""
    return {
        inventory.image_digest: frozenset(inventory.layers[: inventory.base_layers])
        for inventory in store.images.list_inventories(image)
        if inventory.base_layers
    }


def make_rows(platform: PlatformVerdict, base_layers: frozenset[str] | None) -> list[FindingRow]:
    """The findings of a platform, each with every rule that it breaks, or why it counts for none."""
    messages: dict[tuple[str, str, str], list[str]] = {}
    for violation in platform.violations:
        for finding in violation.findings:
            messages.setdefault(_make_key(finding), []).append(violation.message)
    waived_findings = {_make_key(entry.finding): entry for entry in platform.waived if entry.finding is not None}
    rows = []
    for finding in platform.findings:
        key = _make_key(finding)
        if key in waived_findings:
            group, explanation = Group.WAIVED, wording.describe_waiver(waived_findings[key])
        elif key in messages:
            group, explanation = Group.BLOCKS, "; ".join(dict.fromkeys(messages[key]))
        elif not finding.fixed:
            group, explanation = Group.UNFIXED, "No rule of the policy counts it, and there is no fix."
        else:
            group, explanation = Group.WITHIN, "Within the policy's limits."
        is_base = None if base_layers is None else finding.package.layer in base_layers
        rows.append(FindingRow(finding, group, explanation, is_base))
    return rows


def list_finding_rows(verdict: Verdict, images: Collection[str] | None = None) -> list[FindingRow]:
    """The findings of all platforms, or of those with these images, each once, with why they count or not."""
    parts = [part for part in verdict.platform_verdicts if images is None or part.image in images]
    rows = {_make_key(row.finding): row for part in parts for row in make_rows(part, None)}
    return list(rows.values())


def _make_key(finding: Finding) -> tuple[str, str, str]:
    """A finding at one path of the image."""
    return finding.id, finding.package.purl, finding.package.path
