"""Events, the rules that send them on, and the targets that receive them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import Response

from dockgate.events.model import StoredEvent
from dockgate.events.pattern import Pattern, compile_pattern
from dockgate.identity.model import Caller
from dockgate.services.exposure.question_names import is_vulnerability_name
from dockgate.services.notifications.event_rules import require_repository_names
from dockgate.services.pipelines.visible_services import list_visible_services
from dockgate.services.web_services import EventServices
from dockgate.shared.errors import DefinitionError, DockgateError
from dockgate.store import Store
from dockgate.web import api
from dockgate.web.api import rules as calls
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.list_links import FilterRow, ListLinks
from dockgate.web.console.pages.deliveries import describe_redelivery
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.paging import MAX_COUNT, Cursor, Page, PageQuery, list_sort_names

# Events on a page, and how many are read for it.
PAGE_SIZE = 100
MAX_READ = 2000
# Messages that wait, and the newest that were delivered, on the page of their target.
MAX_WAITING, MAX_DELIVERED = 50, 25
# Vulnerabilities of an event that its row links, and characters of a name.
MAX_NAMES = 10
LONGEST_NAME = 60
# Beginnings of vulnerabilities' names that nothing else in an event has.
PREFIXES = ("CVE-", "GHSA-", "MAL-", "PYSEC-", "RUSTSEC-", "GO-", "DSA-", "ALAS")

# What a form tells the page of a target that accepted a test message.

EventSort = Literal["-number", "number"]

router = make_page_router()


@router.get("/events")
@api.mark_self_checking
def show_events(
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    pattern: str = "",
    before: api.Count = 0,
    after: api.Count | None = None,
    sort: EventSort = "-number",
) -> Response:
    """List events that match a pattern.

    These are the newest, or those before a number; or the oldest, or those after one.
    """
    is_oldest_first = sort == "number"
    position = (after if is_oldest_first else before) or 0
    error, page = None, Page[StoredEvent]([], None)
    try:
        page = _read_page(
            store,
            caller,
            _compile_pattern(pattern, addresses.registry_names),
            position,
            is_oldest_first=is_oldest_first,
        )
    except DefinitionError as problem:
        error = problem
    query = PageQuery(sort, str(position) if position else None)
    # The call lists the newest ones, or with `after` the oldest ones.
    call_fields = {
        **({"pattern": pattern} if pattern and not error else {}),
        **({"after": position} if is_oldest_first else {}),
    }
    links = ListLinks.from_page("/events", list_sort_names(EventSort), query, page, [("pattern", pattern)])
    return render_page(
        request,
        caller,
        "events.html",
        422 if error else 200,
        is_live=not (position or is_oldest_first or error),
        title="Error: events" if error else "Events",
        events=page.entries,
        services={service.name for service in list_visible_services(caller, addresses.registry, store)}
        if caller.is_limited
        else None,
        vulnerabilities={event.seq: _list_vulnerabilities(event.body) for event in page.entries},
        bodies={event.seq: json.dumps(event.body, indent=2, ensure_ascii=False) for event in page.entries},
        pattern=pattern,
        position=position,
        next_position=int(page.next or 0),
        is_oldest_first=is_oldest_first,
        call_query=f"?{urlencode(call_fields)}" if call_fields else "",
        links=replace(links, names=("sort", "after" if is_oldest_first else "before")),
        error=error,
    )


def _list_vulnerabilities(body: Any) -> list[str]:
    """The vulnerabilities that an event names, at most MAX_NAMES."""
    names: list[str] = []
    waiting = [body]
    while waiting and len(names) < MAX_NAMES:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, str) and len(value) < LONGEST_NAME and value.startswith(PREFIXES):
            names += [value] if is_vulnerability_name(value) else []
    return sorted(set(names))


def _compile_pattern(pattern: str, registries: Sequence[str]) -> Pattern | None:
    """The pattern as it is matched, None for no pattern. DefinitionError for a wrong one."""
    try:
        value = json.loads(pattern) if pattern else None
    except (json.JSONDecodeError, RecursionError) as error:
        raise DefinitionError(f"the pattern is not JSON: {error}", 'Such as {"source": ["dockgate"]}.') from None
    require_repository_names(value, registries)
    return compile_pattern(value) if pattern else None


def _read_page(
    store: Store, caller: Caller, event_pattern: Pattern | None, position: int, *, is_oldest_first: bool
) -> Page[StoredEvent]:
    """The events of a page, which begins after the event `position` in its order, or with the first (0).

    They are counted if the caller sees all.
    """
    read, read_back = (
        (_read_oldest_events, _read_newest_events) if is_oldest_first else (_read_newest_events, _read_oldest_events)
    )
    shown_events, next_position = read(store, caller, event_pattern, position)
    step = 1 if is_oldest_first else -1
    end = read_back(store, caller, event_pattern, position + step)[1] if position else 0
    total = None
    if event_pattern is None and not caller.is_limited and (position or next_position):
        total = store.event_log.count(MAX_COUNT + 1)
    return Page(
        list(shown_events),
        str(next_position) if next_position else None,
        str(end - step) if end else None,
        total and min(total, MAX_COUNT),
        total is not None and total > MAX_COUNT,
    )


def _read_oldest_events(
    store: Store, caller: Caller, event_pattern: Pattern | None, after: int
) -> tuple[Sequence[StoredEvent], int]:
    """The first matching events after a number, oldest first, of those that `caller` may see.

    And the number after which the next page begins, 0 if there are no newer events. At most MAX_READ are looked at.
    """
    reach = MAX_READ if event_pattern or caller.is_limited else PAGE_SIZE
    read_events = store.event_log.read(after, reach + 1)
    matching = _select_visible_events(read_events[:reach], caller, event_pattern)
    shown_events = matching[:PAGE_SIZE]
    if len(matching) > PAGE_SIZE:
        return shown_events, shown_events[-1].seq
    return shown_events, read_events[reach - 1].seq if len(read_events) > reach else 0


def _select_visible_events(
    events: Iterable[StoredEvent], caller: Caller, event_pattern: Pattern | None
) -> list[StoredEvent]:
    """The events that match, of those that `caller` may see."""
    return [
        event
        for event in events
        if caller.can_reach(repository=event.repository, pipeline=event.pipeline)
        and (event_pattern is None or event_pattern.is_match(event.body))
    ]


def _read_newest_events(
    store: Store, caller: Caller, event_pattern: Pattern | None, before: int
) -> tuple[Sequence[StoredEvent], int]:
    """The newest matching events before a number (0: all), newest first, of those that `caller` may see.

    And the number before which the next page begins, 0 if there are no older events. At most MAX_READ are looked at.
    """
    end = before - 1 if before else store.event_log.read_newest_seq()
    reach = MAX_READ if event_pattern or caller.is_limited else PAGE_SIZE
    begin = max(0, end - reach)
    read_events = store.event_log.read(begin, reach)
    matching = _select_visible_events(
        (event for event in reversed(read_events) if event.seq <= end), caller, event_pattern
    )
    shown_events = matching[:PAGE_SIZE]
    if len(matching) > PAGE_SIZE:
        return shown_events, shown_events[-1].seq
    has_older = begin > 0 and bool(read_events) and read_events[0].seq == begin + 1  # others are deleted
    return shown_events, begin + 1 if has_older else 0


@router.get("/events/rules")
def show_rules(
    request: Request,
    caller: api.ReadCaller,
    events: api.EventDependency,
    enabled: bool | None = None,
    sort: calls.RuleSort = "name",
    after: Cursor = None,
) -> Response:
    """List event rules."""
    query = PageQuery(sort, after)
    page = calls.read_rule_page(events, query, enabled)
    filters = [("enabled", None if enabled is None else str(enabled).lower())]
    return render_page(
        request,
        caller,
        "event_rules.html",
        title="Event rules",
        rules=page.entries,
        links=ListLinks.from_page("/events/rules", list_sort_names(calls.RuleSort), query, page, filters),
        filter_rows=[FilterRow("State", [("enabled", "true", "On"), ("enabled", "false", "Off")])],
    )


@router.get("/events/rules/{name}")
def show_rule(name: str, request: Request, caller: api.ReadCaller, events: api.EventDependency) -> Response:
    """Show an event rule, with a tester."""
    return _render_rule(request, caller, events, name, "")


def _render_rule(
    request: Request,
    caller: Caller,
    events: EventServices,
    name: str,
    event: str,
    outcome: object = None,
    error: DockgateError | None = None,
) -> Response:
    rule_view = calls.get_rule(name, caller, events)
    return render_page(
        request,
        caller,
        "event_rule.html",
        422 if error else 200,
        title=f"Error: {name}" if error else name,
        rule=rule_view,
        pattern=json.dumps(rule_view.pattern, indent=2, ensure_ascii=False),
        event=event,
        outcome=outcome,
        error=error,
    )


@router.post("/events/rules/{name}/test")
def try_rule(
    name: str, request: Request, caller: api.ReadCaller, events: api.EventDependency, fields: Form
) -> Response:
    """Match an event with a rule. Nothing is sent."""
    text = fields.get("event", "")
    try:
        event = json.loads(text)
        if not isinstance(event, dict):
            raise DefinitionError("the event is not a JSON object", "Copy one from the page Events.")
        outcome = calls.try_rule(name, calls.TriedEvent(event), caller, events)
    except (json.JSONDecodeError, RecursionError) as error:
        problem = DefinitionError(f"the event is not JSON: {error}", "Copy one from the page Events.")
        return _render_rule(request, caller, events, name, text, error=problem)
    except DefinitionError as error:
        return _render_rule(request, caller, events, name, text, error=error)
    return _render_rule(request, caller, events, name, text, outcome)


@router.post("/events/rules/{name}/remove")
def remove_rule(name: str, request: Request, caller: api.AdminCaller, events: api.EventDependency) -> Response:
    """Remove an event rule."""
    calls.remove_rule(name, caller, events)
    return redirect_with_flash(request, "/events/rules", f"The event rule {name} was removed.")


@router.get("/events/targets")
def show_targets(
    request: Request,
    caller: api.ReadCaller,
    events: api.EventDependency,
    state: calls.TargetState | None = None,
    sort: calls.TargetSort = "name",
    after: Cursor = None,
) -> Response:
    """List targets."""
    query = PageQuery(sort, after)
    page = calls.read_target_page(events, query, state)
    return render_page(
        request,
        caller,
        "event_targets.html",
        title="Targets",
        targets=[(target, calls.compute_target_state(target)) for target in page.entries],
        links=ListLinks.from_page(
            "/events/targets", list_sort_names(calls.TargetSort), query, page, [("state", state)]
        ),
        filter_rows=[FilterRow("State", [("state", state.value, state.value) for state in calls.TargetState])],
    )


@router.get("/events/targets/{name}")
def show_target(
    name: str,
    request: Request,
    caller: api.ReadCaller,
    events: api.EventDependency,
    sort: calls.DeadLetterSort = "-position",
    after: Cursor = None,
) -> Response:
    """Show a target with the messages that wait, that it accepted, and that could not be sent."""
    query = PageQuery(sort, after)
    page = calls.read_dead_letter_page(name, events, query)
    return render_page(
        request,
        caller,
        "target.html",
        title=name,
        target=calls.get_target(name, caller, events),
        letters=page.entries,
        waiting=events.targets.list_waiting_messages(name, MAX_WAITING),
        delivered_messages=events.targets.list_delivered_messages(name, MAX_DELIVERED),
        max_delivered=MAX_DELIVERED,
        links=ListLinks.from_page(f"/events/targets/{name}", list_sort_names(calls.DeadLetterSort), query, page),
    )


@router.post("/events/targets/{name}/test")
def try_target(name: str, request: Request, caller: api.AdminCaller, events: api.EventDependency) -> Response:
    """Send a test message to a target."""
    calls.try_target(name, caller, events)
    return redirect_with_flash(request, f"/events/targets/{name}", "The target accepted the test message.")


@router.post("/events/targets/{name}/redeliver")
def redeliver_messages(
    name: str, request: Request, caller: api.AdminCaller, events: api.EventDependency, fields: Form
) -> Response:
    """Send one dead letter again, or all."""
    key = fields.get("key")
    redelivery = calls.redeliver_messages(name, calls.Redelivery([key] if key else None), caller, events)
    return redirect_with_flash(request, f"/events/targets/{name}", describe_redelivery(redelivery.count))


@router.post("/events/targets/{name}/remove")
def remove_target(name: str, request: Request, caller: api.AdminCaller, events: api.EventDependency) -> Response:
    """Remove a target with the messages that wait for it."""
    calls.remove_target(name, caller, events)
    return redirect_with_flash(request, "/events/targets", f"The target {name} was removed.")
