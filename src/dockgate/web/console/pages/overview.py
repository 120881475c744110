"""The overview: what needs a person now, and what runs."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from dockgate.delivery.model import Execution, ExecutionId
from dockgate.events.subject import EventSubject, SubjectKind
from dockgate.services.exposure.advisory_matching import judge_matching_state
from dockgate.shared.errors import UsageError
from dockgate.shared.recent_values import RecentValues
from dockgate.shared.timestamps import format_time, parse_time
from dockgate.store import Store
from dockgate.web import api
from dockgate.web.browser_sessions import read_cookie, set_cookie
from dockgate.web.console.live import LiveChanges
from dockgate.web.console.pages.changes import add_rejections, find_changes, list_failed_executions
from dockgate.web.console.pages.queue_items import QueueCount, count_queue_items, describe_change, list_queue_items
from dockgate.web.console.pages.stages import make_execution_rows
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.console.task_counts import count_running_tasks
from dockgate.web.console.visits import LONGEST_PERIOD, VISIT_COOKIE, read_visit
from dockgate.web.query_parameters import choose_value

# Subjects that a live page follows.
MAX_SUBJECTS = 20
# Executions that a live page shows.
MAX_SHOWN = 200
# How long before its time a page may have read what it shows.
PAGE_TIME = timedelta(seconds=5)
# How long the count of the navigation is remembered.
COUNT_SECONDS = 5

router = make_page_router()


@router.get("/")
@api.mark_self_checking
def show_overview(
    request: Request,
    caller: api.ReadCaller,
    attention: api.AttentionDependency,
    store: api.StoreDependency,
    clock: api.ClockDependency,
    fleet: api.FleetDependency,
    delivery: api.DeliveryDependency,
    shown_keys: str | None = None,
    shown_executions: str | None = None,
) -> Response:
    """Show what needs a person now, and what runs.

    `shown_keys` are those of the items that a live page shows, `shown_executions` the ids of the executions, separated
    by commas: the answer says what has changed, and has the same executions.
    """
    services = attention.list_services(caller)
    visit = read_visit(clock(), read_cookie(request, VISIT_COOKIE))
    changes, has_more = find_changes(store, caller, format_time(visit.since), {service.name for service in services})
    caller_attention = attention.read(caller, services, list_failed_executions(changes))
    queue = list_queue_items(caller_attention, clock())
    # A page that fetches itself again, at each event, keeps its services.
    is_refresh = "HX-Request" in request.headers
    asked_services = [] if is_refresh else [(service.name, service.target) for service in services]
    trends, matching = None, None
    if not caller.is_limited:
        trends, state = fleet.trends.read()
        matching = judge_matching_state(state, fleet.advisories, fleet.exposure_search.clock.now())
    pipelines = {entry.pipeline for entry in caller_attention.newest_executions} if caller.is_limited else None
    under_way, new_count = _list_under_way(store, pipelines, shown_executions)
    page = render_page(
        request,
        caller,
        "overview.html",
        is_live=True,
        title="Overview",
        queue=queue,
        queue_count=len(queue),
        is_queue_complete=caller_attention.approvals.is_complete,
        queue_change=describe_change(shown_keys, queue) if shown_keys is not None else None,
        is_refresh=is_refresh,
        executions=under_way,
        has_new_executions=shown_executions is None,
        new_execution_count=new_count,
        rows=make_execution_rows(store, under_way),
        services=services,
        tasks=count_running_tasks(delivery, asked_services),
        is_fresh=not caller_attention.newest_executions and not caller.is_limited,
        trends=trends,
        matching=matching,
        changes=add_rejections(changes, caller_attention.rejected_states),
        has_more_changes=has_more,
        visit=visit,
    )
    if not is_refresh:  # what a page fetches by itself is not a visit
        set_cookie(request, page, VISIT_COOKIE, visit.cookie, int(LONGEST_PERIOD.total_seconds()))
    return page


@router.get("/queue-count")
@api.mark_self_checking
def show_queue_count(
    request: Request,
    caller: api.ReadCaller,
    attention: api.AttentionDependency,
    clock: api.ClockDependency,
) -> Response:
    """Show how many things need the caller, for the navigation of each page.

    The count is at most COUNT_SECONDS old.
    """
    recent_counts: RecentValues[QueueCount] = request.app.state.recent_queue_counts
    period = int(clock().timestamp() // COUNT_SECONDS)
    key = f"{period} {caller.name} {caller.token.id if caller.token else ''}"
    count = recent_counts.get_or_make(key, lambda: count_queue_items(attention.read(caller), clock()))
    return render_page(request, caller, "_queue_count.html", count=count.number, is_complete=count.is_complete)


@router.get("/live")
@api.mark_self_checking
async def stream_changes(
    request: Request,
    caller: api.ReadCaller,
    threads: api.ThreadsDependency,
    subject: str = "",
    since: str | None = None,
) -> StreamingResponse:
    """Say when one of these subjects changes, or anything of these kinds, separated by commas.

    `since` is the time of the page, in RFC 3339. RequestValidationError for another kind. A name that does not exist
    and one that the caller may not see are alike: nothing of them ever changes.
    """
    changes: LiveChanges = request.app.state.live_changes
    subjects = tuple(EventSubject.parse(text) for text in subject.split(",") if text)
    if len(subjects) > MAX_SUBJECTS:  # each is compared with each event
        raise UsageError(f"more than {MAX_SUBJECTS} subjects", "Omit them to get all events.")
    for event_subject in subjects:
        choose_value({"subject": event_subject.kind}, "subject", list(SubjectKind))
    page_time = parse_time(since)
    if since and page_time is None:
        raise UsageError(f"since: {since[:100]!r} is not a time", "Write a time in RFC 3339.")
    missed_since = format_time(page_time - PAGE_TIME) if page_time else None
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = changes.stream(caller, subjects, threads, missed_since)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def _list_under_way(
    store: Store, pipelines: Collection[str] | None, shown_executions: str | None
) -> tuple[Sequence[Execution], int]:
    """The executions of these pipelines to show, None for all, and the number of others that are under way.

    A page that shows some already gets these again, also those that have ended: its rows stay where they are.
    """
    shown_ids = [ExecutionId(text) for text in (shown_executions or "").split(",")[:MAX_SHOWN]]
    executions = store.executions.list_unfinished(shown_ids, pipelines=pipelines)
    if shown_executions is None:
        return executions, 0
    kept_executions = [execution for execution in executions if execution.id in shown_ids]
    return kept_executions, len(executions) - len(kept_executions)
