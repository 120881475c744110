"""What each caller has to act on now."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dockgate.config import Settings
from dockgate.delivery.model import Execution, RunState
from dockgate.delivery.ports import Advisories
from dockgate.delivery.service_model import Service
from dockgate.delivery.trigger import list_starters
from dockgate.gate.model import Status, Waiver
from dockgate.identity.model import Caller, Permission
from dockgate.services.approvals.decidable_approvals import DecidableApprovals, list_decidable_approvals
from dockgate.services.clock import ServerClock
from dockgate.services.feeds.status import FeedStatus, describe_advisory_database, read_advisory_feeds
from dockgate.services.images.waiver_visibility import select_visible_waivers
from dockgate.services.notifications.event_targets import EventTargets, TargetStatus
from dockgate.services.pipelines.visible_services import list_visible_services
from dockgate.shared.timestamps import is_within_days
from dockgate.store import Store
from dockgate.store.events.failed_entries import FailingCount
from dockgate.store.records import OutboxKind, WaiverRecord

# How long before its end a waiver is about to end.
ENDING_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """What a caller has to act on, and what it was chosen from.

    `services` and `newest_executions` (one of each pipeline) are all that the caller may see; `rejected_states` are
    those of failed executions that an approval's answer failed, by their id. Of the rest it has what the caller has to
    act on: `approvals` on which it may vote, `failures` of its own, `waivers` of its own that end soon, `targets` of
    events that fail or have dead letters, other deliveries that are `given_up`, by kind, and all `feeds`, with
    or without trouble. `database_fault` says what is wrong with the advisory database, with advice.
    """

    services: Sequence[Service]
    newest_executions: Sequence[Execution]
    rejected_states: Mapping[str, Status]
    approvals: DecidableApprovals
    failures: Sequence[Execution]
    database_fault: str | None
    waivers: Sequence[Waiver]
    targets: Sequence[TargetStatus]
    given_up: Sequence[FailingCount]
    feeds: Sequence[FeedStatus]


@dataclass(frozen=True, slots=True)
class AttentionReader:
    """A reader of what needs a caller. `registry` is our own; `update_settings` are those of advisories."""

    store: Store
    clock: ServerClock
    registry: str
    advisories: Advisories
    event_targets: EventTargets
    update_settings: Settings | None

    def list_services(self, caller: Caller) -> Sequence[Service]:
        """The services that the caller may see."""
        return list_visible_services(caller, self.registry, self.store)

    def read(
        self, caller: Caller, services: Sequence[Service] | None = None, failed_executions: Collection[str] = ()
    ) -> Attention:
        """Read what the caller has to act on.

        `services` are those of `list_services` where they are read already. `rejected_states` covers
        `failed_executions`, too.
        """
        newest_executions = [
            execution
            for execution in self.store.executions.list_newest()
            if caller.can_reach(pipeline=execution.pipeline)
        ]
        failures = [execution for execution in newest_executions if execution.state is RunState.FAILED]
        states = self._find_rejected_states([*(execution.id for execution in failures), *failed_executions])
        can_see_deliveries = caller.can(Permission.ACCEPT) and not caller.is_limited
        failing_counts = self.store.failed_entries.count() if can_see_deliveries else ()
        return Attention(
            services=self.list_services(caller) if services is None else services,
            newest_executions=newest_executions,
            rejected_states=states,
            approvals=list_decidable_approvals(self.store, caller),
            failures=select_own_failures(caller, failures, states),
            database_fault=None if caller.is_limited else self._find_database_fault(),
            waivers=select_ending_waivers(
                caller, select_visible_waivers(self.store, self.store.waivers.list(), caller), self.clock.now()
            ),
            targets=self._list_failing_targets(failing_counts),
            given_up=[count for count in failing_counts if count.given_up and count.kind is not OutboxKind.EVENT],
            feeds=read_advisory_feeds(self.update_settings) if can_see_deliveries else (),
        )

    def _find_rejected_states(self, executions: Sequence[str]) -> Mapping[str, Status]:
        """The failed executions that an approval's answer stopped: Rejected or Undetermined."""
        rejections = self.store.execution_results.list_rejections(executions) if executions else {}
        return {key.execution: status for key, status in rejections.items()}

    def _find_database_fault(self) -> str | None:
        database = describe_advisory_database(self.advisories)
        return f"{database['error']}. {database['advice']}" if "error" in database else None

    def _list_failing_targets(self, failing_counts: Iterable[FailingCount]) -> Sequence[TargetStatus]:
        """Targets that fail, or have dead letters."""
        if not any(count.kind is OutboxKind.EVENT for count in failing_counts):
            return ()
        statuses = self.event_targets.list_statuses()
        return [status for status in statuses if status.is_failing or status.gone_at or status.dead]


def select_own_failures(
    caller: Caller, failed_executions: Iterable[Execution], states: Mapping[str, Status]
) -> Sequence[Execution]:
    """The failed executions that are the caller's, Undetermined ones last.

    An execution that no person pushed or started belongs to everyone who may run the pipeline. Undetermined ones also
    belong to those who may accept risks: they look after feeds and policies.
    """

    def is_own(execution: Execution) -> bool:
        starters = list_starters(execution.trigger)
        if caller.name in starters if starters else caller.can(Permission.RUN, pipeline=execution.pipeline):
            return True
        return is_undetermined(execution) and caller.can(Permission.ACCEPT, pipeline=execution.pipeline)

    def is_undetermined(execution: Execution) -> bool:
        return states.get(execution.id) is Status.UNDETERMINED

    return sorted(filter(is_own, failed_executions), key=is_undetermined)


def select_ending_waivers(caller: Caller, records: Iterable[WaiverRecord], now: str) -> Sequence[Waiver]:
    """The waivers that end soon of which the caller is the owner, or which the caller added, by their end."""
    names = {caller.name, caller.principal.email}
    active_waivers = (record.waiver for record in records if not record.revoked_at)
    own_waivers = (waiver for waiver in active_waivers if names & {waiver.owner, waiver.created_by} - {None})
    ending_waivers = (waiver for waiver in own_waivers if is_within_days(waiver.until, now, ENDING_DAYS))
    return sorted(ending_waivers, key=lambda waiver: waiver.until or "")
