"""All tables and folders of a server, opened together."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from sqlalchemy import insert, select, update

from dockgate.config import DiskLimits
from dockgate.shared.errors import UnavailableError
from dockgate.shared.folder_mark import require_mark
from dockgate.store.blobs import Blobs, FileBlobs
from dockgate.store.delivery.approvals import Approvals
from dockgate.store.delivery.callbacks import CallbackBox
from dockgate.store.delivery.execution_results import ExecutionResults
from dockgate.store.delivery.executions import ExecutionTable
from dockgate.store.delivery.fixes import FixTable
from dockgate.store.delivery.followed_images import FollowedImages
from dockgate.store.delivery.pipelines import Pipelines, Repositories
from dockgate.store.delivery.pushes import Pushes
from dockgate.store.delivery.rollouts import RolloutTable
from dockgate.store.delivery.service_risks import ServiceRisks
from dockgate.store.delivery.services import Services
from dockgate.store.delivery.source_commits import SourceCommits
from dockgate.store.engine import Database
from dockgate.store.engine_tables import EngineTables
from dockgate.store.events.cursor import EventCursor
from dockgate.store.events.failed_entries import FailedEntries
from dockgate.store.events.log import EventLog
from dockgate.store.events.outbox import Outbox
from dockgate.store.events.push_events import PushEvents
from dockgate.store.events.receivers import OutboxReceivers
from dockgate.store.events.rules import EventRuleTable, EventTargetTable, PipelineStarts
from dockgate.store.exposure.component_search import ComponentSearch
from dockgate.store.exposure.images import Exposures
from dockgate.store.exposure.vulnerability_lists import VulnerabilityLists
from dockgate.store.fleet.changes import FleetChanges
from dockgate.store.fleet.due_images import DueImages
from dockgate.store.fleet.findings import FleetFindings
from dockgate.store.fleet.index import Fleet
from dockgate.store.fleet.judging_state import FleetJudgingState
from dockgate.store.fleet.trends import Trends
from dockgate.store.fleet.verdicts import FleetVerdicts
from dockgate.store.gate.policies import PolicyTable
from dockgate.store.gate.policy_assignments import PolicyAssignments
from dockgate.store.gate.provenance import ProvenanceStatements
from dockgate.store.gate.reports import Reports
from dockgate.store.gate.verdicts import VerdictTable
from dockgate.store.gate.vex import Vex
from dockgate.store.gate.waivers import Waivers
from dockgate.store.identity.audit import Audit
from dockgate.store.identity.form_answers import FormAnswers
from dockgate.store.identity.principals import FirstAdminLinks, Principals
from dockgate.store.identity.sessions import SessionTable
from dockgate.store.identity.tokens import Tokens
from dockgate.store.images.images import Images
from dockgate.store.images.listing import ImageListing
from dockgate.store.images.removals import ImageRemovals
from dockgate.store.images.reported_pushes import ReportedPushes
from dockgate.store.images.rescans import Rescans
from dockgate.store.images.tag_history import TagHistory
from dockgate.store.images.uses import ImageUses
from dockgate.store.locks import Locks
from dockgate.store.logs import Logs
from dockgate.store.migrations import has_tables, migrate
from dockgate.store.records import OutboxKind
from dockgate.store.retention.collections import Collections, PushBarrier
from dockgate.store.retention.fleet import FleetRetention
from dockgate.store.retention.images import ImageRetention
from dockgate.store.retention.retention_time import RetentionTimes
from dockgate.store.retention.rows import ExpiredRows
from dockgate.store.schema.store import identity
from dockgate.store.secret_box import SecretBox
from dockgate.store.signals import Signals
from dockgate.store.statements import lock_name
from dockgate.store.workers import WorkerTable

_ID = select(identity.c.id)
_INSERT_IDENTITY = insert(identity)
_FOLDER_OWNER = _ID.where(identity.c.has_folder)


@dataclass(frozen=True, slots=True)
class Store:
    """All tables and folders of a server, by the folders of this package that have their queries.

    `id` was made with the tables: no other store has it. Call `close` when done; other threads must have ended their
    calls.
    """

    id: str

    # delivery/
    repositories: Repositories
    pushes: Pushes
    pipelines: Pipelines
    executions: ExecutionTable
    execution_results: ExecutionResults
    source_commits: SourceCommits
    followed_images: FollowedImages
    approvals: Approvals
    callbacks: CallbackBox
    fixes: FixTable
    services: Services
    service_risks: ServiceRisks
    rollouts: RolloutTable

    # gate/
    verdicts: VerdictTable
    provenance: ProvenanceStatements
    reports: Reports
    waivers: Waivers
    vex: Vex
    policies: PolicyTable
    policy_assignments: PolicyAssignments

    # identity/
    principals: Principals
    tokens: Tokens
    first_admin_links: FirstAdminLinks
    sessions: SessionTable
    form_answers: FormAnswers
    audit: Audit

    # events/
    push_events: PushEvents
    event_log: EventLog
    outbox: Outbox
    failed_entries: FailedEntries
    event_rules: EventRuleTable
    event_targets: EventTargetTable
    event_cursor: EventCursor
    event_receivers: OutboxReceivers
    pipeline_starts: PipelineStarts

    # images/
    images: Images
    image_listing: ImageListing
    image_removals: ImageRemovals
    image_uses: ImageUses
    tag_history: TagHistory
    reported_pushes: ReportedPushes
    rescans: Rescans

    # fleet/
    fleet: Fleet
    fleet_findings: FleetFindings
    fleet_judging: FleetJudgingState
    fleet_verdicts: FleetVerdicts
    due_images: DueImages
    trends: Trends
    fleet_changes: FleetChanges

    # exposure/
    component_search: ComponentSearch
    exposures: Exposures
    vulnerability_lists: VulnerabilityLists

    # retention/
    image_retention: ImageRetention
    row_retention: ExpiredRows
    collections: Collections
    push_barrier: PushBarrier
    fleet_retention: FleetRetention
    retention_times: RetentionTimes

    # directly in this folder
    workers: WorkerTable
    engine_tables: EngineTables
    locks: Locks
    signals: Signals
    blobs: Blobs
    logs: Logs
    database: Database

    def claim_folder(self, mark_folder: Callable[[], None]) -> None:
        """Call `mark_folder` if no server has yet claimed a folder for the files of this store.

        The folder of SQLite's file is always the store's.
        """
        with self.database.write() as connection:
            lock_name(connection, identity, "")
            if not self.database.is_shared or not connection.scalar(select(identity.c.has_folder)):
                mark_folder()
                connection.execute(update(identity).values(has_folder=True))

    def close(self) -> None:
        """Close all connections to the database."""
        self.database.close()


def open_store(
    folder: Path, url: str | None = None, blobs: Blobs | None = None, limits: DiskLimits | None = None
) -> Store:
    """Open the store in a folder, created if missing (mode 0700), and upgrade its tables to this version.

    Tables are in `folder/dockgate.db`, or in the database of `url` (postgresql+psycopg://…); artifacts in `blobs`, or
    in `folder/blobs`; the output of actions in `folder/logs`. `limits` bounds files in bytes. UnavailableError when
    the folder or database cannot be used, and, before anything is changed, when a server has claimed another folder;
    ConflictError when the tables are those of another version of Dockgate.
    """
    database = _open_database(folder, url)
    try:
        _require_folder(folder, database)
        artifacts, logs = _open_files(folder, blobs, limits or DiskLimits())
        migrate(database)
    except BaseException:
        database.close()
        raise
    box = SecretBox(folder, partial(_require_folder, folder, database))
    return _make_store(database, artifacts, logs, box)


def read_folder_owner(database: Database) -> str | None:
    """Return the id of the store if a server has claimed a folder for its files, else None.

    Changes nothing. The folder of SQLite's file needs no claim.
    """
    if not database.is_shared or not has_tables(database):
        return None
    with database.read() as connection:
        owner: str | None = connection.scalar(_FOLDER_OWNER)
    return owner


def _require_folder(folder: Path, database: Database) -> None:
    """Raise UnavailableError if a server has claimed another folder for the files of this database."""
    owner = read_folder_owner(database)
    if owner is not None:
        require_mark(folder, owner)


def _make_store(database: Database, artifacts: Blobs, logs: Logs, box: SecretBox) -> Store:
    outbox, callbacks = Outbox(database), CallbackBox(box)
    return Store(
        id=_find_or_create_id(database),
        repositories=Repositories(database),
        pushes=Pushes(database),
        pipelines=Pipelines(database),
        executions=ExecutionTable(database),
        execution_results=ExecutionResults(database),
        source_commits=SourceCommits(database),
        followed_images=FollowedImages(database, outbox),
        approvals=Approvals(database, outbox, callbacks),
        callbacks=callbacks,
        fixes=FixTable(database),
        services=Services(database, outbox),
        rollouts=RolloutTable(database),
        verdicts=VerdictTable(database),
        provenance=ProvenanceStatements(database, outbox),
        reports=Reports(database),
        service_risks=ServiceRisks(database, outbox),
        waivers=Waivers(database),
        vex=Vex(database),
        policies=PolicyTable(database),
        policy_assignments=PolicyAssignments(database),
        principals=Principals(database),
        tokens=Tokens(database),
        first_admin_links=FirstAdminLinks(database),
        sessions=SessionTable(database),
        form_answers=FormAnswers(database),
        audit=Audit(database),
        push_events=PushEvents(database),
        event_log=EventLog(database),
        outbox=outbox,
        failed_entries=FailedEntries(database, outbox.wake),
        event_rules=EventRuleTable(database),
        event_targets=EventTargetTable(database, box),
        event_cursor=EventCursor(database),
        event_receivers=OutboxReceivers(database, OutboxKind.EVENT),
        pipeline_starts=PipelineStarts(database),
        images=Images(database),
        image_listing=ImageListing(database),
        image_removals=ImageRemovals(database),
        image_uses=ImageUses(database),
        tag_history=TagHistory(database),
        reported_pushes=ReportedPushes(database),
        rescans=Rescans(database),
        fleet=Fleet(database),
        fleet_findings=FleetFindings(database),
        fleet_judging=FleetJudgingState(database),
        fleet_verdicts=FleetVerdicts(database),
        due_images=DueImages(database),
        trends=Trends(database),
        fleet_changes=FleetChanges(database),
        component_search=ComponentSearch(database),
        exposures=Exposures(database),
        vulnerability_lists=VulnerabilityLists(database),
        image_retention=ImageRetention(database),
        row_retention=ExpiredRows(database),
        collections=Collections(database),
        push_barrier=PushBarrier(database),
        fleet_retention=FleetRetention(database),
        retention_times=RetentionTimes(database),
        workers=WorkerTable(database),
        engine_tables=EngineTables(database),
        locks=Locks(database),
        signals=Signals(database),
        blobs=artifacts,
        logs=logs,
        database=database,
    )


def _open_database(folder: Path, url: str | None) -> Database:
    if url is not None:
        return Database.from_url(url)
    path = folder / "dockgate.db"
    with _translate_folder_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Tokens are in it, and the folder may be an older one that others can look into.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return Database.from_file(path)


def _open_files(folder: Path, blobs: Blobs | None, limits: DiskLimits) -> tuple[Blobs, Logs]:
    with _translate_folder_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return blobs or FileBlobs(folder / "blobs", limits.artifacts), Logs(folder / "logs", limits)


@contextmanager
def _translate_folder_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"cannot keep data in {folder}: {error}", "Name another folder with DOCKGATE_DATA."
        ) from error


def _find_or_create_id(database: Database) -> str:
    with database.write() as connection:
        lock_name(connection, identity, "")
        store_id = connection.scalar(_ID)
        if store_id is None:
            store_id = uuid4().hex
            connection.execute(_INSERT_IDENTITY, {"id": store_id, "has_folder": False})
        return str(store_id)
