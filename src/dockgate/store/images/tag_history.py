"""The present and past locations of images: the periods in which a digest was under a tag."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import Connection, Executable, bindparam, func, or_, select, update

from dockgate.store.engine import Database
from dockgate.store.fleet.records import TagPeriod
from dockgate.store.queries import is_one_of, make_text_list, split_into_batches
from dockgate.store.records import ImageLocation, PushedImage
from dockgate.store.schema.fleet import fleet_images, fleet_tags
from dockgate.store.schema.images import pushed_images, scan_inventories, scans
from dockgate.store.statements import insert_if_new, lock_names, lock_rows

# After every time that a period can end.
_ALWAYS = "9999"
_LATER = fleet_tags.alias("later").c
# Whether the tag named the image again, later than in a period of `fleet_tags`.
HAS_LATER_PERIOD = (
    select(_LATER.id)
    .where(*(_LATER[name] == fleet_tags.c[name] for name in ("repository", "tag", "digest")))
    .where(_LATER.since > fleet_tags.c.since)
    .correlate(fleet_tags)
    .exists()
)
_PERIOD = select(*(fleet_tags.c[name] for name in TagPeriod._fields))
# The present period of a tag.
_PRESENT_PERIOD = _PERIOD.where(
    fleet_tags.c.repository == bindparam("repository"),
    fleet_tags.c.tag == bindparam("tag"),
    fleet_tags.c.until.is_(None),
)
# The present period of an image that was pushed by its digest alone.
_PRESENT_PERIOD_BY_DIGEST = _PRESENT_PERIOD.where(fleet_tags.c.digest == bindparam("digest"))
_IS_TAG = fleet_tags.c.repository == bindparam("repository"), fleet_tags.c.tag == bindparam("tag")
# The period of a tag at a time, and when the next one begins.
_PERIOD_AT = (
    _PERIOD.where(*_IS_TAG, fleet_tags.c.since <= bindparam("at"))
    .where(or_(fleet_tags.c.until.is_(None), fleet_tags.c.until > bindparam("at")))
    .order_by(fleet_tags.c.since.desc(), fleet_tags.c.id.desc())
    .limit(1)
)
_NEXT_START = select(func.min(fleet_tags.c.since)).where(*_IS_TAG, fleet_tags.c.since > bindparam("at"))
# When the last period of a tag ended, and that of an image that was pushed by its digest alone.
_LAST_END = select(func.max(fleet_tags.c.until)).where(*_IS_TAG)
_LAST_END_BY_DIGEST = _LAST_END.where(fleet_tags.c.digest == bindparam("digest"))
_CHANGE = update(fleet_tags).where(
    *(fleet_tags.c[name] == bindparam(f"of_{name}") for name in ("repository", "tag", "digest", "since"))
)
_PUSHED_AGAIN = _CHANGE.values(pushed_at=bindparam("at"))
_END = _CHANGE.values(until=bindparam("at"))
# Any period of an image in a repository.
_LOCATION = (
    select(fleet_tags.c.id)
    .where(fleet_tags.c.digest == bindparam("digest"), fleet_tags.c.repository == bindparam("repository"))
    .limit(1)
)
_OTHER_REPOSITORIES = (
    select(fleet_tags.c.repository, fleet_tags.c.digest, scans.c.number)
    .join(fleet_images, fleet_images.c.digest == fleet_tags.c.digest)
    .join(scans, scans.c.image == fleet_tags.c.digest)
    .where(fleet_tags.c.until.is_(None), fleet_images.c.gone_at.is_(None))
    .where(fleet_tags.c.repository != fleet_images.c.repository)
    .distinct()
    .order_by(fleet_tags.c.repository, fleet_tags.c.digest)
)
_PUSHED_LOCATIONS = select(pushed_images.c.repository, pushed_images.c.digest).where(
    is_one_of(pushed_images.c.digest, "digests")
)
_TAGGED_LOCATIONS = select(fleet_tags.c.repository, fleet_tags.c.digest).where(
    is_one_of(fleet_tags.c.digest, "digests"), fleet_tags.c.until.is_(None), fleet_tags.c.tag != ""
)
# The pushes of earlier versions that have no period yet, some at a time.
_PUSHES_WITHOUT_PERIOD = (
    select(*(pushed_images.c[name] for name in ("repository", "tag", "digest", "pushed_at")))
    .outerjoin(
        fleet_tags,
        (fleet_tags.c.digest == pushed_images.c.digest)
        & (fleet_tags.c.repository == pushed_images.c.repository)
        & (fleet_tags.c.tag == pushed_images.c.tag),
    )
    .where(fleet_tags.c.id.is_(None))
    .order_by(pushed_images.c.pushed_at, pushed_images.c.digest)
    .limit(500)
)
_GONE_AT = lock_rows(select(fleet_images.c.gone_at).where(fleet_images.c.digest == bindparam("digest")))
_BRING_BACK = update(fleet_images).where(fleet_images.c.digest == bindparam("of")).values(gone_at=None)


class TagHistory:
    """The periods of tags. Pushes write them (`record_tag`), so they are as old as the pushes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_periods(self, digests: Collection[str]) -> Sequence[TagPeriod]:
        """Return where these images were and are, oldest first."""
        order = fleet_tags.c.since, fleet_tags.c.repository, fleet_tags.c.tag
        with self._database.read() as connection:
            rows = [
                TagPeriod(*row)
                for part in split_into_batches(sorted(digests))
                for row in connection.execute(_PERIOD.where(fleet_tags.c.digest.in_(part)).order_by(*order))
            ]
        return sorted(rows, key=lambda row: (row.since, row.repository, row.tag or ""))

    def list_image_repositories(self, image: str) -> Sequence[str]:
        """Return the repositories that have or had the image, alone or in an index, sorted."""
        indexes = select(scan_inventories.c.image).where(scan_inventories.c.platform_image == image)
        query = select(fleet_tags.c.repository).where(
            or_(fleet_tags.c.digest == image, fleet_tags.c.digest.in_(indexes))
        )
        with self._database.read() as connection:
            return sorted(connection.scalars(query.distinct()))

    def list_other_repositories(self) -> Sequence[tuple[str, str, int]]:
        """The further repositories of images, each with the image's digest and scan.

        They are those beside the one where the image was read.
        """
        with self._database.read() as connection:
            return [(row.repository, row.digest, row.number) for row in connection.execute(_OTHER_REPOSITORIES)]

    def list_untagged_images(self, locations: Collection[ImageLocation]) -> set[ImageLocation]:
        """The locations where a pushed image has no tag now."""
        parameters = {"digests": make_text_list(sorted({digest for _, digest in locations}))}
        with self._database.read() as connection:
            with_pushes = {ImageLocation(*row) for row in connection.execute(_PUSHED_LOCATIONS, parameters)}
            with_tags = {ImageLocation(*row) for row in connection.execute(_TAGGED_LOCATIONS, parameters)}
        return (with_pushes & set(locations)) - with_tags

    def summarize_repositories(self, repositories: Collection[str]) -> Mapping[str, tuple[int, str]]:
        """Count the present tags of repositories, and say when the newest was pushed.

        Repositories without a tag are left out.
        """
        table = fleet_tags.c
        query = (
            select(table.repository, func.count(), func.max(table.pushed_at))
            .where(table.repository.in_(sorted(repositories)), table.until.is_(None), table.tag != "")
            .group_by(table.repository)
        )
        with self._database.read() as connection:
            return {row[0]: (row[1], row[2]) for row in connection.execute(query)} if repositories else {}

    def find_digest(self, repository: str, tag: str) -> str | None:
        """The digest that is under this tag now, or None."""
        present_period = self.find_present_period(repository, tag)
        return None if present_period is None else present_period.digest

    def find_present_period(self, repository: str, tag: str) -> TagPeriod | None:
        """The period of a tag that lasts, or None."""
        with self._database.read() as connection:
            return _find_present_period(connection, repository, tag)

    def add_location(self, digest: str, repository: str, since: str) -> None:
        """Record that an image is in a repository, where no push of it is known: it was only scanned.

        An image that was gone before `since` is back.
        """
        with self._database.write() as connection:
            is_back = _bring_back(connection, digest, since)
            if is_back or connection.scalar(_LOCATION, {"digest": digest, "repository": repository}) is None:
                row = TagPeriod(repository, None, digest, since, since)
                insert_if_new(connection, fleet_tags, row._asdict())

    def add_missing(self) -> int:
        """Record the pushes of earlier versions, which kept no periods. Returns how many it recorded."""
        with self._database.write() as connection:
            pushes = [PushedImage(*row) for row in connection.execute(_PUSHES_WITHOUT_PERIOD)]
            for push in pushes:
                record_tag(connection, push)
            return len(pushes)


