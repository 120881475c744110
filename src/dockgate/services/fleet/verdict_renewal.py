"""Keep the verdicts of the whole fleet current.

What changes renews what it touches, and nothing else. A renewal finds out what has changed (advisories, policies and
their assignments, waivers, VEX documents, images, the age of feeds, the time), judges the images that it can concern,
and writes the verdicts that differ, each with its event in one transaction. It may end at any point: from what a policy
has judged every image is stored last, so the next renewal does what is left. No documents are stored; a verdict that
decides something is made by `services.verdicts.verdicts`.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dockgate.delivery.ports import Advisories
from dockgate.events.dockgate_events import make_watch_ended
from dockgate.gate.model import Status
from dockgate.gate.policy_choice import DEFAULT_POLICY, WatchStart
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.error_isolation import run_for_each
from dockgate.services.fleet.change_events import ChangeEvents
from dockgate.services.fleet.contents import FleetContents, FleetFacts
from dockgate.services.fleet.fixed_waivers import FixedWaivers
from dockgate.services.fleet.index import NO_LIMIT, FleetIndex
from dockgate.services.fleet.judging import FleetJudging, JudgedImage
from dockgate.services.fleet.new_finding_events import NewFindingEvents
from dockgate.services.images.unused_images import find_unused_images
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.policies.selection import PolicySelection, UsablePolicy
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DatabaseError
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store import Store
from dockgate.store.fleet.records import FleetImage, FleetVerdict
from dockgate.store.fleet.verdicts import is_changed
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.model import CATALOGUES, Coverage, Severity
from dockgate.vulnerabilities.ports import AdvisoryReader

# The lock of the process that renews.
RENEWAL = "fleet verdicts"
# If more of the images than this are touched, judging all of them is faster.
LARGE_PART = 0.25
# Images that are judged together, and verdicts that are written in one transaction.
JUDGED_TOGETHER, WRITTEN_TOGETHER = 10_000, 5_000

_log = logging.getLogger(__name__)

# What differs between two open advisory databases for these CVEs; None if they cannot be compared.
CompareAdvisories = Callable[[AdvisoryReader, AdvisoryReader, Collection[str]], AdvisoryChanges | None]


class Match(NamedTuple):
    """The past and present sources of the findings, and the components that differ; None if unknown."""

    source: str
    previous: str
    changed_components: frozenset[int] | None


@dataclass(slots=True)
class VerdictRenewal:
    """Renews the fleet's verdicts. One process at a time does; another one returns at once."""

    store: Store
    index: FleetIndex
    fleet_judging: FleetJudging
    selection: PolicySelection
    watched_images: WatchedImages
    advisories: Advisories
    compare: CompareAdvisories
    clock: ServerClock
    effects: Effects
    # The advisories of the last renewal in this process: still open, though another file has replaced them.
    _reader: AdvisoryReader | None = field(default=None, init=False)
    _finished_revision: str = field(default="", init=False)

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
            coverage = (*reader.list_coverage(), *reader.read_catalogues(()).coverage)
        except DatabaseError as error:
            _log.warning("The fleet is not judged: %s", error)
            self.store.fleet_judging.mark_blind(self.clock.now())
            self._record_unjudged()
            self._finished_revision = ""
            return
        now = self.clock.now()
        revision = self._compute_revision(match.source, coverage, now)
        due: dict[str, set[int]] = {}
        for policy, image in self.store.fleet_verdicts.list_due_images(now):
            due.setdefault(policy, set()).add(image)
        if revision == self._finished_revision and not due:
            return
        groups, unwatched_images = self._group_images_by_policy()
        facts = FleetFacts(self.store, coverage)
        waiting = self._find_unmatched_images()

        renewals = []
        for policy in sorted(self.store.fleet_judging.list_policies() | groups.keys()):
            images = [image for image in groups.get(policy, ()) if image.id not in waiting]
            present = self.store.fleet_verdicts.list_images(policy)
            renewals.append(_Renewal(self, policy, images, waiting, facts, match, due.get(policy, set()), present))
        judged_images = {image.id for renewal in renewals for image in renewal.images}
        unjudged_images = judged_images.difference(*(renewal.present for renewal in renewals))
        former = self.store.fleet_verdicts.list_ended(unjudged_images) if unjudged_images else {}
        former |= {image: verdict for renewal in renewals for image, verdict in renewal.read_former_verdicts().items()}

        def judge() -> None:
            run_for_each(renewals, lambda renewal: renewal.run(former), lambda renewal: renewal.policy)
            # Only now: a process that dies before has the statuses again that the events compare with.
            run_for_each(
                renewals,
                lambda renewal: renewal.end_former(judged_images, unwatched_images),
                lambda renewal: renewal.policy,
            )

        fixed_waivers = FixedWaivers(self.store, self.effects, self.clock)
        # Events of changed verdicts name the waivers that have ended. What fails delays no events of findings.
        steps = (fixed_waivers.announce, judge, self._announce_findings)
        run_for_each(steps, lambda step: step(), lambda step: step.__name__)
        self._finished_revision = "" if waiting else revision

    def _announce_findings(self) -> None:
        """Record the events of findings that are new or worse. Those of verdicts are there: these name them, too."""
        if news := self.store.fleet_changes.list_unannounced_findings():
            makes = NewFindingEvents(self.store, self.selection, self.watched_images, self.fleet_judging, self.clock)
            self.effects.run(EffectKind.RENEW, self.store.fleet_changes.record_announced, news, makes.make(news))

    def _record_unjudged(self) -> None:
        """Record images without a verdict as Undetermined: owners hear what they are, once they can be judged."""
        now = self.clock.now()
        for policy, images in self._group_images_by_policy()[0].items():
            present = self.store.fleet_verdicts.list_images(policy)
            no_verdict = Status.UNDETERMINED, (0,) * len(Severity), None, now, None, now
            verdicts = [FleetVerdict(policy, image.id, *no_verdict) for image in images if image.id not in present]
            if verdicts:
                self.effects.run(
                    EffectKind.RENEW, self.store.fleet_verdicts.record, policy, verdicts, now, lambda _: []
                )

    def _match(self, reader: AdvisoryReader) -> Match:
        """Match what is new, and what the advisories have changed."""
        previous, self._reader = self._reader, reader
        before = _compute_source_digest(self.store)
        touched_components: frozenset[int] | None = frozenset()
        if not self.index.is_current(reader):
            rematch = None
            changes = (
                self.compare(previous, reader, self.store.fleet_findings.list_cves()) if previous is not None else None
            )
            if previous is not None and changes is not None:
                rematch = self.index.rematch(reader, previous.digest, changes)
            if rematch is None:
                self.index.rematch_all(reader)
            touched_components = None if rematch is None else rematch.components
        self.index.match_new()
        return Match(_compute_source_digest(self.store), before, touched_components)

    def _compute_revision(self, source: str, coverage: Sequence[Coverage], now: str) -> str:
        """Return a text that changes whenever a verdict may have changed, but for moments that were foreseen."""
        feeds = [(entry.ecosystem, entry.complete, entry.checked_at[:13]) for entry in coverage]
        waivers = [record.waiver.id for record in self.store.waivers.list_active(now)]
        state = (
            self.store.fleet_judging.read_fleet_revision(),
            self.store.vex.read_revision(),
            self.selection.compute_revision(),
            self.watched_images.compute_revision(),
        )
        # Feeds become stale, and the watch of images ends, at any hour.
        return compute_digest(canonical.encode([source, feeds, waivers, *state, now[:13]]))

    def _group_images_by_policy(self) -> tuple[dict[str, list[FleetImage]], list[FleetImage]]:
        """Return the watched images by the policy of their repository, and those that are not watched."""
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
            {(image.repository, image.digest) for image in images if image.repository in limited_repositories}
        )
        groups: dict[str, list[FleetImage]] = {policy: [] for policy in policies.values()}
        unwatched_images = []
        for image in images:
            if image.repository not in limited_repositories or states[image.repository, image.digest].is_watched:
                groups[policies[image.repository]].append(image)
            else:
                unwatched_images.append(image)
        return {policy: images for policy, images in groups.items() if images}, unwatched_images

    def _find_unmatched_images(self) -> set[int]:
        """Return the images with components whose findings are not known yet: they are judged once these are."""
        components = [number for number, _ in self.store.fleet_findings.list_unmatched_components(NO_LIMIT)]
        bundles = {bundle for _, bundle, _ in self.store.fleet.iterate_holders(components)} if components else set()
        return self.store.fleet.find_images_with(bundles) if bundles else set()


