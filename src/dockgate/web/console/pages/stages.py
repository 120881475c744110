"""The stages of executions, as pages draw them."""

from collections.abc import Sequence
from dataclasses import dataclass

from dockgate.delivery.model import Execution, RunState
from dockgate.delivery.pipeline import stage_state
from dockgate.services.web_services import WebServices


@dataclass(frozen=True, slots=True)
class StageMark:
    """A stage in a strip."""

    name: str
    state: RunState


def strips(server: WebServices, executions: Sequence[Execution]) -> dict[str, list[StageMark]]:
    """The stages of each execution, by its id, in three queries however many executions there are."""
    runs = server.store.executions.runs_of([execution.id for execution in executions])
    versions = {(execution.pipeline, execution.pipeline_version) for execution in executions}
    pipelines = server.store.pipelines.versions(versions)
    return {
        execution.id: [
            StageMark(stage.name, stage_state(stage, runs[execution.id]))
            for stage in pipelines[execution.pipeline, execution.pipeline_version].stages
        ]
        for execution in executions
    }
