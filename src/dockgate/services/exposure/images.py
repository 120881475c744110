"""The content of the images in an answer: where, since when, and what excuses it there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dockgate.services.exposure.answer import ExposedImage, ExposedPackage, LocationPeriod, RunningService
from dockgate.services.exposure.blocking_verdicts import BlockingVerdicts
from dockgate.services.exposure.finding_life import Excuse, LifeStep, Presence, describe_life
from dockgate.services.exposure.finding_waivers import ExposedFinding, FindingWaiver, WaiverFinder
from dockgate.services.exposure.image_statuses import ImageStatus
from dockgate.store import Store
from dockgate.store.exposure.records import AffectedComponent, ComponentOccurrence, ExposureScope, Successor
from dockgate.store.fleet.records import ClosingReason, Component, IndexedImage, TagPeriod, Vulnerability
from dockgate.store.images.image_filter import Origin
from dockgate.vulnerabilities.model import Severity


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of a question: components, with their findings if it is about a vulnerability.

    `affected_components` are those of the time of the question, `past_components` all that have ended, oldest first.
    """

    is_vulnerability: bool
    components: Mapping[int, Component]
    vulnerabilities: Mapping[int, Vulnerability] = field(default_factory=dict)
    affected_components: Mapping[int, Sequence[AffectedComponent]] = field(default_factory=dict)
    past_components: Mapping[int, Sequence[AffectedComponent]] = field(default_factory=dict)

    def make_finding(self, component: AffectedComponent) -> ExposedFinding:
        """A vulnerability of one of the components."""
        package = self.components[component.component].to_package()
        return ExposedFinding(package, component, self.vulnerabilities[component.vulnerability])

    def list_findings(self) -> list[ExposedFinding]:
        """Return the vulnerabilities of all components."""
        return [self.make_finding(component) for entries in self.affected_components.values() for component in entries]


