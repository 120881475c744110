"""The times at risk of services. They change in one transaction with what announces the change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select

from dockgate.delivery.service_risk import (
    RecordedRisk,
    RiskChange,
    RiskTerms,
    RunningVerdict,
    TimeAtRisk,
    advance,
)
from dockgate.events.model import NewEvent
from dockgate.store.delivery.services import UPDATE_SERVICE, lock_service
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.events.outbox import Outbox
from dockgate.store.queries import select_as
from dockgate.store.schema.delivery import services
from dockgate.store.schema.gate import service_risks

_TIMES = select_as(TimeAtRisk, service_risks).order_by(service_risks.c.service)
_IS_OF_SERVICE = service_risks.c.service == bindparam("service")
_TIME_OF_SERVICE = select_as(TimeAtRisk, service_risks).where(_IS_OF_SERVICE)
_DELETE_TIME = delete(service_risks).where(_IS_OF_SERVICE)
_RECORDED_RISKS = select(
    services.c.name,
    services.c.at_risk,
    services.c.at_risk_until,
    services.c.cannot_judge,
    service_risks.c.behind_since,
).outerjoin(service_risks, service_risks.c.service == services.c.name)

# (change, time at risk, the last one if it has ended) -> the events that announce it.
Announce = Callable[[RiskChange, TimeAtRisk], Sequence[NewEvent]]


class ServiceRisks:
    """The services that are at risk, each with its time at risk."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def list(self) -> Sequence[TimeAtRisk]:
        """Return the services that are at risk now, each with its times, sorted by service."""
        with self._database.read() as connection:
            return [TimeAtRisk(**row) for row in connection.execute(_TIMES).mappings()]

    def list_recorded(self) -> Mapping[str, RecordedRisk]:
        """Return the recorded risk of every service, by its name."""
        with self._database.read() as connection:
            return {name: RecordedRisk(*values) for name, *values in connection.execute(_RECORDED_RISKS)}

    def record(
        self,
        service: str,
        revision: int | None,
        verdict: RunningVerdict | None,
        now: datetime,
        terms: RiskTerms,
        announce: Announce,
    ) -> RecordedRisk | None:
        """Record the verdict on what a service runs, and announce what follows, in one transaction.

        Without a `verdict`, only what the time causes is recorded. Returns the recorded risk of the service. Returns
        None and records nothing if the service no longer runs the judged `revision`.
        """
        with self._database.write() as connection:
            present_service = lock_service(connection, service)
            if revision is not None and present_service.revision != revision:
                return None
            row = connection.execute(_TIME_OF_SERVICE, {"service": service}).mappings().first()
            before = None if row is None else TimeAtRisk(**row)
            after, changes = advance(service, before, verdict, now, terms)
            if after != before:
                _store(connection, service, after)
            former_risk = RecordedRisk(
                present_service.at_risk, present_service.at_risk_until, present_service.cannot_judge
            )
            recorded_risk = former_risk
            if verdict is not None:
                is_rejected = after is not None and after.accepted_since is None and not verdict.is_approved
                recorded_risk = RecordedRisk(
                    at_risk=after.summary if after and is_rejected else None,
                    at_risk_until=after.deadline if after and is_rejected else None,
                    cannot_judge=verdict.cannot_judge,
                )
            if recorded_risk != former_risk:
                names = "at_risk", "at_risk_until", "cannot_judge"
                values = {name: getattr(recorded_risk, name) for name in names}
                connection.execute(UPDATE_SERVICE, {"of_name": service, **values})
            for change in changes:
                risk = after or before
                if risk is not None:
                    append_events(connection, announce(change, risk))
        return recorded_risk._replace(behind_since=after.behind_since if after is not None else None)


def _store(connection: Connection, service: str, risk: TimeAtRisk | None) -> None:
    connection.execute(_DELETE_TIME, {"service": service})
    if risk is not None:
        connection.execute(insert(service_risks), asdict(risk))
