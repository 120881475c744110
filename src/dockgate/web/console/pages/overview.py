"""The overview: what needs a person now, and what runs."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from dockgate.delivery.approval_request import make_scope
from dockgate.delivery.model import ApprovalState, Execution, ExecutionId, RunState
from dockgate.delivery.service_model import Service
from dockgate.delivery.trigger import list_starters
from dockgate.events.subject import EventSubject
from dockgate.gate.model import Status
from dockgate.identity.model import Caller, Permission
from dockgate.services.clock import ServerClock
from dockgate.services.server_status import describe_advisory_database, read_advisory_feeds
from dockgate.services.web_services import Addresses, EventServices, FleetServices, UpkeepServices
from dockgate.shared.errors import UsageError
from dockgate.shared.timestamps import format_time, is_within_days, parse_time
from dockgate.shared.wording import format_count
from dockgate.store import Store
from dockgate.store.records import OutboxEntry, OutboxKind, WaiverRecord
from dockgate.web import api
from dockgate.web.api.deploys import list_visible_services
from dockgate.web.api.waivers import ENDING_DAYS
from dockgate.web.console.formats import shorten_rejection
from dockgate.web.console.live import LiveChanges
from dockgate.web.console.pages.changes import add_rejections, find_changes, list_failed_executions
from dockgate.web.console.pages.feed_trouble import find_feed_trouble
from dockgate.web.console.pages.stages import find_rejected_states, make_execution_rows
from dockgate.web.console.recent_verdicts import Recent
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.console.task_counts import count_running_tasks
from dockgate.web.console.visits import LONGEST_PERIOD, VISIT_COOKIE, visit_at
from dockgate.web.page_paths import make_approval_path

# Rows that are looked at, of each kind.
MAX_ROWS = 200
# Subjects that a live page follows.
MAX_SUBJECTS = 20
# How long before its time a page may have read what it shows.
PAGE_TIME = timedelta(seconds=5)
# How long the count of the navigation is remembered.
COUNT_SECONDS = 5
# Characters of an item's key: enough to tell a few hundred items apart.
KEY_LENGTH = 8

router = make_page_router()


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One thing that needs a person.

    `state` says how it looks (`formats.get_mark`), `subject` names it, `action` is the text of the link to `href`.
    `until` is its deadline, None without one.
    """

    state: str
    subject: str
    sentence: str
    action: str
    href: str
    until: str | None = None

    @property
    def key(self) -> str:
        """What tells it from other items. Its sentence may change, such as the age of a feed."""
        return hashlib.sha256("\0".join((self.state, self.subject, self.href)).encode()).hexdigest()[:KEY_LENGTH]


@router.get("/")
@api.mark_self_checking
def show_overview(
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    clock: api.ClockDependency,
    fleet: api.FleetDependency,
    delivery: api.DeliveryDependency,
    events: api.EventDependency,
    upkeep: api.UpkeepDependency,
    shown_keys: str | None = None,
    shown_executions: str | None = None,
) -> Response:
    """Show what needs a person now, and what runs.

    `shown_keys` are those of the items that a live page shows, `shown_executions` the ids of the executions, separated
    by commas: the answer says what has changed, and has the same executions.
    """
    newest_executions = _list_newest_executions(store, caller)
    services = list_visible_services(caller, addresses, store)
    visit = visit_at(clock(), request.cookies.get(VISIT_COOKIE))
    changes, has_more = find_changes(store, caller, format_time(visit.since), {service.name for service in services})
    newest_failures = [execution for execution in newest_executions if execution.state is RunState.FAILED]
    states = find_rejected_states(
        store, [*(execution.id for execution in newest_failures), *list_failed_executions(changes)]
    )
    queue = _list_queue(store, clock, fleet, events, upkeep, caller, services, newest_failures, states)
    # A page that fetches itself again, at each event, keeps its services.
    is_refresh = "HX-Request" in request.headers
    asked_services = [] if is_refresh else [(service.name, service.target) for service in services]
    under_way, new_count = _list_under_way(store, caller, shown_executions)
    page = render_page(
        request,
        caller,
        "overview.html",
        live="",
        title="Overview",
        queue=queue,
        queue_count=len(queue),
        queue_change=describe_change(shown_keys, queue) if shown_keys is not None else None,
        is_refresh=is_refresh,
        executions=under_way,
        has_new_executions=shown_executions is None,
        new_execution_count=new_count,
        rows=make_execution_rows(store, under_way),
        services=services,
        tasks=count_running_tasks(delivery, asked_services),
        is_fresh=not newest_executions and not caller.is_limited,
        trends=None if caller.is_limited else fleet.trends.read(),
        changes=add_rejections(changes, states),
        has_more_changes=has_more,
        visit=visit,
    )
    if not is_refresh:  # what a page fetches by itself is not a visit
        page.set_cookie(
            VISIT_COOKIE, visit.cookie, max_age=int(LONGEST_PERIOD.total_seconds()), httponly=True, samesite="lax"
        )
    return page


