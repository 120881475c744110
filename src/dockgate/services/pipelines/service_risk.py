"""Running images that their policies reject: their services are at risk, with a deadline.

Nothing is taken down.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from dockgate.delivery.service_model import Service
from dockgate.delivery.service_risk import (
    RecordedRisk,
    RiskChange,
    RiskTerms,
    RunningVerdict,
    TimeAtRisk,
    advance,
    explain_recovery,
)
from dockgate.events.dockgate_events import make_service_risk_changed
from dockgate.events.model import NewEvent
from dockgate.gate.change_times import format_unknown_moment
from dockgate.gate.owner import Owner
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.error_isolation import run_for_each
from dockgate.services.fleet.advisory_revisions import AdvisoryRevisions
from dockgate.services.policies.selection import LoadedPolicy, PolicySelection
from dockgate.services.reconciler_rounds import Completion, RoundRobin
from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.services.verdicts.exemption_revisions import ExemptionRevisions
from dockgate.services.verdicts.verdict_inputs import VerdictInputs
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import ConflictError, DockgateError, StoreError
from dockgate.store import Store
from dockgate.store.exposure.records import RunningImage
from dockgate.store.records import ImageLocation


class _ServiceFacts(NamedTuple):
    """What is read of a service before it is judged, for all services at once.

    `revisions` change with the image's contents, its reports, provenance and pushers. `number` is that of the newest
    verdict on the image, `scan` changes with its scan. Both have the service looked at, and not judged: a running image
    that is read again keeps its verdict until it was read.
    """

    running: RunningImage
    location: ImageLocation
    is_built: bool
    revisions: tuple[object, ...]
    number: int
    scan: str | None
    recorded_risk: RecordedRisk


class _JudgedService(NamedTuple):
    """What is recorded of a service that was judged, and when time alone can change that, None for never.

    `error` is why judging it failed, which is recorded as well.
    """

    recorded_risk: RecordedRisk
    next_at: str | None
    error: Exception | None = None


@dataclass(slots=True)
class ServiceRisk:
    """The risk of running images, judged again when something has changed that decides of the verdict.

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
    advisory_revisions: AdvisoryRevisions
    clock: ServerClock
    effects: Effects
    registry: str
    risk_days: float
    terms: RiskTerms
    _round_robin: RoundRobin[tuple[str]] = field(default_factory=RoundRobin, init=False)
    # By service: the policies by which its image must be approved, and a text of what they were chosen from.
    _policies: dict[str, tuple[str, Sequence[LoadedPolicy]]] = field(default_factory=dict, init=False)

    def review(self) -> None:
        """Judge the running images that something has touched since they were judged, and announce deadlines."""
        running_services = self._judge_due()
        names_at_risk = {risk.service for risk in self.store.service_risks.list()}
        stopped_services = [
            service
            for service in self.store.services.list()
            if service.name not in running_services
            and not service.desired_count
            and (service.name in names_at_risk or service.at_risk or service.cannot_judge)
        ]
        run_for_each(stopped_services, self._end_stopped, lambda service: service.name)
        run_for_each(
            [risk.service for risk in self.store.service_risks.list() if self._is_due(risk)], self._announce_due
        )

    def _judge_due(self) -> Collection[str]:
        """Judge the running images whose state has changed, or whose verdict the time may have changed.

        Return the services that run an image.
        """
        now = self.clock.now()
        with self.store.database.read():  # one connection for all of it
            facts_by_service = self._read_facts()
            inputs_revision = self.inputs.compute_revision()
        revision = f"{inputs_revision} {compute_digest(canonical.encode(sorted(facts_by_service.items())))}"
        if self._round_robin.is_finished(revision, now):
            return facts_by_service.keys()
        locations = {facts.location for facts in facts_by_service.values()}
        advisories = self.advisory_revisions.read({location.image for location in locations})
        exemptions = self.exemptions.compute(locations, now)
        policy_revision = self.inputs.compute_policy_revision()
        self._policies = {name: entry for name, entry in self._policies.items() if name in facts_by_service}
        inputs_by_service: dict[str, str] = {}

        def compute_state(item: tuple[str]) -> str | None:
            (name,) = item
            try:
                inputs_by_service[name] = compute_inputs(name, facts_by_service[name])
            except StoreError:
                raise
            except Exception:
                return None  # judging the image records why
            return _make_state(inputs_by_service[name], facts_by_service[name].recorded_risk)

        def compute_inputs(name: str, facts: _ServiceFacts) -> str:
            policies = self._list_policies(name, facts, policy_revision)
            revisions = [advisories.compute_policy_revision(policy) for policy in policies]
            has_epss_rule = any(entry.has_epss_rule for entry in revisions)
            inputs = (
                (facts.location, facts.is_built, facts.revisions),
                advisories.get_revision(facts.location.image, has_epss_rule=has_epss_rule),
                [entry.text for entry in revisions],
                exemptions[facts.location],
            )
            return compute_digest(canonical.encode(inputs))

        def judge(item: tuple[str]) -> Completion | None:
            (name,) = item
            result = self.effects.run(EffectKind.REJUDGE, self._judge, facts_by_service[name])
            is_same = advisories.is_settled and self.verdicts.read_advisory_digest() == advisories.database
            if result is None or not is_same:
                return None
            # What the verdict has changed is no reason to judge the image once more.
            state = _make_state(inputs_by_service.get(name), result.recorded_risk)
            return Completion(now, result.next_at, state, result.error)

        # Until the index has followed an update, the same revision is looked at again.
        finished_revision = revision if advisories.is_settled else None
        items = [(name,) for name in facts_by_service]
        self._round_robin.run(items, compute_state, judge, "judging", now, finished_revision)
        self._round_robin.end_revision_at(advisories.find_feed_change())
        return facts_by_service.keys()

    def _read_facts(self) -> dict[str, _ServiceFacts]:
        """Read the facts of every service that runs an image, by service."""
        recorded_risks = self.store.service_risks.list_recorded()
        running = [entry for entry in self.store.services.list_running_images() if entry.service in recorded_risks]
        locations = {
            entry.service: ImageLocation(entry.reference.strip_registry(self.registry), entry.digest)
            for entry in running
        }
        images = {entry.digest for entry in running}
        built_repositories = self.store.pipelines.find_built({location.repository for location in locations.values()})
        numbers = self.store.verdicts.list_newest_numbers(images)
        provenance = self.store.provenance.list_revisions(set(locations.values()))
        pushers = self.store.images.list_pushers_by_location(images)
        contents = {image.digest: image.inventories for image in self.store.fleet.list_images(images)}
        scans = self.store.images.list_scan_revisions(images)
        reports = self.store.fleet_judging.list_report_revisions(images)
        return {
            entry.service: _ServiceFacts(
                entry,
                location := locations[entry.service],
                location.repository in built_repositories,
                (
                    contents.get(entry.digest),
                    reports.get(entry.digest),
                    provenance[location],
                    tuple(pushers.get(location, ())),
                ),
                numbers.get(entry.digest, 0),
                scans.get(entry.digest),
                recorded_risks[entry.service],
            )
            for entry in running
        }

    def _list_policies(self, name: str, facts: _ServiceFacts, policy_revision: str) -> Sequence[LoadedPolicy]:
        """Return the policies by which the image must be approved. Choosing them takes several queries."""
        location, execution = facts.location, facts.running.execution
        chosen_from = canonical.encode([policy_revision, location, execution, facts.number]).decode()
        entry = self._policies.get(name)
        if entry is None or entry[0] != chosen_from:
            policies = self.selection.list_required_policies(location.image, execution, location.repository)
            entry = self._policies[name] = chosen_from, policies
        return entry[1]

    def _judge(self, facts: _ServiceFacts) -> _JudgedService | None:
        """Judge what a service runs, and record it.

        Return None if it has to be judged once more: it runs something else, or its image is being scanned.
        """
        name, (repository, image) = facts.running.service, facts.location
        if not _is_same_deployment(self.store.services.find_running_image(name), facts.running):
            return None
        context = DeploymentContext(repository, name, facts.running.execution, should_keep_baselines=True)
        failure: Exception | None = None
        try:
            verdict, is_complete, next_at = self.verdicts.review_deployed(image, context, self.risk_days)
        except StoreError:
            raise
        except Exception as error:
            # It must not look safe, and keeps no other from being judged.
            failure, next_at = error, None
            reason = (
                error.full_message if isinstance(error, DockgateError) else f"internal error: {type(error).__name__}"
            )
            verdict, is_complete = RunningVerdict(image, cannot_judge=f"judging it failed: {reason}"), True
        recorded_risk = self._record(name, facts.running.revision, repository, verdict)
        if recorded_risk is None or not is_complete:
            return None
        if verdict.cannot_judge is not None:
            # Its reason may have an age, such as that of a feed.
            next_at = min(filter(None, (next_at, format_unknown_moment(self.clock.now()))))
        return _JudgedService(recorded_risk, next_at, failure)

    def _end_stopped(self, service: Service) -> None:
        """Record that a service that runs nothing any more is not at risk."""
        verdict = RunningVerdict(None)
        self.effects.run(
            EffectKind.REJUDGE, self._record, service.name, service.revision, self._find_repository(service), verdict
        )

    def _find_repository(self, service: Service) -> str | None:
        """The repository of the image that the service has, None without an image. It may be scaled to 0 tasks."""
        image = self.store.services.get_definition(service.name, service.revision).image
        return image.strip_registry(self.registry) if image is not None else None

    def _is_due(self, risk: TimeAtRisk) -> bool:
        """Return whether time alone has changed something."""
        return advance(risk.service, risk, None, self.clock(), self.terms) != (risk, ())

    def _announce_due(self, name: str) -> None:
        """Announce what time alone has changed."""
        repository = self._find_repository(self.store.services.get(name))
        self.effects.run(EffectKind.REJUDGE, self._record, name, None, repository, None)

    def _record(
        self, service: str, revision: int | None, repository: str | None, verdict: RunningVerdict | None
    ) -> RecordedRisk | None:
        announce = partial(self._announce, repository, verdict)
        return self.store.service_risks.record(service, revision, verdict, self.clock(), self.terms, announce)

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


def _make_state(inputs: str | None, recorded_risk: RecordedRisk) -> str | None:
    """Return the state of a service: what decides of its verdict, and what is recorded of the last one."""
    return None if inputs is None else compute_digest(canonical.encode([inputs, recorded_risk]))


def _is_same_deployment(running: RunningImage | None, former: RunningImage) -> bool:
    """Return whether a service runs, by the same execution, what it ran before."""
    if running is None:
        return False
    read_deployment = attrgetter("revision", "execution", "digest", "reference")
    return bool(read_deployment(running) == read_deployment(former))