class ImageContents:
    """The locations of a subject in images, and what excuses it there: each is read once."""

    def __init__(
        self, store: Store, subject: Subject, scope: ExposureScope, waiver_finder: WaiverFinder | None, now: str
    ) -> None:
        self._store = store
        self._subject = subject
        self._scope = scope
        self._waiver_finder = waiver_finder
        self._moment = now
        self._occurrences: dict[int, list[ComponentOccurrence]] = {}
        self._successors: dict[TagPeriod, Successor] = {}
        self._packages: dict[int, list[ExposedPackage]] = {}
        # By id, and by digest.
        self.images: dict[int, IndexedImage] = {}
        self.tag_periods: dict[str, Sequence[TagPeriod]] = {}
        # By digest: the times in which the image was in any repository of the scope, with the tags that moved on.
        self._presence_times: dict[str, Sequence[_PresenceTime]] = {}
        # Digests of images that are used, also when their tags have moved on.
        self._used_images: set[str] = set()

    def read(self, numbers: Sequence[int]) -> None:
        """Read what is not read yet of these images."""
        missing_numbers = [number for number in numbers if number not in self.images]
        if not missing_numbers:
            return
        history = self._scope._replace(should_include_moved=True)
        for image, periods in self._store.exposures.list_image_periods(missing_numbers, history):
            self.images[image.id] = image
            self.tag_periods[image.digest] = [period for period in periods if self._scope.has_period(period)]
            self._presence_times[image.digest] = _merge_presence_times(periods)
        missing_digests = [self.images[number].digest for number in missing_numbers]
        if self._scope.should_include_moved:
            self._used_images |= self._store.exposures.list_used_images(missing_digests, self._scope)
        elif self._scope.at is None:  # otherwise they would not be in the answer
            self._used_images.update(missing_digests)
        is_owned = not self._subject.is_vulnerability
        for occurrence in self._store.exposures.list_occurrences(
            missing_numbers, self._subject.components, is_owned=is_owned
        ):
            self._occurrences.setdefault(occurrence.image, []).append(occurrence)
        present_components = {
            occurrence.component for number in missing_numbers for occurrence in self._occurrences.get(number, ())
        }
        presence_times = [presence_time for digest in missing_digests for presence_time in self._presence_times[digest]]
        ended_periods = [period for presence_time in presence_times for period in presence_time.ended_periods]
        components = [self._subject.components[number] for number in present_components]
        names = {(component.ecosystem, component.name) for component in components}
        self._successors |= self._store.exposures.list_successors(ended_periods, names)
        if self._waiver_finder:
            self._waiver_finder.prepare(missing_digests)

    def list_packages(self, number: int) -> list[ExposedPackage]:
        """Return the packages of an image that was read."""
        if number not in self._packages:
            self._packages[number] = self._read_packages(self.images[number])
        return self._packages[number]

    def is_waived(self, number: int) -> bool:
        """Return whether something excuses a finding of an image that was read."""
        image = self.images[number]
        repositories, subject = self._list_repositories(image), self._subject
        return self._waiver_finder is not None and any(
            self._waiver_finder.find(image, repositories, subject.make_finding(affected_component))
            for occurrence in self._occurrences.get(number, ())
            for affected_component in subject.affected_components.get(occurrence.component, ())
        )

    def _list_repositories(self, image: IndexedImage) -> Sequence[str]:
        """Return where an image is; its own repository, whose waivers count, if it is in none any more."""
        scanned_in = [image.repository] if self._scope.has_repository(image.repository) else []
        return sorted({period.repository for period in self.tag_periods[image.digest]}) or scanned_in

    def _read_packages(self, image: IndexedImage) -> list[ExposedPackage]:
        """The packages of the image that the question is about, each with each vulnerability; the worst first."""
        subject = self._subject
        presence_times = [*self._presence_times[image.digest]]
        if presence_times and image.digest in self._used_images:
            presence_times[-1] = _PresenceTime(presence_times[-1].since, None, [])
        # With tags that moved on, the answer is about all the times in which the image was there.
        since = presence_times[0 if self._scope.should_include_moved else -1].since if presence_times else image.seen_at
        repositories = self._list_repositories(image)
        entries: list[tuple[ComponentOccurrence, AffectedComponent | None]] = [
            (occurrence, affected_component)
            for occurrence in self._occurrences.get(image.id, ())
            for affected_component in (
                subject.affected_components.get(occurrence.component, ()) if subject.is_vulnerability else (None,)
            )
        ]
        packages = []
        for occurrence, affected_component in entries:
            component = subject.components[occurrence.component]
            vulnerability = subject.vulnerabilities[affected_component.vulnerability] if affected_component else None
            package_waivers: list[FindingWaiver] = []
            life: list[LifeStep] = []
            image_presences = [
                self._make_presence(image, presence_time, occurrence.component) for presence_time in presence_times
            ]
            last_presence = image_presences[-1] if image_presences and image_presences[-1].until else None
            end, ended_by = _find_end(last_presence, affected_component)
            exposed_since = max(since, affected_component.opened) if affected_component else since
            if affected_component and vulnerability:
                presences = self._list_presences(image_presences or [Presence(since)], affected_component)
                last = max(presences, key=lambda entry: entry.since)
                if end is not None and end <= exposed_since and last.until is not None:
                    # The advisory came back when the image was in no repository any longer.
                    exposed_since, end, ended_by = last.since, last.until, last.reason
                excuses: list[Excuse] = []
                if self._waiver_finder:
                    finding, first = subject.make_finding(affected_component), min(entry.since for entry in presences)
                    package_waivers = self._waiver_finder.find(image, repositories, finding)
                    excuses = self._waiver_finder.find_excuses(image, repositories, finding, first)
                life = describe_life(presences, excuses, self._moment)
            packages.append(
                ExposedPackage(
                    name=component.name,
                    version=component.version,
                    purl=component.purl,
                    ecosystem=component.ecosystem,
                    platform=occurrence.platform,
                    layer=occurrence.layer,
                    origin=_determine_origin(occurrence),
                    is_owned=occurrence.is_owned,
                    paths=occurrence.path_count,
                    vulnerability=vulnerability.name if vulnerability else None,
                    severity=affected_component.severity.value if affected_component else None,
                    fixed=affected_component.fixed if affected_component else None,
                    since=exposed_since,
                    until=end,
                    ended_by=ended_by,
                    waived=package_waivers,
                    life=life,
                )
            )
        return sorted(packages, key=lambda entry: (Severity(entry.severity).rank if entry.severity else 0, entry.purl))

    def _list_presences(self, image_presences: Sequence[Presence], component: AffectedComponent) -> list[Presence]:
        """Return when an image had a finding while it was in a repository, the present or last time included."""
        findings = [Presence(component.opened, component.closed, component.why)]
        findings += [
            Presence(past.opened, past.closed, past.why)
            for past in self._subject.past_components.get(component.component, ())
            if past.vulnerability == component.vulnerability and past.opened != component.opened
        ]
        presences = []
        for entry in findings:
            for image_presence in image_presences:
                is_over = entry.until is not None and entry.until <= image_presence.since
                if is_over or (image_presence.until and entry.since >= image_presence.until):
                    continue
                is_earlier = entry.until is not None and (
                    not image_presence.until or entry.until <= image_presence.until
                )
                first_end = entry if is_earlier else image_presence
                presences.append(Presence(max(image_presence.since, entry.since), first_end.until, first_end.reason))
        if presences:
            return presences
        last = image_presences[-1]
        if last.until is not None and last.until <= component.opened:  # it became known when the image had moved on
            return [Presence(last.until, last.until, last.reason)]
        return [Presence(max(image_presences[0].since, component.opened))]

    def _make_presence(self, image: IndexedImage, presence_time: "_PresenceTime", component: int) -> Presence:
        """Return when an image was in a repository. If it left, the reason depends on the component."""
        if presence_time.until is None:
            return Presence(presence_time.since)
        if image.gone_at is not None and image.gone_at <= presence_time.until:
            return Presence(presence_time.since, presence_time.until, ClosingReason.GONE)
        whys = {self._explain_move(period, component) for period in presence_time.ended_periods}
        return Presence(presence_time.since, presence_time.until, whys.pop() if len(whys) == 1 else ClosingReason.MOVED)

    def _explain_move(self, period: TagPeriod, component: int) -> ClosingReason:
        successor = self._successors.get(period)
        if successor is None or successor.versions is None:
            return ClosingReason.MOVED
        entry = self._subject.components[component]
        versions = successor.versions.get((entry.ecosystem, entry.name), ())
        if not versions:
            return ClosingReason.REMOVED
        # The other version may have the vulnerability, too; every version is one that a question may be about.
        is_still_there = any(number in self._subject.components for number in versions)
        return ClosingReason.MOVED if is_still_there else ClosingReason.UPGRADED