@router.get("/queue-count")
@api.mark_self_checking
def show_queue_count(
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    clock: api.ClockDependency,
    fleet: api.FleetDependency,
    events: api.EventDependency,
    upkeep: api.UpkeepDependency,
) -> Response:
    """Show how many things need the caller, for the navigation of each page.

    The count is at most COUNT_SECONDS old.
    """
    recent_counts: Recent[int] = request.app.state.recent_queue_counts
    period = int(clock().timestamp() // COUNT_SECONDS)
    key = f"{period} {caller.name} {caller.token.id if caller.token else ''}"
    count = recent_counts.get_or_make(key, lambda: _count_queue(addresses, store, clock, fleet, events, upkeep, caller))
    return render_page(request, caller, "_queue_count.html", count=count)


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

    `since` is the time of the page, in RFC 3339.
    """
    changes: LiveChanges = request.app.state.live_changes
    subjects = tuple(EventSubject.parse(text) for text in subject.split(",") if text)
    if len(subjects) > MAX_SUBJECTS:  # each is compared with each event
        raise UsageError(f"more than {MAX_SUBJECTS} subjects", "Omit them to get all events.")
    page_time = parse_time(since)
    missed_since = format_time(page_time - PAGE_TIME) if page_time else None
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = changes.stream(caller, subjects, threads, missed_since)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def _list_newest_executions(store: Store, caller: Caller) -> list[Execution]:
    """The newest execution of each pipeline that the caller may see."""
    return [execution for execution in store.executions.list_newest() if caller.can_reach(pipeline=execution.pipeline)]


def _list_under_way(store: Store, caller: Caller, shown_executions: str | None) -> tuple[Sequence[Execution], int]:
    """The executions to show, and the number of others that are under way.

    A page that shows some already gets these again, also those that have ended: its rows stay where they are.
    """
    shown_ids = [ExecutionId(text) for text in (shown_executions or "").split(",")[:MAX_ROWS]]
    executions = [
        execution
        for execution in store.executions.list_unfinished(shown_ids)
        if caller.can_reach(pipeline=execution.pipeline)
    ]
    if shown_executions is None:
        return executions, 0
    kept_executions = [execution for execution in executions if execution.id in shown_ids]
    return kept_executions, len(executions) - len(kept_executions)


def _count_queue(
    addresses: Addresses,
    store: Store,
    clock: ServerClock,
    fleet: FleetServices,
    events: EventServices,
    upkeep: UpkeepServices,
    caller: Caller,
) -> int:
    failures = [execution for execution in _list_newest_executions(store, caller) if execution.state is RunState.FAILED]
    states = find_rejected_states(store, [execution.id for execution in failures])
    return len(
        _list_queue(
            store,
            clock,
            fleet,
            events,
            upkeep,
            caller,
            list_visible_services(caller, addresses, store),
            failures,
            states,
        )
    )


def _list_queue(
    store: Store,
    clock: ServerClock,
    fleet: FleetServices,
    events: EventServices,
    upkeep: UpkeepServices,
    caller: Caller,
    services: Sequence[Service],
    failures: Sequence[Execution],
    states: Mapping[str, Status],
) -> list[QueueItem]:
    """Return what the caller has to act on, the most urgent first. `failures` are failed executions."""
    waivers = () if caller.is_limited else store.waivers.list()
    return [
        *_list_services_at_risk(services),
        *_list_waiting_approvals(store, caller),
        *list_own_failures(caller, failures, states),
        *_list_unjudged_services(services),
        *_list_advisory_faults(fleet, caller),
        *list_own_ending_waivers(caller, waivers, clock.now()),
        *_list_undelivered(store, events, caller),
        *_list_feeds(clock, upkeep, caller),
    ]


def describe_change(shown_keys: str, queue: Sequence[QueueItem]) -> str | None:
    """Return what is new in the queue since a page was made, and what is gone, None if nothing is.

    `shown_keys` are those of the items that the page shows, separated by commas.
    """
    old_keys, keys = set(filter(None, shown_keys.split(","))), {item.key for item in queue}
    counts = ((len(keys - old_keys), "new"), (len(old_keys - keys), "gone"))
    return ", ".join(f"{count} {word}" for count, word in counts if count) or None


def _list_services_at_risk(services: Sequence[Service]) -> Iterator[QueueItem]:
    at_risk = [(service.at_risk_until or "", service.name, service.at_risk) for service in services if service.at_risk]
    for deadline, name, reason in sorted(at_risk):
        yield QueueItem("AtRisk", name, reason, "See service", f"/running/{name}", deadline or None)


def _list_unjudged_services(services: Sequence[Service]) -> Iterator[QueueItem]:
    for service in services:
        if service.cannot_judge:
            href = f"/running/{service.name}"
            yield QueueItem("CannotJudge", service.name, service.cannot_judge, "See service", href)


def _list_waiting_approvals(store: Store, caller: Caller) -> Iterator[QueueItem]:
    """Approvals that wait for people, what ends first before the others."""
    waiting = store.approvals.list(ApprovalState.WAITING, MAX_ROWS) if caller.can_somewhere(Permission.DECIDE) else ()
    for approval in sorted(waiting, key=lambda approval: approval.expires_at):
        can_decide = caller.can(Permission.DECIDE, **make_scope(approval))
        if approval.approvers and can_decide:
            count = approval.approvers.count
            sentence = f"{approval.repository} needs {count} {'person' if count == 1 else 'people'} to approve it."
            name = approval.action.execution if approval.action else approval.pipeline or approval.id
            href = make_approval_path(approval.id)
            yield QueueItem(RunState.WAITING, name, sentence, "Decide", href, approval.expires_at)


def list_own_failures(
    caller: Caller, failed_executions: Sequence[Execution], states: Mapping[str, Status]
) -> Iterator[QueueItem]:
    """The newest executions of pipelines that failed and are the caller's, Undetermined ones last.

    Without a person who pushed or started it, an execution is that of everyone who may run the pipeline. Undetermined
    ones are also of those who may accept risks: they look after feeds and policies.
    """
    items: list[QueueItem] = []
    for execution in failed_executions:
        starters = list_starters(execution.trigger)
        state = states.get(execution.id, RunState.FAILED)
        is_own = (caller.name in starters if starters else caller.can(Permission.RUN, pipeline=execution.pipeline)) or (
            state is Status.UNDETERMINED and caller.can(Permission.ACCEPT, pipeline=execution.pipeline)
        )
        if is_own:
            reason = execution.reason or "It failed."
            if state is not RunState.FAILED:
                reason = shorten_rejection(reason)
            items.append(QueueItem(state, execution.id, reason, "See why", f"/executions/{execution.id}"))
    return iter(sorted(items, key=lambda item: item.state is Status.UNDETERMINED))


def _list_advisory_faults(fleet: FleetServices, caller: Caller) -> Iterator[QueueItem]:
    database = {} if caller.is_limited else describe_advisory_database(fleet)
    if "error" in database:
        sentence = f"{database['error']} {database['advice']}"
        yield QueueItem(Status.UNDETERMINED, "Advisories", sentence, "See feeds", "/advisories")


def list_own_ending_waivers(caller: Caller, waivers: Sequence[WaiverRecord], now: str) -> Iterator[QueueItem]:
    """The waivers that end soon of which the caller is the owner, or which the caller added, by their end."""
    names = {caller.name, caller.principal.email}
    active_waivers = (record.waiver for record in waivers if not record.revoked_at)
    own_waivers = (waiver for waiver in active_waivers if names & {waiver.owner, waiver.created_by} - {None})
    for waiver in sorted(own_waivers, key=lambda waiver: waiver.until or ""):
        if is_within_days(waiver.until, now, ENDING_DAYS):
            subject = waiver.vulnerability or waiver.rule or waiver.package or waiver.unread or waiver.id
            sentence = f"This waiver of {waiver.owner} ends soon: {waiver.reason}"
            yield QueueItem(RunState.WAITING, subject, sentence, "See waiver", f"/waivers/{waiver.id}", waiver.until)


def _list_undelivered(store: Store, events: EventServices, caller: Caller) -> Iterator[QueueItem]:
    """Targets that accept no messages, and other kinds of deliveries with dead letters."""
    can_see = caller.can(Permission.ACCEPT) and not caller.is_limited
    failing_entries = store.outbox.list_failing(MAX_ROWS) if can_see else ()
    if any(entry.kind is OutboxKind.EVENT for entry in failing_entries):
        yield from _list_failing_targets(events)
    given_up: dict[OutboxKind, list[OutboxEntry]] = {}
    for entry in failing_entries:
        if entry.next_at is None and entry.kind is not OutboxKind.EVENT:
            given_up.setdefault(entry.kind, []).append(entry)
    for kind, entries in given_up.items():
        sentence = f"{len(entries)} given up. The newest: {entries[0].last_error}"
        yield QueueItem(RunState.FAILED, f"Delivery: {kind}", sentence, "See settings", "/settings")


def _list_failing_targets(events: EventServices) -> Iterator[QueueItem]:
    """Targets that fail, or have dead letters."""
    for status in events.targets.list_statuses():
        if status.is_failing or status.gone_at or status.dead:
            counts = f"{format_count(status.waiting, 'message')} waiting, {format_count(status.dead, 'dead letter')}."
            sentence = f"{counts} {status.last_error or 'It accepts messages again: send the dead letters again.'}"
            name = status.target.name
            yield QueueItem(RunState.FAILED, f"Target {name}", sentence, "See target", f"/events/targets/{name}")


def _list_feeds(clock: ServerClock, upkeep: UpkeepServices, caller: Caller) -> Iterator[QueueItem]:
    """Feeds that fail, are stale or suspect."""
    can_see = caller.can(Permission.ACCEPT) and not caller.is_limited
    for feed in read_advisory_feeds(upkeep) if can_see else ():
        if trouble := find_feed_trouble(feed, clock()):
            yield QueueItem(trouble.state, f"Feed {feed.feed}", trouble.sentence, "See feeds", "/advisories")
