"""Services and the revisions of their task definitions.

What all of them promise is told in the package.
"""

from collections.abc import Sequence
from typing import Protocol

from dockgate.core.deploy import Service, TaskDefinition
from dockgate.core.notices import Telling


class Services(Protocol):
    def put(self, service: Service, definition: TaskDefinition) -> Service:
        """Creates the service with revision 1, or registers the definition as the next revision when it differs
        otherwise than by image and revision (the image that runs is kept), and sets the desired count of a new
        service only."""
        ...

    def get(self, name: str) -> Service: ...

    def list(self) -> Sequence[Service]: ...

    def definition(self, family: str, revision: int) -> TaskDefinition: ...

    def definitions(self, family: str) -> Sequence[TaskDefinition]:
        """Newest first."""
        ...

    def register(self, service: str, image: str, cause: str) -> TaskDefinition:
        """Copies the service's present definition into a new revision holding the image, one for each cause."""
        ...

    def point(self, service: str, revision: int, by: str) -> None:
        """The service's revision from now on, deployed by the execution `by` ("" for a person). Clears its risk."""
        ...

    def deployed_by(self, service: str) -> str:
        """The execution whose revision the service has, "" for none."""
        ...

    def scale(self, service: str, desired_count: int) -> Service: ...

    def at_risk(self, service: str, reason: str, until: str, tellings: Sequence[Telling] = ()) -> None:
        """ "" and "" clear it. A deadline that stands is kept while the service stays at risk. `tellings` are put when
        it comes to be at risk, not while it stays so."""
        ...
