"""The tables of the fleet index: images, components, and what is known of each component.

An inventory is split into *bundles*: the components that one image attributes to one layer. A bundle is stored once,
under the digest of what it contains, so images of one base share its rows. Findings belong to components, never to
images: what an image has is derived (`store.fleet.index`). Names of columns are those of the fields in
`store.fleet.records`.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    UniqueConstraint,
)

from dockgate.gate.model import Status
from dockgate.store.columns import EnumText, Json, ScoreOrMinusOne
from dockgate.store.schema.base import (
    define_optional_text,
    define_sequence,
    define_text,
    define_text_or_empty,
    metadata,
)
from dockgate.vulnerabilities.model import Severity


def define_number(name: str, *foreign_keys: ForeignKey) -> Column[int]:
    """A required whole number."""
    return Column(name, Integer, *foreign_keys, nullable=False)


# Facts about the index itself: the digest of the advisories that it was matched with, and other names in
# `fleet.findings`.
fleet_state = Table("fleet_state", metadata, define_text("name", primary_key=True), define_optional_text("value"))

# `key` is the digest of the identity: of every column that follows, because a package URL alone is not unique (one
# package of Debian occurs in several releases). `matched` is false until its findings were looked up.
fleet_components = Table(
    "fleet_components",
    metadata,
    Column("id", Integer, primary_key=True),
    define_text("key", unique=True),
    define_text("ecosystem"),
    define_text("name"),
    define_text("version"),
    define_text("purl"),
    define_text("source_name"),
    define_text("source_version"),
    define_text_or_empty("module"),
    define_text_or_empty("vendor"),
    Column("is_matched", Boolean, nullable=False),
)
Index(None, fleet_components.c.source_name, fleet_components.c.ecosystem)
Index(None, fleet_components.c.name)
Index(None, fleet_components.c.ecosystem)
Index(
    "ix_fleet_components_unmatched",
    fleet_components.c.id,
    sqlite_where=~fleet_components.c.is_matched,
    postgresql_where=~fleet_components.c.is_matched,
)

# A vulnerability with the names by which findings know it; the fleet's only. What KEV and EPSS say is here and not in
# the findings, because it changes daily. Times and -1 as in `vulnerabilities.model.Cve`.
fleet_vulnerabilities = Table(
    "fleet_vulnerabilities",
    metadata,
    Column("id", Integer, primary_key=True),
    define_text("name"),
    Column("aliases", Json(tuple[str, ...]), nullable=False),
    define_optional_text("exploited"),
    define_optional_text("due"),
    Column("epss", Float, nullable=False),
    Column("percentile", Float, nullable=False),
    UniqueConstraint("name", "aliases"),
)

# Every name of a vulnerability, its first one included.
fleet_aliases = Table(
    "fleet_aliases",
    metadata,
    define_text("alias", primary_key=True),
    Column("vulnerability", Integer, primary_key=True, autoincrement=False),
)

# The findings of today. `opened` is when the index first had it, not when an image did; `fixed_since` when a fix
# appeared for it after that.
fleet_findings = Table(
    "fleet_findings",
    metadata,
    Column("component", Integer, ForeignKey(fleet_components.c.id), primary_key=True, autoincrement=False),
    Column("vulnerability", Integer, ForeignKey(fleet_vulnerabilities.c.id), primary_key=True, autoincrement=False),
    Column("severity", EnumText(Severity), nullable=False),
    define_text_or_empty("source"),
    Column("score", ScoreOrMinusOne, nullable=False),
    define_optional_text("vector"),
    define_text_or_empty("fixed"),
    define_optional_text("note"),
    Column("is_disputed", Boolean, nullable=False),
    define_optional_text("published"),
    define_optional_text("fixed_at"),
    define_text("opened"),
    define_optional_text("fixed_since"),
)
Index(None, fleet_findings.c.vulnerability)
Index(
    "ix_fleet_findings_fixed_since",
    fleet_findings.c.fixed_since,
    sqlite_where=fleet_findings.c.fixed_since.is_not(None),
    postgresql_where=fleet_findings.c.fixed_since.is_not(None),
)

# Findings that have ended, for questions about the past: a row for each time, so an advisory that comes and goes adds
# rows until a garbage collection deletes the old ones. `why` is a word of `fleet.records.ClosingReason`.
fleet_past_findings = Table(
    "fleet_past_findings",
    metadata,
    Column("component", Integer, ForeignKey(fleet_components.c.id), primary_key=True, autoincrement=False),
    Column("vulnerability", Integer, ForeignKey(fleet_vulnerabilities.c.id), primary_key=True, autoincrement=False),
    define_text("opened", primary_key=True),
    define_text("closed"),
    define_text("why"),
    Column("severity", EnumText(Severity), nullable=False),
    define_text_or_empty("fixed"),
)
Index(None, fleet_past_findings.c.vulnerability)
Index(None, fleet_past_findings.c.closed)

# Findings that are new or have become worse, for a day: they say why verdicts change. `kind` is a word of
# `fleet.records.NewFindingKind`. `announced` is false until the events of the images that have it are written.
fleet_news = Table(
    "fleet_news",
    metadata,
    Column("component", Integer, ForeignKey(fleet_components.c.id), primary_key=True, autoincrement=False),
    Column("vulnerability", Integer, ForeignKey(fleet_vulnerabilities.c.id), primary_key=True, autoincrement=False),
    define_text("kind"),
    define_text("at"),
    Column("is_announced", Boolean, nullable=False),
)
Index(None, fleet_news.c.vulnerability)

# What could not be determined of a component: `kind`, `reason` and `ids` of `vulnerabilities.model.UndeterminedFact`.
fleet_undetermined = Table(
    "fleet_undetermined",
    metadata,
    Column("component", Integer, ForeignKey(fleet_components.c.id), primary_key=True, autoincrement=False),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    define_text_or_empty("kind"),
    define_text("reason"),
    Column("ids", Json(tuple[str, ...]), nullable=False),
)

# `content` is what `store.fleet.bundles.encode` makes of the components and their numbers.
fleet_bundles = Table(
    "fleet_bundles",
    metadata,
    Column("id", Integer, primary_key=True),
    define_text("digest", unique=True),
    Column("content", LargeBinary, nullable=False),
)

# `n` is at how many paths the component lies. `is_owned`: it belongs to a distribution's package, and does not count.
# No foreign keys: to delete a bundle, databases would search all of these rows, which are not in the order of bundles.
fleet_bundle_components = Table(
    "fleet_bundle_components",
    metadata,
    Column("component", Integer, primary_key=True, autoincrement=False),
    Column("bundle", Integer, primary_key=True, autoincrement=False),
    Column("is_owned", Boolean, primary_key=True, autoincrement=False),
    Column("n", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# `digest` may be of an index. `inventories` is the digest of the list of its inventories' digests, `scanner` the
# version that read them. `seen_at` is when the image was first known.
fleet_images = Table(
    "fleet_images",
    metadata,
    Column("id", Integer, primary_key=True),
    define_text("digest", unique=True),
    define_text("repository"),
    define_text("inventories"),
    define_text_or_empty("scanner"),
    define_text("seen_at"),
    define_text("scanned_at"),
    define_optional_text("gone_at"),
)

# The platforms of an image in the order of its scan. `facts` is its inventory without packages, as in `documents`;
# `image` in there is the digest of the platform's manifest. `manifest` is that digest, too, and `base_layers` is one of
# the facts: judging needs both of every image.
fleet_platforms = Table(
    "fleet_platforms",
    metadata,
    Column("image", Integer, ForeignKey(fleet_images.c.id), primary_key=True, autoincrement=False),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    define_text_or_empty("platform"),
    define_number("unread"),
    define_number("packages"),
    define_text("manifest"),
    define_number("base_layers"),
    Column("facts", LargeBinary, nullable=False),
)

Index(
    "ix_fleet_platforms_unread",
    fleet_platforms.c.image,
    sqlite_where=fleet_platforms.c.unread > 0,
    postgresql_where=fleet_platforms.c.unread > 0,
)

# `platform` and `position` count from 0; `layer` is None for packages without one. `is_in_base`: its layer is
# one of the base image's.
fleet_image_bundles = Table(
    "fleet_image_bundles",
    metadata,
    Column("image", Integer, ForeignKey(fleet_images.c.id), primary_key=True, autoincrement=False),
    Column("platform", SmallInteger, primary_key=True, autoincrement=False),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    define_number("bundle", ForeignKey(fleet_bundles.c.id)),
    define_text_or_empty("layer"),
    Column("is_in_base", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
Index(None, fleet_image_bundles.c.bundle, fleet_image_bundles.c.image)
Index(None, fleet_image_bundles.c.layer)

# Where an image is or was, and for how long: under a tag, or by its digest alone (None). `until` is when the tag moved
# on or the image was deleted.
fleet_tags = Table(
    "fleet_tags",
    metadata,
    Column("id", Integer, primary_key=True),
    define_text("repository"),
    define_text_or_empty("tag"),
    define_text("digest"),
    define_text("since"),
    define_text("pushed_at"),
    define_optional_text("until"),
    UniqueConstraint("repository", "tag", "digest", "since"),
)
Index(None, fleet_tags.c.digest)
Index(None, fleet_tags.c.pushed_at, fleet_tags.c.id)

# The current verdict of an image by a policy, written by `services.fleet.verdict_renewal` and only where it changed. No
# index on a column that changes often: on Postgres, an update that changes no indexed one needs no new index entries if
# its page has room. `next_at` is null for most, and then stays so.
# `since` is when the status began, `next_at` when time alone can change it, `cannot_judge_since` since when the status
# is the last one that could be judged, because feeds are stale or missing. `waived` is how much waivers and VEX excuse.
fleet_verdicts = Table(
    "fleet_verdicts",
    metadata,
    define_text("policy", primary_key=True),
    Column("image", Integer, ForeignKey(fleet_images.c.id), primary_key=True, autoincrement=False),
    Column("status", EnumText(Status), nullable=False),
    *(define_number(severity.value.lower()) for severity in Severity),
    define_optional_text("reason"),
    define_text("since"),
    define_optional_text("next_at"),
    define_optional_text("cannot_judge_since"),
    define_number("waived"),
    postgresql_with={"fillfactor": 50},
)
Index(None, fleet_verdicts.c.image)
Index(
    None,
    fleet_verdicts.c.next_at,
    sqlite_where=fleet_verdicts.c.next_at.is_not(None),
    postgresql_where=fleet_verdicts.c.next_at.is_not(None),
)

# Changes of what belongs to one image (its digest) alone: a push, a newer scan, a report of another scanner,
# provenance. A row for each, until a renewal has judged the image after it. Not a column of its verdict: a renewal that
# read the image before the change would write over it, and an image without a verdict has none.
fleet_due_images = Table(
    "fleet_due_images",
    metadata,
    define_sequence(),
    define_text("image"),
    sqlite_autoincrement=True,  # or the next row has the number of a deleted one
)

# Changes of what belongs to a repository alone. A renewal makes a change of each of its images of them. Not their
# transaction: an image that another one is adding would be missing, and judged before the change can be seen.
fleet_due_repositories = Table(
    "fleet_due_repositories",
    metadata,
    define_sequence(),
    define_text("repository"),
    sqlite_autoincrement=True,
)

# The last verdict on an image that no policy judges any more, for instance because its watch ended. `since`, `counts`
# and `waived` as in `fleet_verdicts`.
fleet_ended_verdicts = Table(
    "fleet_ended_verdicts",
    metadata,
    Column("image", Integer, ForeignKey(fleet_images.c.id), primary_key=True, autoincrement=False),
    define_text("policy"),
    Column("status", EnumText(Status), nullable=False),
    *(define_number(severity.value.lower()) for severity in Severity),
    define_text("since"),
    define_number("waived"),
    define_text("ended_at"),
)
