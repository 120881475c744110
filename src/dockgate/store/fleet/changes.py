"""Findings that became known, or worse, a short time ago: what made the verdicts on images change."""

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta

from sqlalchemy import Connection, Select, bindparam, delete, select

from dockgate.shared.timestamps import format_time, shift_time, to_datetime
from dockgate.store.engine import Database
from dockgate.store.fleet.records import Change, NewsKind
from dockgate.store.queries import batches, numbers_of
from dockgate.store.schema.fleet import (
    fleet_bundle_components,
    fleet_findings,
    fleet_image_bundles,
    fleet_images,
    fleet_news,
    fleet_vulnerabilities,
)
from dockgate.store.statements import delete_unlocked, insert_all_new
from dockgate.vulnerabilities.model import Severity

# Of one change of the advisories, so many of the worst are kept, for so long.
NEWS_LIMIT, NEWS_KEPT = 10_000, timedelta(days=1)
# With more findings than this, of whatever image, only the first images are looked at.
FINDINGS_LIMIT, IMAGES_LIMIT = 2_000, 200
# Of one image.
VULNERABILITIES_LIMIT = 20

_RANKS = {severity: rank for rank, severity in enumerate(Severity)}
_FORGET = delete(fleet_news).where(
    fleet_news.c.component == bindparam("of_component"), fleet_news.c.vulnerability == bindparam("of_vulnerability")
)


class FleetChanges:
    """Reads the fleet index for what is new."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recent_vulnerabilities(self, images: Collection[str], since: str) -> dict[str, list[dict[str, str]]]:
        """The vulnerabilities that are new in images since that time, or worse, by digest.

        Each has `id` and `severity`. Those that KEV lists come first, then the most severe.
        """
        finding = (fleet_findings.c.component, fleet_findings.c.vulnerability)
        is_of_news = (finding[0] == fleet_news.c.component) & (finding[1] == fleet_news.c.vulnerability)
        recent = (
            select(fleet_news.c.component, fleet_vulnerabilities.c.name, fleet_findings.c.severity)
            .add_columns(fleet_vulnerabilities.c.exploited)
            .join(fleet_findings, is_of_news)
            .join(fleet_vulnerabilities, fleet_vulnerabilities.c.id == fleet_news.c.vulnerability)
            .where(fleet_news.c.at >= since)
        )
        by_component: dict[int, list[tuple[bool, int, str]]] = {}
        digests = sorted(images)
        by_image: dict[str, set[tuple[bool, int, str]]] = {}
        with self._database.read() as connection:
            findings = connection.execute(recent).all() if digests else ()
            for component, name, severity, exploited in findings:
                by_component.setdefault(component, []).append((exploited is None, _RANKS[severity], name))
            if len(findings) > FINDINGS_LIMIT:
                digests = digests[:IMAGES_LIMIT]
            for part in batches(digests) if by_component else ():
                for digest, component in connection.execute(_holders(part, by_component)):
                    by_image.setdefault(digest, set()).update(by_component[component])
        return {digest: _severities_by_name(vulnerabilities) for digest, vulnerabilities in by_image.items()}


def record_news(
    connection: Connection, changes: Sequence[Change], exploited: Collection[int], now: str, *, should_announce: bool
) -> None:
    """Record the findings that are new or worse after these changes.

    `exploited` are the vulnerabilities that KEV lists since. With `should_announce`, their images
    get events.
    """
    news = {(component, vulnerability): (kind, rank) for component, vulnerability, kind, rank in _news(changes)}
    for part in batches(sorted(exploited)):
        which = fleet_findings.c.vulnerability.in_(part)
        for component, vulnerability in connection.execute(
            select(fleet_findings.c.component, fleet_findings.c.vulnerability).where(which)
        ):
            kind, _ = news.get((component, vulnerability), (NewsKind.EXPLOITED, 0))
            news[component, vulnerability] = kind, -1
    worst = sorted(news, key=lambda pair: (news[pair][1], pair))[:NEWS_LIMIT]
    if not worst:
        return
    delete_unlocked(connection, fleet_news, fleet_news.c.at < format_time(shift_time(to_datetime(now), -NEWS_KEPT)))
    connection.execute(_FORGET, [{"of_component": pair[0], "of_vulnerability": pair[1]} for pair in worst])
    row = {"at": now, "announced": not should_announce}
    rows = [{"component": pair[0], "vulnerability": pair[1], "kind": news[pair][0].value, **row} for pair in worst]
    insert_all_new(connection, fleet_news, rows)


def _news(changes: Sequence[Change]) -> Iterator[tuple[int, int, NewsKind, int]]:
    """The findings that are new or worse, with the rank of their severities: 0 is the worst."""
    for change in changes:
        if change.after is not None:
            rank = _RANKS[change.after.severity]
            if change.before is None:
                yield change.component, change.vulnerability, NewsKind.NEW, rank
            elif rank < _RANKS[change.before.severity]:
                yield change.component, change.vulnerability, NewsKind.WORSE, rank


def _severities_by_name(vulnerabilities: Collection[tuple[bool, int, str]]) -> list[dict[str, str]]:
    severities = list(Severity)
    worst = sorted(vulnerabilities)[:VULNERABILITIES_LIMIT]
    return [{"id": name, "severity": severities[rank].value} for _, rank, name in worst]


def _holders(digests: Collection[str], components: Collection[int]) -> Select[str, int]:
    """Which of these images hold which of these components.

    Components that a distribution's package owns are left out.
    """
    parts, bundles = fleet_bundle_components.c, fleet_image_bundles.c
    return (
        select(fleet_images.c.digest, parts.component)
        .distinct()
        .join(fleet_image_bundles, bundles.image == fleet_images.c.id)
        .join(fleet_bundle_components, parts.bundle == bundles.bundle)
        .where(fleet_images.c.digest.in_(digests), numbers_of(parts.component, components), ~parts.owned)
    )
