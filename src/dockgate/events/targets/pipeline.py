"""Pipelines that a rule starts."""

import json
from collections.abc import Mapping
from typing import Protocol

from dockgate.events.model import Message, Target, TargetType
from dockgate.events.ports import TargetAdapter
from dockgate.shared.errors import MessageRefusedError, NotFoundError
from dockgate.shared.interfaces import override

VARIABLES_LIMIT = 50
VALUE_LIMIT = 1000  # characters


class StartPipeline(Protocol):
    """A function that starts a pipeline for a rule, once for each key, or raises MessageRefusedError."""

    def __call__(self, pipeline: str, message: Message, variables: Mapping[str, str], limit: int) -> None:
        """Start `pipeline` with `variables`, at most `limit` times an hour."""
        ...


class PipelineAdapter(TargetAdapter):
    """A target that starts the pipeline that it names.

    The rule's input, a JSON object of texts, are its variables.
    """

    type = TargetType.PIPELINE

    def __init__(self, start: StartPipeline) -> None:
        self._start = start

    @override
    def check(self, target: Target, secrets: Mapping[str, str]) -> None:
        """Accept every target: `EventTargets.apply` requires its pipeline."""

    @override
    def send(self, target: Target, secrets: Mapping[str, str], message: Message) -> None:
        variables = read_variables(message.data) if message.is_custom else {}
        pipeline = str(target.settings["pipeline"])
        try:
            self._start(pipeline, message, variables, int(target.settings["perHour"]))
        except NotFoundError as error:
            raise MessageRefusedError(str(error), f"Apply the pipeline, or change the target {target.name}.") from error


def read_variables(data: str) -> dict[str, str]:
    """The variables in the input of a rule.

    Raises MessageRefusedError for other data than an object of short texts.
    """
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict) or len(value) > VARIABLES_LIMIT:
        raise MessageRefusedError(
            f"the input for a pipeline is not a JSON object of at most {VARIABLES_LIMIT} variables",
            'Write the input of the rule as {"name": "value"}.',
        )
    variables = {}
    for name, item in value.items():
        text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
        if len(text) > VALUE_LIMIT or len(name) > VALUE_LIMIT:
            raise MessageRefusedError(
                f"the variable {name[:50]!r} has more than {VALUE_LIMIT} characters", "Take less of the event."
            )
        variables[name] = text
    return variables
