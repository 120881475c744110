"""The tables of verdicts, and of what they are made from."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, UniqueConstraint

from dockgate.gate.model import Settings, Status, VexSigner, Waiver
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.gate.policy_reference import PolicyReference
from dockgate.store.columns import EnumText, Json, SafeText, TextOrEmpty
from dockgate.store.records import ReportScope
from dockgate.store.schema.base import (
    define_optional_text,
    define_sequence,
    define_text,
    define_text_or_empty,
    define_typed_text,
    metadata,
)
from dockgate.store.schema.delivery import services
from dockgate.store.schema.store import documents
from dockgate.store.verdict_causes import VerdictCause
from dockgate.vulnerabilities.model import Severity

policies = Table(
    "policies",
    metadata,
    define_sequence(),
    define_text("name"),
    Column("version", Integer, nullable=False),
    define_optional_text("digest"),
    Column("rules", Json(dict[str, tuple[Settings, ...]]), nullable=False),
    define_text("text"),
    define_text("changed_at"),
    define_text("changed_by"),
    define_optional_text("comment"),
    UniqueConstraint("name", "version"),
)

policy_assignments = Table(
    "policy_assignments",
    metadata,
    define_text("name", primary_key=True),
    Column("body", Json(PolicyAssignment), nullable=False),
    define_text("changed_at"),
    define_text("changed_by"),
)

# Every change of an assignment, for questions about the past. `body` is null for a removal.
policy_assignment_changes = Table(
    "policy_assignment_changes",
    metadata,
    define_sequence(),
    define_text("name"),
    Column("body", Json(PolicyAssignment), nullable=True),
    define_text("changed_at"),
    define_text("changed_by"),
)

waivers = Table(
    "waivers",
    metadata,
    define_sequence(),
    define_text("id", unique=True),
    Column("body", Json(Waiver), nullable=False),
    define_optional_text("until"),
    define_optional_text("revoked_at"),
    define_optional_text("revoked_by"),
    define_optional_text("announced_at"),
    define_optional_text("end_announced_at"),
    define_optional_text("fix_announced_at"),
)
Index(None, waivers.c.revoked_at, waivers.c.until)

vex_documents = Table(
    "vex_documents",
    metadata,
    define_sequence(),
    define_text("document", ForeignKey(documents.c.digest)),
    define_text_or_empty("image"),
    define_text("format"),
    define_text("author"),
    Column("signer", TextOrEmpty(VexSigner), nullable=False),
    define_text("added_at"),
    define_optional_text("removed_at"),
    define_optional_text("removed_by"),
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
    define_text("document", ForeignKey(documents.c.digest), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

# `subjects` is what `store.gate.reports` makes of `ReportSubjects`. `platform` is part of the key, so that it cannot be
# NULL: its type alone (`TextOrEmpty`) converts an unknown one between None and an empty text.
reports = Table(
    "reports",
    metadata,
    define_text("image", primary_key=True),
    define_text("source", primary_key=True),
    define_text_or_empty("platform", primary_key=True),
    define_text("by", primary_key=True),
    define_text("digest", ForeignKey(documents.c.digest)),
    define_optional_text("made_at"),
    Column("is_vouched", Boolean, nullable=False),
    Column("scope", Json(ReportScope), nullable=False),
    define_text("added_at"),
    Column("subjects", LargeBinary, nullable=False),
)

built_statements = Table(
    "built_statements",
    metadata,
    define_text("build", primary_key=True),
    define_text("image"),
    define_text("repository"),
    define_text("envelope"),
    define_text("built_at"),
)
Index(None, built_statements.c.image)

# Provenance statements fetched from registries: a compressed JSON list of DSSE envelopes. Signatures are verified when
# a verdict is made, because the policy names the keys. Who copies an image elsewhere changes nothing of another
# repository.
fetched_statements = Table(
    "fetched_statements",
    metadata,
    define_text("image", primary_key=True),
    define_text("repository", primary_key=True),
    define_text("fetched_at"),
    Column("fetch_error", SafeText, nullable=True),
    Column("envelopes", LargeBinary, nullable=False),
)

# Images whose attached VEX documents could not be fetched, until they can.
failed_vex_fetches = Table(
    "failed_vex_fetches",
    metadata,
    define_text("image", primary_key=True),
    define_text("repository", primary_key=True),
    define_text("failed_at"),
)

# The counts are the most findings of any platform, by severity: lists of images are sorted by them.
verdicts = Table(
    "verdicts",
    metadata,
    define_sequence(),
    define_typed_text("cause", VerdictCause, unique=True),
    define_text("digest", ForeignKey(documents.c.digest)),
    define_text("image"),
    define_text("repository"),
    define_typed_text("policy", PolicyReference),
    Column("status", EnumText(Status), nullable=False),
    define_text("summary"),
    define_optional_text("waived"),
    define_text("judged_at"),
    Column("link_revocations", Integer, nullable=False, default=0),
    *(Column(severity.value.lower(), Integer, nullable=False) for severity in Severity),
)
Index(None, verdicts.c.image, verdicts.c.seq)

# The present time at risk of each service (`delivery.service_risk.TimeAtRisk`).
service_risks = Table(
    "service_risks",
    metadata,
    define_text("service", ForeignKey(services.c.name), primary_key=True),
    define_text("image"),
    define_text("summary"),
    define_text("began_at"),
    define_text("deadline"),
    define_text("limited_at"),
    Column("near_at", SafeText),
    Column("passed_at", SafeText),
    Column("accepted_since", SafeText),
    Column("severity", EnumText(Severity)),
    Column("behind_since", SafeText),
)
