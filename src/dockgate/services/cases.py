"""Cases: everything that a verdict on a scanned image is made from, as of now."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dockgate.delivery.ports import Advisories, FindingsSource
from dockgate.delivery.registry_access import OPERATOR, SERVER
from dockgate.gate.model import EMPTY_SNAPSHOT, ExternalReport, Policy, VerdictCase
from dockgate.scanner.model import Inventory
from dockgate.services.baselines import Baselines, DeploymentContext
from dockgate.services.clock import ServerClock
from dockgate.services.provenance import Provenance
from dockgate.services.risk_acceptances import RiskAcceptances
from dockgate.shared.errors import DatabaseError
from dockgate.store import Store
from dockgate.store.records import Scan, ScanState
from dockgate.vulnerabilities.model import AdvisorySnapshot


class Cases:
    """Builds cases. `findings` is the other scanner that some repositories rely on, None for none."""

    def __init__(
        self,
        store: Store,
        advisories: Advisories,
        baselines: Baselines,
        exceptions: RiskAcceptances,
        provenance: Provenance,
        findings: FindingsSource | None,
        clock: ServerClock,
        engine_version: str,
    ) -> None:
        self._store = store
        self._advisories = advisories
        self._baselines = baselines
        self._exceptions = exceptions
        self._provenance = provenance
        self._findings = findings
        self._clock = clock
        self._engine_version = engine_version

    def build(self, image: str, policy: Policy, context: DeploymentContext) -> VerdictCase | None:
        """Return the case of an image under a policy, None while its scan is requested, or nothing was scanned.

        A failed scan and a missing advisory database make an Undetermined verdict, so that every approval gets an
        answer. Reports of other scanners are evaluated beside a scan; they replace it only if a principal who may
        accept risks has vouched for one.
        """
        scan = self._store.images.scan(image)
        is_vouched = any(record.vouched for record in self._store.reports.for_image(image))
        if scan is None and not is_vouched:
            return None
        if scan is not None and scan.state is ScanState.REQUESTED:
            return None
        context = replace(context, repository=context.repository or (scan.repository if scan else ""))
        inventories = tuple(self._store.images.inventories(image))
        reported = tuple(self._store.reports.external_reports(image))
        every_inventory, now = (*inventories, *(report.inventory for report in reported)), self._clock.now()
        provenance = self._provenance.collect_facts(image, policy)
        case = VerdictCase(image, policy, now, self._engine_version, external_reports=reported, provenance=provenance)
        if every_inventory:
            repository = context.repository if self._waivers_apply(context.repository, image, scan) else ""
            case = replace(case, waivers=self._exceptions.of(image, every_inventory, policy, repository, now))
        if scan is None or scan.state.has_failed:
            case = replace(case, snapshot=self._consult_catalogues(reported))
            return case if scan is None or is_vouched else replace(case, no_scan_reason=scan.reason)
        try:
            baselines = self._baselines.find(image, policy, context)
            return replace(
                case,
                inventories=inventories,
                snapshot=self._consult(inventories, baselines.inventories),
                baselines=baselines.inventories,
                baseline_exemptions=baselines.exemptions,
            )
        except DatabaseError as error:
            return replace(case, no_scan_reason=error.full_message)

    def _waivers_apply(self, repository: str, image: str, scan: Scan | None) -> bool:
        """Whether the repository's waivers may count for the image.

        Callers name the repository, and must not choose whose waivers count: the image was scanned there, or its
        registry reported a push. In a repository that a pipeline builds, only images that the server or its operator
        pushed count: its waivers were accepted for images that were built from recorded commits.
        """
        if self._store.pipelines.is_built(repository):
            return any(pusher in (SERVER, OPERATOR) for pusher in self._store.images.pushers(repository, image))
        if scan is not None and (scan.state is ScanState.DONE or self._is_scanned_by_another(scan.repository)):
            return True
        return bool(self._store.images.pushers(repository, image))

    def _is_scanned_by_another(self, repository: str) -> bool:
        return self._findings is not None and self._findings.knows(repository)

    def _consult(
        self, inventories: Sequence[Inventory], baselines: Mapping[str, Sequence[Inventory]]
    ) -> AdvisorySnapshot:
        """The advisories of the packages in the image and its baselines: both are matched with the same snapshot."""
        compared = [inventory for listed in baselines.values() for inventory in listed]
        return self._advisories().snapshot([*inventories, *compared])

    def _consult_catalogues(self, reported: Sequence[ExternalReport]) -> AdvisorySnapshot:
        """What KEV and EPSS list of these findings; nothing where there is no advisory database."""
        try:
            return self._advisories().catalogues(reported)
        except DatabaseError:
            return EMPTY_SNAPSHOT
