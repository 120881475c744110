"""Ask Amazon Inspector for its findings on images in Amazon ECR."""

import fnmatch
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dockgate.aws.indexes import Indexes
from dockgate.aws.scans import MemoryLists, Scans, ScanState
from dockgate.delivery.ports import FindingsSource, ScannerAnswer
from dockgate.gate.external import ReadContext, inspector
from dockgate.gate.external._fields import read_timestamp
from dockgate.gate.external._report import ReportBuilder
from dockgate.gate.model import ExternalReport
from dockgate.scanner import ecosystems
from dockgate.shared.aws import Client, EcrRegistry, RegionalClients, translate_aws_errors
from dockgate.shared.errors import ImageError
from dockgate.shared.interfaces import override
from dockgate.shared.references import ImageReference, RepositoryReference
from dockgate.vulnerabilities.versions import Orders


class InspectorFindings(FindingsSource):
    """Inspector's findings on images in ECR (`delivery.ports.FindingsSource`).

    Only repositories that match one of `patterns`, which include the registry, have them. `clock` gives epoch seconds.
    May be used from several threads.
    """

    name = inspector.SOURCE
    title = "Amazon Inspector"

    def __init__(
        self, patterns: Sequence[str] = ("*",), client: Client | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._patterns = patterns
        self._clients = RegionalClients(client)
        self._clock = clock
        self._platforms: dict[str, Mapping[str, str | None]] = {}
        self._lists = MemoryLists(clock)

    @override
    def has_repository(self, repository: str) -> bool:
        reference = RepositoryReference.parse(repository)
        is_covered = any(fnmatch.fnmatchcase(repository, pattern) for pattern in self._patterns)
        return is_covered and bool(reference.name) and EcrRegistry.parse(reference.registry or "") is not None

    @override
    def ask(self, repository: str, digest: str) -> ScannerAnswer:
        reference = RepositoryReference.parse(repository)
        ecr, name = EcrRegistry.parse(reference.registry or ""), reference.name
        assert ecr is not None  # noqa: S101 - only repositories that it knows are asked about
        region = ecr.region
        with translate_aws_errors(f"asking {self.title} about {ImageReference(repository, digest)}"):
            client = self._clients("inspector2", region)
            scans = Scans(client, self._lists, client.meta.partition, region, ecr.account, clock=self._clock)
            scan_state = scans.look_up(digest, name, None)
            if scan_state.documents:
                return self._answer({digest: scan_state}, {})
            try:
                platforms = self._list_index_images(digest, name, region)
            except ImageError as error:
                return ScannerAnswer((self.report_unknown(digest, str(error)),))
            scan_states = {image: scans.look_up(image, name, None) for image in platforms} or {digest: scan_state}
        return self._answer(scan_states, platforms)

    @override
    def report_unknown(self, image: str, reason: str) -> ExternalReport:
        return self._make_unknown_report(image, reason, None)

    def _answer(self, scan_states: Mapping[str, ScanState], platforms: Mapping[str, str | None]) -> ScannerAnswer:
        """The reports of all scans, and what is missing while one of them is not over."""
        reports = [
            report
            for image, scan_state in scan_states.items()
            for report in self._read(image, scan_state, platforms.get(image))
        ]
        pending = [scan_state for scan_state in scan_states.values() if not scan_state.is_over]
        is_unconfirmed = bool(pending) and all(scan_state.is_unconfirmed for scan_state in pending)
        return ScannerAnswer(tuple(reports), next((scan_state.fault for scan_state in pending), None), is_unconfirmed)

    def _read(self, image: str, scan_state: ScanState, platform: str | None) -> Sequence[ExternalReport]:
        if scan_state.fault:
            return (self._make_unknown_report(image, scan_state.fault, platform),)
        context = ReadContext(image, compare=Orders(ecosystems.load()).compare)
        inspector_report = inspector.FORMAT.read(scan_state.documents[image], context)
        return [
            replace(report, inventory=replace(report.inventory, platform=platform or report.inventory.platform))
            for report in inspector_report
        ]

    def _make_unknown_report(self, image: str, reason: str, platform: str | None) -> ExternalReport:
        report = ReportBuilder(self.name, image, at=read_timestamp(self._clock()), platform=platform)
        report.add_undetermined(reason)
        return report.build()

    def _list_index_images(self, digest: str, repository: str, region: str) -> Mapping[str, str | None]:
        """The images in an index, each with its platform; none for what is not an index.

        Where several have the same, it is the platform with the start of the digest. Inspector is asked once: what is
        behind a digest never changes.
        """
        if digest not in self._platforms:
            children = Indexes(self._clients("ecr", region)).find_children(repository, digest)
            if children is None:
                return {}
            names = [child.platform for child in children]
            self._platforms[digest] = {
                child.digest: child.platform
                if names.count(child.platform) == 1
                else f"{child.platform} {child.digest[:19]}"
                for child in children
            }
        return self._platforms[digest]
