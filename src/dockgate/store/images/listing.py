"""List images where they are, a page at a time.

Filters are what was found in them, their verdict and their repository. A row is a location of an image: its digest
under a tag, or in a repository by its digest alone. Filters of findings apply to one finding: with a
severity and a fix, an image is listed that has a finding of this severity with a fix.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal, null, or_, select, tuple_

from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.store.engine import Database
from dockgate.store.images.image_filter import ImageFilter, ImageSort
from dockgate.store.images.listing_order import make_sort_key
from dockgate.store.images.matching_bundles import (
    has_bundle_of,
    has_conditions,
    has_many,
    select_images_with,
    select_matching_bundles,
)
from dockgate.store.images.tag_history import HAS_LATER_PERIOD
from dockgate.store.queries import count_rows, find_sort_column, is_one_of_numbers, is_one_of_texts
from dockgate.store.records import ScanState
from dockgate.store.schema.fleet import (
    fleet_ended_verdicts,
    fleet_image_bundles,
    fleet_images,
    fleet_tags,
    fleet_verdicts,
)
from dockgate.store.schema.gate import verdicts
from dockgate.store.schema.images import scans
from dockgate.vulnerabilities.model import Severity


class ListedImage(NamedTuple):
    """A location of an image.

    `tag` is None without one; `until` is when the tag moved on or the image was deleted. `scanner` read it, None if
    that is unknown. `status` is that of the current verdict, or of the newest one where the location has no current
    one, None without any. `policy` gave the current verdict, and `counts` are its findings by severity, in the order of
    `Severity`; `waived_count` is how much waivers and VEX statements excuse. These, `since` and `cannot_judge_since`
    are None without one. It is the verdict in the repository `judged_in`, where the image was read. `reason` says what
    counts do not.
    """

    id: int
    repository: str
    tag: str | None
    digest: str
    pushed_at: str
    until: str | None
    judged_in: str
    scan: ScanState | None
    scanner: str | None
    status: Status | None
    policy: PolicyReference | None
    counts: tuple[int, ...] | None
    since: str | None
    cannot_judge_since: str | None
    waived_count: int | None
    reason: str | None
    gone_at: str | None


class LocationVerdict(NamedTuple):
    """The verdicts on an image under a tag (None without one) of a repository.

    `status` and `policy` are as in `ListedImage`: of the verdict in the repository `judged_in`.
    """

    repository: str
    tag: str | None
    digest: str
    judged_in: str
    scan: ScanState | None
    policy: str | None
    status: Status | None
    cannot_judge_since: str | None


_TAGS, _IMAGES, _CURRENT, _SCANS = fleet_tags.c, fleet_images.c, fleet_verdicts.c, scans.c
_ENDED_VERDICTS = fleet_ended_verdicts.c
_COUNTS = [_CURRENT[severity.value.lower()] for severity in Severity]
# The newest verdict of the location, requested or on a push.
_NEWEST_VERDICT = (
    select(verdicts.c.status)
    .where(verdicts.c.image == _TAGS.digest, verdicts.c.repository == _TAGS.repository)
    .order_by(verdicts.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)

# From so many bundles or repositories on, the images are walked in their order, instead of finding all that match.
WIDE = 500
# Where many bundles match, the rows of so many pages mostly fill one.
_FIRST_PAGES = 4


class ImageListing:
    """Lists of images. `wide` is a number of bundles or repositories from which on there are many."""

    def __init__(self, database: Database, wide: int = WIDE) -> None:
        self._database = database
        self._wide = wide

    def read_page(
        self,
        image_filter: ImageFilter,
        sort: ImageSort,
        after: Sequence[str | int] | None,
        limit: int,
        judged_before: str,
    ) -> tuple[Sequence[ListedImage], Sequence[str | int] | None]:
        """At most `limit` rows after the position `after`, and the position of the last one if there are more.

        An indexed image without a current verdict that was scanned before `judged_before`, or whose watch ended, is
        Undetermined: it is not watched, or was not judged since it is watched again.
        """
        key = make_sort_key(sort, image_filter.policies)
        query = _select_locations(image_filter, key, judged_before, self._wide)
        is_ascending = sort is ImageSort.NAME
        if after is not None:
            position = _make_position(key, after)
            query = query.where(tuple_(*key) > position if is_ascending else tuple_(*key) < position)
        query = query.order_by(*(find_sort_column(column, not is_ascending) for column in key))
        with self._database.read() as connection:
            rows = _read_rows(connection, query, image_filter, sort, limit + 1, self._wide)
        has_more = len(rows) > limit
        # While a repository gets another policy, an image may have verdicts by both for a moment.
        by_location = {row[0]: _make_listed_image(row) for row in reversed(rows[:limit])}
        images = list(reversed(by_location.values()))
        return images, tuple(rows[limit - 1][-len(key) :]) if has_more else None

    def find_previous_position(
        self, image_filter: ImageFilter, sort: ImageSort, after: Sequence[str | int], limit: int, judged_before: str
    ) -> Sequence[str | int] | None:
        """The position of the page before the one after this position; None if that is the first page."""
        key = make_sort_key(sort, image_filter.policies)
        query = _select_locations(image_filter, key, judged_before, self._wide)
        position = _make_position(key, after)
        is_ascending = sort is not ImageSort.NAME  # backwards
        query = query.where(tuple_(*key) >= position if is_ascending else tuple_(*key) <= position)
        query = query.order_by(*(find_sort_column(column, not is_ascending) for column in key))
        with self._database.read() as connection:
            rows = _read_rows(connection, query, image_filter, sort, limit + 1, self._wide)
        return tuple(rows[limit][-len(key) :]) if len(rows) > limit else None

    def count(self, image_filter: ImageFilter, limit: int) -> int | None:
        """The number of rows, at most `limit`. None for filters of verdicts and findings, which take long."""
        if image_filter.statuses or has_conditions(image_filter):
            return None
        query = select(_TAGS.id).where(*_make_conditions(image_filter, null(), self._wide))
        with self._database.read() as connection:
            return count_rows(connection, query, limit)

    def list_current_locations(
        self, repositories: Collection[str] | None, judged_before: str
    ) -> Sequence[LocationVerdict]:
        """Every image in each of these repositories (None: all) where it is now, with its verdicts.

        `judged_before` as in `read_page`. Images without any verdict are among them, other artifacts are not.
        """
        conditions = _make_conditions(ImageFilter(repositories), null(), self._wide)
        query = (
            select(
                *(_TAGS.repository, _TAGS.tag, _TAGS.digest),
                func.coalesce(_IMAGES.repository, _TAGS.repository),
                _SCANS.state,
                _CURRENT.policy,
                _make_status_column(judged_before),
                _CURRENT.cannot_judge_since,
            )
            .select_from(fleet_tags)
            .outerjoin(fleet_images, _IMAGES.digest == _TAGS.digest)
            .outerjoin(fleet_verdicts, _CURRENT.image == _IMAGES.id)
            .outerjoin(scans, _SCANS.image == _TAGS.digest)
            .where(*conditions, or_(_SCANS.state.is_(None), _SCANS.state != ScanState.NOT_AN_IMAGE))
            .order_by(_TAGS.repository, _TAGS.digest, _TAGS.tag)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [LocationVerdict._make((*row[:6], _parse_status(row[6]), row[7])) for row in rows]


def _select_locations(
    image_filter: ImageFilter, key: Sequence[ColumnElement[Any]], judged_before: str, wide: int
) -> Select[Any]:
    """The locations of images with what a row shows, and the columns of the order, `key`, at its end."""
    status = _make_status_column(judged_before)
    return (
        select(
            *(_TAGS.id, _TAGS.repository, _TAGS.tag, _TAGS.digest, _TAGS.pushed_at, _TAGS.until),
            func.coalesce(_IMAGES.repository, _TAGS.repository),
            _SCANS.state,
            _IMAGES.scanner,
            status,
            _CURRENT.policy,
            _CURRENT.since,
            _CURRENT.cannot_judge_since,
            _CURRENT.waived,
            _CURRENT.reason,
            _IMAGES.gone_at,
            *_COUNTS,
            *key,
        )
        .select_from(fleet_tags)
        .outerjoin(fleet_images, _IMAGES.digest == _TAGS.digest)
        .outerjoin(fleet_verdicts, _CURRENT.image == _IMAGES.id)
        .outerjoin(scans, _SCANS.image == _TAGS.digest)
        .where(*_make_conditions(image_filter, status, wide))
    )


def _read_rows(
    connection: Connection, query: Select[Any], image_filter: ImageFilter, sort: ImageSort, limit: int, wide: int
) -> Sequence[Sequence[Any]]:
    """Return the first rows of the query that match the filter, in the query's order."""
    if not has_conditions(image_filter):
        return connection.execute(query.limit(limit)).all()
    matching_bundles = select_matching_bundles(connection, image_filter)
    is_wide = not image_filter.layer and has_many(connection, matching_bundles, wide)
    # Many bundles have it, so a page is soon full of images with one. But to sort by severity, databases look at all
    # images, and Postgres does for a package or an origin, too.
    is_hard = sort is ImageSort.SEVERITY or image_filter.origin is not None or image_filter.components is not None
    for size in sorted({min(_FIRST_PAGES * limit, wide), wide}) if is_wide and is_hard else ():
        rows = _read_rows_of_first(connection, query, matching_bundles, image_filter, limit, size)
        if rows is not None:
            return rows
    query = query.where(has_bundle_of(matching_bundles, image_filter, is_wide=is_wide))
    return connection.execute(query.limit(limit)).all()


