"""Services at risk, for the suites of the store."""

from collections.abc import Sequence
from datetime import datetime

from tests.store.factories import IMAGE, NOW

from dockgate.delivery.service_risk import RiskTerms, RunningVerdict
from dockgate.events.model import NewEvent
from dockgate.store import Store


def reject(store: Store, service: str, reason: str, until: str, events: Sequence[NewEvent] = (), at: str = NOW) -> bool:
    """Record that the service's image is rejected; `events` are appended with every announcement."""
    verdict = RunningVerdict(IMAGE, reason, until)
    now = datetime.fromisoformat(at)
    return store.service_risks.record(service, None, verdict, now, RiskTerms(), lambda change, risk: events) is not None


def accept(store: Store, service: str, image: str = IMAGE, at: str = NOW) -> bool:
    """Record that the service's image is not rejected."""
    verdict = RunningVerdict(image)
    now = datetime.fromisoformat(at)
    return store.service_risks.record(service, None, verdict, now, RiskTerms(), lambda change, risk: ()) is not None
