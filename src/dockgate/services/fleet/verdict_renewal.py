"""Keep the verdicts of the whole fleet current.

A change renews the verdicts that it touches, and no others. A renewal finds out what has changed (advisories, policies
and their assignments, waivers, VEX documents, images, the age of feeds, the time), judges the images that it can
concern, and writes the verdicts that differ, each with its event in one transaction. No documents are stored; a verdict
that decides something is made by `services.verdicts.verdicts`.

A renewal may be interrupted at any point, because of its order. What is stored by each step, and what the next renewal
finds after a crash that follows it:

1. `_match`: findings of new components, and of all that the advisories changed. The verdicts are unchanged:
   their `FleetJudgingInputs.source` differs from the index, so every policy judges all of its images.
2. `_renew` reads waivers, changes of single images (`DueImages.list`) and images whose time has come, before anything
   that may change afterwards. Nothing is lost: changes stay until a verdict takes them into account.
3. `PolicyRenewal.run` for each policy, in transactions of `WRITTEN_TOGETHER` verdicts with their events. Each but the
   last clears the judging inputs (`extend_judged_at`): the next renewal judges all images of the policy, and verdicts
   that are written already do not differ, so no event is repeated. The last one stores the judging inputs, deletes the
   changes that are taken into account, and lets images be due that could not be judged.
4. `FormerVerdicts.end` for each policy: verdicts on images that it no longer judges. Until then, events compare with
   these, also after a crash.
5. `DueImages.remove_unjudged`: changes of images without a verdict. They only cause one more renewal.
6. `_announce_findings`: events of new findings, in one transaction with the note that they are announced.

State in memory (`_reader`, `_finished_revision`) only saves work.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dockgate.delivery.ports import Advisories
from dockgate.gate.model import Status
from dockgate.gate.policy_choice import DEFAULT_POLICY, WatchStart
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.error_isolation import run_for_each
from dockgate.services.fleet.contents import FleetFacts
from dockgate.services.fleet.fixed_waivers import FixedWaivers
from dockgate.services.fleet.former_verdicts import FormerVerdicts
from dockgate.services.fleet.index import FleetIndex
from dockgate.services.fleet.indexed_image_judge import IndexedImageJudge
from dockgate.services.fleet.new_finding_events import NewFindingEvents
from dockgate.services.fleet.policy_renewal import MatchingResult, PolicyRenewal, RenewalInputs
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.policies.selection import PolicySelection
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DatabaseError
from dockgate.store import Store
from dockgate.store.fleet.records import FleetVerdict, IndexedImage
from dockgate.store.records import ImageLocation, WaiverRecord
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.model import Coverage, Severity
from dockgate.vulnerabilities.ports import AdvisoryReader

# The lock of the process that renews.
RENEWAL = "fleet verdicts"

_log = logging.getLogger(__name__)

# What differs between two open advisory databases for these CVEs; None if they cannot be compared.
CompareAdvisories = Callable[[AdvisoryReader, AdvisoryReader, Collection[str]], AdvisoryChanges | None]


@dataclass(slots=True)
class VerdictRenewal:
    """The renewal of the fleet's verdicts. One process at a time renews; another one returns at once."""

    store: Store
    index: FleetIndex
    image_judge: IndexedImageJudge
    selection: PolicySelection
    watched_images: WatchedImages
    advisories: Advisories
    compare_advisories: CompareAdvisories
    clock: ServerClock
    effects: Effects
    # The advisories of the last renewal in this process: still open, though another file has replaced them.
    _reader: AdvisoryReader | None = field(default=None, init=False)
    _finished_revision: str | None = field(default=None, init=False)
    # When a feed is so old that a policy says something else of it.
    _feeds_change_at: str | None = field(default=None, init=False)

    def renew(self) -> None:
        """Renew every verdict for which something has changed since it was judged."""
        with self.store.locks.try_hold(RENEWAL) as is_mine:
            if is_mine:
                self._renew()

    def _renew(self) -> None:
        self.index.add_missing()
        try:
            reader = self.advisories()
            match = self.effects.run(EffectKind.REMATCH, self._match, reader)
            coverage = reader.list_coverage()
        except DatabaseError as error:
            _log.warning("the fleet is not judged: %s", error)
            self.store.fleet_judging.mark_unjudgeable(self.clock.now())
            self._record_unjudged()
            self._finished_revision = None
            return
        now = self.clock.now()
        with self.store.database.read():  # one connection for all of it
            active_waivers = self.store.waivers.list_active(now)
            revision = self._compute_revision(match.source, active_waivers, coverage, now)
        # Before anything is read that may change afterwards.
        pending_changes = self.store.due_images.list()
        due_images: dict[str, set[int]] = {}
        for policy, image in self.store.fleet_verdicts.list_due_images(now):
            due_images.setdefault(policy, set()).add(image)
        has_feed_change = self._feeds_change_at is not None and self._feeds_change_at <= now
        if revision == self._finished_revision and not (due_images or pending_changes or has_feed_change):
            return
        # Use the waivers of the revision. A waiver that is read later could end before the next renewal, unnoticed.
        exemptions = self.image_judge.waivers.read_exemptions(active_waivers)
        groups, unwatched_images = self._group_images_by_policy()
        inputs = RenewalInputs(
            FleetFacts(self.store, coverage), match, self.index.find_unmatched_images(), pending_changes, exemptions
        )

        def judge() -> None:
            self._judge(inputs, groups, unwatched_images, due_images)

        fixed_waivers = FixedWaivers(self.store, self.effects, self.clock)
        # Events of changed verdicts name the waivers that have ended. What fails delays no events of findings.
        steps = (fixed_waivers.announce, judge, self._announce_findings)
        run_for_each(steps, lambda step: step(), lambda step: step.__name__)
        # From the beginning on: a feed may have become too old since the verdicts were made.
        feed_changes = (self.image_judge.find_feed_change(self.selection.read(name), coverage, now) for name in groups)
        self._feeds_change_at = min(filter(None, feed_changes), default=None)
        self._finished_revision = None if inputs.waiting_images else revision

    def _judge(
        self,
        inputs: RenewalInputs,
        groups: Mapping[str, Sequence[IndexedImage]],
        unwatched_images: Mapping[IndexedImage, str | None],
        due_images: Mapping[str, Collection[int]],
    ) -> None:
        """Renew the verdicts by each policy on the images of its group.

        `unwatched_images` have the ends of their watches, `due_images` are those whose verdict time may have changed.
        """
        renewals, former_verdicts = [], []
        for policy in sorted(self.store.fleet_judging.list_policies() | groups.keys()):
            images = [image for image in groups.get(policy, ()) if image.id not in inputs.waiting_images]
            present_images = self.store.fleet_verdicts.list_images(policy)
            renewals.append(
                PolicyRenewal(
                    self.store,
                    self.image_judge,
                    self.selection,
                    self.clock,
                    self.effects,
                    inputs,
                    policy,
                    images,
                    due_images.get(policy, ()),
                    present_images,
                )
            )
            former_images = present_images - {image.id for image in images} - set(inputs.waiting_images)
            former_verdicts.append(FormerVerdicts(self.store, self.clock, self.effects, policy, former_images))
        judged_images = {image.id for renewal in renewals for image in renewal.images}
        unjudged_images = judged_images.difference(*(renewal.present_images for renewal in renewals))
        former = self.store.fleet_verdicts.list_ended(unjudged_images) if unjudged_images else {}
        for entry in former_verdicts:
            former |= entry.read()
        run_for_each(renewals, lambda renewal: renewal.run(former), lambda renewal: renewal.policy)
        # Former verdicts end last. After a crash, the next renewal still needs them to compute events.
        run_for_each(
            former_verdicts, lambda entry: entry.end(judged_images, unwatched_images), lambda entry: entry.policy
        )
        if inputs.pending_changes:
            changes = [number for numbers in inputs.pending_changes.values() for number in numbers]
            self.effects.run(EffectKind.RENEW, self.store.due_images.remove_unjudged, changes)

    def _announce_findings(self) -> None:
        """Record the events of findings that are new or worse. Those of verdicts are there: these name them, too."""
        if new_findings := self.store.fleet_changes.list_unannounced_findings():
            event_maker = NewFindingEvents(
                self.store, self.selection, self.watched_images, self.image_judge, self.clock
            )
            self.effects.run(
                EffectKind.RENEW,
                self.store.fleet_changes.record_announced,
                new_findings,
                event_maker.make(new_findings),
            )

    def _record_unjudged(self) -> None:
        """Record images without a verdict as Undetermined. Owners get the verdict once they can be judged."""
        now = self.clock.now()
        for policy, images in self._group_images_by_policy()[0].items():
            present_images = self.store.fleet_verdicts.list_images(policy)
            no_verdict = Status.UNDETERMINED, (0,) * len(Severity), None, now, None, now
            verdicts = [
                FleetVerdict(policy, image.id, *no_verdict) for image in images if image.id not in present_images
            ]
            if verdicts:
                self.effects.run(
                    EffectKind.RENEW, self.store.fleet_verdicts.record, policy, verdicts, now, lambda _: []
                )

    def _match(self, reader: AdvisoryReader) -> MatchingResult:
        """Match what is new, and what the advisories have changed."""
        previous, self._reader = self._reader, reader
        digest_before = _compute_source_digest(self.store)
        touched_components: frozenset[int] | None = frozenset()
        if not self.index.is_current(reader):
            rematch = None
            changes = (
                self.compare_advisories(previous, reader, self.store.fleet_findings.list_cves())
                if previous is not None
                else None
            )
            if previous is not None and changes is not None:
                rematch = self.index.rematch(reader, previous.digest, changes)
            if rematch is None:
                self.index.rematch_all(reader)
            touched_components = None if rematch is None else rematch.components
        self.index.match_new()
        return MatchingResult(_compute_source_digest(self.store), digest_before, touched_components)

    def _compute_revision(
        self, source: str, active_waivers: Sequence[WaiverRecord], coverage: Sequence[Coverage], now: str
    ) -> str:
        """Return a text that changes whenever a verdict may have changed, except at the times in `next_at`."""
        feeds = [(entry.ecosystem, entry.is_complete, (entry.checked_at or "")[:13]) for entry in coverage]
        waivers = [record.waiver.id for record in active_waivers]
        state = (
            self.store.fleet_judging.read_fleet_revision(),
            self.store.vex.read_revision(),
            self.selection.compute_revision(),
            self.watched_images.compute_revision(),
        )
        # Feeds become stale, and the watch of images ends, at any hour.
        return compute_digest(canonical.encode([source, feeds, waivers, *state, now[:13]]))

    def _group_images_by_policy(self) -> tuple[dict[str, list[IndexedImage]], dict[IndexedImage, str | None]]:
        """Return the watched images by the policy of their repository, and when the watch of the others ended."""
        images = list(self.store.fleet.iterate_images())
        assignments = self.selection.find_clear_assignments({image.repository for image in images})
        images = [image for image in images if image.repository in assignments]
        policies = {
            repository: assignment.policy if assignment else DEFAULT_POLICY
            for repository, assignment in assignments.items()
        }
        # Where images are watched for ever, there is no need to ask.
        limited_repositories = {
            name for name, entry in assignments.items() if entry and entry.watch.start is not WatchStart.FOREVER
        }
        states = self.watched_images.read_states(
            {
                ImageLocation(image.repository, image.digest)
                for image in images
                if image.repository in limited_repositories
            }
        )
        groups: dict[str, list[IndexedImage]] = {policy: [] for policy in policies.values()}
        unwatched_images = {}
        for image in images:
            state = states.get(ImageLocation(image.repository, image.digest))
            if state is None or state.is_watched:
                groups[policies[image.repository]].append(image)
            else:
                unwatched_images[image] = state.until
        return {policy: images for policy, images in groups.items() if images}, unwatched_images


def _compute_source_digest(store: Store) -> str:
    return compute_digest(canonical.encode(store.fleet_findings.find_source()))
