"""The tables and folders of a server, in SQLAlchemy Core: `open_store` makes `core.stores.Store` of a folder."""

import os
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import insert, select

from dockgate.shared.errors import UnavailableError
from dockgate.shared.limits import DiskLimits
from dockgate.store.approvals import SqlApprovals
from dockgate.store.attestations import SqlAttestations
from dockgate.store.audit import SqlAudit
from dockgate.store.blobs import FileBlobs
from dockgate.store.deliveries import SqlDeliveries
from dockgate.store.engine import Database
from dockgate.store.events import SqlEvents
from dockgate.store.executions import SqlExecutions
from dockgate.store.images import SqlImages
from dockgate.store.interface import Blobs, Store
from dockgate.store.logs import FileLogs
from dockgate.store.migrations import migrate
from dockgate.store.notices import SqlNotices
from dockgate.store.people import SqlPrincipals, SqlTokens
from dockgate.store.pipelines import SqlPipelines, SqlRepositories
from dockgate.store.policies import SqlPolicies
from dockgate.store.policy_assignments import SqlPolicyAssignments
from dockgate.store.provenance import SqlProvenanceStatements
from dockgate.store.pushes import SqlPushes
from dockgate.store.reports import SqlReports
from dockgate.store.rollouts import SqlRollouts
from dockgate.store.schema import identity
from dockgate.store.services import SqlServices
from dockgate.store.vex import SqlVex
from dockgate.store.waivers import SqlWaivers

__all__ = ["OpenStore", "migrate", "open_store"]


@dataclass(frozen=True, slots=True)
class OpenStore(Store):
    """A store and the database under it. `close` when done; other threads must have ended their calls."""

    database: Database

    def close(self) -> None:
        self.database.close()


def open_store(
    folder: Path, url: str | None = None, blobs: Blobs | None = None, limits: DiskLimits | None = None
) -> OpenStore:
    """Opens the store in a folder, made when missing (mode 0700), its tables brought to this version.

    Tables are in `folder/dockgate.db`, or where `url` says (postgresql+psycopg://…); artifacts in `blobs`, or in
    `folder/blobs`, what actions print in `folder/logs`, both within `limits`. UnavailableError when folder or database
    cannot be used, ConflictError when a newer version of Dockgate has made it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        limits = limits or DiskLimits()
        kept, logs = blobs or FileBlobs(folder / "blobs", limits.artifacts), FileLogs(folder / "logs", limits)
        database = _database(folder, url)
    except OSError as error:
        raise UnavailableError(
            f"cannot keep data in {folder}: {error}", "Name another folder with DOCKGATE_DATA."
        ) from error
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return OpenStore(
        id=_identity(database),
        events=SqlEvents(database),
        repositories=SqlRepositories(database),
        pushes=SqlPushes(database),
        pipelines=SqlPipelines(database),
        executions=SqlExecutions(database),
        images=SqlImages(database),
        approvals=SqlApprovals(database),
        deliveries=SqlDeliveries(database),
        attestations=SqlAttestations(database),
        provenance=SqlProvenanceStatements(database),
        reports=SqlReports(database),
        notices=SqlNotices(database),
        services=SqlServices(database),
        rollouts=SqlRollouts(database),
        waivers=SqlWaivers(database),
        vex=SqlVex(database),
        policies=SqlPolicies(database),
        policy_assignments=SqlPolicyAssignments(database),
        principals=SqlPrincipals(database),
        tokens=SqlTokens(database),
        audit=SqlAudit(database),
        blobs=kept,
        logs=logs,
        database=database,
    )


def _database(folder: Path, url: str | None) -> Database:
    if url is not None:
        return Database.at(url)
    path = folder / "dockgate.db"
    # Tokens are in it, and the folder may be an older one that others can look into.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return Database.file(path)


def _identity(database: Database) -> str:
    with database.write() as connection:
        known = connection.scalar(select(identity.c.id))
        if known is None:
            known = uuid4().hex
            connection.execute(insert(identity).values(id=known))
        return str(known)
