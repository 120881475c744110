"""Build cases: everything that a verdict on a scanned image is made from, baselines included."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dockgate.delivery.model import ExecutionId
from dockgate.delivery.ports import Advisories, FindingsSource
from dockgate.delivery.registry_access import OPERATOR, SERVER
from dockgate.gate import baselines
from dockgate.gate.cve_enrichment import collect_cve_names
from dockgate.gate.model import EMPTY_SNAPSHOT, BaselineExemptions, ExternalReport, Policy, Status, VerdictCase
from dockgate.gate.policy import list_required_baselines
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Ecosystem
from dockgate.services.clock import ServerClock
from dockgate.services.verdicts.provenance import Provenance
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.shared.errors import DatabaseError
from dockgate.store import Store
from dockgate.store.records import Scan, ScanState, VerdictRecord
from dockgate.vulnerabilities.model import AdvisorySnapshot


@dataclass(frozen=True, slots=True)
class DeploymentContext:
    """The context in which an image is judged.

    Its repository, the service that is to run it and the execution that approved it for that. The approvals of the
    execution name what repositories require on top of the server's policies. With `should_keep_baselines` an approved
    image is compared with the baselines of its approval.
    """

    repository: str
    service: str | None = None
    execution: ExecutionId | None = None
    should_keep_baselines: bool = False


@dataclass(frozen=True, slots=True)
class BaselineImages:
    """The images that an image is compared with, by the names of their baselines.

    See `gate.model.VerdictCase` for each.
    """

    inventories: dict[str, tuple[Inventory, ...]] = field(default_factory=dict)
    exemptions: dict[str, BaselineExemptions] = field(default_factory=dict)

    def select(self, names: Sequence[str]) -> "BaselineImages":
        """Return the baselines with these names."""
        return BaselineImages(
            {name: self.inventories[name] for name in names if name in self.inventories},
            {name: self.exemptions[name] for name in names if name in self.exemptions},
        )


@dataclass(frozen=True, slots=True)
class BaselineFinder:
    """The baselines of images. `registry` is the address of our own registry."""

    store: Store
    ecosystems: Sequence[Ecosystem]
    registry: str

    def find(self, image: str, policy: Policy, context: DeploymentContext) -> BaselineImages:
        """Return what the policy's rules compare the image with.

        An image is never its own baseline, or none of its findings would be new: one that runs already is compared with
        the baselines of its approval.
        """
        names = list_required_baselines(policy)
        if not names:
            return BaselineImages()
        own_policy = policy.name.server_policy  # whatever a repository requires on top
        record = find_approving_record(self.store.verdicts.list_of_image(image), own_policy)
        approved_against = BaselineImages()
        if record:
            case = self.store.verdicts.get_case(record.digest)
            approved_against = BaselineImages(case.baselines, case.baseline_exemptions)
        if context.should_keep_baselines and record:
            return approved_against.select(names)
        digests = {
            "running": self._find_running_image(context.service, context.repository),
            "approved": self.store.verdicts.find_last_approved_image(context.repository, own_policy, image),
        }
        inventories, exemptions = {}, {}
        for name in names:
            digest = digests[name]
            if digest == image:
                inventories[name] = approved_against.inventories.get(name, ())
                exemptions[name] = approved_against.exemptions.get(name, BaselineExemptions())
            elif digest:
                inventories[name] = tuple(self.store.images.list_inventories(digest))
                exemptions[name] = self._find_exemptions(digest, own_policy)
        return BaselineImages(inventories, exemptions).select([name for name in names if inventories.get(name)])

    def _find_exemptions(self, image: str, own_policy: str) -> BaselineExemptions:
        """Return the findings that were waived when the image was approved.

        The approval by this policy counts, or the newest one if only other policies approved it.
        """
        records = self.store.verdicts.list_of_image(image)
        approving = (record for record in records if record.is_requested and record.status == Status.APPROVED)
        record = find_approving_record(records, own_policy) or next(approving, None)
        if record is None:
            return BaselineExemptions()
        verdict = self.store.verdicts.get(record.digest)
        return baselines.find_exemptions(
            self.store.verdicts.read_case(verdict), verdict.platform_verdicts, self.ecosystems
        )

    def _find_running_image(self, service: str | None, repository: str) -> str | None:
        """Return the digest that the service runs, None if none or of another repository.

        The request names the service, and must not choose what is exempted.
        """
        running = self.store.services.find_running_image(service) if service is not None else None
        is_of_repository = running is not None and running.reference.strip_registry(self.registry) == repository
        return running.digest if running is not None and is_of_repository else None


def find_running_image(store: Store, service: str, registry: str) -> tuple[str, DeploymentContext] | None:
    """Return the digest that a service runs with the context of its verdict, None if it runs nothing.

    A service that was scaled to 0 tasks runs nothing.
    """
    running = store.services.find_running_image(service)
    if running is None:
        return None
    return running.digest, DeploymentContext(
        running.reference.strip_registry(registry), service, running.execution, should_keep_baselines=True
    )


def find_approving_record(records: Sequence[VerdictRecord], policy: str) -> VerdictRecord | None:
    """Return the newest verdict by which the server's policy of this name approved, None where it did not."""
    own_records = (record for record in records if record.is_requested and record.policy.server_policy == policy)
    return next((record for record in own_records if record.status == Status.APPROVED), None)


