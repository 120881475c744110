"""Wait for the rollout of a changed service."""

import time
from collections.abc import Callable

from dockgate.cli.client import TRANSIENT_ERRORS, Client, parse_answer
from dockgate.cli.output import print_retry
from dockgate.delivery.model import RunState
from dockgate.delivery.service_model import Rollout
from dockgate.shared.errors import DeployError
from dockgate.shared.wording import format_count

POLL_SECONDS = 0.5
# Seconds to retry while the server restarts.
UNREACHABLE_SECONDS = 60.0


def wait_for_rollout(client: Client, service: str, number: int, sleep: Callable[[float], None] = time.sleep) -> Rollout:
    """Wait for a rollout and return it, retrying for a minute while the server does not answer.

    Raises DeployError if it failed and was rolled back, ServerUnreachableError after that minute.
    """
    unreachable_seconds = 0.0
    while True:
        try:
            rollout = parse_answer(Rollout, client.get("services", service, "rollouts", str(number)))
            unreachable_seconds = 0.0
        except TRANSIENT_ERRORS as error:
            if not unreachable_seconds:
                print_retry(error)
            unreachable_seconds += POLL_SECONDS
            if unreachable_seconds > UNREACHABLE_SECONDS:
                raise
        else:
            if rollout.state is RunState.SUCCEEDED:
                return rollout
            if rollout.state.is_final:
                raise DeployError(
                    f"the rollout of {service} failed and was rolled back: {rollout.reason}",
                    f"`dockgate deploy show {service}` shows what runs.",
                )
        sleep(POLL_SECONDS)


def describe_rollout(rollout: Rollout) -> str:
    """One line on a successful rollout."""
    return f"{rollout.service}: revision {rollout.revision}, {format_count(rollout.desired_count, 'task')} healthy"
