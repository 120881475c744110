"""The search for fixes: what a rebuild would change, judged by the same advisories as the image itself."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.fakes.repository_files import MemoryFiles
from tests.fakes.repository_host import MemoryHost
from tests.gate.samples import (
    COVERED,
    ECOSYSTEMS,
    IMAGE,
    NOW,
    RULES,
    limit_findings,
    make_advisory,
    make_inventory,
    make_package,
)

from dockgate.delivery.fixes import FixKind
from dockgate.delivery.model import Action, ActionType, Execution, ExecutionId, Pipeline, RunState, Stage
from dockgate.gate.model import VerdictCase
from dockgate.scanner.model import Inventory
from dockgate.services.clock import ServerClock
from dockgate.services.pipelines.fix_search import DeliveredImage, FixSearch
from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.store import open_store
from dockgate.vulnerabilities.model import AdvisorySnapshot

ADVISORIES = AdvisorySnapshot((make_advisory("CVE-2026-1", "flask"),), COVERED)
WITHDRAWN = AdvisorySnapshot((), COVERED)
INVENTORY = make_inventory(make_package("flask"))


@dataclass
class Deployed:
    """Verdicts whose cases name these advisories."""

    snapshot: AdvisorySnapshot

    def build_deployed_cases(self, image: str, context: DeploymentContext) -> list[VerdictCase]:
        return [VerdictCase(image, limit_findings(HIGH=0), NOW, "0.1.0", (INVENTORY,), self.snapshot)]


@dataclass
class Database:
    """An advisory database with these advisories."""

    snapshot: AdvisorySnapshot

    def read_snapshot(self, inventories: Collection[Inventory]) -> AdvisorySnapshot:
        return self.snapshot


def search_fix(folder: Path, deployed_snapshot: AdvisorySnapshot, present_snapshot: AdvisorySnapshot) -> FixKind | None:
    host = MemoryHost()
    host.create("shop")
    head = host.push("shop", {"Dockerfile": "FROM scratch\n"})
    pipeline = Pipeline("shop", (Stage("Source", (Action("Pull", ActionType.SOURCE, output="Code"),)),))
    execution = Execution(ExecutionId("shop-1"), "shop", 1, 1, RunState.SUCCEEDED, {}, started_at=NOW)
    context = DeploymentContext("shop/app")
    image = DeliveredImage(pipeline, execution, IMAGE, context, "shop", "main", head, "Dockerfile", {})
    store = open_store(folder)
    try:
        search = FixSearch(
            store,
            Deployed(deployed_snapshot),  # type: ignore[arg-type]
            lambda: Database(present_snapshot),  # type: ignore[arg-type, return-value]
            MemoryFiles(host),
            ECOSYSTEMS,
            RULES,
            ServerClock(lambda: datetime(2026, 11, 24, 12, tzinfo=UTC)),
            "127.0.0.1:5000",
            lambda reference: None,
        )
        fix = search.find(image, head)
        return fix.plan.kind if fix else None
    finally:
        store.close()


def test_a_withdrawn_advisory_is_no_fix_by_a_rebuild(tmp_path: Path) -> None:
    """The database may be replaced after the cases of what runs were built."""
    assert search_fix(tmp_path / "withdrawn", ADVISORIES, WITHDRAWN) is None
    assert search_fix(tmp_path / "listed", ADVISORIES, ADVISORIES) is FixKind.BY_HAND
