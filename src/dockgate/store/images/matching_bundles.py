"""The bundles that have what a list of images asks for: a package, a finding, a layer or an origin."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, distinct, func, select

from dockgate.store.fleet.bundles import decode
from dockgate.store.images.image_filter import ImageFilter, Origin
from dockgate.store.queries import BATCH, is_one_of_numbers
from dockgate.store.schema.fleet import (
    fleet_bundle_components,
    fleet_bundles,
    fleet_findings,
    fleet_image_bundles,
    fleet_images,
    fleet_platforms,
    fleet_vulnerabilities,
)

# Packages with which a bundle matches, at most, in the rows that tell whether there are many bundles.
_ROWS_OF_BUNDLE = 4


def has_conditions(image_filter: ImageFilter) -> bool:
    """Return whether the filter asks for a package, a finding, a layer or an origin."""
    has_location = image_filter.origin is not None or bool(image_filter.layer)
    return has_location or image_filter.components is not None or _has_finding_conditions(image_filter)


def select_matching_bundles(connection: Connection, image_filter: ImageFilter) -> Select[Any]:
    """The bundles that have such a package or finding."""
    parts = fleet_bundle_components.c
    query = select(parts.bundle)
    components = image_filter.components
    if components is None or _has_finding_conditions(image_filter):  # without a condition, any finding
        # Read before: as one statement, Postgres may read all contents of bundles.
        with_findings = set(connection.scalars(_select_components_with_findings(image_filter)).all())
        components = with_findings.intersection(with_findings if components is None else components)
        query = query.where(~parts.is_owned)
    if image_filter.layer:
        in_layer, ids = _read_layer(connection, image_filter.layer)
        components = in_layer.intersection(components)
        query = query.where(parts.bundle.in_(ids))
    return query.where(is_one_of_numbers(parts.component, components))


def has_many(connection: Connection, matching_bundles: Select[Any], wide: int) -> bool:
    """Return whether there are at least `wide` bundles, as the first rows tell.

    To count up to a limit, databases find all of them.
    """
    rows = matching_bundles.limit(_ROWS_OF_BUNDLE * wide).subquery()
    count: int = connection.execute(select(func.count(distinct(rows.c.bundle)))).scalar_one()
    return count >= wide


def _has_finding_conditions(image_filter: ImageFilter) -> bool:
    is_of_severity_or_fixable = bool(image_filter.severities) or image_filter.is_fixable
    return is_of_severity_or_fixable or image_filter.is_exploited or image_filter.epss is not None


def _read_layer(connection: Connection, layer: str) -> tuple[set[int], list[int]]:
    """The components and ids of the bundles that some image has in this layer: at most BATCH, hardly any has two.

    They are read from the contents of bundles: rows of `fleet_bundle_components` are found by a component only.
    """
    bundles = fleet_image_bundles.c
    layer_bundles = select(bundles.bundle).where(bundles.layer == layer)
    query = select(fleet_bundles.c.id, fleet_bundles.c.content).where(fleet_bundles.c.id.in_(layer_bundles))
    components: set[int] = set()
    ids = []
    for number, content in connection.execute(query.limit(BATCH)):
        ids.append(number)
        components.update(*decode(content))
    return components, ids


def has_bundle_of(matching_bundles: Select[Any], image_filter: ImageFilter, *, is_wide: bool) -> ColumnElement[bool]:
    """Return whether an image has one of the bundles in the layer or origin of the filter.

    `is_wide`: the bundles of each image are looked at until the page is full. Otherwise all images with one are found.
    """
    bundles = fleet_image_bundles.c
    if is_wide:  # no index on the bundle: few are in an image
        images = select_images_with(matching_bundles, image_filter, bundles.bundle + 0)
        return images.where(bundles.image == fleet_images.c.id).correlate(fleet_images).exists()
    return fleet_images.c.id.in_(select_images_with(matching_bundles, image_filter, bundles.bundle))


def select_images_with(
    matching_bundles: Select[Any], image_filter: ImageFilter, bundle: ColumnElement[int]
) -> Select[tuple[int]]:
    """The images (ids) that have one of the bundles, by this column, in the layer or origin of the filter."""
    bundles = fleet_image_bundles.c
    images = select(bundles.image).where(bundle.in_(matching_bundles))
    if image_filter.origin is not None:
        images = images.where(_is_from(image_filter.origin))
    if image_filter.layer:
        images = images.where(bundles.layer == image_filter.layer)
    return images


def _is_from(origin: Origin) -> ColumnElement[bool]:
    """Return whether a bundle is of this origin."""
    bundles, platforms = fleet_image_bundles.c, fleet_platforms.c
    if origin is Origin.BASE:
        return bundles.is_in_base
    is_platform = platforms.image == bundles.image, platforms.position == bundles.platform
    has_known_base = select(platforms.image).where(*is_platform, platforms.base_layers > 0).exists()
    is_known = and_(bundles.layer != "", has_known_base)
    return and_(~bundles.is_in_base, is_known if origin is Origin.OWN else ~is_known)


def _select_components_with_findings(image_filter: ImageFilter) -> Select[Any]:
    """The components with such a finding."""
    findings = fleet_findings.c
    query = select(findings.component)
    if image_filter.severities:
        query = query.where(findings.severity.in_(image_filter.severities))
    if image_filter.is_fixable:
        query = query.where(findings.fixed != "")
    if image_filter.is_exploited:
        exploited_ids = select(fleet_vulnerabilities.c.id).where(fleet_vulnerabilities.c.exploited.is_not(None))
        query = query.where(findings.vulnerability.in_(exploited_ids))
    if image_filter.epss is not None:
        likely = select(fleet_vulnerabilities.c.id).where(fleet_vulnerabilities.c.epss >= image_filter.epss)
        query = query.where(findings.vulnerability.in_(likely))
    return query
