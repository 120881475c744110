"""The server's rounds, for tests that would otherwise wait for them."""

from collections.abc import Callable
from typing import Any

from tests.parts import wait_until
from tests.scenarios.server import ServerSystem

from dockgate.store.records import OutboxKind

# Seconds between two rounds, longer than any test: such a server has the first ones only.
NEVER = 3600.0


def run_rounds_until(server: ServerSystem, condition: Callable[[], Any], seconds: float = 40) -> Any:
    """The first true value of the condition, while what depends on verdicts is reviewed and messages are sent."""
    use_cases = server.use_cases

    def review_and_check() -> Any:
        use_cases.verdict_renewal.renew()
        use_cases.service_risk.review()
        use_cases.approved_images.review()
        use_cases.event_matcher.run()
        server.store.outbox.wake(*OutboxKind)
        return condition()

    return wait_until(review_and_check, seconds)