@dataclass(frozen=True, slots=True)
class CaseBuilder:
    """A builder of cases. `findings_source` is the other scanner of some repositories, or None."""

    store: Store
    advisories: Advisories
    baseline_finder: BaselineFinder
    waivers: ServerWaivers
    provenance: Provenance
    findings_source: FindingsSource | None
    clock: ServerClock
    engine_version: str

    def build(self, image: str, policy: Policy, context: DeploymentContext) -> VerdictCase | None:
        """Return the case of an image under a policy, None while it is not scanned.

        A failed scan and a missing advisory database make an Undetermined verdict, so that every approval gets an
        answer. Reports of other scanners are judged beside a scan, in the repositories of their authors; they
        replace it only if a principal who may accept risks in this repository has vouched for one.
        """
        with self.store.database.read():  # one connection for all of it
            scan = self.store.images.find_newest_scan(image)
            is_vouched = self.store.reports.is_vouched(image, context.repository)
            if scan is None and not is_vouched:
                return None
            if scan is not None and scan.state is ScanState.REQUESTED:
                return None
            inventories = tuple(self.store.images.list_inventories(image))
            external_reports = tuple(self.store.reports.list_external_reports(image, context.repository))
            every_inventory, now = (*inventories, *(report.inventory for report in external_reports)), self.clock.now()
            provenance = self.provenance.collect_facts(image, context.repository, policy)
            case = VerdictCase(
                image, policy, now, self.engine_version, external_reports=external_reports, provenance=provenance
            )
            if every_inventory:
                repository = context.repository if self._can_apply_waivers(context.repository, image, scan) else None
                case = replace(
                    case, waivers=self.waivers.select_for_image(image, every_inventory, policy, repository, now)
                )
            is_scanned = scan is not None and not scan.state.has_failed
            baselines = self.baseline_finder.find(image, policy, context) if is_scanned else BaselineImages()
        if scan is None or scan.state.has_failed:
            case = replace(case, snapshot=self._consult_catalogues(external_reports))
            return case if scan is None or is_vouched else replace(case, no_scan_reason=scan.reason)
        try:
            baseline_inventories = [
                inventory for listed_inventories in baselines.inventories.values() for inventory in listed_inventories
            ]
            return replace(
                case,
                inventories=inventories,
                snapshot=self.advisories().read_snapshot([*inventories, *baseline_inventories]),
                baselines=baselines.inventories,
                baseline_exemptions=baselines.exemptions,
            )
        except DatabaseError as error:
            return replace(case, inventories=inventories, no_scan_reason=error.full_message)

    def should_apply_waivers(self, repository: str, image: str) -> bool:
        """Return whether the waivers of a repository may count for an image."""
        with self.store.database.read():
            return self._can_apply_waivers(repository, image, self.store.images.find_newest_scan(image))

    def _can_apply_waivers(self, repository: str, image: str, scan: Scan | None) -> bool:
        """Return whether the repository's waivers may count for the image.

        Callers name the repository, and must not choose whose waivers count: the image was scanned there, or its
        registry reported a push. In a repository that a pipeline builds, only images that the server or its operator
        pushed count: its waivers were accepted for images that were built from recorded commits.
        """
        if self.store.pipelines.is_built(repository):
            return any(pusher in (SERVER, OPERATOR) for pusher in self.store.images.list_pushers(repository, image))
        if scan is not None and (
            scan.state is ScanState.DONE
            or (self.findings_source is not None and self.findings_source.has_repository(scan.repository))
        ):
            return True
        return bool(self.store.images.list_pushers(repository, image))

    def _consult_catalogues(self, external_reports: Sequence[ExternalReport]) -> AdvisorySnapshot:
        """Return what KEV and EPSS list of these findings; nothing where there is no advisory database."""
        try:
            return self.advisories().read_catalogues(collect_cve_names(external_reports))
        except DatabaseError:
            return EMPTY_SNAPSHOT
