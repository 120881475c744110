"""Start the pipelines that rules name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dockgate.delivery.model import ExecutionId
from dockgate.delivery.trigger import list_rules, make_rule_trigger
from dockgate.events.model import Message
from dockgate.services.clock import ServerClock
from dockgate.services.workflow_starter import Starter
from dockgate.shared.errors import MessageRefusedError, NotFoundError
from dockgate.shared.timestamps import format_time
from dockgate.shared.wording import format_count
from dockgate.store import Store

# Rules that start pipelines whose events start pipelines: at most so many in a row.
CHAIN_LIMIT = 5


@dataclass(frozen=True, slots=True)
class RuleExecutions:
    """Executions that rules start. Rules that start each other or themselves are stopped."""

    store: Store
    starter: Starter
    clock: ServerClock

    def start(self, pipeline: str, message: Message, variables: Mapping[str, str], limit: int) -> None:
        """Start a pipeline at the heads of its branches, once for each message.

        MessageRefusedError if the event is of an execution that the same rule has started, or a chain of rules is too
        long, or the rule has started the pipeline `limit` times within an hour. NotFoundError without such a pipeline,
        which counts as no start.
        """
        self.store.pipelines.get(pipeline)
        chain = [*self._find_chain(message.event), message.rule]
        cause = f"rule/{message.key}"
        if message.rule in chain[:-1]:
            raise MessageRefusedError(
                f"the rule {message.rule} started the execution that this event is about, so it does not start another",
                f"Change the rule's pattern so that events of the pipeline {pipeline} do not match it.",
            )
        if len(chain) > CHAIN_LIMIT:
            raise MessageRefusedError(
                f"the rules {', '.join(chain)} start pipelines in a chain: at most {CHAIN_LIMIT} do so in a row",
                "Change the pattern of one of these rules.",
            )
        since, now = format_time(self.clock() - timedelta(hours=1)), self.clock.now()
        if not self.store.pipeline_starts.allow(cause, message.rule, pipeline, now, since, limit):
            raise MessageRefusedError(
                f"the rule {message.rule} has started the pipeline {pipeline} "
                f"{format_count(limit, 'time')} within an hour",
                "Does the pipeline cause the events? Change the pattern, or set `perHour` of the target.",
            )
        author = next(
            (record.changed_by for record in self.store.event_rules.list() if record.rule.name == message.rule),
            None,
        )
        trigger = make_rule_trigger(chain, message.rule, str(message.event.get("id", "")), variables, author)
        execution = self.store.executions.start(pipeline, cause, trigger, now)
        self.starter.continue_execution(execution.id)

    def _find_chain(self, event: Mapping[str, Any]) -> Sequence[str]:
        """Return the rules that led to the execution which an event is about."""
        detail = event.get("detail")
        if not isinstance(detail, Mapping):
            return ()
        execution = detail.get("execution-id") or detail.get("execution")
        if not isinstance(execution, str):
            return ()
        try:
            return list_rules(self.store.executions.get(ExecutionId(execution)).trigger)
        except NotFoundError:
            return ()
