"""Steps of workflows: how `services.effects.Effects` makes an effect durable."""

from collections.abc import Callable
from typing import TypeVar

from dbos import DBOS

from dockgate.shared.errors import UnavailableError

R = TypeVar("R")


def run_step(name: str, effect: Callable[[], R]) -> R:
    """The effect as a step of the workflow that runs, or at once where none does. UnavailableError is tried three
    times, a second and two apart."""
    if DBOS.workflow_id is None:
        return effect()
    return DBOS.run_step(
        {
            "name": name,
            "retries_allowed": True,
            "max_attempts": 3,
            "interval_seconds": 1.0,
            "should_retry": lambda error: isinstance(error, UnavailableError),
        },
        effect,
    )
