"""Running images that their policies reject: their services are at risk, with a deadline.

Nothing is taken down.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from dockgate.delivery.service_model import Service
from dockgate.delivery.service_risk import RiskChange, RiskTerms, RunningVerdict, TimeAtRisk, advance, explain_recovery
from dockgate.events.dockgate_events import make_service_risk_changed
from dockgate.events.model import NewEvent
from dockgate.gate.owner import Owner
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.error_isolation import run_for_each
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.verdicts.case_builder import DeploymentContext, find_running_image
from dockgate.services.verdicts.exemption_revisions import ExemptionRevisions
from dockgate.services.verdicts.verdict_inputs import VerdictInputs
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import ConflictError, DockgateError, StoreError
from dockgate.store import Store
from dockgate.store.records import ImageLocation

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ServiceRisk:
    """The risk of running images, judged again when an input of their verdicts has changed.

    A new advisory takes nothing down, nor does a stricter policy or an expired waiver: the service is marked at risk,
    and its next deploy is blocked. An image that cannot be judged, for instance because advisories are stale, does not
    put its service at risk. `risk_days` is how long a service may stay at risk unless its policy says otherwise,
    `registry` the address of our own registry.
    """

    store: Store
    verdicts: Verdicts
    selection: PolicySelection
    exemptions: ExemptionRevisions
    inputs: VerdictInputs
    clock: ServerClock
    effects: Effects
    registry: str
    risk_days: float
    terms: RiskTerms
    # By service: a digest of what its verdict was made from, and the revision when this was looked at.
    _judged_inputs: dict[str, str] = field(default_factory=dict, init=False)
    _revisions: dict[str, str] = field(default_factory=dict, init=False)

    def review(self) -> None:
        """Judge the running images whose inputs changed since the last review, and announce deadlines."""
        revisions = self._compute_input_revisions()
        changed_services = {name for name, revision in revisions.items() if self._revisions.get(name) != revision}
        if changed_services:
            present_inputs = self.effects.run(
                EffectKind.REJUDGE, self.judge_changed, self._judged_inputs, changed_services
            )
            unchanged_inputs = {
                name: value for name, value in self._judged_inputs.items() if name not in changed_services
            }
            self._judged_inputs = {**unchanged_inputs, **present_inputs}
        self._judged_inputs = {name: value for name, value in self._judged_inputs.items() if name in revisions}
        self._revisions = {name: revisions[name] for name in self._judged_inputs}
        stopped_services = [
            service
            for service in self.store.services.list()
            if service.name not in revisions and not service.desired_count
        ]
        run_for_each(stopped_services, self._end_stopped, lambda service: service.name)
        run_for_each(
            [risk.service for risk in self.store.service_risks.list() if self._is_due(risk)], self._announce_due
        )

    def _compute_input_revisions(self) -> dict[str, str]:
        """Return, by service, a text that changes whenever inputs of the verdict on what it runs may have changed.

        It is cheaper than these inputs: made for all services at once, and without reading what a verdict is made from.
        """
        common, running = self.inputs.compute_revision(), self.store.services.list_running_images()
        numbers = self.store.verdicts.list_newest_numbers({service.digest for service in running})
        locations = {
            service: ImageLocation(service.reference.strip_registry(self.registry), service.digest)
            for service in running
        }
        provenance = self.store.provenance.list_revisions(set(locations.values()))
        return {
            service.service: " ".join(
                map(
                    str,
                    (
                        *(common, service.revision, service.execution),
                        *(numbers.get(location.image, 0), provenance[location]),
                    ),
                )
            )
            for service, location in locations.items()
        }

    def judge_changed(self, judged_inputs: Mapping[str, str], services: Collection[str]) -> dict[str, str]:
        """Judge what these services run, if its inputs differ from `judged_inputs`.

        These are a digest for each service. Return the present digests. A service that has to be judged once more
        has none. One whose judging fails cannot be judged, and keeps no other from being judged.
        """
        present_inputs: dict[str, str] = {}
        for service in self.store.services.list():
            if service.name not in services:
                continue
            try:
                digest = self._judge_service(service, judged_inputs.get(service.name))
            except StoreError:
                raise
            except Exception as error:
                _log.error("the image of the service %s was not judged again", service.name, exc_info=error)
                self._record_failure(service, error)
            else:
                if digest is not None:
                    present_inputs[service.name] = digest
        return present_inputs

    def _judge_service(self, service: Service, judged_digest: str | None) -> str | None:
        """Judge what the service runs if its inputs differ from `judged_digest`.

        Return their digest, None if something else was judged: it is due once more.
        """
        database = self.verdicts.read_advisory_digest()
        running = find_running_image(self.store, service.name, self.registry)
        if running is None:
            return None
        image, context = running
        present_inputs = self._compute_inputs_digest(database, image, context)
        if judged_digest != present_inputs:
            verdict = self.verdicts.review_deployed(image, context, self.risk_days)
            is_recorded = self._record(service, context.repository, verdict)
            if not is_recorded or self.verdicts.read_advisory_digest() != database:
                return None
        return present_inputs

    def _end_stopped(self, service: Service) -> None:
        """Record that a service that runs nothing any more is not at risk."""
        is_at_risk = service.name in {risk.service for risk in self.store.service_risks.list()}
        if is_at_risk or service.at_risk or service.cannot_judge:
            repository = self._find_repository(service)
            self.effects.run(EffectKind.REJUDGE, self._record, service, repository, RunningVerdict(None))

    def _find_repository(self, service: Service) -> str | None:
        """The repository of the image that the service has, None without an image. It may be scaled to 0 tasks."""
        image = self.store.services.get_definition(service.name, service.revision).image
        return image.strip_registry(self.registry) if image is not None else None

    def _record_failure(self, service: Service, error: Exception) -> None:
        """Record that what the service runs cannot be judged: it must not look safe."""
        reason = error.full_message if isinstance(error, DockgateError) else f"internal error: {type(error).__name__}"
        image = self.store.services.get_definition(service.name, service.revision).image
        if image is not None:
            verdict = RunningVerdict(image.digest, cannot_judge=f"judging it failed: {reason}")
            self._record(service, image.strip_registry(self.registry), verdict)

    def _is_due(self, risk: TimeAtRisk) -> bool:
        """Return whether time alone has changed something."""
        return advance(risk.service, risk, None, self.clock(), self.terms) != (risk, ())

    def _announce_due(self, name: str) -> None:
        """Announce what time alone has changed."""
        service = self.store.services.get(name)
        self.effects.run(EffectKind.REJUDGE, self._record, service, self._find_repository(service), None)

    def _compute_inputs_digest(self, database: str | None, image: str, context: DeploymentContext) -> str:
        """Return a digest that changes whenever the verdict could change.

        It changes every hour, too, because rules may count time.
        """
        loaded_policies = self.selection.list_required_policies(image, context.execution, context.repository)
        policies = [loaded_policy.unusable_reason or loaded_policy.policy.digest for loaded_policy in loaded_policies]
        now, location = self.clock.now(), ImageLocation(context.repository, image)
        provenance = self.store.provenance.list_revisions({location})[location]
        exemptions = self.exemptions.compute({location}, now)[location]
        return compute_digest(canonical.encode([database, image, *policies, exemptions, provenance, now[:13]]))

    def _record(self, service: Service, repository: str | None, verdict: RunningVerdict | None) -> bool:
        announce = partial(self._announce, repository, verdict)
        revision = service.revision if verdict is not None else None
        return self.store.service_risks.record(service.name, revision, verdict, self.clock(), self.terms, announce)

    def _announce(
        self, repository: str | None, verdict: RunningVerdict | None, change: RiskChange, risk: TimeAtRisk
    ) -> Sequence[NewEvent]:
        owners = self._list_owners(repository) if repository else ()
        image, summary = risk.image, risk.summary
        if change is RiskChange.ENDED:
            image = verdict.image if verdict is not None and verdict.image else risk.image
            summary = explain_recovery(risk, verdict)
        event = make_service_risk_changed(
            change.value,
            risk.service,
            image,
            repository,
            owners,
            risk.began_at,
            risk.deadline,
            summary,
            self.clock.now(),
            verdict.vulnerabilities if verdict is not None else (),
        )
        return [event]

    def _list_owners(self, repository: str) -> tuple[Owner, ...]:
        try:
            return self.selection.list_owners(repository)
        except ConflictError:
            return ()  # two assignments match equally well: `PolicySelection` reports it