def lock_tags(connection: Connection, tags: Iterable[tuple[str, str | None]]) -> None:
    """Lock tags, each of a repository, until the transaction ends. Images without a tag share one."""
    lock_names(connection, pushed_images, {f"{repository}:{tag or ''}" for repository, tag in tags})


def record_tag(connection: Connection, image: PushedImage) -> bool:
    """Record what a tag names since a push: its period begins, and the one before it ends.

    A push that is older than the tag's present period is one of its past. It ended when the next one began, or when the
    image that had the tag then was pushed again. Of two pushes at the same time, the one that is reported last counts.
    Returns False for a push of the image that had the tag then, which changes nothing but the time of its latest push.
    """
    present_period = _find_present_period(connection, image.repository, image.tag, image.digest)
    period, since, until = present_period, image.pushed_at, None
    if present_period is None:
        last_end = connection.scalar(_LAST_END if image.tag else _LAST_END_BY_DIGEST, _make_key(image))
        since = max(since, last_end or "")  # a clock was set back
    elif image.digest != present_period.digest and since < present_period.since:
        period = _find_period_at(connection, image)
        until = period.until if period else connection.scalar(_NEXT_START, _make_key(image))
    if period is not None and period.digest == image.digest:
        if period.pushed_at < image.pushed_at:
            _change(connection, period, _PUSHED_AGAIN, image.pushed_at)
        return False
    if period is not None:
        _change(connection, period, _END, since)
        if image.tag and since < period.pushed_at < (period.until or _ALWAYS):
            until = period.pushed_at
            renewed_period = period._replace(since=period.pushed_at)
            insert_if_new(connection, fleet_tags, renewed_period._asdict())
    new_period = TagPeriod(image.repository, image.tag, image.digest, since, since, until)
    if not insert_if_new(connection, fleet_tags, new_period._asdict()):
        # The image was pushed before at the same time as the one that had the tag then, whose period has ended.
        _change(connection, new_period, _END, until)
    # It is there now: a deletion that is later was recorded by a clock that was ahead.
    _bring_back(connection, image.digest, image.pushed_at if until else None)
    return True


