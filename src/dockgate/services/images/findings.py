"""The findings of images by layer, and those of a tag over time, from the fleet index."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dockgate.scanner.model import ScannedPlatform
from dockgate.shared.timestamps import format_time, list_last_days
from dockgate.store import Store
from dockgate.store.fleet.records import ClosingReason, TagPeriod
from dockgate.store.fleet.trends import ALWAYS, FindingLife
from dockgate.vulnerabilities.model import Severity

# Digests of a tag whose findings are shown.
MAX_DIGESTS = 30

Counts = list[tuple[int, Severity]]


@dataclass(frozen=True, slots=True)
class LayerFindings:
    """The packages that a layer of a platform brought, and their findings by severity."""

    package_count: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """A layer of an image, the lowest at `position` 1, and what it brought.

    `size` is in bytes, compressed; null, as `made_by`, if the image does not say it. `is_base` is null if the base is
    not known, `findings` (counts by severity) while the image is not in the fleet index.
    """

    position: int
    digest: str
    is_base: bool | None
    size: int | None
    made_by: str | None
    packages: int
    findings: dict[Severity, int] | None


@dataclass(frozen=True, slots=True)
class DigestFindings:
    """An image that was under a tag, with its findings by severity now, or when the tag moved on.

    `counts` is null if the image is not in the index: it was not scanned with success. `until` is null while the tag
    names it. `ended` counts by `ClosingReason` what became of its findings when the tag moved on.
    MOVED is of those that the next image has, too, or of which that is not known.
    """

    digest: str
    since: str
    until: str | None
    counts: Counts | None
    ended: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TagFindings:
    """The findings of a tag by severity over days (YYYY-MM-DD, oldest first).

    They are those of what the tag named at the end of each day. A day is null when the tag named nothing, or an image
    whose findings are not known: it was not scanned, or no package was matched with advisories until then. `digests`
    are the newest first.
    """

    days: list[str]
    severities: dict[Severity, list[int | None]]
    digests: list[DigestFindings]


@dataclass(frozen=True, slots=True)
class RepositoryImage:
    """An image of a repository, with its findings by severity as they are known now.

    `since` is when its newest period there began: under `tag`, or null. `counts` is null if the image is not
    in the index: it was not scanned with success.
    """

    digest: str
    tag: str | None
    since: str
    counts: Counts | None


@dataclass(frozen=True, slots=True)
class RepositoryFindings:
    """The findings of the newest images of a repository by severity.

    `severities` begin with the oldest image, null where its findings are not known. `images` are the newest first.
    """

    severities: dict[Severity, list[int | None]]
    images: list[RepositoryImage]


def find_layer_findings(store: Store, digest: str) -> Mapping[tuple[int, str | None], LayerFindings]:
    """Return what each layer of an image brought, by the platform's position and the layer's digest."""
    with store.database.read():
        placed_contents = list(store.fleet.iterate_contents_of_image(digest))
        components = {number for _, content in placed_contents for number in content.counted_components}
        lives = store.trends.list_lives(components, has_past=False) if components else []
    present_severities: dict[int, list[Severity]] = {}
    for life in lives:
        present_severities.setdefault(life.component, []).append(life.severity)
    layers: dict[tuple[int, str | None], tuple[int, list[Severity]]] = {}
    for entry, content in placed_contents:
        package_count, severities = layers.get((entry.platform, entry.layer), (0, []))
        severities = severities + [
            severity for number in content.counted_components for severity in present_severities.get(number, ())
        ]
        package_count += sum(content.counted_components.values()) + sum(content.owned_components.values())
        layers[entry.platform, entry.layer] = package_count, severities
    return {
        key: LayerFindings(package_count, _count_severities(severities))
        for key, (package_count, severities) in layers.items()
    }


def list_layers(
    platform: ScannedPlatform, number: int, findings: Mapping[tuple[int, str | None], LayerFindings]
) -> list[ImageLayer]:
    """List the layers of an image's platform of this position, with the findings of `find_layer_findings`."""
    inventory, origins = platform.inventory, platform.origins
    package_counts = Counter(package.layer for package in inventory.packages)
    layers = []
    for at, digest in enumerate(inventory.layers):
        origin = origins[at] if len(origins) == len(inventory.layers) else None
        layer_findings = findings.get((number, digest))
        layers.append(
            ImageLayer(
                position=at + 1,
                digest=digest,
                is_base=at < inventory.base_layers if inventory.base_layers else None,
                size=origin.size if origin else None,
                made_by=origin.command if origin else None,
                packages=package_counts[digest],
                findings={kind: count for count, kind in layer_findings.counts}
                if layer_findings
                else {}
                if findings
                else None,
            )
        )
    return layers


