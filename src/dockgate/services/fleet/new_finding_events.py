"""Events of findings that became known, or worse, in images that are kept.

A change of the advisories records which findings are new or worse (`store.fleet.changes`). After the verdicts are
renewed, the images that have them get their events: `Inspector2 Finding` in the shape of AWS, and `finding.exploited`
where KEV lists a vulnerability and no other status says so. Their ids are derived from image and finding, so that a
finding that comes and goes has one event, and their number is bounded.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dockgate.events.aws_events import MAX_FINDINGS, is_bad, make_finding_of_image
from dockgate.events.dockgate_events import make_finding_exploited
from dockgate.events.model import NewEvent
from dockgate.events.verdict_events import MAX_TAGS
from dockgate.gate import vex_statements, waivers
from dockgate.gate.fleet.model import FleetWaivers
from dockgate.gate.model import ExemptionSet, Policy
from dockgate.gate.policy_choice import DEFAULT_POLICY
from dockgate.scanner.model import Inventory
from dockgate.services.clock import ServerClock
from dockgate.services.fleet.indexed_image_judge import IndexedImageJudge
from dockgate.services.images.unused_images import find_unused_images
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.policies.selection import PolicySelection
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store import Store
from dockgate.store.fleet.changes import VULNERABILITIES_LIMIT, ComponentLocation, NewFinding
from dockgate.store.fleet.records import NewFindingKind
from dockgate.store.records import ImageLocation
from dockgate.vulnerabilities.model import Finding, Matches, Severity

# Events of one change of the advisories: those of the worst findings.
EVENTS_LIMIT = 500
# The worst findings are looked at, whether or not they have events; so many at once, and so many images of these.
FINDINGS_LIMIT, FINDINGS_TOGETHER, IMAGES_LIMIT = 1_000, 50, 1_000


@dataclass(frozen=True, slots=True)
class _FindingChange:
    """A finding that is new or worse, and since when. `opened_at` is when the index first had it."""

    new_finding: NewFinding
    finding: Finding
    opened_at: str

    @property
    def change(self) -> str | None:
        """The change of it, None if it is new."""
        if self.new_finding.kind == NewFindingKind.WORSE:
            return self.finding.severity.value
        return "exploited" if self.new_finding.kind == NewFindingKind.EXPLOITED else None


@dataclass(slots=True)
class NewFindingEvents:
    """The events of findings that are new or worse."""

    store: Store
    selection: PolicySelection
    watched_images: WatchedImages
    image_judge: IndexedImageJudge
    clock: ServerClock
    # By repository: its policy.
    _policies: dict[str, str] = field(default_factory=dict, init=False)
    _waivers: dict[str, tuple[Policy, FleetWaivers]] = field(default_factory=dict, init=False)

    def make(self, new_findings: Sequence[NewFinding]) -> list[NewEvent]:
        """The events of the worst of these findings, in the images that are watched and used."""
        events: list[NewEvent] = []
        findings = self._select_bad_findings(new_findings)[:FINDINGS_LIMIT]
        for start in range(0, len(findings), FINDINGS_TOGETHER):
            if len(events) >= EVENTS_LIMIT:
                break
            events += self._make_events(findings[start : start + FINDINGS_TOGETHER])
        return events[:EVENTS_LIMIT]

    def _select_bad_findings(self, new_findings: Sequence[NewFinding]) -> list[_FindingChange]:
        """Return those of the findings that have events, the worst first."""
        by_finding = {(entry.component, entry.vulnerability): entry for entry in new_findings}
        vulnerabilities = self.store.fleet_findings.list_vulnerabilities(
            {entry.vulnerability for entry in new_findings}
        )
        numbers = {entry.component for entry in new_findings}
        packages = {
            number: component.to_package() for number, component in self.store.fleet.iterate_components(numbers)
        }
        findings = [
            _FindingChange(
                entry, row.make_finding(packages[row.component], vulnerabilities[row.vulnerability]), row.opened
            )
            for row in self.store.fleet_findings.iterate_findings(numbers)
            if (entry := by_finding.get((row.component, row.vulnerability))) is not None
        ]
        return sorted((entry for entry in findings if is_bad(entry.finding)), key=_rank_finding)

    def _make_events(self, changes: Sequence[_FindingChange]) -> Iterator[NewEvent]:
        by_component: dict[int, list[_FindingChange]] = {}
        for entry in changes:
            by_component.setdefault(entry.new_finding.component, []).append(entry)
        running = {entry.digest for entry in self.store.services.list_running_images()}
        digests = self.store.fleet_changes.find_images_with(by_component)
        digests = sorted(digests, key=lambda digest: (digest not in running, digest))[:IMAGES_LIMIT]
        locations = self._list_locations(digests)
        by_image: dict[str, dict[int, ComponentLocation]] = {}
        for occurrence in self.store.fleet_changes.list_occurrences(by_component, {digest for _, digest in locations}):
            by_image.setdefault(occurrence.digest, {}).setdefault(occurrence.component, occurrence)
        for (repository, digest), tags in locations.items():
            image_findings = [
                (entry, occurrence) for number, occurrence in by_image[digest].items() for entry in by_component[number]
            ]
            image_findings.sort(key=lambda pair: _rank_finding(pair[0]))
            yield from self._make_image_events(repository, digest, tags, image_findings[:MAX_FINDINGS])

    def _list_locations(self, digests: Sequence[str]) -> dict[ImageLocation, list[str]]:
        """The repositories in which the images are watched and used, with their tags, in the order of the images."""
        locations = self.store.fleet_changes.list_tags(digests)
        clear = self.selection.find_clear_assignments({name for tags in locations.values() for name in tags})
        self._policies |= {name: entry.policy if entry else DEFAULT_POLICY for name, entry in clear.items()}
        tags = {
            ImageLocation(repository, digest): locations[digest][repository]
            for digest in digests
            for repository in locations.get(digest, ())
            if repository in clear
        }
        states = self.watched_images.read_states(tags)
        unused_locations = find_unused_images(self.store, tags)
        return {
            location: tags[location]
            for location in tags
            if states[location].is_watched and location not in unused_locations
        }

    def _make_image_events(
        self,
        repository: str,
        digest: str,
        tags: Sequence[str],
        image_findings: Sequence[tuple[_FindingChange, ComponentLocation]],
    ) -> Iterator[NewEvent]:
        now = self.clock.now()
        waived_findings = self._find_waived_findings(repository, digest, [entry.finding for entry, _ in image_findings])
        severities: dict[str, str] = {}
        for entry, occurrence in image_findings:
            is_waived = (entry.finding.id, entry.finding.package.purl) in waived_findings
            finding = replace(entry.finding, package=replace(entry.finding.package, layer=occurrence.layer))
            yield make_finding_of_image(
                *(repository, digest, tags[:MAX_TAGS], occurrence.platform, finding),
                is_waived=is_waived,
                first_at=entry.opened_at,
                time=now,
                change=entry.change,
            )
            if finding.exploited and entry.new_finding.kind != NewFindingKind.WORSE and not is_waived:
                severities.setdefault(finding.id, finding.severity.value)
        since = min(entry.new_finding.at for entry, _ in image_findings)
        if severities and self._has_same_status(image_findings[0][1].image, repository, since):
            first = list(severities.items())[:VULNERABILITIES_LIMIT]
            vulnerabilities = [{"id": name, "severity": severity} for name, severity in first]
            yield make_finding_exploited(digest, repository, vulnerabilities, now)

    def _has_same_status(self, image: int, repository: str, since: str) -> bool:
        """Return whether the verdict of an image has the status that it had at that time: otherwise it has an event.

        A status of a clock that was ahead was there before.
        """
        verdict = self.store.fleet_verdicts.list_of_policy(self._policies[repository], [image]).get(image)
        return verdict is not None and not since <= verdict.since <= compute_latest_time(self.clock.now())

    def _find_waived_findings(
        self, repository: str, digest: str, findings: Collection[Finding]
    ) -> set[tuple[str, str]]:
        """Return vulnerability and package of the findings that a waiver or a VEX statement excuses."""
        name, now = self._policies[repository], self.clock.now()
        if name not in self._waivers:
            policy, server_waivers = self.selection.read(name).policy, self.image_judge.waivers
            exemptions = server_waivers.read_exemptions(self.store.waivers.list_active(now))
            self._waivers[name] = policy, server_waivers.select_for_fleet(exemptions, policy)
        policy, all_waivers = self._waivers[name]
        statements = (*all_waivers.statements, *all_waivers.attached_statements.get(digest, ()))
        selected_waivers = waivers.select_waivers(all_waivers.waivers, repository, [digest], now)
        if not statements and not selected_waivers:
            return set()
        if selected_waivers and not self.image_judge.case_builder.should_apply_waivers(repository, digest):
            selected_waivers = waivers.select_waivers(all_waivers.waivers, None, [digest], now)
        packages = tuple({finding.package: None for finding in findings})
        inventory = Inventory(digest, None, None, (), packages, ())
        image_exemptions = ExemptionSet(
            selected_waivers, vex_statements.select_statements(statements, [digest], [inventory])
        )
        waived_matches = waivers.apply_to_findings(
            Matches(tuple(findings), ()), image_exemptions, policy, inventory, digest, now
        )
        excused_keys: Mapping[tuple[str, str], object] = {
            (entry.finding.id, entry.finding.package.purl): entry
            for entry in waived_matches.applied_waivers
            if entry.finding
        }
        return set(excused_keys)


def _rank_finding(change: _FindingChange) -> tuple[bool, int, str, str]:
    finding = change.finding
    return not finding.exploited, list(Severity).index(finding.severity), finding.id, finding.package.purl