def _bring_back(connection: Connection, digest: str, since: str | None) -> bool:
    """Mark an image as present that was gone before `since`, or at all (None). Returns whether it was gone."""
    gone_at = connection.scalar(_GONE_AT, {"digest": digest})
    if gone_at is None or (since is not None and gone_at >= since):
        return False
    connection.execute(_BRING_BACK, {"of": digest})
    return True


def _find_present_period(
    connection: Connection, repository: str, tag: str | None, digest: str | None = None
) -> TagPeriod | None:
    """The present period of a tag. Without a tag, that of an image that was pushed by its digest alone."""
    query = _PRESENT_PERIOD if tag else _PRESENT_PERIOD_BY_DIGEST
    row = connection.execute(query, {"repository": repository, "tag": tag, "digest": digest}).first()
    return None if row is None else TagPeriod(*row)


def _find_period_at(connection: Connection, image: PushedImage) -> TagPeriod | None:
    """The period of a pushed image's tag at the time of the push, or None."""
    row = connection.execute(_PERIOD_AT, _make_key(image)).first()
    return None if row is None else TagPeriod(*row)


def _make_key(image: PushedImage) -> dict[str, str | None]:
    return {"repository": image.repository, "tag": image.tag, "digest": image.digest, "at": image.pushed_at}


def _change(connection: Connection, period: TagPeriod, change: Executable, at: str | None) -> None:
    key = {f"of_{name}": getattr(period, name) for name in ("repository", "tag", "digest", "since")}
    connection.execute(change, {**key, "at": at})
