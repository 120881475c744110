"""What the images of an answer hold of what a question is about: where, since when, and what excuses it there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dockgate.gate.model import Status
from dockgate.services.exposure_acceptances import Acceptance, AcceptanceFinder
from dockgate.services.exposure_answer import ExposedImage, ExposedPackage, ImagePlace, RunningService
from dockgate.services.exposure_blocked import BlockingVerdicts
from dockgate.store import Store
from dockgate.store.exposure_records import AffectedComponent, Holding, Places
from dockgate.store.fleet_records import ClosingReason, Component, FleetImage, TagPeriod, Vulnerability
from dockgate.vulnerabilities.model import Severity


@dataclass(frozen=True, slots=True)
class Subject:
    """What a question is about: components, with their findings if it is about a vulnerability."""

    is_vulnerability: bool
    components: Mapping[int, Component]
    vulnerabilities: Mapping[int, Vulnerability] = field(default_factory=dict)
    affected: Mapping[int, Sequence[AffectedComponent]] = field(default_factory=dict)


class ImageContents:
    """What images hold of a subject, where they are, and what excuses it there: each is read once."""

    def __init__(self, store: Store, subject: Subject, places: Places, acceptances: AcceptanceFinder | None) -> None:
        self._store = store
        self._subject = subject
        self._places = places
        self._acceptances = acceptances
        self._holdings: dict[int, list[Holding]] = {}
        self._packages: dict[int, list[ExposedPackage]] = {}
        # By id, and by digest.
        self.images: dict[int, FleetImage] = {}
        self.where: dict[str, Sequence[TagPeriod]] = {}

    def read(self, numbers: Sequence[int]) -> None:
        """Read what is not read yet of these images."""
        missing = [number for number in numbers if number not in self.images]
        if not missing:
            return
        for image, periods in self._store.exposures.image_periods(missing, self._places):
            self.images[image.id] = image
            self.where[image.digest] = periods
        owned = not self._subject.is_vulnerability
        for holding in self._store.exposures.holdings(missing, self._subject.components, owned=owned):
            self._holdings.setdefault(holding.image, []).append(holding)
        if self._acceptances:
            self._acceptances.prepare([self.images[number].digest for number in missing])

    def packages(self, number: int) -> list[ExposedPackage]:
        """The packages of an image that was read."""
        if number not in self._packages:
            image = self.images[number]
            self._packages[number] = _packages(
                image,
                self._holdings.get(number, ()),
                self._subject,
                self.where[image.digest],
                self._acceptances,
                [image.repository] if self._places.has(image.repository) else [],
            )
        return self._packages[number]


def view_image(
    contents: ImageContents,
    number: int,
    status: Status | None,
    services: Sequence[RunningService],
    pipelines: Sequence[str],
    blocking: BlockingVerdicts,
) -> ExposedImage:
    """An image of the answer, with those of the services that run it."""
    image = contents.images[number]
    recorded = blocking.violations.get(image.digest)
    return ExposedImage(
        digest=image.digest,
        seen_at=image.seen_at,
        status=status,
        places=[
            ImagePlace(entry.repository, entry.tag or None, entry.since, entry.until)
            for entry in contents.where[image.digest]
        ],
        services=[service for service in services if service.digest == image.digest],
        pipelines=list(pipelines),
        packages=contents.packages(number),
        verdict=recorded.verdict if recorded else None,
        blocks=blocking.blocks(image.digest),
        blocked_by=blocking.message(image.digest),
    )


def _packages(
    image: FleetImage,
    holdings: Sequence[Holding],
    subject: Subject,
    periods: Sequence[TagPeriod],
    acceptances: AcceptanceFinder | None,
    elsewhere: Sequence[str],
) -> list[ExposedPackage]:
    """The packages of an image that a question is about, each with each vulnerability; the worst first.

    `elsewhere` are the repositories whose waivers count for an image without `periods`.
    """
    since = min((period.since for period in periods), default=image.seen_at)
    ends = [period.until for period in periods]
    until = None if None in ends or not ends else max(filter(None, ends))
    repositories = sorted({period.repository for period in periods}) or elsewhere
    entries: list[tuple[Holding, AffectedComponent | None]] = [
        (holding, affected)
        for holding in holdings
        for affected in (subject.affected.get(holding.component, ()) if subject.is_vulnerability else (None,))
    ]
    packages = []
    for holding, affected in entries:
        component = subject.components[holding.component]
        vulnerability = subject.vulnerabilities[affected.vulnerability] if affected else None
        waived: list[Acceptance] = []
        end, ended_by = _end(image, until, affected)
        if acceptances and affected and vulnerability:
            waived = acceptances.find(image, repositories, component.package(), affected, vulnerability)
        packages.append(
            ExposedPackage(
                name=component.name,
                version=component.version,
                purl=component.purl,
                ecosystem=component.ecosystem,
                platform=holding.platform,
                layer=holding.layer,
                origin="base" if holding.base else "own",
                is_owned=holding.owned,
                paths=holding.paths,
                vulnerability=vulnerability.name if vulnerability else None,
                severity=affected.severity.value if affected else None,
                fixed=affected.fixed or None if affected else None,
                since=max(since, affected.opened) if affected else since,
                until=end,
                ended_by=ended_by,
                waived=waived,
            )
        )
    return sorted(packages, key=lambda entry: (Severity(entry.severity).rank if entry.severity else 0, entry.purl))


def _end(image: FleetImage, moved: str | None, affected: AffectedComponent | None) -> tuple[str | None, str | None]:
    """When and why an image has a finding or package no longer. `moved` is when it was in its places last."""
    if affected is not None and affected.closed is not None and (moved is None or affected.closed <= moved):
        return affected.closed, affected.why
    if moved is None:
        return None, None
    return moved, ClosingReason.GONE if image.gone_at is not None and image.gone_at <= moved else ClosingReason.MOVED