def find_tag_findings(store: Store, repository: str, tag: str, now: datetime, day_count: int) -> TagFindings:
    """Return the findings of a tag in the last days."""
    days = list_last_days(now, day_count)
    with store.database.read():
        periods = store.trends.list_tag_periods(repository, tag, MAX_DIGESTS)
        components = _read_components(store, {period.digest for period in periods})
        component_ids = {number for numbers in components.values() for number in numbers}
        lives = store.trends.list_lives(component_ids)
        begin = store.exposures.read_history_begin()
        names = {
            number: (entry.ecosystem, entry.name) for number, entry in store.fleet.iterate_components(component_ids)
        }
    by_component: dict[int, list[FindingLife]] = {}
    for life in lives:
        by_component.setdefault(life.component, []).append(life)

    def count_findings(digest: str, moment: str) -> Counts | None:
        if digest not in components:
            return None
        return _count_severities(
            life.severity
            for number in components[digest]
            for life in by_component.get(number, ())
            if life.opened_at <= moment < life.closed_at
        )

    present_time = format_time(now.replace(microsecond=999_000))
    series: dict[Severity, list[int | None]] = {severity: [] for severity in Severity}
    for day in days:
        moment = min(f"{day}T23:59:59.999Z", present_time)
        present_period = next((period for period in periods if _is_lasting_at(period, moment)), None)
        is_known = present_period is not None and begin.has_findings_at(moment)
        day_counts = count_findings(present_period.digest, moment) if present_period and is_known else None
        numbers = None if day_counts is None else {severity: count for count, severity in day_counts}
        for severity, values in series.items():
            values.append(None if numbers is None else numbers.get(severity, 0))
    digests = [
        DigestFindings(
            period.digest,
            period.since,
            period.until,
            count_findings(period.digest, min(period.until or ALWAYS, present_time)),
            _count_endings(period, periods, components, names, by_component),
        )
        for period in periods
    ]
    return TagFindings(days, series, digests)


def find_repository_findings(store: Store, repository: str) -> RepositoryFindings:
    """Return the findings of the newest images of a repository."""
    with store.database.read():
        periods = store.trends.list_newest_periods(repository, MAX_DIGESTS)
        components = _read_components(store, {period.digest for period in periods})
        component_ids = {number for numbers in components.values() for number in numbers}
        lives = store.trends.list_lives(component_ids, has_past=False)
        is_matched = store.exposures.read_history_begin().findings_since is not None
    present_severities: dict[int, list[Severity]] = {}
    for life in lives:
        present_severities.setdefault(life.component, []).append(life.severity)
    images = []
    for period in periods:
        numbers = components.get(period.digest)
        counts = (
            None
            if numbers is None
            else _count_severities(severity for number in numbers for severity in present_severities.get(number, ()))
        )
        images.append(RepositoryImage(period.digest, period.tag, period.since, counts))
    known_counts = [image.counts if is_matched else None for image in reversed(images)]
    severities: dict[Severity, list[int | None]] = {
        severity: [
            None if counts is None else sum(count for count, kind in counts if kind is severity)
            for counts in known_counts
        ]
        for severity in Severity
    }
    return RepositoryFindings(severities, images)


def _count_endings(
    period: TagPeriod,
    periods: Sequence[TagPeriod],
    components: Mapping[str, set[int]],
    names: Mapping[int, tuple[str, str]],
    lives: Mapping[int, Sequence[FindingLife]],
) -> dict[str, int]:
    """Return what became of the findings of an image when the tag moved on."""
    until = period.until
    if until is None or period.digest not in components:
        return {}

    def list_findings(digest: str) -> list[FindingLife]:
        return [
            life
            for number in components[digest]
            for life in lives.get(number, ())
            if life.opened_at <= until < life.closed_at
        ]

    next_digest = next((entry.digest for entry in periods if entry.since == until and entry is not period), None)
    if next_digest is None or next_digest not in components:
        return dict(Counter(ClosingReason.MOVED.value for _ in list_findings(period.digest)))
    still = {(names[life.component], life.vulnerability) for life in list_findings(next_digest)}
    packages = {names[number] for number in components[next_digest] if number in names}

    def find_closing_reason(life: FindingLife) -> ClosingReason:
        name = names[life.component]
        if (name, life.vulnerability) in still:
            return ClosingReason.MOVED
        return ClosingReason.UPGRADED if name in packages else ClosingReason.REMOVED

    return dict(Counter(find_closing_reason(life).value for life in list_findings(period.digest)))


def _read_components(store: Store, digests: set[str]) -> dict[str, set[int]]:
    """Return the components of each image that is in the index."""
    images = store.trends.list_image_ids(digests)
    placed_bundles = list(store.fleet.iterate_bundles_of_images(images.values())) if images else []
    contents = dict(store.fleet.iterate_bundles({entry.bundle for entry in placed_bundles})) if placed_bundles else {}
    by_image: dict[int, set[int]] = {number: set() for number in images.values()}
    for entry in placed_bundles:
        by_image[entry.image].update(contents[entry.bundle].counted_components)
    return {digest: by_image[number] for digest, number in images.items()}


def _is_lasting_at(period: TagPeriod, moment: str) -> bool:
    return period.since <= moment and (period.until is None or period.until > moment)


def _count_severities(severities: Iterable[Severity]) -> Counts:
    entries = list(severities)
    return [(entries.count(severity), severity) for severity in Severity if severity in entries]
