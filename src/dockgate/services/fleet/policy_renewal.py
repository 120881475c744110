"""The renewal of one policy's verdicts.

This is step 3 of `verdict_renewal.py`, which says what a crash leaves.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dockgate.gate.model import Status
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.fleet.change_events import ChangeEvents
from dockgate.services.fleet.contents import FleetContents, FleetFacts
from dockgate.services.fleet.indexed_image_judge import IndexedImageJudge, JudgedImage
from dockgate.services.fleet.touched_images import (
    ALL_IMAGES,
    AllImages,
    find_touched_images,
    list_changed_scopes,
)
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.verdicts.waivers import ServerExemptions
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store import Store
from dockgate.store.fleet.due_images import NO_CHANGES, DueChanges
from dockgate.store.fleet.judging_state import FleetJudgingInputs
from dockgate.store.fleet.records import FleetVerdict, IndexedImage
from dockgate.store.fleet.verdicts import is_changed

# If more of the images than this are touched, judging all of them is faster.
LARGE_PART = 0.25
# Images that are judged together, and verdicts that are written in one transaction.
JUDGED_TOGETHER, WRITTEN_TOGETHER = 10_000, 5_000


class MatchingResult(NamedTuple):
    """The present and the previous source of the findings, and the components that differ.

    The components are None if they are unknown.
    """

    source: str
    previous: str
    changed_components: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class RenewalInputs:
    """What a renewal reads once, before it judges by any policy.

    `waiting_images` (ids) keep their verdicts. `pending_changes` are the numbers of the changes of single images that
    no verdict takes into account yet, by digest (`DueImages.list`). `exemptions` are read once: the verdicts must use
    exactly those that are recorded with them. Otherwise the next renewal misses those that ended in between.
    """

    facts: FleetFacts
    match: MatchingResult
    waiting_images: Collection[int]
    pending_changes: Mapping[str, Sequence[int]]
    exemptions: ServerExemptions


@dataclass(frozen=True, slots=True)
class PolicyRenewal:
    """The renewal of one policy's verdicts on `images`.

    `time_due_images` (ids) are those whose verdicts may have changed with time alone. `present_images` (ids) have a
    verdict by the policy, which may not judge all of them any more: `FormerVerdicts` ends those.
    """

    store: Store
    image_judge: IndexedImageJudge
    selection: PolicySelection
    clock: ServerClock
    effects: Effects
    inputs: RenewalInputs
    policy: str
    images: Sequence[IndexedImage]
    time_due_images: Collection[int]
    present_images: Collection[int]

    def run(self, former_verdicts: Mapping[int, FleetVerdict]) -> None:
        """Judge the images for which something may have changed, and write the verdicts that differ.

        `former_verdicts` are verdicts of policies that do not judge the image any more.
        """
        loaded_policy = self.selection.read(self.policy)
        previous = None if self._is_judged_ahead() else self.store.fleet_judging.find_judging_inputs(self.policy)
        exemptions, now = self.inputs.exemptions, self.clock.now()
        judging_inputs = FleetJudgingInputs(
            self.image_judge.compute_policy_digest(loaded_policy, self.inputs.facts.coverage),
            self.inputs.match.source,
            exemptions.waiver_ids,
            frozenset(exemptions.documents),
        )
        is_current = previous is not None and previous.inputs == judging_inputs.inputs
        images = self._select_images(previous) if previous is not None and is_current else self.images
        is_dense = len(images) == len(self.images)
        ids = None if is_dense else [image.id for image in images]
        stored_verdicts = self.store.fleet_verdicts.list_of_policy(self.policy, ids) if images else {}
        by_id = {image.id: image for image in images}
        events = ChangeEvents(
            self.store, self.image_judge.waivers, self.policy, now, by_id, stored_verdicts, former_verdicts
        )
        verdicts: list[FleetVerdict] = []
        judged_images: set[int] = set()
        is_recorded = previous == judging_inputs
        parts = (
            FleetContents(self.inputs.facts, images[at : at + JUDGED_TOGETHER], is_dense)
            for at in range(0, len(images), JUDGED_TOGETHER)
        )
        for judged_image in self.image_judge.judge(loaded_policy, parts, exemptions):
            judged_images.add(judged_image.image)
            stored_verdict = stored_verdicts.get(judged_image.image)
            verdict = self._make_verdict(judged_image, stored_verdict, now)
            if is_changed(verdict, stored_verdict):
                verdicts.append(verdict)
            if len(verdicts) >= WRITTEN_TOGETHER:
                self._write(verdicts, now, events)
                verdicts, is_recorded = [], False
        due_changes = self._list_due_changes(images, judged_images, stored_verdicts)
        if verdicts or not is_recorded or due_changes != NO_CHANGES:
            self._write(verdicts, now, events, judging_inputs, due_changes)

    def _select_images(self, previous: FleetJudgingInputs) -> Sequence[IndexedImage]:
        """The images to judge if only advisories, exemptions, images and the time have changed.

        All images if most may need it. `previous` are the inputs of the last renewal.
        """
        match, changed_digests = self.inputs.match, self.inputs.pending_changes.keys()
        scopes = list_changed_scopes(self.store, self.inputs.exemptions, previous)
        touched_ids = ALL_IMAGES if scopes is None else find_touched_images(self.store, scopes, self.images)
        if isinstance(touched_ids, AllImages):
            return self.images
        if previous.source != match.source:
            if previous.source != match.previous or match.changed_components is None:
                return self.images
            fleet = self.store.fleet
            bundles = {bundle for _, bundle, _ in fleet.iterate_bundle_uses(match.changed_components)}
            touched_ids |= fleet.find_images_with(bundles)
        touched_ids.update(self.time_due_images)
        touched_ids.update(
            image.id for image in self.images if image.id not in self.present_images or image.digest in changed_digests
        )
        if len(touched_ids) > LARGE_PART * len(self.images):
            return self.images
        return [image for image in self.images if image.id in touched_ids]

    def _is_judged_ahead(self) -> bool:
        """Return whether verdicts were judged by a clock that was ahead: what time changes is not due yet.

        Small clock differences need no correction.
        """
        judged_at = self.store.fleet_judging.find_judged_at(self.policy)
        return judged_at is not None and judged_at > compute_latest_time(self.clock.now())

    def _list_due_changes(
        self,
        images: Sequence[IndexedImage],
        judged_images: Collection[int],
        stored_verdicts: Mapping[int, FleetVerdict],
    ) -> DueChanges:
        """Return the pending changes that the new verdicts take into account, and the images to postpone.

        An image that is being read again cannot be judged, and keeps its verdict. This renewal records everything else
        as judged, so the image must be recorded as due, or the next renewal would not judge it.
        """
        pending_changes = self.inputs.pending_changes
        judged_digests = [image.digest for image in images if image.id in judged_images] if pending_changes else []
        judged_changes = {number for digest in judged_digests for number in pending_changes.get(digest, ())}
        postponed_images = {
            image.digest
            for image in images
            if image.id not in judged_images and image.id in stored_verdicts and image.digest not in pending_changes
        }
        return DueChanges(frozenset(judged_changes), frozenset(postponed_images))

    def _make_verdict(self, judged_image: JudgedImage, present_verdict: FleetVerdict | None, now: str) -> FleetVerdict:
        """Return the verdict to store: the last status that could be judged stays while feeds are stale."""
        status, since = judged_image.status, None
        if judged_image.status is not judged_image.status_if_fresh:
            since = min(now, (present_verdict.cannot_judge_since if present_verdict else None) or now)
            if judged_image.status_if_fresh is Status.REJECTED:
                status = Status.REJECTED
            else:
                status = present_verdict.status if present_verdict else Status.UNDETERMINED
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
        events: ChangeEvents,
        judging_inputs: FleetJudgingInputs | None = None,
        due_changes: DueChanges = NO_CHANGES,
    ) -> None:
        """Write verdicts with the events of their changes."""
        events.prepare(verdicts)
        record = self.store.fleet_verdicts.record
        self.effects.run(EffectKind.RENEW, record, self.policy, verdicts, now, events.make, judging_inputs, due_changes)
