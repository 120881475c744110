"""The images with given components, now or at a time in the past.

Read from their bundles, and from where the images were.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    literal_column,
    null,
    select,
    true,
    type_coerce,
    union_all,
)

from dockgate.delivery.model import ApprovalId
from dockgate.store.engine import Database
from dockgate.store.exposure.records import (
    ComponentOccurrence,
    ExposureScope,
    HistoryBegin,
    ImageFacts,
    MatchingImage,
    PartlyRead,
    Successor,
    UnknownImage,
)
from dockgate.store.exposure.scopes import (
    is_at,
    is_in,
    is_in_scope,
    select_followed,
    select_repositories,
)
from dockgate.store.exposure.unindexed_images import select_unindexed_images
from dockgate.store.fleet.findings import MATCHED_SINCE, RETAINED_SINCE
from dockgate.store.fleet.records import IndexedImage, TagPeriod
from dockgate.store.queries import is_one_of, is_one_of_numbers, is_one_of_texts, split_into_batches
from dockgate.store.schema.delivery import approvals, followed_callbacks
from dockgate.store.schema.fleet import (
    fleet_bundle_components,
    fleet_components,
    fleet_image_bundles,
    fleet_images,
    fleet_platforms,
    fleet_state,
    fleet_tags,
    fleet_verdicts,
)

_NO_NAMES = frozenset[str]()
_NO_PACKAGES: Mapping[str, Collection[str]] = MappingProxyType({})

_PERIODS = (
    select(
        *(fleet_images.c[name] for name in IndexedImage._fields), *(fleet_tags.c[name] for name in TagPeriod._fields)
    )
    .outerjoin(fleet_tags, fleet_tags.c.digest == fleet_images.c.digest)
    .where(is_one_of(fleet_images.c.id, "ids"))
    .order_by(fleet_images.c.id, fleet_tags.c.since, fleet_tags.c.repository, fleet_tags.c.tag)
)
_IMAGES_BY_COMPONENT = (
    select(fleet_bundle_components.c.component, fleet_image_bundles.c.image)
    .join(fleet_image_bundles, fleet_image_bundles.c.bundle == fleet_bundle_components.c.bundle)
    .where(is_one_of(fleet_bundle_components.c.component, "components"))
)
_OCCURRENCES = (
    select(
        fleet_image_bundles.c.image,
        fleet_platforms.c.platform,
        fleet_bundle_components.c.component,
        fleet_bundle_components.c.n,
        fleet_bundle_components.c.is_owned,
        fleet_image_bundles.c.layer,
        case(
            (
                and_(fleet_platforms.c.base_layers > 0, fleet_image_bundles.c.layer != ""),
                fleet_image_bundles.c.is_in_base,
            )
        ),
    )
    .join(fleet_bundle_components, fleet_bundle_components.c.bundle == fleet_image_bundles.c.bundle)
    .join(
        fleet_platforms,
        and_(
            fleet_platforms.c.image == fleet_image_bundles.c.image,
            fleet_platforms.c.position == fleet_image_bundles.c.platform,
        ),
    )
    .where(
        is_one_of(fleet_image_bundles.c.image, "images"), is_one_of(fleet_bundle_components.c.component, "components")
    )
    .order_by(
        *fleet_image_bundles.c["image", "platform"], fleet_bundle_components.c.component, fleet_image_bundles.c.position
    )
)
_UNOWNED_OCCURRENCES = _OCCURRENCES.where(~fleet_bundle_components.c.is_owned)
_HISTORY_BEGIN = select(
    select(func.min(fleet_images.c.seen_at)).scalar_subquery(),
    *(
        select(fleet_state.c.value).where(fleet_state.c.name == name).scalar_subquery()
        for name in (MATCHED_SINCE, RETAINED_SINCE)
    ),
)
_REPOSITORIES = select(fleet_tags.c.repository).distinct()


class Exposures:
    """Questions about what images contain. The components come from `store.exposure.component_search`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_images(
        self, components: Collection[int], scope: ExposureScope, *, is_owned: bool, has_status: bool = False
    ) -> dict[int, MatchingImage]:
        """The images that contain one of these components, the newest first.

        They come by id, with the pipelines that asked for their approval by the time of the scope. They have the
        fleet's verdicts if wanted. `is_owned`: components that a distribution's package owns count, too.
        """
        if not components:
            return {}
        table, verdict, approval = fleet_images.c, fleet_verdicts.c, approvals.c
        is_matching = table.id.in_(_select_images_with_components(components, is_owned=is_owned))
        verdict_columns = (verdict.policy, verdict.status, verdict.cannot_judge_since)
        selected_columns = verdict_columns if has_status else (null(), null(), null())
        is_created_by_then = true() if scope.at is None else approval.created_at <= scope.at
        repositories = select_repositories(scope) if has_status else null()
        request = approval.pipeline, type_coerce(approval.id, Text)
        columns = (table.id, table.digest, table.repository, *selected_columns, repositories, *request)
        query = select(*columns).outerjoin_from(
            fleet_images, approvals, and_(approval.image == table.digest, is_created_by_then)
        )
        if has_status:
            query = query.outerjoin(fleet_verdicts, verdict.image == table.id)
        with self._database.read() as connection:
            rows = connection.execute(query.where(is_matching, is_in_scope(scope)).order_by(table.id.desc()))
            images: dict[int, MatchingImage] = {}
            for number, digest, repository, *verdict_values, repositories, pipeline, approval_id in rows.all():
                policy, status, since = verdict_values
                if number not in images:  # most of thousands have neither repositories nor an approval here
                    names = frozenset(repositories.split()) if repositories else _NO_NAMES
                    images[number] = MatchingImage(digest, repository, policy, status, names, _NO_NAMES, since)
                if approval_id and (name := pipeline or _find_pipeline(ApprovalId(approval_id))):
                    images[number] = images[number]._replace(pipelines=images[number].pipelines | {name})
        return images

    def list_image_periods(
        self, ids: Collection[int], scope: ExposureScope
    ) -> Sequence[tuple[IndexedImage, Sequence[TagPeriod]]]:
        """These images, each with those periods that count, the oldest first."""
        by_id: dict[int, tuple[IndexedImage, list[TagPeriod]]] = {}
        width = len(IndexedImage._fields)
        with self._database.read() as connection:
            for row in connection.execute(_PERIODS, {"ids": sorted(ids)}) if ids else ():
                image = IndexedImage(*row[:width])
                _, periods = by_id.setdefault(image.id, (image, []))
                if row[width] is not None and scope.has_period(period := TagPeriod(*row[width:])):
                    periods.append(period)
        return list(by_id.values())

    def list_used_images(self, digests: Collection[str], scope: ExposureScope) -> set[str]:
        """The images that services run now, or that are followed, of these, whether or not a tag names them."""
        if scope.at is not None or not digests:
            return set()
        followed_images = select_followed(scope).where(is_one_of_texts(followed_callbacks.c.image, digests))
        with self._database.read() as connection:
            return {*connection.scalars(followed_images), *set(digests).intersection(scope.running_images)}

    def list_successors(
        self, ended_periods: Collection[TagPeriod], packages: Collection[tuple[str, str]]
    ) -> dict[TagPeriod, Successor]:
        """The images to which tags moved on, and their versions of packages (ecosystem and name).

        Periods that ended otherwise are left out.
        """
        tags, image, parts, component = fleet_tags.c, fleet_images.c, fleet_bundle_components.c, fleet_components.c
        by_end = {
            (entry.repository, entry.tag, entry.until): entry for entry in ended_periods if entry.tag and entry.until
        }
        if not by_end:
            return {}
        next_tags = select(tags.repository, tags.tag, tags.since, tags.digest, image.id).outerjoin(
            fleet_images, image.digest == tags.digest
        )
        digests: dict[TagPeriod, tuple[str, int | None]] = {}
        versions: dict[int, dict[tuple[str, str], set[int]]] = {}
        with self._database.read() as connection:
            for part in split_into_batches(sorted({until for _, _, until in by_end if until})):
                for repository, tag, since, digest, number in connection.execute(next_tags.where(tags.since.in_(part))):
                    period = by_end.get((repository, tag, since))
                    if period is not None and digest != period.digest:
                        digests[period] = digest, number
            numbers = {number for _, number in digests.values() if number is not None}
            contents = (
                select(fleet_image_bundles.c.image, component.ecosystem, component.name, component.id)
                .join(fleet_bundle_components, parts.component == component.id)
                .join(fleet_image_bundles, fleet_image_bundles.c.bundle == parts.bundle)
                .where(
                    is_one_of_texts(component.name, {name for _, name in packages}),
                    fleet_image_bundles.c.image.in_(sorted(numbers)),
                )
            )
            for number, ecosystem, name, component_id in connection.execute(contents) if numbers and packages else ():
                versions.setdefault(number, {}).setdefault((ecosystem, name), set()).add(component_id)
        return {
            period: Successor(digest, None if number is None else versions.get(number, {}))
            for period, (digest, number) in digests.items()
        }

    def count_images_by_component(self, components: Collection[int], images: Collection[int]) -> dict[int, int]:
        """Count the images among these that contain each of these components; none are left out."""
        if not components or not images:
            return {}
        with self._database.read() as connection:
            pairs = set(connection.execute(_IMAGES_BY_COMPONENT, {"components": sorted(components)}).all())
        return Counter(component for component, image in pairs if image in images)

    def list_occurrences(
        self, images: Collection[int], components: Collection[int], *, is_owned: bool
    ) -> Sequence[ComponentOccurrence]:
        """Find where these images contain these components."""
        query = _OCCURRENCES if is_owned else _UNOWNED_OCCURRENCES
        parameters = {"images": sorted(images), "components": sorted(components)}
        with self._database.read() as connection:
            return [ComponentOccurrence(*row) for row in connection.execute(query, parameters)] if images else []

    def list_partly_read_images(
        self,
        groups: Sequence[Collection[int]],
        scope: ExposureScope,
        packages: Mapping[str, Collection[str]] = _NO_PACKAGES,
        exposed_images: Collection[int] = (),
        limit: int | None = None,
        components: Collection[int] = (),
        *,
        is_owned: bool = False,
    ) -> PartlyRead:
        """The images with files that could not be read, and those that contain a component of each group.

        Two other groups are counted, up to `limit`: images that contain one of `packages` (source packages by their
        ecosystems) and are neither found nor `exposed_images`; and images that contain one of the `components`, as in
        `list_images`, and that no tag names any more.
        """
        platforms, image = fleet_platforms.c, fleet_images.c.id
        with_unread_paths = (
            select(literal(-1), image, func.sum(platforms.unread))
            .join(fleet_platforms, platforms.image == image)
            .where(platforms.unread > literal_column("0"), is_in_scope(scope))  # as in its index
            .group_by(image)
        )
        queries_by_group = [
            _select_images_with_components(components, is_owned=False) if components else None for components in groups
        ]
        queries = [with_unread_paths] + [
            select(literal(number), image, literal(0)).where(image.in_(images), is_in_scope(scope))
            for number, images in enumerate(queries_by_group)
            if images is not None
        ]
        if packages:
            in_scope = select(image).where(is_in_scope(scope))
            if not self._database.is_sqlite:
                # All of them at once: Postgres expects few images with a package, and would look for the tags of each.
                in_scope = in_scope.offset(0)
            image_in_scope = in_scope.subquery().c.id
            is_unread = exists().where(platforms.image == image_in_scope, platforms.unread > literal_column("0"))
            unaffected_images = select(image_in_scope).where(
                image_in_scope.in_(_select_images_with_packages(packages)),
                ~is_one_of_numbers(image_in_scope, exposed_images),
                ~is_unread,
                *(image_in_scope.not_in(images) for images in queries_by_group if images is not None),
            )
            # A package of a distribution is in thousands of images, which are not rows of the answer.
            queries.append(
                select(literal(len(groups)), func.count(), literal(0)).select_from(
                    unaffected_images.limit(limit).subquery()
                )
            )
        if components and not scope.should_include_moved:
            queries.append(self._count_moved_images(components, scope, exposed_images, is_owned=is_owned))
        answer = PartlyRead([], [[] for _ in groups], 0, 0)
        with self._database.read() as connection:
            for number, value, count in connection.execute(union_all(*queries)).all():
                if number == -2:
                    answer = answer._replace(moved_count=value)
                elif number == -1:
                    answer.unread_counts.append((value, count))
                elif number == len(groups):
                    answer = answer._replace(other_count=value)
                else:
                    answer.images_by_group[number].append(value)
        return answer

    def _count_moved_images(
        self, components: Collection[int], scope: ExposureScope, exposed_images: Collection[int], *, is_owned: bool
    ) -> Select[Any]:
        other_images = _select_images_with_components(components, is_owned=is_owned).where(
            ~is_one_of_numbers(fleet_image_bundles.c.image, exposed_images)
        )
        if not self._database.is_sqlite:
            # Before anything else: of thousands that contain it, few are not exposed.
            other_images = other_images.offset(0)
        is_moved = fleet_images.c.id.in_(other_images), is_in_scope(scope._replace(should_include_moved=True))
        return select(literal(-2), select(func.count()).where(*is_moved).scalar_subquery(), literal(0))

    def read_history_begin(self) -> HistoryBegin:
        """Since when the index can answer about the past."""
        with self._database.read() as connection:
            return HistoryBegin._make(connection.execute(_HISTORY_BEGIN).one())

    def list_unindexed_images(self, scope: ExposureScope) -> Sequence[UnknownImage]:
        """The images that are somewhere, and of which the index has nothing: not scanned, or not with success.

        For a question about the past, those are added that were somewhere then and became known later.
        """
        query = select_unindexed_images(scope, is_sqlite=self._database.is_sqlite)
        with self._database.read() as connection:
            return [UnknownImage._make(row) for row in connection.execute(query)]

    def list_repositories(self) -> Sequence[str]:
        """Every repository that has or had an image, sorted."""
        with self._database.read() as connection:
            return sorted(connection.scalars(_REPOSITORIES).all())

    def read_facts(self, images: Collection[int], components: Collection[int], scope: ExposureScope) -> ImageFacts:
        """Return which of the components each of these images contains, and where it is."""
        fleet, tags = fleet_images.c, fleet_tags.c
        parts, bundles = fleet_bundle_components.c, fleet_image_bundles.c
        query = union_all(
            select(literal(True), bundles.image, cast(parts.component, Text))
            .join(fleet_image_bundles, bundles.bundle == parts.bundle)
            .where(is_one_of_numbers(parts.component, components), ~parts.is_owned),
            select(literal(False), fleet.id, tags.repository)
            .join(fleet_tags, tags.digest == fleet.digest)
            .where(
                is_one_of_numbers(fleet.id, images),
                true() if scope.should_include_moved else is_at(scope.at),
                is_in(scope.repositories),
            ),
        )
        answer = ImageFacts({}, {})
        with self._database.read() as connection:
            for is_component, image, text in connection.execute(query).all() if images and components else ():
                if is_component:
                    answer.components.setdefault(image, set()).add(int(text))
                else:
                    answer.repositories.setdefault(image, set()).add(text)
        return answer


