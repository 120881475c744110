"""The images that count in a question, and where they are: now, or at a time in the past."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, Select, and_, exists, false, func, or_, select, true

from dockgate.store.exposure.records import ExposureScope
from dockgate.store.queries import is_among_texts
from dockgate.store.schema.delivery import followed_callbacks, followed_images
from dockgate.store.schema.fleet import fleet_images, fleet_tags


def is_in_scope(scope: ExposureScope) -> ColumnElement[bool]:
    """Return whether an image is one of those that count."""
    is_there = exists().where(
        fleet_tags.c.digest == fleet_images.c.digest,
        true() if scope.should_include_moved else is_at(scope.at),
        is_in(scope.repositories),
    )
    runs = fleet_images.c.digest.in_(sorted(scope.running_images)) if scope.running_images else false()
    if scope.at is None:
        # One that moved on from its tags, or is gone, is still used by those who are notified of its verdict.
        is_followed = fleet_images.c.digest.in_(select_followed(scope))
        return or_(and_(fleet_images.c.gone_at.is_(None), is_there), runs, is_followed)
    has_existed = or_(fleet_images.c.gone_at.is_(None), fleet_images.c.gone_at > scope.at)
    return and_(fleet_images.c.seen_at <= scope.at, has_existed, or_(is_there, runs))


def select_repositories(scope: ExposureScope) -> ColumnElement[str]:
    """The repositories of the scope where an image is now, or else is followed or was.

    There is a space between two.
    """
    tags = fleet_tags.alias().c
    repositories = select(func.aggregate_strings(tags.repository, " ")).where(
        tags.digest == fleet_images.c.digest, is_in(scope.repositories, tags.repository)
    )
    present_repositories = repositories.where(tags.until.is_(None)).scalar_subquery()
    other_repositories = repositories
    if not scope.should_include_moved:
        followed_locations = select_followed(scope).where(followed_callbacks.c.image == fleet_images.c.digest)
        other_repositories = followed_locations.with_only_columns(
            func.aggregate_strings(followed_callbacks.c.repository, " ")
        )
    return func.coalesce(present_repositories, other_repositories.scalar_subquery())


def select_followed(scope: ExposureScope) -> Select[tuple[str]]:
    """What is followed for external pipelines, in the repositories of the scope, while it is watched."""
    callback, followed_image = followed_callbacks.c, followed_images.c
    is_same = and_(
        followed_image.image == callback.image,
        followed_image.repository == callback.repository,
        followed_image.policy == callback.policy,
    )
    return (
        select(callback.image)
        .join_from(followed_callbacks, followed_images, is_same)
        .where(followed_image.unwatched_at.is_(None), is_in(scope.repositories, callback.repository))
    )


def is_at(at: str | None) -> ColumnElement[bool]:
    """Return whether a tag named an image at a time, None for now."""
    if at is None:
        return fleet_tags.c.until.is_(None)
    return and_(fleet_tags.c.since <= at, or_(fleet_tags.c.until.is_(None), fleet_tags.c.until > at))


def has_begun_by(at: str | None) -> ColumnElement[bool]:
    """Return whether a tag named an image at a time or before."""
    return true() if at is None else fleet_tags.c.since <= at


def is_in(
    repositories: Collection[str] | None, column: ColumnElement[str] = fleet_tags.c.repository
) -> ColumnElement[bool]:
    """Return whether a repository is one of these; None for any."""
    return true() if repositories is None else is_among_texts(column, repositories)
