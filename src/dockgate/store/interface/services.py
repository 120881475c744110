"""Services and the revisions of their task definitions.

What all of them promise is told in the package.
"""

from collections.abc import Sequence
from typing import Protocol

from dockgate.delivery.model import Rollout, Service, ServiceChange, ServiceEvent, State, TaskDefinition
from dockgate.events.notifications import NoticeDelivery


class Services(Protocol):
    def put(self, service: Service, definition: TaskDefinition) -> Service:
        """Creates the service with the definition as revision 1, and returns it. One that exists stays as it is: it is
        changed by a rollout. UsageError for what can never run (`core.deploy.check_service`)."""
        ...

    def get(self, name: str) -> Service: ...

    def list(self) -> Sequence[Service]: ...

    def definition(self, family: str, revision: int) -> TaskDefinition: ...

    def definitions(self, family: str) -> Sequence[TaskDefinition]:
        """Newest first."""
        ...

    def register(self, service: str, definition: TaskDefinition, cause: str) -> TaskDefinition:
        """Stores the definition as the service's next revision, one for each cause. The service does not change."""
        ...

    def point(self, service: str, revision: int, by: str) -> None:
        """The service's revision from now on, deployed by the execution `by` ("" for a person). Clears its risk."""
        ...

    def deployed_by(self, service: str) -> str:
        """The execution whose revision the service has, "" for none."""
        ...

    def at_risk(self, service: str, reason: str, until: str, notice_deliveries: Sequence[NoticeDelivery] = ()) -> None:
        """ "" and "" clear it. A deadline that stands is kept while the service stays at risk. `tellings` are put when
        it comes to be at risk, not while it stays so."""
        ...

    def record_event(self, event: ServiceEvent, notice_deliveries: Sequence[NoticeDelivery] = ()) -> None:
        """Keeps the event and puts the `tellings`, once for each key. The oldest events of a service are deleted."""
        ...

    def events(self, service: str) -> Sequence[ServiceEvent]:
        """Newest first."""
        ...


class Rollouts(Protocol):
    """Changes of services on their way. At most one of each service is in progress."""

    def begin(self, service: str, change: ServiceChange, by: str, now: str) -> Rollout | None:
        """Begins a rollout of what the change asks for on top of the rollout in progress, or else of the service.

        The rollout in progress ends as FAILED: it is superseded. When it has the same goal already, returns it instead.
        Returns None when nothing is in progress and the service is as asked. UsageError for what can never run
        (`core.deploy.check_service`), ConflictError for a new target while tasks run on the old one: then nothing
        changes."""
        ...

    def get(self, service: str, number: int) -> Rollout: ...

    def list(self, service: str, limit: int = 10) -> Sequence[Rollout]:
        """Newest first."""
        ...

    def in_progress(self) -> Sequence[Rollout]:
        """Of all services."""
        ...

    def end(self, rollout: Rollout, state: State, revision: int | None, reason: str, now: str) -> bool:
        """Ends the rollout. When it succeeded, the service has its target, desired count and `revision` from now on.
        False when it was over already: then nothing changes."""
        ...
