"""Collections: what is not needed any more, and its removal."""

from dataclasses import dataclass

from dockgate.services.retention.collection_plans import CollectionPlan
from dockgate.services.retention.garbage_collection import CollectionReport
from dockgate.shared import canonical
from dockgate.shared.byte_sizes import format_byte_size
from dockgate.shared.errors import NotFoundError
from dockgate.shared.wording import format_count
from dockgate.store import Store
from dockgate.store.retention.collections import RECORDS, GarbageCollectionRun
from dockgate.web.api import AdminCaller, Number, StoreDependency, UpkeepDependency, make_router, make_view_maker
from dockgate.web.audit_details import note_change

router = make_router()


@dataclass(frozen=True, slots=True)
class CollectionView:
    """A collection of garbage.

    `report` is what it removed, `error` why it ended before its time; null before its end.
    """

    seq: int
    requested_at: str
    requested_by: str
    started_at: str | None
    finished_at: str | None
    error: str | None
    report: CollectionReport | None


@router.get("/gc")
def plan_collection(upkeep: UpkeepDependency, caller: AdminCaller) -> CollectionReport:
    """Show what a collection would remove now, and why images are kept. Changes nothing."""
    return upkeep.garbage_collection.plan()


@router.post("/gc", status_code=202)
def request_collection(upkeep: UpkeepDependency, caller: AdminCaller) -> CollectionView:
    """Request a collection. One that has not finished is returned instead."""
    collection = upkeep.garbage_collection.request(caller.name)
    note_change(f"collection {collection.seq}")
    return _build_collection_view(collection)


@router.get("/gc/plan")
def get_plan(upkeep: UpkeepDependency, caller: AdminCaller) -> CollectionPlan:
    """Get the stored plan: what a collection would have removed at `made_at`."""
    plan = upkeep.collection_plans.find()
    if plan is None:
        raise NotFoundError("no collection was planned yet", "Make a plan: `POST /api/v1/gc/plan`.")
    return plan


@router.post("/gc/plan")
def make_plan(upkeep: UpkeepDependency, caller: AdminCaller) -> CollectionPlan:
    """Plan a collection as of now, and store the plan. Nothing is removed."""
    plan = upkeep.collection_plans.make(caller.name)
    note_change(f"planned: {format_count(plan.image_count, 'image')} and {format_byte_size(plan.blob_bytes)} to remove")
    return plan


@router.get("/gc/runs")
def list_collections(store: StoreDependency, caller: AdminCaller) -> list[CollectionView]:
    """List the recent garbage collections, newest first."""
    return list_newest_collections(store)


def list_newest_collections(store: Store, limit: int = RECORDS) -> list[CollectionView]:
    """List the newest collections."""
    return [_build_collection_view(collection) for collection in store.collections.list(limit)]


@router.get("/gc/runs/{number}")
def get_collection(number: Number, store: StoreDependency, caller: AdminCaller) -> CollectionView:
    """Get a collection: what it removed, or that it has not finished."""
    return _build_collection_view(store.collections.get(number))


_make_view = make_view_maker(CollectionView, GarbageCollectionRun, "report")


def _build_collection_view(collection: GarbageCollectionRun) -> CollectionView:
    report = canonical.build(CollectionReport, collection.report) if collection.report else None
    return _make_view(collection, report=report)