def _compute_source_digest(store: Store) -> str:
    return compute_digest(canonical.encode(store.fleet_findings.find_source()))


@dataclass(slots=True)
class _Renewal:
    """The renewal of one policy's verdicts on `images`.

    `waiting_images` keep their verdicts, and `due_images` are those whose verdict time may have changed. `present` are
    the images that have a verdict by the policy: some of them may not be judged by it any more.
    """

    service: VerdictRenewal
    policy: str
    images: Sequence[FleetImage]
    waiting_images: Collection[int]
    facts: FleetFacts
    match: Match
    due_images: Collection[int]
    present: Collection[int]

    def read_former_verdicts(self) -> dict[int, FleetVerdict]:
        """The verdict by this policy on each image that is not judged by it any more."""
        images = self._find_former_images()
        return self.service.store.fleet_verdicts.list_of_policy(self.policy, images) if images else {}

    def end_former(self, judged_images: Collection[int], unwatched_images: Sequence[FleetImage]) -> None:
        """End the verdicts on images that are not judged by this policy any more.

        Those on images that no policy judges (all but `judged_images`) are kept as the last ones; the end of a watch is
        an event.
        """
        if images := self._find_former_images():
            service, store, now = self.service, self.service.store, self.service.clock.now()
            verdicts = store.fleet_verdicts.list_of_policy(self.policy, images)
            last = [verdict for image, verdict in verdicts.items() if image not in judged_images]
            unwatched_present = [image for image in unwatched_images if image.id in verdicts]
            unused_locations = find_unused_images(
                store, [(image.repository, image.digest) for image in unwatched_present]
            )
            events = [
                make_watch_ended(image.digest, image.repository, self.policy, verdicts[image.id].status, now)
                for image in unwatched_present
                if (image.repository, image.digest) not in unused_locations
            ]
            service.effects.run(EffectKind.RENEW, store.fleet_verdicts.end, self.policy, images, last, now, events)

    def _find_former_images(self) -> set[int]:
        return set(self.present) - {image.id for image in self.images} - set(self.waiting_images)

    def run(self, former: Mapping[int, FleetVerdict]) -> None:
        """Judge the images for which something may have changed, and write the verdicts that differ.

        `former` are the verdicts on images by policies that they are not judged by any more.
        """
        service, store = self.service, self.service.store
        usable = service.selection.read(self.policy)
        inputs = self._compute_inputs_digest(usable)
        before, _, source = (store.fleet_judging.find_judged_from(self.policy) or "").partition(" ")
        now = service.clock.now()
        is_current = before == inputs and not self._is_judged_ahead()
        selected_images = self._select(self.present, source) if is_current else None
        is_dense = selected_images is None or len(selected_images) > LARGE_PART * len(self.images)
        images = [image for image in self.images if is_dense or image.id in (selected_images or ())]
        stored_verdicts = self._read_stored_verdicts(images, is_dense=is_dense)
        new_inputs = f"{inputs} {self.match.source}"
        by_id = {image.id: image for image in images}
        verdicts: list[FleetVerdict] = []
        for at in range(0, len(images), JUDGED_TOGETHER):
            contents = FleetContents(self.facts, images[at : at + JUDGED_TOGETHER], is_dense)
            for judged_image in service.fleet_judging.judge(usable, contents):
                previous = stored_verdicts.get(judged_image.image)
                verdict = self._make_verdict(judged_image, previous, now)
                if is_changed(verdict, previous):
                    verdicts.append(verdict)
                if len(verdicts) >= WRITTEN_TOGETHER:
                    self._write(verdicts, now, by_id, stored_verdicts, former, None)
                    verdicts = []
        if verdicts or not is_current or source != self.match.source:
            self._write(verdicts, now, by_id, stored_verdicts, former, new_inputs)

    def _is_judged_ahead(self) -> bool:
        """Return whether verdicts were judged by a clock that was ahead: what time changes is not due yet.

        By less than servers' clocks may differ, they come true by themselves.
        """
        judged_at = self.service.store.fleet_judging.find_judged_at(self.policy)
        return judged_at is not None and judged_at > compute_latest_time(self.service.clock.now())

    def _read_stored_verdicts(self, images: Sequence[FleetImage], *, is_dense: bool) -> Mapping[int, FleetVerdict]:
        """Return the present verdicts on the images that are judged."""
        verdicts = self.service.store.fleet_verdicts
        if not images:
            return {}
        return verdicts.list_of_policy(self.policy, None if is_dense else [image.id for image in images])

    def _select(self, present: Collection[int], source: str) -> set[int] | None:
        """The images to judge if only advisories, images and the time have changed; None for all."""
        image_ids = {*self.due_images, *(image.id for image in self.images if image.id not in present)}
        if source == self.match.source:
            return image_ids
        if source != self.match.previous or self.match.changed_components is None:
            return None
        fleet = self.service.store.fleet
        bundles = {bundle for _, bundle, _ in fleet.iterate_holders(self.match.changed_components)}
        return image_ids | fleet.find_images_with(bundles)

    def _compute_inputs_digest(self, usable: UsablePolicy) -> str:
        """Return a digest of what decides beside the advisories and the images."""
        service, store = self.service, self.service.store
        waivers = sorted(record.waiver.id for record in store.waivers.list_active(service.clock.now()))
        feeds = service.fleet_judging.judge_feeds(usable, self.facts.coverage)
        # Of a catalogue that is missing, the rules that need it say nothing while they judge no finding.
        catalogues = [entry.ecosystem for entry in self.facts.coverage if entry.ecosystem in CATALOGUES]
        parts = [usable.policy.digest, usable.unusable_reason, waivers, store.vex.read_revision(), feeds, catalogues]
        return compute_digest(canonical.encode(parts))

    def _make_verdict(self, judged_image: JudgedImage, present: FleetVerdict | None, now: str) -> FleetVerdict:
        """Return the verdict to store: the last status that could be judged stays while feeds are stale."""
        status, since = judged_image.status, None
        if judged_image.status is not judged_image.status_if_fresh:
            since = min(now, (present.cannot_judge_since if present else None) or now)
            if judged_image.status_if_fresh is Status.REJECTED:
                status = Status.REJECTED
            else:
                status = present.status if present else Status.UNDETERMINED
        return FleetVerdict(
            self.policy,
            judged_image.image,
            status,
            judged_image.counts,
            judged_image.reason,
            now,
            judged_image.next_at,
            since,
            judged_image.waived_count,
        )

    def _write(
        self,
        verdicts: Sequence[FleetVerdict],
        now: str,
        images: dict[int, FleetImage],
        stored_verdicts: Mapping[int, FleetVerdict],
        former: Mapping[int, FleetVerdict],
        judged_from: str | None,
    ) -> None:
        """Write verdicts, of which `stored_verdicts` are the present ones, with the events of their changes."""
        service = self.service
        waivers = service.fleet_judging.waivers
        events = ChangeEvents(service.store, waivers, self.policy, now, images, stored_verdicts, former)
        events.prepare(verdicts)
        record = service.store.fleet_verdicts.record
        service.effects.run(EffectKind.RENEW, record, self.policy, verdicts, now, events.make, judged_from)
