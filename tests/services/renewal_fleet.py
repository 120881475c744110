"""A fleet of three images whose verdicts are renewed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.scanned_platforms import list_platforms
from tests.scenarios.planned_images import AdvisoryDatabase, make_advisory, make_package
from tests.scenarios.server import ServerSystem

from dockgate.events import schemas
from dockgate.events.model import StoredEvent
from dockgate.gate import evaluate
from dockgate.scanner.model import Distribution, Inventory
from dockgate.services.durable_effects import Effects
from dockgate.services.fleet.verdict_renewal import VerdictRenewal
from dockgate.services.verdicts.case_builder import CaseBuilder, DeploymentContext
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DatabaseError
from dockgate.shared.timestamps import format_time
from dockgate.store.fleet.records import FleetVerdict
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.model import Coverage, Severity

NAMES = ("web", "api", "job")
failing_images: set[str] = set()


class CrashError(Exception):
    """The process died."""


class FailingCaseBuilder(CaseBuilder):
    """Fails for `failing_images` with an internal error."""

    def should_apply_waivers(self, repository: str, image: str) -> bool:
        if image in failing_images:
            raise KeyError(image)
        return super().should_apply_waivers(repository, image)


@dataclass
class Feeds(AdvisoryDatabase):
    """An advisory database that can be missing, and whose feeds can be old or missing."""

    checked_at: str = ""
    missing_feeds: frozenset[str] = frozenset()
    is_missing: bool = False

    @property
    def digest(self) -> str:
        """As in a real database, the time of the last check is part of it."""
        return compute_digest(f"{super().digest} {self.checked_at} {sorted(self.missing_feeds)}".encode())

    def list_coverage(self) -> Sequence[Coverage]:
        return tuple(
            replace(entry, checked_at=self.checked_at or entry.checked_at)
            for entry in super().list_coverage()
            if entry.ecosystem not in self.missing_feeds
        )

    def __call__(self) -> "Feeds":
        if self.is_missing:
            raise DatabaseError("there is no advisory database", "Run `dockgate db update`.")
        return replace(self, advisories=list(self.advisories))


@dataclass
class Fleet:
    """A server whose background is not started, with three scanned images that share a package."""

    system: ServerSystem
    feeds: Feeds
    images: dict[str, str] = field(default_factory=dict)
    advisory_changes: AdvisoryChanges | None = None

    def __post_init__(self) -> None:
        self.verdict_renewal = self.process()
        for name in NAMES:
            self.scan(name)

    def process(
        self,
        observe: "list[str] | None" = None,
        crash_at: int = -1,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> VerdictRenewal:
        """A process that renews; it dies at the moment `crash_at`, or lists its moments.

        `meanwhile` is called when images are judged, before the first of their verdicts is written.
        """
        moments = observe if observe is not None else []

        def note(moment: str) -> None:
            moments.append(moment)
            if len(moments) == crash_at + 1:
                raise CrashError(moment)
            if moment == "before renew" and moments.count(moment) == 1:
                meanwhile()

        renewal = self.system.use_cases.verdict_renewal
        index = replace(renewal.index, advisories=self.feeds)
        judging = replace(
            renewal.image_judge, case_builder=replace(renewal.image_judge.case_builder, advisories=self.feeds)
        )
        return replace(
            renewal,
            index=index,
            image_judge=judging,
            advisories=self.feeds,
            compare_advisories=lambda before, after, cves: self.advisory_changes,
            effects=Effects(note),
        )

    def scan(self, name: str) -> str:
        image = compute_digest(name.encode())
        self.images[name] = image
        now = format_time(self.system.clock())
        scan = self.system.store.images.request_scan(image, f"team/{name}", now)
        packages = tuple(sorted((make_package(name), make_package("shared")), key=lambda entry: entry.purl))
        inventory = Inventory(image, "linux/amd64", Distribution("debian", "13"), (), packages, ())
        self.system.store.images.finish_scan(image, scan.number, list_platforms(inventory), None, now)
        return image

    def publish(self, name: str, severity: Severity = Severity.CRITICAL, variant: str = "") -> None:
        self.feeds.advisories = [*self.feeds.advisories, make_advisory(name, severity, "2", variant)]

    def list_verdicts(self, policy: str = "default") -> dict[str, str]:
        store = self.system.store
        names = {image.id: image.repository.removeprefix("team/") for image in store.fleet.iterate_images()}
        return {names[number]: row.status.value for number, row in store.fleet_verdicts.list_of_policy(policy).items()}

    def list_failing_since(self) -> set[str | None]:
        return {row.cannot_judge_since for row in self.system.store.fleet_verdicts.list_of_policy("default").values()}

    def list_changes(self) -> list[tuple[str, str, str]]:
        changes = self.list_details("verdict.changed")
        return [(entry["repository"], entry["previous"], entry["status"]) for entry in changes]

    def list_details(self, kind: str) -> list[dict[str, Any]]:
        """The details of all events of a kind."""
        events = self.system.store.event_log.read(limit=1000)
        return [event.body["detail"] for event in events if event.detail_type == kind]

    def list_vulnerabilities(self) -> list[tuple[str, list[str]]]:
        """What the events of changed verdicts name, by repository."""
        details = self.list_details("verdict.changed")
        return [
            (entry["repository"], [vulnerability["id"] for vulnerability in entry.get("vulnerabilities", ())])
            for entry in details
        ]

    def list_rows(self) -> tuple[list[FleetVerdict], list[tuple[str, str, str]], list[str]]:
        """Everything that a renewal writes, without the times at which it did."""
        verdicts = self.system.store.fleet_verdicts.list_of_policy("default").values()
        findings = [entry["findingArn"] for entry in self.list_details("Inspector2 Finding")]
        return [row._replace(since="", next_at=None) for row in verdicts], self.list_changes(), findings

    def is_consistent(self, policy: str = "default") -> bool:
        """Whether the gate says the same of every image."""
        judging, present_verdicts = self.verdict_renewal.image_judge, self.list_verdicts(policy)
        under = self.verdict_renewal.selection.read(policy).policy
        for name, image in self.images.items():
            case = judging.case_builder.build(image, under, DeploymentContext(f"team/{name}"))
            assert case is not None
            verdict = evaluate.judge(case, judging.ecosystems, judging.rules, should_remediate=False)
            if present_verdicts[name] != verdict.status:
                return False
        return True


@contextmanager
def open_fleet(folder: Path, database: str) -> Iterator[Fleet]:
    """A fleet on a server with this database."""
    system = ServerSystem(folder, database=database)
    try:
        yield Fleet(system, Feeds(system.clock))
    finally:
        system.discard()


def require_valid(events: Iterable[StoredEvent]) -> None:
    """Fail unless each event has the fields of its schema."""
    import jsonschema  # takes a second

    for event in events:
        jsonschema.validate(event.body, schemas.load()[event.detail_type])
