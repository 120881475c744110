"""The data of trends: when images had packages, the lives of findings, and verdicts by day.

A finding has a life in the index (opened, closed). Whether an image had it follows from the times of its tags.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import func, literal, or_, select

from dockgate.gate.model import Status
from dockgate.store.engine import Database
from dockgate.store.fleet.records import TagPeriod
from dockgate.store.queries import is_one_of
from dockgate.store.schema.fleet import (
    fleet_bundle_components,
    fleet_findings,
    fleet_image_bundles,
    fleet_images,
    fleet_past_findings,
    fleet_tags,
)
from dockgate.store.schema.gate import verdicts
from dockgate.vulnerabilities.model import Severity

# After every time that a life can end.
ALWAYS = "9999"

_LIVES = select(
    fleet_findings.c.component,
    fleet_findings.c.vulnerability,
    fleet_findings.c.severity,
    fleet_findings.c.opened,
    literal(ALWAYS),
)
_LIVES_OF_COMPONENTS = _LIVES.where(is_one_of(fleet_findings.c.component, "components"))
_PAST_LIVES = select(
    fleet_past_findings.c.component,
    fleet_past_findings.c.vulnerability,
    fleet_past_findings.c.severity,
    fleet_past_findings.c.opened,
    fleet_past_findings.c.closed,
)
_PAST_LIVES_OF_COMPONENTS = _PAST_LIVES.where(is_one_of(fleet_past_findings.c.component, "components"))


class FindingLife(NamedTuple):
    """A finding of a component, and the time in which the index had it.

    `closed_at` is ALWAYS while it still has.
    """

    component: int
    vulnerability: int
    severity: Severity
    opened_at: str
    closed_at: str


class Period(NamedTuple):
    """A time, from `since` to before `until`: ALWAYS while it lasts."""

    since: str
    until: str


class Trends:
    """The past of findings and verdicts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_component_periods(self) -> Mapping[int, Period]:
        """Return when some tag named an image with the component, of components with findings.

        From the first such image to the last. Of components that a distribution's package owns nothing counts.
        """
        tags, bundles, parts = fleet_tags.c, fleet_image_bundles.c, fleet_bundle_components.c
        image_periods = (
            select(
                fleet_images.c.id.label("image"),
                func.min(tags.since).label("since"),
                func.max(func.coalesce(tags.until, ALWAYS)).label("until"),
            )
            .join(fleet_tags, tags.digest == fleet_images.c.digest)
            .group_by(fleet_images.c.id)
            .subquery()
        )
        bundle_periods = (
            select(
                bundles.bundle,
                func.min(image_periods.c.since).label("since"),
                func.max(image_periods.c.until).label("until"),
            )
            .join(image_periods, image_periods.c.image == bundles.image)
            .group_by(bundles.bundle)
            .subquery()
        )
        with_findings = or_(
            parts.component.in_(select(fleet_findings.c.component)),
            parts.component.in_(select(fleet_past_findings.c.component)),
        )
        query = (
            select(parts.component, func.min(bundle_periods.c.since), func.max(bundle_periods.c.until))
            .join(bundle_periods, bundle_periods.c.bundle == parts.bundle)
            .where(~parts.is_owned, with_findings)
            .group_by(parts.component)
        )
        with self._database.read() as connection:
            return {row[0]: Period(row[1], row[2]) for row in connection.execute(query)}

    def list_lives(self, components: Collection[int] | None = None, *, has_past: bool = True) -> Sequence[FindingLife]:
        """The lives of all findings, or of those of these components.

        Those that have ended only with `has_past`.
        """
        if components is None:
            queries, values = (_LIVES, _PAST_LIVES), {}
        else:
            queries, values = (_LIVES_OF_COMPONENTS, _PAST_LIVES_OF_COMPONENTS), {"components": sorted(components)}
        with self._database.read() as connection:
            return [
                FindingLife(*row)
                for query in queries[: 2 if has_past else 1]
                for row in connection.execute(query, values)
            ]

    def list_tag_periods(self, repository: str, tag: str, limit: int) -> Sequence[TagPeriod]:
        """Return what was under a tag, the newest first."""
        table = fleet_tags.c
        query = (
            select(*(table[name] for name in TagPeriod._fields))
            .where(table.repository == repository, table.tag == tag)
            .order_by(table.since.desc(), table.id.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [TagPeriod(*row) for row in connection.execute(query)]

    def list_newest_periods(self, repository: str, limit: int) -> Sequence[TagPeriod]:
        """Return the newest images of a repository, newest first, each in the newest of its periods there."""
        table = fleet_tags.c
        rank = func.row_number().over(partition_by=table.digest, order_by=(table.since.desc(), table.id.desc()))
        ranked_periods = select(fleet_tags, rank.label("rank")).where(table.repository == repository).subquery()
        query = (
            select(*(ranked_periods.c[name] for name in TagPeriod._fields))
            .where(ranked_periods.c.rank == 1)
            .order_by(ranked_periods.c.since.desc(), ranked_periods.c.id.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [TagPeriod(*row) for row in connection.execute(query)]

    def list_image_ids(self, digests: Collection[str]) -> Mapping[str, int]:
        """Return the ids of images by digest. Images that are not in the index are left out."""
        query = select(fleet_images.c.digest, fleet_images.c.id).where(fleet_images.c.digest.in_(sorted(digests)))
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)} if digests else {}

    def count_verdicts_by_day(self, since: str) -> Mapping[tuple[str, Status], int]:
        """Count the verdicts that were reached, by day (YYYY-MM-DD) and status, since a day."""
        day = func.substr(verdicts.c.judged_at, 1, 10)
        query = select(day, verdicts.c.status, func.count()).where(verdicts.c.judged_at >= since)
        with self._database.read() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(query.group_by(day, verdicts.c.status))}
