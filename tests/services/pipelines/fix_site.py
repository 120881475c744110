"""A pipeline that delivered an image, and what looks for its fixes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.fakes.repository_files import MemoryFiles
from tests.fakes.repository_host import MemoryHost

from dockgate.delivery.fixes import Fix, FixChange, FixDetails, FixKind, FixPlan, LockUpdate
from dockgate.delivery.model import (
    Action,
    ActionType,
    Execution,
    ExecutionId,
    FixAction,
    FixSettings,
    Pipeline,
    RunState,
    Stage,
)
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.pipelines.fix_search import DeliveredImage, ProvenFix
from dockgate.services.pipelines.fixes import Fixes
from dockgate.services.pipelines.git_pushes import GitPushes
from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.shared.errors import UnavailableError
from dockgate.shared.timestamps import format_time
from dockgate.store import Store

IMAGE, NEXT = "sha256:" + "a" * 64, "sha256:" + "b" * 64
NOW = datetime(2026, 11, 28, 10, 0, tzinfo=UTC)
CHANGES = (FixChange("flask", "1.0", "2.0"),)
CHANGE = FixPlan(FixKind.CHANGE, CHANGES, {"requirements.txt": "flask==2.0\n"})
REBUILD = FixPlan(FixKind.REBUILD, CHANGES)


def fail_lock_update(image: DeliveredImage, commit: str, plan: FixPlan, lock: LockUpdate) -> str:
    raise UnavailableError("no stage of Dockerfile runs npm")


@dataclass
class Starter:
    proceeded: list[str] = field(default_factory=list)

    def continue_execution(self, execution: ExecutionId) -> None:
        self.proceeded.append(execution)

    def start_event(self, event_id: str) -> None:
        pass


@dataclass
class Search:
    """A `FixSearch` whose answers a test chooses."""

    store: Store
    delivery: DeliveredImage | None
    plan: FixPlan | None
    is_bad: bool = True
    base: str | None = None
    searches: int = 0
    failing: str = ""

    def find_delivered_image(self, name: str) -> DeliveredImage | None:
        if name == self.failing:
            raise RecursionError("an unexpected file")
        is_under_way = any(not execution.state.is_final for execution in self.store.executions.list_for_pipeline(name))
        return None if is_under_way else self.delivery

    def is_rejected(self, image: str) -> bool:
        return self.is_bad

    def find_base_digest(self, image: DeliveredImage, commit: str) -> str | None:
        return self.base

    def find(self, image: DeliveredImage, commit: str) -> ProvenFix | None:
        self.searches += 1
        return ProvenFix(self.plan, FixDetails(self.plan.describe_changes(), ("CVE-2026-1",))) if self.plan else None


class Site:
    """A pipeline that delivered an image, and what looks for its fixes."""

    def __init__(self, store: Store, action: FixAction, plan: FixPlan, per_day: int = 1) -> None:
        self.store, self.host, self.starter = store, MemoryHost(), Starter()
        self.files = MemoryFiles(self.host)
        self.now = NOW
        self.clock = ServerClock(lambda: self.now)
        self.host.create("shop")
        self.head = self.host.push("shop", {"requirements.txt": "flask==1.0\n"})
        stages = (Stage("Source", (Action("Pull", ActionType.SOURCE, output="Code"),)),)
        self.pipeline = Pipeline("shop", stages, on_fix=FixSettings(action, per_day))
        store.pipelines.put(self.pipeline, self.clock.now())
        self.search = Search(store, self.make_delivery(IMAGE), plan)

    def make_delivery(self, image: str, number: int = 1) -> DeliveredImage:
        execution = Execution(
            ExecutionId(f"shop-{number}"), "shop", number, 1, RunState.SUCCEEDED, {}, started_at=format_time(NOW)
        )
        context = DeploymentContext("shop/app")
        return DeliveredImage(self.pipeline, execution, image, context, "shop", "main", self.head, "Dockerfile", {})

    def start_server(self, observe: Callable[[str], None] = lambda moment: None) -> Fixes:
        """A server that has just started."""
        effects = Effects(observe)
        pushes = GitPushes(self.store, self.host, self.clock, effects, self.starter)  # type: ignore[arg-type]
        search, starter = self.search, self.starter
        return Fixes(
            self.store,
            search,  # type: ignore[arg-type]
            self.host,
            self.files,
            pushes,
            fail_lock_update,
            self.clock,
            effects,
            starter,  # type: ignore[arg-type]
        )

    def get_fix(self) -> Fix:
        (fix,) = self.store.fixes.list("shop")
        return fix

    def read_state(self) -> tuple[object, ...]:
        events = [event.body for event in self.store.event_log.read()]
        executions = self.store.executions.list_for_pipeline("shop")
        pushes = [record for fix in self.store.fixes.list("shop") for record in self._list_pushes(fix)]
        return self.store.fixes.list("shop"), events, self.host.list_heads("shop"), executions, pushes

    def _list_pushes(self, fix: Fix) -> list[object]:
        ref = f"refs/heads/{fix.branch}"
        return [(record.push, record.new, record.is_accepted) for record in self.store.pushes.list_for_ref("shop", ref)]
