"""Rules, targets, and the messages that could not be sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from dockgate.events.delivery_times import DailySummary, QuietHours
from dockgate.events.model import Rule, RuleTarget, Target, TargetType
from dockgate.services.notifications.event_rules import TriedRule
from dockgate.services.notifications.event_targets import DeadLetter, DeliveredMessage, TargetStatus, WaitingMessage
from dockgate.services.web_services import EventServices
from dockgate.store.events.rules import RuleRecord
from dockgate.web import api
from dockgate.web.audit_details import note_change
from dockgate.web.paging import Page, PageQuery, PagingDependency, make_page, read_page

router = api.make_router()

DeadLetterSort = Literal["-position", "position"]
WaitingSort = Literal["position", "-position"]
RuleSort = Literal["name", "-name", "-changed", "changed"]
TargetSort = Literal["name", "-name", "type", "-type", "-waiting", "waiting", "-dead", "dead"]


class TargetState(StrEnum):
    """The state of a target. FAILED: it does not accept messages."""

    ACTIVE = "Active"
    FAILED = "Failed"
    OFF = "Off"


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule. `version` is 0 for the built-in one."""

    name: str
    enabled: bool
    pattern: Mapping[str, Any]
    targets: tuple[RuleTarget, ...]
    version: int
    changed_at: str | None
    changed_by: str | None


@dataclass(frozen=True, slots=True)
class TargetView:
    """A target without its secrets, and its delivery state.

    `waiting` and `dead` are numbers of messages; `given_up` and `deleted` those that were lost because too many waited.
    A target that `is_failing` gets one message at a time, the next not before `paused_until`. One that wants no more
    messages since `gone_at` (it answered 410) gets none, until it is changed or tested, or dead letters are sent again.
    """

    name: str
    type: TargetType
    address: str
    settings: Mapping[str, Any]
    enabled: bool
    recipients: tuple[str, ...]
    quiet_hours: QuietHours | None
    summary: DailySummary | None
    version: int
    changed_at: str | None
    changed_by: str | None
    waiting: int
    dead: int
    failures: int
    is_failing: bool
    paused_until: str | None
    last_error: str | None
    gone_at: str | None
    given_up: int
    deleted: int


@dataclass(frozen=True, slots=True)
class TriedEvent:
    """An event in its envelope."""

    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SentTest:
    """A test message that the target has accepted."""

    target: str


@dataclass(frozen=True, slots=True)
class Redelivery:
    """The dead letters to send again, by their keys. Null: all."""

    keys: Annotated[list[str], Field(max_length=1000)] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Redelivered:
    """The number of dead letters that are sent again."""

    count: int


@router.get("/rules")
def list_rules(
    caller: api.ReadCaller,
    events: api.EventDependency,
    paging: PagingDependency,
    enabled: bool | None = None,
    sort: RuleSort = "name",
) -> list[RuleView]:
    """List rules, the built-in one too, a page at a time, optionally only those that are on, or off."""
    return paging.list_entries(read_rule_page(events, paging.make_query(sort), enabled))


def read_rule_page(events: EventServices, query: PageQuery, enabled: bool | None = None) -> Page[RuleView]:
    """Return a page of the rules: of all, or only of those that are on or off."""
    views = (_build_rule_view(record) for record in events.rules.list_records())
    selected_views = (view for view in views if enabled in (None, view.enabled))
    keys = {"name": lambda rule: (rule.name,), "changed": lambda rule: (rule.changed_at or "", rule.name)}
    return make_page(selected_views, keys, query)


@router.get("/rules/{name}")
def get_rule(name: str, caller: api.ReadCaller, events: api.EventDependency) -> RuleView:
    """Get a rule."""
    return _build_rule_view(events.rules.get(name))


@router.post("/rules/{name}/test")
def try_rule(name: str, body: TriedEvent, caller: api.ReadCaller, events: api.EventDependency) -> TriedRule:
    """Match an event with a rule, and show what its targets would get. Nothing is sent."""
    return events.rules.try_event(name, body.event)


@router.delete("/rules/{name}")
def remove_rule(name: str, caller: api.AdminCaller, events: api.EventDependency) -> RuleView:
    """Remove a rule, and return it."""
    rule = _build_rule_view(events.rules.remove(name))
    note_change(f"removed: version {rule.version}, to {', '.join(target.name for target in rule.targets)}")
    return rule


@router.get("/targets")
def list_targets(
    caller: api.ReadCaller,
    events: api.EventDependency,
    paging: PagingDependency,
    state: TargetState | None = None,
    sort: TargetSort = "name",
) -> list[TargetView]:
    """List targets, those of the server's settings too, a page at a time, optionally those in one state."""
    return paging.list_entries(read_target_page(events, paging.make_query(sort), state))


