"""What the pipeline asks of its tables. `store/` implements it for SQLite (and later Postgres); one suite holds it to
this.

Every changing call is one transaction, and may be made twice with the same arguments: the second changes nothing.
Times are RFC 3339 text in UTC. Lookups raise NotFoundError with the nearest useful advice.
"""

from dataclasses import dataclass

from dockgate.store.interface.approvals import Approvals, Attestations, Deliveries
from dockgate.store.interface.events import Events, Pushes, Repositories
from dockgate.store.interface.executions import Blobs, Executions, Logs, Pipelines
from dockgate.store.interface.images import (
    Images,
    PushedImage,
    ReportRecord,
    Reports,
    Scan,
    ScanState,
    TagMove,
    VerdictRecord,
)
from dockgate.store.interface.notices import Notices
from dockgate.store.interface.people import Audit, Principals, Tokens
from dockgate.store.interface.provenance import BuiltStatement, KeptStatements, ProvenanceStatements
from dockgate.store.interface.services import Rollouts, Services
from dockgate.store.interface.verdicts import (
    AssignmentRecord,
    Policies,
    PolicyAssignments,
    Vex,
    VexRecord,
    WaiverRecord,
    Waivers,
)

__all__ = [
    "Approvals",
    "AssignmentRecord",
    "Attestations",
    "Audit",
    "Blobs",
    "BuiltStatement",
    "Deliveries",
    "Events",
    "Executions",
    "Images",
    "KeptStatements",
    "Logs",
    "Notices",
    "Pipelines",
    "Policies",
    "PolicyAssignments",
    "Principals",
    "ProvenanceStatements",
    "PushedImage",
    "Pushes",
    "ReportRecord",
    "Reports",
    "Repositories",
    "Rollouts",
    "Scan",
    "ScanState",
    "Services",
    "Store",
    "TagMove",
    "Tokens",
    "VerdictRecord",
    "Vex",
    "VexRecord",
    "WaiverRecord",
    "Waivers",
]


@dataclass(frozen=True, slots=True)
class Store:
    """All tables and folders of a server. `id` was made with the tables: no other store ever has it."""

    id: str
    events: Events
    repositories: Repositories
    pushes: Pushes
    pipelines: Pipelines
    executions: Executions
    images: Images
    approvals: Approvals
    deliveries: Deliveries
    attestations: Attestations
    provenance: ProvenanceStatements
    reports: Reports
    notices: Notices
    services: Services
    rollouts: Rollouts
    waivers: Waivers
    vex: Vex
    policies: Policies
    policy_assignments: PolicyAssignments
    principals: Principals
    tokens: Tokens
    audit: Audit
    blobs: Blobs
    logs: Logs
