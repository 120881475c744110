"""The times at risk of services, changed together with what is announced of them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, delete, insert, update

from dockgate.delivery.service_risk import RiskChange, RiskTerms, RunningVerdict, TimeAtRisk, advance
from dockgate.events.model import NewEvent
from dockgate.store.delivery.services import lock_service
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.events.outbox import Outbox
from dockgate.store.queries import select_as
from dockgate.store.schema.delivery import services
from dockgate.store.schema.gate import service_risks

_TIME = select_as(TimeAtRisk, service_risks)

# Makes what is announced of a change: events, and entries of the outbox. Its time at risk is the last one if it ended.
Announce = Callable[[RiskChange, TimeAtRisk], Sequence[NewEvent]]


class ServiceRisks:
    """The services that are at risk, each with the time since when."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def list(self) -> Sequence[TimeAtRisk]:
        """Return the services that are at risk now, each with its times, sorted by service."""
        with self._database.read() as connection:
            rows = connection.execute(_TIME.order_by(service_risks.c.service)).mappings()
            return [TimeAtRisk(**row) for row in rows]

    def record(
        self,
        service: str,
        revision: int | None,
        verdict: RunningVerdict | None,
        now: datetime,
        terms: RiskTerms,
        announce: Announce,
    ) -> bool:
        """Record the verdict on what a service runs, and announce what follows, in one transaction.

        None for no new verdict: only what the time causes is recorded. Returns False, and nothing is recorded, if the
        service does not run the `revision` any more that was judged.
        """
        with self._database.write() as connection:
            present_service = lock_service(connection, service)
            if revision is not None and present_service.revision != revision:
                return False
            row = connection.execute(_TIME.where(service_risks.c.service == service)).mappings().first()
            before = None if row is None else TimeAtRisk(**row)
            after, changes = advance(service, before, verdict, now, terms)
            if after != before:
                _store(connection, service, after)
            if verdict is not None:
                is_rejected = after is not None and after.accepted_since is None and not verdict.is_approved
                values = {
                    "at_risk": after.summary if after and is_rejected else None,
                    "at_risk_until": after.deadline if after and is_rejected else None,
                    "cannot_judge": verdict.cannot_judge,
                }
                if any(getattr(present_service, name) != value for name, value in values.items()):
                    connection.execute(update(services).where(services.c.name == service).values(**values))
            for change in changes:
                risk = after or before
                if risk is not None:
                    append_events(connection, announce(change, risk))
        return True


def _store(connection: Connection, service: str, risk: TimeAtRisk | None) -> None:
    connection.execute(delete(service_risks).where(service_risks.c.service == service))
    if risk is not None:
        connection.execute(insert(service_risks).values(**asdict(risk)))
