"""What targets of events within the server do besides what every target promises: pipelines and the log."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.contracts.event_target_systems import MESSAGE

from dockgate.events.model import Message, Target, TargetType
from dockgate.events.targets.log import LogAdapter
from dockgate.events.targets.pipeline import PipelineAdapter
from dockgate.shared.errors import MessageRefusedError, NotFoundError


def test_a_pipeline_gets_the_input_as_its_variables() -> None:
    executions: list[Any] = []
    adapter = PipelineAdapter(lambda *arguments: executions.append(arguments))
    target = Target("start", TargetType.PIPELINE, "build", {"pipeline": "build", "perHour": 3})
    adapter.send(target, {}, replace(MESSAGE, data='{"digest": "sha256:1", "n": 2}', is_custom=True))
    ((pipeline, _, variables, limit),) = executions
    assert (pipeline, variables, limit) == ("build", {"digest": "sha256:1", "n": "2"}, 3)
    for data in ("[]", "text", '{"a": "' + "x" * 1001 + '"}', json.dumps({str(n): "" for n in range(51)})):
        with pytest.raises(MessageRefusedError):
            adapter.send(target, {}, replace(MESSAGE, data=data, is_custom=True))


def test_a_pipeline_that_does_not_exist_is_a_final_error() -> None:
    def start(pipeline: str, message: Message, variables: Mapping[str, str], limit: int) -> None:
        raise NotFoundError("there is no pipeline 'build'", "`dockgate pipeline list` lists them all.")

    target = Target("start", TargetType.PIPELINE, "build", {"pipeline": "build", "perHour": 3})
    with pytest.raises(MessageRefusedError, match="no pipeline"):
        PipelineAdapter(start).send(target, {}, MESSAGE)


def test_the_log_has_one_line_for_a_message(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="dockgate.events"):
        hostile = replace(MESSAGE, title="web\n2026 ERROR forged", text="\x1b[31mred")
        LogAdapter().send(Target("log", TargetType.LOG, ""), {}, hostile)
    assert caplog.messages == ["service.at_risk: web 2026 ERROR forged: [31mred (tell/service.at_risk/web/1)"]
