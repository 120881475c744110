"""Findings of Amazon Inspector for images in Amazon ECR, instead of a scan of our own."""

import fnmatch
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from dockgate.aws.indexes import Indexes
from dockgate.aws.scans import CONFIRM_SECONDS, MemoryLists, Scans, ScanState
from dockgate.config import Settings
from dockgate.delivery.ports import ScannerAnswer
from dockgate.gate.external import inspector
from dockgate.gate.external._fields import timestamp
from dockgate.gate.external._report import ReportBuilder
from dockgate.gate.model import ExternalReport
from dockgate.scanner.images.ecr import region_of
from dockgate.scanner.images.reference import RegistryReference, parse
from dockgate.scanner.images.registry import registry_source
from dockgate.services import external_findings
from dockgate.shared.aws import Client, aws_errors, boto3_client
from dockgate.shared.errors import ImageError, UsageError

EVERYWHERE = ("*",)


class InspectorFindings:
    """`delivery.ports.FindingsSource`: of those of ECR's repositories that match one of `patterns`, registry included.

    `clock` gives epoch seconds. May be used from several threads.
    """

    name = inspector.SOURCE
    title = "Amazon Inspector"

    def __init__(
        self,
        patterns: Sequence[str] = EVERYWHERE,
        client: Client | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._patterns = patterns
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        self._platforms: dict[str, Mapping[str, str]] = {}
        self._lists = MemoryLists(clock)

    def knows(self, repository: str) -> bool:
        registry, _, name = repository.partition("/")
        matched = any(fnmatch.fnmatchcase(repository, pattern) for pattern in self._patterns)
        return bool(region_of(registry) and name) and matched

    def ask(self, repository: str, digest: str) -> ScannerAnswer:
        registry, _, name = repository.partition("/")
        region = region_of(registry)
        with aws_errors(f"asking {self.title} about {repository}@{digest}"):
            account = registry.partition(".")[0]
            client = self._of("inspector2", region)
            place = client.meta.partition, region, account
            scans = Scans(client, self._lists, *place, clock=self._clock)
            look = scans.look(digest, name, None)
            if look.documents:
                return self._answer({digest: look}, {digest: ""})
            try:
                platforms = self._in_index(digest, name, region)
            except ImageError as error:
                return ScannerAnswer((self.unknown(digest, str(error)),))
            looks = {image: scans.look(image, name, None) for image in platforms} or {digest: look}
        return self._answer(looks, platforms)

    def unknown(self, image: str, reason: str) -> ExternalReport:
        return self._unknown(image, reason, "")

    def _answer(self, looks: Mapping[str, ScanState], platforms: Mapping[str, str]) -> ScannerAnswer:
        """All of them, each for what it is; together they are over when all are."""
        reported = [
            report for image, look in looks.items() for report in self._read(image, look, platforms.get(image, ""))
        ]
        pending = [look for look in looks.values() if not look.over]
        unconfirmed = bool(pending) and all(look.is_unconfirmed for look in pending)
        return ScannerAnswer(tuple(reported), next((look.fault for look in pending), ""), unconfirmed)

    def _read(self, image: str, look: ScanState, platform: str) -> Sequence[ExternalReport]:
        if look.fault:
            return (self._unknown(image, look.fault, platform),)
        reported = inspector.FORMAT.read(look.documents[image], external_findings.read_context(image))
        return [
            replace(report, inventory=replace(report.inventory, platform=platform or report.inventory.platform))
            for report in reported
        ]

    def _unknown(self, image: str, reason: str, platform: str) -> ExternalReport:
        report = ReportBuilder(self.name, image, at=timestamp(self._clock()), platform=platform)
        report.add_undetermined(reason)
        return report.build()

    def _in_index(self, digest: str, repository: str, region: str) -> Mapping[str, str]:
        """The images in an index, each with what tells it from the others; none for what is no index.

        It is asked for once: what is behind a digest never changes.
        """
        if digest not in self._platforms:
            children = Indexes(self._of("ecr", region)).children(repository, digest)
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

    def _of(self, service: str, region: str) -> Any:
        """Clients may be used by several threads, and be made by one at a time alone."""
        with self._lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = (self._client or boto3_client())(service, region)
            return self._clients[service, region]


def of_settings(settings: Settings) -> InspectorFindings | None:
    """None where the settings name no repositories. Raises UsageError when boto3 is missing."""
    return InspectorFindings(settings.inspector, boto3_client()) if settings.inspector else None


def look_up(
    reference: str,
    ca_bundle: Path | None = None,
    source: InspectorFindings | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> tuple[str, tuple[ExternalReport, ...]]:
    """The digest that a reference to an image in ECR stands for, and what Inspector says of it.

    `wait` pauses for that many seconds, before Inspector is asked a second time: one list of findings may be partial.

    Raises UsageError for another reference, NotFoundError, DeniedError and UnavailableError.
    """
    source = source or InspectorFindings()
    named = parse(reference)
    if not isinstance(named, RegistryReference) or not source.knows(f"{named.registry}/{named.repository}"):
        raise UsageError(
            f"{reference} is no image in Amazon ECR, which Inspector scans.",
            "Name one: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1.",
        )
    digest = named.digest
    if not digest:
        with closing(registry_source(named, ca_bundle=ca_bundle)) as origin:
            digest, _ = origin.root()
    repository = f"{named.registry}/{named.repository}"
    answer = source.ask(repository, digest)
    if answer.is_unconfirmed:
        wait(CONFIRM_SECONDS)
        answer = source.ask(repository, digest)
    return digest, answer.reported
