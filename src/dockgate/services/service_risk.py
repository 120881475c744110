"""Running images that would no longer be approved: their services are marked at risk, with a deadline."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dockgate.delivery.model import Service
from dockgate.events.ports import Notice
from dockgate.services.cases import DeploymentContext, running_image
from dockgate.services.clock import ServerClock
from dockgate.services.deliveries import Notifications
from dockgate.services.effects import EffectKind, Effects
from dockgate.services.policies import PolicySelection
from dockgate.services.provenance import Provenance
from dockgate.services.risk_acceptances import RiskAcceptances
from dockgate.services.verdicts import Verdicts
from dockgate.shared import canonical
from dockgate.shared.digest import digest_of
from dockgate.store import Store


@dataclass(slots=True)
class ServiceRisk:
    """Evaluates running images again when something that their verdicts are made from has changed.

    A new advisory takes nothing down, nor does a stricter policy or an expired waiver: the service is marked at risk,
    and its next deploy is blocked. `risk_days` is how long a service may stay at risk, `registry` the address of our
    own registry.
    """

    store: Store
    verdicts: Verdicts
    selection: PolicySelection
    exceptions: RiskAcceptances
    provenance: Provenance
    notifications: Notifications
    clock: ServerClock
    effects: Effects
    registry: str
    risk_days: float
    # By service: a digest of what its verdict was made from.
    _evaluated: dict[str, str] = field(default_factory=dict, init=False)

    def review(self) -> None:
        """Evaluate the running images whose inputs changed since the last review."""
        self._evaluated = self.effects.run(EffectKind.REJUDGE, self.evaluate_changed, self._evaluated)

    def evaluate_changed(self, evaluated: Mapping[str, str]) -> dict[str, str]:
        """Evaluate the running images whose inputs differ from `evaluated`, a digest for each service.

        Return the present digests.
        """
        database = self.verdicts.advisory_digest()
        if not database:
            return dict(evaluated)
        present = {}
        for service in self.store.services.list():
            running = running_image(self.store, service, self.registry)
            present[service.name] = self._inputs_digest(database, *running) if running else ""
            if running and evaluated.get(service.name) != present[service.name]:
                self._mark(service, running[0], self.verdicts.review_deployed(*running))
        return present

    def _inputs_digest(self, database: str, image: str, context: DeploymentContext) -> str:
        """A digest that changes whenever the verdict could change; every hour too, because rules may count time."""
        usable = self.selection.required_policies(image, context.execution, context.repository)
        policies = [read.unusable or read.policy.digest for read in usable]
        now, provenance = self.clock.now(), self.provenance.fingerprint(image)
        exceptions = self.exceptions.state(context.repository, now)
        return digest_of(canonical.encode([database, image, *policies, exceptions, provenance, now[:13]]))

    def _mark(self, service: Service, image: str, objections: str) -> None:
        """Mark the service at risk, or no longer at risk. Each time at risk has its own deadline and notice."""
        until = self.clock.later(self.risk_days * 86400) if objections else ""
        notice = Notice(
            key=f"at-risk/{service.name}/{image}/{until}",
            kind="Service At Risk",
            title=f"{service.name} runs an image that would no longer be approved",
            body=f"{objections}\nIt keeps running. Its next deploy is blocked; replace it before {until}.",
            detail={"service": service.name, "image": image, "until": until},
        )
        self.store.services.set_risk(service.name, objections, until, self.notifications.entries(notice))
