"""Pipelines that rules start: one that does not exist is reported as missing, and counts as no start."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, NOW, PIPELINE, limit_to_sqlite, open_store_of_kind

from dockgate.events.definitions.target import TargetDefinition
from dockgate.events.model import Message, Target, TargetType
from dockgate.events.subject import EventSubject
from dockgate.events.targets.pipeline import PipelineAdapter
from dockgate.services.clock import ServerClock
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.notifications.pipeline_starts import RuleExecutions
from dockgate.shared.errors import MessageRefusedError, UsageError
from dockgate.store import Store

START = Target("start", TargetType.PIPELINE, PIPELINE.name, {"pipeline": PIPELINE.name, "perHour": 1})

MESSAGE = Message("news/1", "news", {}, "{}", "A title", "A text", EventSubject("web"))


@dataclass
class Started:
    """Keeps which executions go on."""

    executions: list[str] = field(default_factory=list)

    def continue_execution(self, execution: str) -> None:
        self.executions.append(execution)


@dataclass
class Server:
    """A server whose targets start pipelines."""

    store: Store
    started: Started = field(default_factory=Started)

    def __post_init__(self) -> None:
        clock = ServerClock(lambda: datetime(2026, 11, 28, 12, tzinfo=UTC))
        self.adapter = PipelineAdapter(RuleExecutions(self.store, self.started, clock).start)  # type: ignore[arg-type]
        self.targets = EventTargets(self.store, {TargetType.PIPELINE: self.adapter}, (), clock)


@pytest.fixture(params=FACTORIES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Server(store)


@limit_to_sqlite("server")
def test_a_target_that_starts_an_unknown_pipeline_is_refused_until_it_is_applied(server: Server) -> None:
    definition = TargetDefinition(START, {})
    with pytest.raises(UsageError, match="there is no pipeline") as error_info:
        server.targets.apply(definition, "ann")
    assert error_info.value.advice == "Apply the Pipeline document, too."
    assert server.targets.find("start") is None
    server.store.pipelines.put(PIPELINE, NOW)
    assert server.targets.apply(definition, "ann")[1] == "created"


@limit_to_sqlite("server")
def test_starts_of_an_unknown_pipeline_fail_and_do_not_count(server: Server) -> None:
    for _ in range(3):
        with pytest.raises(MessageRefusedError, match="there is no pipeline"):
            server.adapter.send(START, {}, MESSAGE)
    server.store.pipelines.put(PIPELINE, NOW)
    server.adapter.send(START, {}, MESSAGE)
    assert len(server.started.executions) == 1
