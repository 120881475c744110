"""The tables of verdicts, and of what they are made from."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, UniqueConstraint

from dockgate.gate.model import Settings, Status, Waiver
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.store.columns import EnumText, Json, SafeText
from dockgate.store.records import ReportScope
from dockgate.store.schema.base import metadata, optional, sequence, text
from dockgate.store.schema.delivery import services
from dockgate.store.schema.store import documents
from dockgate.vulnerabilities.model import Severity

policies = Table(
    "policies",
    metadata,
    sequence(),
    text("name"),
    Column("version", Integer, nullable=False),
    text("digest"),
    Column("rules", Json(dict[str, tuple[Settings, ...]]), nullable=False),
    text("text"),
    text("changed_at"),
    text("changed_by"),
    optional("comment"),
    UniqueConstraint("name", "version"),
)

policy_assignments = Table(
    "policy_assignments",
    metadata,
    text("name", primary_key=True),
    Column("body", Json(PolicyAssignment), nullable=False),
    text("changed_at"),
    text("changed_by"),
)

# Every change of an assignment, for questions about the past. `body` is null for a removal.
policy_assignment_changes = Table(
    "policy_assignment_changes",
    metadata,
    sequence(),
    text("name"),
    Column("body", Json(PolicyAssignment), nullable=True),
    text("changed_at"),
    text("changed_by"),
)

waivers = Table(
    "waivers",
    metadata,
    sequence(),
    text("id", unique=True),
    Column("body", Json(Waiver), nullable=False),
    optional("until"),
    optional("revoked_at"),
    optional("revoked_by"),
    optional("announced_at"),
    optional("end_announced_at"),
)
Index(None, waivers.c.revoked_at, waivers.c.until)

vex_documents = Table(
    "vex_documents",
    metadata,
    sequence(),
    text("document", ForeignKey(documents.c.digest)),
    text("image"),
    text("format"),
    text("author"),
    text("signer"),
    text("added_at"),
    optional("removed_at"),
    optional("removed_by"),
    Column("envelopes", Json(tuple[str, ...]), nullable=False),
    Column("changes", Integer, nullable=False),
    UniqueConstraint("document", "image"),
)
# `changes` counts how often the row was written.
Index(None, vex_documents.c.image, vex_documents.c.removed_at)

# All statements of a document as canonical JSON, compressed: they are always read together.
vex_statements = Table(
    "vex_statements",
    metadata,
    text("document", ForeignKey(documents.c.digest), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

reports = Table(
    "reports",
    metadata,
    text("image", primary_key=True),
    text("source", primary_key=True),
    text("platform", primary_key=True),
    text("by", primary_key=True),
    text("digest", ForeignKey(documents.c.digest)),
    optional("made_at"),
    Column("vouched", Boolean, nullable=False),
    Column("scope", Json(ReportScope), nullable=False),
    text("added_at"),
)

built_statements = Table(
    "built_statements",
    metadata,
    text("build", primary_key=True),
    text("image"),
    text("repository"),
    text("envelope"),
    text("built_at"),
)
Index(None, built_statements.c.image)

# Provenance statements fetched from registries: a compressed JSON list of DSSE envelopes. Signatures are verified when
# a verdict is made, because the policy names the keys. Who copies an image elsewhere changes nothing of another
# repository.
fetched_statements = Table(
    "fetched_statements",
    metadata,
    text("image", primary_key=True),
    text("repository", primary_key=True),
    text("fetched_at"),
    Column("fetch_error", SafeText, nullable=True),
    Column("envelopes", LargeBinary, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    sequence(),
    text("cause", unique=True),
    text("digest", ForeignKey(documents.c.digest)),
    text("image"),
    text("repository"),
    text("policy"),
    Column("status", EnumText(Status), nullable=False),
    text("summary"),
    optional("waived"),
    text("judged_at"),
    Column("link_revocations", Integer, nullable=False, default=0),
)
Index(None, verdicts.c.image, verdicts.c.seq)

# The present time at risk of each service (`delivery.service_risk.TimeAtRisk`).
service_risks = Table(
    "service_risks",
    metadata,
    text("service", ForeignKey(services.c.name), primary_key=True),
    text("image"),
    text("summary"),
    text("began_at"),
    text("deadline"),
    Column("near_at", SafeText),
    Column("passed_at", SafeText),
    Column("accepted_since", SafeText),
    Column("severity", EnumText(Severity)),
)
