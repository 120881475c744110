"""How many tasks of services run, for pages that do not wait long for targets."""

from collections.abc import Sequence

from dockgate.services.web_services import DeliveryServices

# The most services whose tasks are counted, and the most seconds that this may take.
MAX_SERVICES, PATIENCE = 20, 0.5


def count_running_tasks(delivery: DeliveryServices, services: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return how many tasks of the first of these services, (name, target), run.

    A service whose target does not answer in time has no count.
    """
    return delivery.running_tasks.list_tasks(services[:MAX_SERVICES], PATIENCE).count_running()
