"""Waiting for the rollout of a changed service."""

import time
from collections.abc import Callable

from dockgate.cli.client import AwayError, Client, understand
from dockgate.delivery.model import Rollout, State
from dockgate.shared.errors import DeployError

POLL_SECONDS = 0.5
# For a server that restarts meanwhile.
AWAY_SECONDS = 60.0


def wait_for_rollout(client: Client, service: str, number: int, sleep: Callable[[float], None] = time.sleep) -> Rollout:
    """The rollout when it has succeeded. DeployError with its reason when it failed: the service is as before then.

    A server that does not answer is asked again for a minute, then AwayError is raised."""
    away = 0.0
    while True:
        try:
            rollout = understand(Rollout, client.get("services", service, "rollouts", str(number)))
            away = 0.0
        except AwayError:
            away += POLL_SECONDS
            if away > AWAY_SECONDS:
                raise
        else:
            if rollout.state is State.SUCCEEDED:
                return rollout
            if rollout.state.is_final:
                raise DeployError(
                    f"{service} was not changed: {rollout.reason}",
                    f"`dockgate deploy show {service}` shows what runs.",
                )
        sleep(POLL_SECONDS)


def describe(rollout: Rollout) -> str:
    """What a rollout that succeeded has brought."""
    return f"{rollout.service}: revision {rollout.revision}, {count(rollout.desired_count)} healthy"


def count(tasks: int) -> str:
    return "1 task" if tasks == 1 else f"{tasks} tasks"