@dataclass(frozen=True, slots=True)
class _PresenceTime:
    """A time in which an image was in any repository, and the periods with which it ended."""

    since: str
    until: str | None
    ended_periods: list[TagPeriod]


def _merge_presence_times(periods: Sequence[TagPeriod]) -> list[_PresenceTime]:
    """Return the times in which an image was in any repository, the oldest first."""
    presence_times: list[_PresenceTime] = []
    for period in sorted(periods, key=lambda entry: entry.since):
        last = (
            presence_times.pop()
            if presence_times and (presence_times[-1].until is None or period.since <= presence_times[-1].until)
            else None
        )
        if last is None:
            presence_times.append(_PresenceTime(period.since, period.until, [period] if period.until else []))
        elif last.until is None or period.until is None:
            presence_times.append(_PresenceTime(last.since, None, []))
        else:
            until = max(last.until, period.until)
            presence_times.append(
                _PresenceTime(
                    last.since,
                    until,
                    [entry for entry in (*last.ended_periods, period) if entry.until == until],
                )
            )
    return presence_times


def view_image(
    contents: ImageContents,
    number: int,
    status: ImageStatus | None,
    services: Sequence[RunningService],
    pipelines: Sequence[str],
    blocking: BlockingVerdicts,
) -> ExposedImage:
    """An image of the answer, with those of the services that run it."""
    image = contents.images[number]
    return ExposedImage(
        digest=image.digest,
        seen_at=image.seen_at,
        status=status.status if status else None,
        undetermined_reason=status.undetermined_reason if status else None,
        places=[
            LocationPeriod(entry.repository, entry.tag, entry.since, entry.until)
            for entry in contents.tag_periods[image.digest]
        ],
        services=[service for service in services if service.digest == image.digest],
        pipelines=list(pipelines),
        packages=contents.list_packages(number),
        verdict=blocking.find_verdict(image.digest),
        is_blocking=blocking.is_blocking(image.digest),
        blocked_by=blocking.find_message(image.digest),
    )


def _determine_origin(occurrence: ComponentOccurrence) -> Origin:
    if occurrence.is_base is None:
        return Origin.UNKNOWN
    return Origin.BASE if occurrence.is_base else Origin.OWN


def _find_end(presence: Presence | None, component: AffectedComponent | None) -> tuple[str | None, str | None]:
    """Return when and why an image has a finding no longer. `presence` is when it was in a repository."""
    until = presence.until if presence else None
    if component is not None and component.closed is not None and (until is None or component.closed <= until):
        return component.closed, component.why
    return until, presence.reason if presence else None