def read_target_page(events: EventServices, query: PageQuery, state: TargetState | None = None) -> Page[TargetView]:
    """A page of the targets, optionally of those in one state."""
    views = (_build_target_view(status) for status in events.targets.list_statuses())
    selected_views = (view for view in views if state in (None, compute_target_state(view)))
    keys = {
        "name": lambda target: (target.name,),
        "type": lambda target: (target.type.value, target.name),
        "waiting": lambda target: (target.waiting, target.name),
        "dead": lambda target: (target.dead, target.name),
    }
    return make_page(selected_views, keys, query)


def compute_target_state(target: TargetView) -> TargetState:
    """The state of a target."""
    if not target.enabled:
        return TargetState.OFF
    return TargetState.FAILED if target.gone_at or target.is_failing else TargetState.ACTIVE


@router.get("/targets/{name}")
def get_target(name: str, caller: api.ReadCaller, events: api.EventDependency) -> TargetView:
    """Get a target and its delivery state."""
    return _build_target_view(events.targets.read_status(name))


@router.post("/targets/{name}/test")
def try_target(name: str, caller: api.AdminCaller, events: api.EventDependency) -> SentTest:
    """Send a test message to a target, and wait until it has accepted it."""
    events.targets.test(name, caller.name)
    note_change("test message sent")
    return SentTest(name)


@router.delete("/targets/{name}")
def remove_target(name: str, caller: api.AdminCaller, events: api.EventDependency) -> TargetView:
    """Remove a target that no rule and no policy assignment names, with the messages that wait for it."""
    target_status = events.targets.read_status(name)
    events.targets.remove(name)
    target = _build_target_view(target_status)
    note_change(f"removed: {target.type}, with {target.waiting} waiting messages and {target.dead} dead letters")
    return target


@router.get("/targets/{name}/waiting-messages")
def list_waiting_messages(
    name: str,
    caller: api.ReadCaller,
    events: api.EventDependency,
    paging: PagingDependency,
    sort: WaitingSort = "position",
) -> list[WaitingMessage]:
    """List messages that wait for a target, a page at a time, by the number of their event.

    Each has its failed attempts, the last error and the next attempt.
    """

    def read(after: tuple[int, str] | None, limit: int, is_newest_first: bool) -> Sequence[WaitingMessage]:
        return events.targets.list_waiting_messages(name, limit, after, is_newest_first=is_newest_first)

    page = read_page(read, lambda message: (message.position, message.key), (int, str), paging.make_query(sort))
    return paging.list_entries(page)


@router.get("/targets/{name}/delivered-messages")
def list_delivered_messages(
    name: str,
    caller: api.ReadCaller,
    events: api.EventDependency,
    paging: PagingDependency,
    sort: DeadLetterSort = "-position",
) -> list[DeliveredMessage]:
    """List messages that a target accepted in the last day, a page at a time.

    They are listed by the number of their event.
    """

    def read(after: tuple[int, str] | None, limit: int, is_newest_first: bool) -> Sequence[DeliveredMessage]:
        return events.targets.list_delivered_messages(name, limit, after, is_newest_first=is_newest_first)

    page = read_page(read, lambda message: (message.position, message.key), (int, str), paging.make_query(sort))
    return paging.list_entries(page)


@router.get("/targets/{name}/dead-letters")
def list_dead_letters(
    name: str,
    caller: api.ReadCaller,
    events: api.EventDependency,
    paging: PagingDependency,
    sort: DeadLetterSort = "-position",
) -> list[DeadLetter]:
    """List dead letters, a page at a time, by the number of their event."""
    return paging.list_entries(read_dead_letter_page(name, events, paging.make_query(sort)))


def read_dead_letter_page(name: str, events: EventServices, query: PageQuery) -> Page[DeadLetter]:
    """A page of the dead letters of a target."""

    def read(after: tuple[int, str] | None, limit: int, is_newest_first: bool) -> Sequence[DeadLetter]:
        return events.targets.list_dead_letters(name, limit, after, is_newest_first=is_newest_first)

    return read_page(read, lambda letter: (letter.position, letter.key), (int, str), query)


@router.post("/targets/{name}/dead-letters/redeliver")
def redeliver_messages(
    name: str, body: Redelivery, caller: api.AdminCaller, events: api.EventDependency
) -> Redelivered:
    """Send dead letters again."""
    count = events.targets.redeliver(name, body.keys)
    note_change(f"{count} sent again")
    return Redelivered(count)


_make_rule_view = api.make_view_maker(RuleView, Rule, "version", "changed_at", "changed_by")
_STATUS_FIELDS = [field.name for field in fields(TargetStatus) if field.name != "target"]
_make_target_view = api.make_view_maker(TargetView, Target, *_STATUS_FIELDS)


def _build_rule_view(record: RuleRecord) -> RuleView:
    change = {"version": record.version, "changed_at": record.changed_at, "changed_by": record.changed_by}
    return _make_rule_view(record.rule, **change)


def _build_target_view(status: TargetStatus) -> TargetView:
    return _make_target_view(status.target, **{name: getattr(status, name) for name in _STATUS_FIELDS})
