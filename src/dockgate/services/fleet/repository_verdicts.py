"""Verdicts on images that are in several repositories, by the policy and the waivers of each.

The fleet judges an image once, in the repository where it was read. In every other one it is judged as on a push, again
whenever something changes that decides of it. Such a verdict informs, and approves nothing. Images that were approved
there are judged by `services.approvals.followed_images`; their owners are notified here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from dockgate.events.dockgate_events import make_verdict_changed, make_watch_ended
from dockgate.gate.model import PlatformVerdict, Status, Verdict
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.fleet.advisory_revisions import AdvisoryRevisions, PolicyRevision
from dockgate.services.images.unused_images import find_unused_images
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.reconciler_rounds import Completion, RoundRobin
from dockgate.services.verdicts.exemption_revisions import ExemptionRevisions
from dockgate.services.verdicts.stale_advisories import has_only_stale_advisories
from dockgate.services.verdicts.verdicts import RenewedPushVerdict, Verdicts
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.store import Store
from dockgate.store.fleet.changes import VULNERABILITIES_LIMIT
from dockgate.store.records import ImageLocation, VerdictRecord
from dockgate.vulnerabilities.model import Finding, Severity

# An older end is not announced: a restart would announce it again once its event is deleted.
ANNOUNCED_DAYS = 1.0


class _ReviewedImage(NamedTuple):
    """When to judge an image again though nothing but the time changes, and the number of the verdict that was stored.

    None for never, and for no verdict.
    """

    next_at: str | None = None
    number: int | None = None


@dataclass(slots=True)
class RepositoryVerdicts:
    """The verdicts on watched images in the repositories where the fleet does not judge them."""

    store: Store
    verdicts: Verdicts
    selection: PolicySelection
    exemptions: ExemptionRevisions
    advisory_revisions: AdvisoryRevisions
    watched_images: WatchedImages
    clock: ServerClock
    effects: Effects
    _round_robin: RoundRobin[ImageLocation] = field(default_factory=RoundRobin, init=False)

    def review(self) -> None:
        """Judge the images again whose inputs changed, or whose verdict the time may have changed."""
        now = self.clock.now()
        other_locations = self.store.tag_history.list_other_repositories()
        clear = self.selection.find_clear_assignments({repository for repository, _, _ in other_locations})
        scans = {
            ImageLocation(repository, image): scan for repository, image, scan in other_locations if repository in clear
        }
        images = {image for _, image in scans}
        advisories = self.advisory_revisions.read(images)
        watches = self.watched_images.read_watches(scans.keys())
        exemptions = self.exemptions.compute(scans.keys(), now)
        # Another verdict, such as the answer of an approval, may be one that the owners do not know.
        numbers = self.store.verdicts.list_newest_numbers_by_location(images)
        provenance = self.store.provenance.list_revisions(scans.keys())
        policies_by_image = self.store.followed_images.list_policies(images)
        pushers = self.store.images.list_pushers_by_location(images)

        @cache
        def compute_inputs(repository: str) -> tuple[PolicyRevision, bool]:
            """Return what decides of any image in a repository."""
            loaded_policy = self.selection.read(self.selection.get_policy_name(repository))
            return advisories.compute_policy_revision(loaded_policy), self.store.pipelines.is_built(repository)

        def compute_state(location: ImageLocation, number: int | None = None) -> str:
            """Return what decides of an image. Its newest verdict has this number, None for the one that was read."""
            repository, image = location
            policy, is_built = compute_inputs(repository)
            inputs = (
                advisories.get_revision(image, has_epss_rule=policy.has_epss_rule),
                policy.text,
                is_built,
                exemptions[location],
                pushers.get(location, ()),
                scans[location],
                watches[location].is_watched,
                provenance[location],
                numbers.get(location) if number is None else number,
                policies_by_image.get(location, ()),
            )
            return compute_digest(canonical.encode(inputs))

        def judge(location: ImageLocation) -> Completion | None:
            result = self.effects.run(EffectKind.REJUDGE, self._judge, *location)
            is_same = advisories.is_settled and self.verdicts.read_advisory_digest() == advisories.database
            if result is None or not is_same:
                return None
            # The verdict that was just recorded is no reason to judge the image once more.
            state = None if result.number is None else compute_state(location, result.number)
            return Completion(now, result.next_at, state)

        self._round_robin.run(scans, compute_state, judge, "judging", now)

    def _judge(self, repository: str, image: str) -> _ReviewedImage | None:
        """Judge an image in a repository, and record its verdict if it has changed. None while it is being scanned."""
        watch = self.watched_images.read_state(repository, image)
        if not watch.is_watched:
            self._announce_end(repository, image, watch.until)
            return _ReviewedImage()
        renewal = self.verdicts.renew_push(image, repository)
        if renewal is None:
            return None
        number = self._record(renewal.renewed_verdict) if renewal.renewed_verdict is not None else None
        return _ReviewedImage(renewal.next_at, number)

    def _record(self, renewed_verdict: RenewedPushVerdict) -> int:
        """Record the verdict with the event of its change, and return the verdict's number."""
        verdict, repository, previous = renewed_verdict.verdict, renewed_verdict.repository, renewed_verdict.previous
        image = verdict.image
        last_verdict = self._find_last_known_verdict(repository, image, previous)
        is_changed = not has_only_stale_advisories(verdict) and last_verdict.status != verdict.status
        if is_changed and not find_unused_images(self.store, [ImageLocation(repository, image)]):
            # Before the verdict: a crash in between repeats it under the same id.
            names = (image, repository, verdict.policy, last_verdict.status, verdict.status)
            event = make_verdict_changed(
                *names,
                _count_most_findings(verdict.platform_verdicts),
                verdict.inputs.now,
                change_key=f"{repository}/{previous.digest}",
                former_policy=last_verdict.policy,
                vulnerabilities=self._list_new_vulnerabilities(verdict, last_verdict)
                if verdict.status != Status.APPROVED
                else (),
            )
            self.store.event_log.record([event])
        return self.verdicts.store_renewal(renewed_verdict)

    def _announce_end(self, repository: str, image: str, until: str | None) -> None:
        """Record the event that the image is not watched there any more, if it ended a day ago at most.

        Each end has one event, because its id has the time.
        """
        before = self.watched_images.retention_clock.compute_time_before(ANNOUNCED_DAYS)
        if until is None or until <= before or find_unused_images(self.store, [ImageLocation(repository, image)]):
            return
        record = next(iter(self._list_unrequested(repository, image)), None)
        if record is not None:
            event = make_watch_ended(image, repository, record.policy, record.status, until, self.clock.now())
            self.store.event_log.record([event])

    def _list_new_vulnerabilities(self, verdict: Verdict, before: VerdictRecord) -> list[dict[str, str]]:
        """Return the vulnerabilities that are new or changed severity since the last verdict, worst first."""
        previous = {_make_key(finding) for finding in _list_findings(self.store.verdicts.get(before.digest))}
        new = [finding for finding in _list_findings(verdict) if _make_key(finding) not in previous]
        new.sort(key=lambda finding: (not finding.exploited, list(Severity).index(finding.severity), finding.id))
        severities = {finding.id: finding.severity.value for finding in reversed(new)}
        worst_first = list(reversed(severities.items()))[:VULNERABILITIES_LIMIT]
        return [{"id": name, "severity": severity} for name, severity in worst_first]

    def _find_last_known_verdict(self, repository: str, image: str, previous: VerdictRecord) -> VerdictRecord:
        """Return the previous verdict, or the last one before advisories became stale or missing."""
        if previous.status != Status.UNDETERMINED:
            return previous
        known_records = (
            record
            for record in self._list_unrequested(repository, image)
            if not has_only_stale_advisories(self.store.verdicts.get(record.digest))
        )
        return next(known_records, previous)

    def _list_unrequested(self, repository: str, image: str) -> list[VerdictRecord]:
        """Return the verdicts in the repository that no request asked for, the newest first."""
        records = self.store.verdicts.list_of_image(image)
        return [record for record in records if record.repository == repository and not record.is_requested]


def _list_findings(verdict: Verdict) -> Iterator[Finding]:
    return (finding for platform in verdict.platform_verdicts for finding in platform.findings)


def _make_key(finding: Finding) -> tuple[str, Severity, bool]:
    """Return what a message about a finding depends on."""
    return finding.id, finding.severity, bool(finding.exploited)


def _count_most_findings(verdicts: Sequence[PlatformVerdict]) -> dict[str, int]:
    """Return the most findings of any platform, by severity."""
    return {
        severity.value: max((verdict.counts.get(severity, 0) for verdict in verdicts), default=0)
        for severity in Severity
    }
