"""Findings that became known, or worse, a short time ago: what made the verdicts on images change."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from dockgate.events.model import NewEvent
from dockgate.shared.timestamps import compute_latest_time, format_time, shift_time, to_datetime
from dockgate.store.engine import Database
from dockgate.store.events.log import append_events
from dockgate.store.fleet.records import Change, NewFindingKind
from dockgate.store.queries import is_one_of, make_text_list, split_into_batches
from dockgate.store.schema.fleet import (
    fleet_bundle_components,
    fleet_findings,
    fleet_image_bundles,
    fleet_images,
    fleet_news,
    fleet_platforms,
    fleet_tags,
    fleet_vulnerabilities,
)
from dockgate.store.statements import delete_unlocked, insert_all_new
from dockgate.vulnerabilities.model import Severity

# How many of the worst new findings are kept after a change of the advisories, and how long.
NEW_FINDINGS_LIMIT, NEW_FINDINGS_PERIOD = 10_000, timedelta(days=1)
# With more findings than this, of whatever image, only the first images are looked at.
FINDINGS_LIMIT, IMAGES_LIMIT = 2_000, 200
# The most vulnerabilities that are named for an image.
VULNERABILITIES_LIMIT = 20

_UNANNOUNCED_NEWS = select(*(fleet_news.c[name] for name in ("component", "vulnerability", "kind", "at"))).where(
    ~fleet_news.c.is_announced
)
_FORGET = delete(fleet_news).where(
    fleet_news.c.component == bindparam("of_component"), fleet_news.c.vulnerability == bindparam("of_vulnerability")
)
_RECENT_FINDINGS = (
    select(
        fleet_news.c.component,
        fleet_vulnerabilities.c.name,
        fleet_findings.c.severity,
        fleet_vulnerabilities.c.exploited,
    )
    .join(
        fleet_findings,
        (fleet_findings.c.component == fleet_news.c.component)
        & (fleet_findings.c.vulnerability == fleet_news.c.vulnerability),
    )
    .join(fleet_vulnerabilities, fleet_vulnerabilities.c.id == fleet_news.c.vulnerability)
    .where(fleet_news.c.at.between(bindparam("since"), bindparam("latest")))
)
_MARK_ANNOUNCED = (
    update(fleet_news).where(~fleet_news.c.is_announced, is_one_of(fleet_news.c.at, "times")).values(is_announced=True)
)
# Components that a distribution's package owns are left out.
_IS_COUNTED = is_one_of(fleet_bundle_components.c.component, "components"), ~fleet_bundle_components.c.is_owned
_IMAGE_COMPONENTS = (
    select(fleet_images.c.digest, fleet_bundle_components.c.component)
    .distinct()
    .join(fleet_image_bundles, fleet_image_bundles.c.image == fleet_images.c.id)
    .join(fleet_bundle_components, fleet_bundle_components.c.bundle == fleet_image_bundles.c.bundle)
    .where(is_one_of(fleet_images.c.digest, "images"), *_IS_COUNTED)
)
_BUNDLES_WITH = select(fleet_bundle_components.c.bundle).where(*_IS_COUNTED)
_IMAGES_WITH = select(fleet_images.c.digest).where(
    fleet_images.c.id.in_(select(fleet_image_bundles.c.image).where(fleet_image_bundles.c.bundle.in_(_BUNDLES_WITH))),
    fleet_images.c.gone_at.is_(None),
)
_OCCURRENCES = (
    select(
        fleet_images.c.id,
        fleet_images.c.digest,
        fleet_bundle_components.c.component,
        fleet_platforms.c.platform,
        fleet_image_bundles.c.layer,
    )
    .join(fleet_image_bundles, fleet_image_bundles.c.image == fleet_images.c.id)
    .join(fleet_bundle_components, fleet_bundle_components.c.bundle == fleet_image_bundles.c.bundle)
    .join(
        fleet_platforms,
        (fleet_platforms.c.image == fleet_image_bundles.c.image)
        & (fleet_platforms.c.position == fleet_image_bundles.c.platform),
    )
    .where(is_one_of(fleet_images.c.digest, "images"), *_IS_COUNTED)
    .order_by(fleet_images.c.id, fleet_image_bundles.c.platform, fleet_image_bundles.c.position)
)
_TAGS = (
    select(fleet_tags.c.digest, fleet_tags.c.repository, fleet_tags.c.tag)
    .where(fleet_tags.c.until.is_(None), is_one_of(fleet_tags.c.digest, "images"))
    .order_by(fleet_tags.c.repository, fleet_tags.c.tag)
)


class NewFinding(NamedTuple):
    """A finding (component and vulnerability, by their ids) that is new or worse, and since when."""

    component: int
    vulnerability: int
    kind: str
    at: str


class ComponentLocation(NamedTuple):
    """A component in an image, in this platform (None if unknown) and layer (None: in none)."""

    image: int
    digest: str
    component: int
    platform: str | None
    layer: str | None


class RecentFindings(NamedTuple):
    """The findings that became known, or worse, a short time ago, and how many there are.

    Of each component: whether KEV does not list the vulnerability, the rank of its severity, and its name.
    """

    by_component: Mapping[int, Sequence[tuple[bool, int, str]]]
    finding_count: int


class FleetChanges:
    """What is new in the fleet index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_recent_findings(self, since: str, now: str) -> RecentFindings:
        """The findings that are new since that time, or worse.

        Findings with a time after `now` do not count: a clock that was ahead recorded them.
        """
        by_component: dict[int, list[tuple[bool, int, str]]] = {}
        period = {"since": since, "latest": compute_latest_time(now)}
        with self._database.read() as connection:
            findings = connection.execute(_RECENT_FINDINGS, period).all()
        for component, name, severity, exploited_on in findings:
            by_component.setdefault(component, []).append((exploited_on is None, severity.rank, name))
        return RecentFindings(by_component, len(findings))

    def list_vulnerabilities_of(
        self, images: Collection[str], recent_findings: RecentFindings
    ) -> dict[str, list[dict[str, str]]]:
        """The vulnerabilities of these findings that images have, by digest.

        Each has `id` and `severity`. Those that KEV lists come first, then the most severe.
        """
        by_component = recent_findings.by_component
        digests = sorted(images)
        if recent_findings.finding_count > FINDINGS_LIMIT:
            digests = digests[:IMAGES_LIMIT]
        components = sorted(by_component)
        by_image: dict[str, set[tuple[bool, int, str]]] = {}
        with self._database.read() as connection:
            for part in split_into_batches(digests) if by_component else ():
                values = {"images": make_text_list(part), "components": components}
                for digest, component in connection.execute(_IMAGE_COMPONENTS, values):
                    by_image.setdefault(digest, set()).update(by_component[component])
        return {digest: _list_worst_vulnerabilities(vulnerabilities) for digest, vulnerabilities in by_image.items()}

    def list_unannounced_findings(self) -> list[NewFinding]:
        """The new and worse findings that have no events yet."""
        with self._database.read() as connection:
            return [NewFinding(*row) for row in connection.execute(_UNANNOUNCED_NEWS)]

    def find_images_with(self, components: Collection[int]) -> list[str]:
        """The digests of the images that are not gone and contain one of these components."""
        with self._database.read() as connection:
            return list(connection.scalars(_IMAGES_WITH, {"components": sorted(components)}))

    def list_occurrences(self, components: Collection[int], digests: Collection[str]) -> list[ComponentLocation]:
        """Which of these images contain which of these components, sorted by image and platform."""
        numbers = sorted(components)
        with self._database.read() as connection:
            return [
                ComponentLocation(*row)
                for part in split_into_batches(sorted(digests))
                for row in connection.execute(_OCCURRENCES, {"images": make_text_list(part), "components": numbers})
            ]

    def list_tags(self, digests: Collection[str]) -> dict[str, dict[str, list[str]]]:
        """The repositories of images, each with the tags that name the image there, by digest."""
        tags_by_image: dict[str, dict[str, list[str]]] = {}
        with self._database.read() as connection:
            for part in split_into_batches(sorted(digests)):
                for digest, repository, tag in connection.execute(_TAGS, {"images": make_text_list(part)}):
                    repository_tags = tags_by_image.setdefault(digest, {}).setdefault(repository, [])
                    repository_tags += [tag] if tag else []
        return tags_by_image

    def record_announced(self, new_findings: Sequence[NewFinding], events: Sequence[NewEvent]) -> None:
        """Record the events of these findings, in one transaction.

        Those of another change of the advisories, which another process may have recorded meanwhile, have none yet.
        """
        times = sorted({entry.at for entry in new_findings})
        with self._database.write() as connection:
            connection.execute(_MARK_ANNOUNCED, {"times": make_text_list(times)})
            append_events(connection, events)