def _find_pipeline(approval: ApprovalId) -> str | None:
    """The pipeline of ours that waits for the approval, None if an external one requested it."""
    action = approval.action
    return action.pipeline if action else None


def _select_images_with_components(components: Collection[int], *, is_owned: bool) -> Select[tuple[int]]:
    """The images that contain one of the components."""
    parts, bundles = fleet_bundle_components.c, fleet_image_bundles.c
    matching_bundles = select(parts.bundle).where(is_one_of_numbers(parts.component, components))
    if not is_owned:
        matching_bundles = matching_bundles.where(~parts.is_owned)
    return select(bundles.image).where(bundles.bundle.in_(matching_bundles))


def _select_images_with_packages(packages: Mapping[str, Collection[str]]) -> Select[tuple[int]]:
    """The images that contain a source package of one of these names, of its ecosystem."""
    table, parts, bundles = fleet_components.c, fleet_bundle_components.c, fleet_image_bundles.c
    # A query for each ecosystem: with OR between them, Postgres uses no index, and reads the components of all bundles.
    components = union_all(
        *(
            select(table.id).where(table.ecosystem == name, is_one_of_texts(table.source_name, names))
            for name, names in sorted(packages.items())
        )
    )
    matching_bundles = select(parts.bundle).where(parts.component.in_(components), ~parts.is_owned)
    return select(bundles.image).where(bundles.bundle.in_(matching_bundles))