def _read_rows_of_first(
    connection: Connection,
    query: Select[Any],
    matching_bundles: Select[Any],
    image_filter: ImageFilter,
    limit: int,
    size: int,
) -> Sequence[Sequence[Any]] | None:
    """The first rows with one of the bundles, None if the first `size` rows of the query do not fill the page."""
    first = connection.execute(query.with_only_columns(_TAGS.id, _IMAGES.id).limit(size)).all()
    bundles = fleet_image_bundles.c
    is_in_first = is_one_of_numbers(bundles.image, {image for _, image in first if image is not None})
    images = select_images_with(matching_bundles, image_filter, bundles.bundle + 0).where(is_in_first)
    matching_images = set(connection.scalars(images.distinct()).all())
    ids = [number for number, image in first if image in matching_images][:limit]
    if len(ids) < limit and len(first) == size:
        return None
    return connection.execute(query.where(is_one_of_numbers(_TAGS.id, set(ids))).limit(limit)).all()


def _make_position(key: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[Any]:
    return tuple_(*(literal(value, column.type) for value, column in zip(values, key, strict=True)))


def _make_status_column(judged_before: str) -> ColumnElement[Any]:
    is_judged = select(_CURRENT.image).limit(1).correlate(None).exists()
    # The recorded verdicts may be from before the watch ended, also if the image is watched again.
    has_ended = (
        select(_ENDED_VERDICTS.image).where(_ENDED_VERDICTS.image == _IMAGES.id).correlate(fleet_images).exists()
    )
    is_undetermined = or_(and_(_IMAGES.scanned_at < judged_before, is_judged), has_ended)
    return case(
        (_CURRENT.status.is_not(None), _CURRENT.status),
        (is_undetermined, literal(Status.UNDETERMINED, _CURRENT.status.type)),
        else_=_NEWEST_VERDICT,
    )


def _make_conditions(image_filter: ImageFilter, status: ColumnElement[Any], wide: int) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    is_present = _TAGS.until.is_(None)
    conditions.append(or_(is_present, ~HAS_LATER_PERIOD) if image_filter.should_include_moved else is_present)
    if image_filter.repositories is not None:
        is_wide = len(image_filter.repositories) >= wide
        repository = _TAGS.repository + "" if is_wide else _TAGS.repository  # no index on it
        conditions.append(is_one_of_texts(repository, image_filter.repositories))
    if image_filter.digests is not None:
        conditions.append(is_one_of_texts(_TAGS.digest, image_filter.digests))
    if image_filter.statuses:
        # An image is judged once for all its repositories; in the others, a recorded verdict there may count instead.
        has_other_verdict = and_(_TAGS.repository != _IMAGES.repository, _has_recorded_one_of(image_filter.statuses))
        is_unclear = is_one_of_texts(_TAGS.repository, image_filter.undetermined_repositories)
        conditions.append(or_(_is_one_of(status, image_filter.statuses), has_other_verdict, is_unclear))
    return conditions


def _is_one_of(status: ColumnElement[Any], statuses: Collection[Status | None]) -> ColumnElement[bool]:
    is_named = status.in_([name for name in statuses if name is not None])
    return or_(is_named, status.is_(null())) if None in statuses else is_named


def _has_recorded_one_of(statuses: Collection[Status | None]) -> ColumnElement[bool]:
    """Return whether the location has a recorded verdict with one of these statuses, by any policy.

    None among the statuses means that it has no recorded verdict.
    """
    records = select(verdicts.c.seq).where(verdicts.c.image == _TAGS.digest, verdicts.c.repository == _TAGS.repository)
    is_named = verdicts.c.status.in_([name for name in statuses if name is not None])
    has_named = records.where(is_named).correlate(fleet_tags).exists()
    return or_(has_named, ~records.correlate(fleet_tags).exists()) if None in statuses else has_named


def _make_listed_image(row: Sequence[Any]) -> ListedImage:
    *location, scan, scanner, status, policy, since, cannot_judge_since, waived_count, reason, gone_at = row[:16]
    counts = tuple(row[16 : 16 + len(_COUNTS)]) if policy is not None else None
    reference = None if policy is None else PolicyReference(policy)
    verdict = _parse_status(status), reference, counts, since, cannot_judge_since, waived_count, reason
    return ListedImage._make((*location, scan, scanner, *verdict, gone_at))


def _parse_status(value: str | None) -> Status | None:
    return None if value is None else Status(value)