def record_new_findings(
    connection: Connection,
    changes: Sequence[Change],
    exploited_ids: Collection[int],
    now: str,
    *,
    should_announce: bool,
) -> None:
    """Record the findings that are new or worse after these changes.

    `exploited_ids` are the vulnerabilities that KEV lists since. With `should_announce`, their images get events,
    however long that takes; other new findings are forgotten after NEW_FINDINGS_PERIOD.
    """
    ranks = {
        (component, vulnerability): (kind, rank)
        for component, vulnerability, kind, rank in _select_new_findings(changes)
    }
    for part in split_into_batches(sorted(exploited_ids)):
        is_in_part = fleet_findings.c.vulnerability.in_(part)
        for component, vulnerability in connection.execute(
            select(fleet_findings.c.component, fleet_findings.c.vulnerability).where(is_in_part)
        ):
            kind, _ = ranks.get((component, vulnerability), (NewFindingKind.EXPLOITED, 0))
            ranks[component, vulnerability] = kind, -1
    worst_findings = sorted(ranks, key=lambda pair: (ranks[pair][1], pair))[:NEW_FINDINGS_LIMIT]
    if not worst_findings:
        return
    kept_since = format_time(shift_time(to_datetime(now), -NEW_FINDINGS_PERIOD))
    is_over = or_(fleet_news.c.at < kept_since, fleet_news.c.at > compute_latest_time(now))
    delete_unlocked(connection, fleet_news, fleet_news.c.is_announced, is_over)
    connection.execute(_FORGET, [{"of_component": pair[0], "of_vulnerability": pair[1]} for pair in worst_findings])
    row = {"at": now, "is_announced": not should_announce}
    rows = [
        {"component": pair[0], "vulnerability": pair[1], "kind": ranks[pair][0].value, **row} for pair in worst_findings
    ]
    insert_all_new(connection, fleet_news, rows)


def _select_new_findings(changes: Sequence[Change]) -> Iterator[tuple[int, int, NewFindingKind, int]]:
    """The findings that are new or worse, with the rank of their severities: 0 is the worst."""
    for change in changes:
        if change.after is not None:
            rank = change.after.severity.rank
            if change.before is None:
                yield change.component, change.vulnerability, NewFindingKind.NEW, rank
            elif rank < change.before.severity.rank:
                yield change.component, change.vulnerability, NewFindingKind.WORSE, rank


def _list_worst_vulnerabilities(vulnerabilities: Collection[tuple[bool, int, str]]) -> list[dict[str, str]]:
    severities = list(Severity)
    worst_vulnerabilities = sorted(vulnerabilities)[:VULNERABILITIES_LIMIT]
    return [{"id": name, "severity": severities[rank].value} for _, rank, name in worst_vulnerabilities]
