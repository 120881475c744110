"""The events of a policy's verdicts that get another status: what each was before, and why it changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from dockgate.events.dockgate_events import make_verdict_changed
from dockgate.events.model import NewEvent
from dockgate.gate.model import Status
from dockgate.services.images.unused_images import find_unused_images
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.shared.timestamps import format_time, shift_time, to_datetime
from dockgate.store import Store
from dockgate.store.fleet.changes import RecentFindings
from dockgate.store.fleet.records import FleetVerdict, IndexedImage, VerdictChange
from dockgate.store.records import ImageLocation
from dockgate.vulnerabilities.model import Severity

# A verdict changes because of a finding that has been new for so long at most, or of a waiver that ended since.
RECENT = timedelta(hours=1)
_SEVERITIES = list(Severity)


@dataclass(slots=True)
class ChangeEvents:
    """The events of verdicts on `images` that change at `now`. An image that nothing uses has none.

    `stored_verdicts` are the present ones. The status before a policy's first verdict on an image is that of
    `former_verdicts`, its last verdict by whatever policy, else that of the newest recorded verdict of the policy, for
    instance on the push.
    """

    store: Store
    waivers: ServerWaivers
    policy: str
    now: str
    images: Mapping[int, IndexedImage]
    stored_verdicts: Mapping[int, FleetVerdict]
    former_verdicts: Mapping[int, FleetVerdict]
    _recorded_statuses: Mapping[ImageLocation, Status] = field(default_factory=dict, init=False)
    _vulnerabilities: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict, init=False)
    _recent_findings: RecentFindings | None = field(default=None, init=False)
    _reasons: Mapping[ImageLocation, str] = field(default_factory=dict, init=False)
    _unused_locations: set[ImageLocation] = field(default_factory=set, init=False)

    def prepare(self, verdicts: Sequence[FleetVerdict]) -> None:
        """Read what the events of these verdicts need, before the transaction that writes them."""
        first = [self.images[verdict.image].digest for verdict in verdicts if verdict.image not in self.stored_verdicts]
        self._recorded_statuses = self.store.verdicts.list_newest_statuses(self.policy, first)
        changing = [
            verdict
            for verdict in verdicts
            if self._find_status_before(verdict, self.stored_verdicts.get(verdict.image)) not in (None, verdict.status)
        ]
        since = format_time(shift_time(to_datetime(self.now), -RECENT))
        unapproved_images = {
            self._get_location(verdict)[1] for verdict in changing if verdict.status is not Status.APPROVED
        }
        self._unused_locations = find_unused_images(self.store, [self._get_location(verdict) for verdict in changing])
        changes = self.store.fleet_changes
        if unapproved_images and self._recent_findings is None:
            self._recent_findings = changes.list_recent_findings(since, self.now)
        self._vulnerabilities = (
            changes.list_vulnerabilities_of(unapproved_images, self._recent_findings) if self._recent_findings else {}
        )
        less_waived_locations = {
            self._get_location(verdict): stored_verdict.since
            for verdict in changing
            if (stored_verdict := self.stored_verdicts.get(verdict.image)) is not None
            and stored_verdict.waived_count > verdict.waived_count
        }
        self._reasons = self.waivers.explain_ends(less_waived_locations, since)

    def make(self, changes: Sequence[VerdictChange]) -> list[NewEvent]:
        """The events of the verdicts that were written: of those that got another status."""
        return [
            self._make_event(change, previous)
            for change in changes
            if (previous := self._find_status_before(change.verdict, change.previous)) is not None
            and previous is not change.verdict.status
            and self._get_location(change.verdict) not in self._unused_locations
        ]

    def _make_event(self, change: VerdictChange, previous: Status) -> NewEvent:
        verdict, (repository, image) = change.verdict, self._get_location(change.verdict)
        is_first = change.previous is None and verdict.image in self.former_verdicts
        return make_verdict_changed(
            image,
            repository,
            self.policy,
            previous,
            verdict.status,
            dict(zip(_SEVERITIES, verdict.counts, strict=True)),
            verdict.since,
            former_policy=self.former_verdicts[verdict.image].policy if is_first else None,
            reason=self._reasons.get(ImageLocation(repository, image)),
            vulnerabilities=self._vulnerabilities.get(image, ()),
        )

    def _find_status_before(self, verdict: FleetVerdict, previous: FleetVerdict | None) -> Status | None:
        if previous is not None:
            return previous.status
        if verdict.image in self.former_verdicts:
            return self.former_verdicts[verdict.image].status
        return self._recorded_statuses.get(self._get_location(verdict))

    def _get_location(self, verdict: FleetVerdict) -> ImageLocation:
        image = self.images[verdict.image]
        return ImageLocation(image.repository, image.digest)
