"""Follow approved images after the answer.

External pipelines are notified of changed verdicts; attestations are renewed while the verdict stays.
"""

from dataclasses import dataclass, field
from functools import cache, partial
from typing import NamedTuple

from dockgate.gate.change_times import format_unknown_moment
from dockgate.gate.model import Status, Verdict
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.summaries import name_policy
from dockgate.services.answer_priority import AnswerPriority
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.fleet.advisory_revisions import AdvisoryRevisions, AdvisoryState, PolicyRevision
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.reconciler_rounds import Completion, RoundRobin
from dockgate.services.verdicts.exemption_revisions import ExemptionRevisions
from dockgate.services.verdicts.stale_advisories import has_only_stale_advisories
from dockgate.services.verdicts.verdict_inputs import VerdictInputs
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.timestamps import compute_latest_time, format_time, parse_time
from dockgate.store import Store
from dockgate.store.records import FollowedImage, ImageLocation

# An image that is not watched is forgotten after so long. If a fast clock ended the watch, it resumes until then.
FORGET_DAYS = 7.0

# Image, repository and policy.
_Key = tuple[str, str, PolicyReference]


class _JudgedImage(NamedTuple):
    """The verdict on a followed image, the digest of the stored one like it, and when time alone can change it."""

    verdict: Verdict
    digest: str
    summary: str
    next_at: str | None


class _ReviewedImage(NamedTuple):
    """The status that is recorded of a followed image, and when to judge it again though nothing but the time changes.

    None for never.
    """

    status: Status
    next_at: str | None


@dataclass(slots=True)
class FollowedImageReview:
    """The review of approved images after the answer, while they are watched.

    `attestation_days` is how long an attestation is valid: it is renewed after half of that, None if nothing is
    attested.
    """

    store: Store
    verdicts: Verdicts
    selection: PolicySelection
    exemptions: ExemptionRevisions
    inputs: VerdictInputs
    advisory_revisions: AdvisoryRevisions
    watched_images: WatchedImages
    clock: ServerClock
    retention_clock: ServerClock
    effects: Effects
    answer_priority: AnswerPriority
    attestation_days: float | None
    _round_robin: RoundRobin[_Key] = field(default_factory=RoundRobin, init=False)

    def review(self) -> None:
        """Judge the approved images that are due, and notify callbacks of what has settled."""
        self._judge_due()
        self.store.followed_images.settle(*self.clock.compute_settling_times())

    def _judge_due(self) -> None:
        """Judge the approved images whose inputs changed or whose attestation is due.

        One that fails is logged.
        """
        now = self.clock.now()
        revision = self._compute_revision(now)
        if self._round_robin.is_finished(revision, now):
            return
        by_key = {_make_key(followed_image): followed_image for followed_image in self.store.followed_images.list()}
        images = {image for image, _, _ in by_key}
        advisories = self.advisory_revisions.read(images)
        compute_policy_revision = cache(partial(self._compute_policy_revision, advisories))
        pushers = self.store.images.list_pushers_by_location(images)
        locations = {ImageLocation(repository, image) for image, repository, _ in by_key}
        provenance = self.store.provenance.list_revisions(locations)
        watches = self.watched_images.read_watches(locations)
        exemptions = self.exemptions.compute(locations, now)
        inputs_by_key: dict[_Key, str] = {}

        def compute_state(key: _Key) -> str | None:
            followed_image = by_key[key]
            inputs_by_key[key] = inputs = compute_inputs(key)
            if self._is_renewal_due(followed_image, now):
                return None
            return f"{followed_image.status} {inputs}"

        def compute_inputs(key: _Key) -> str:
            image, repository, policy = key
            location = ImageLocation(repository, image)
            policy_revision = compute_policy_revision(policy, repository)
            inputs = (
                advisories.get_revision(image, has_epss_rule=policy_revision.has_epss_rule),
                policy_revision.text,
                exemptions[location],
                pushers.get(location, ()),
                watches[location].is_watched,
                provenance[location],
            )
            return compute_digest(canonical.encode(inputs))

        def judge(key: _Key) -> Completion | None:
            self.answer_priority.give_way()
            result = self.effects.run(EffectKind.REJUDGE, self._judge_again, by_key[key], now)
            is_same = advisories.is_settled and self.verdicts.read_advisory_digest() == advisories.database
            if result is None or not is_same:
                return None
            # Another status, or a renewed attestation, is no reason to judge the image once more.
            return Completion(now, result.next_at, f"{result.status} {inputs_by_key[key]}")

        # Until the index has followed an update, the same revision is looked at again.
        finished_revision = revision if advisories.is_settled else None
        self._round_robin.run(by_key, compute_state, judge, "judging", now, finished_revision)
        self._round_robin.end_revision_at(advisories.find_feed_change())

    def _compute_revision(self, now: str) -> str:
        """Return a text that changes whenever an image is to be looked at again."""
        half = self.clock.compute_time_before((self.attestation_days or 0) / 2)
        with self.store.database.read():  # one connection for all of it
            followed_revision, provenance = (
                self.store.followed_images.read_revision(now, half),
                self.store.provenance.read_revision(),
            )
            return f"{self.inputs.compute_revision()} {followed_revision} {provenance}"

    def _judge_again(self, followed_image: FollowedImage, now: str) -> _ReviewedImage | None:
        """Judge the image, and record what has changed. None while it is being scanned."""
        state = self.watched_images.read_state(followed_image.repository, followed_image.image)
        if not state.is_watched:
            self._end_watch(followed_image, state.until)
            return _ReviewedImage(Status.UNDETERMINED, format_unknown_moment(now))  # it is forgotten some days later
        judged_image = self._judge(followed_image)
        if judged_image is None:
            return None
        return _ReviewedImage(self._record(followed_image, judged_image), judged_image.next_at)

    def _record(self, followed_image: FollowedImage, judged_image: _JudgedImage) -> Status:
        """Record the status if it has changed, and renew the attestation if that is due.

        Return the status that is recorded now.
        """
        status, now = judged_image.verdict.status, self.clock.now()
        if followed_image.status is Status.REJECTED and has_only_stale_advisories(judged_image.verdict):
            return followed_image.status  # a rejection is announced once
        if status != followed_image.status or followed_image.unwatched_at is not None:
            self.store.followed_images.change(followed_image, status, judged_image.digest, judged_image.summary, now)
        elif status is Status.APPROVED and self.attestation_days and self._is_renewal_due(followed_image, now):
            renew_at = self.clock.compute_time_after(self.attestation_days * 86400 / 2)
            self.store.followed_images.renew(followed_image, judged_image.digest, now, renew_at)
        return status

    def _judge(self, followed_image: FollowedImage) -> _JudgedImage | None:
        """Return the present verdict, None during a scan.

        It is that of the policy of the approval. If this does not count for the repository any more, the repository's
        own policy has to approve the image, too.
        """
        image, repository, policy = _make_key(followed_image)
        result = self.verdicts.judge_followed(image, repository, policy)
        if result is None:
            return None
        judged_image = _JudgedImage(result.verdict, result.digest, result.verdict.summary, result.next_at)
        own_policy = self.selection.find_superseding_policy(repository, policy)
        if own_policy is None or result.verdict.status is not Status.APPROVED:
            return judged_image
        own_result = self.verdicts.judge_followed(image, repository, own_policy)
        if own_result is None:
            return None
        next_at = min(filter(None, (result.next_at, own_result.next_at)), default=None)
        if own_result.verdict.status is Status.APPROVED:
            return judged_image._replace(next_at=next_at)
        summary = name_policy(own_policy, own_result.verdict.summary)
        return _JudgedImage(own_result.verdict, own_result.digest, summary, next_at)

    def _end_watch(self, followed_image: FollowedImage, until: str | None) -> None:
        """Record the end of the watch, and forget the image some days later: it may be watched again till then."""
        now, ended_at = self.clock.now(), followed_image.unwatched_at
        if ended_at is None or ended_at > compute_latest_time(now):
            summary = f"The image is not watched any more{f' since {until}' if until else ''}."
            self.store.followed_images.end_watch(followed_image, summary, now)
        elif ended_at <= self.retention_clock.compute_time_before(FORGET_DAYS):
            self.store.followed_images.forget(followed_image)

    def _is_renewal_due(self, followed_image: FollowedImage, now: str) -> bool:
        """Return whether half of the attestation's time is over, or a clock made it that was ahead.

        The first one is made when the image is approved.
        """
        if self.attestation_days is None or followed_image.status is not Status.APPROVED:
            return False
        half = self.attestation_days / 2
        if followed_image.renew_at is not None:
            return not now < followed_image.renew_at <= compute_latest_time(self.clock.compute_time_after(half * 86400))
        since = parse_time(followed_image.changed_at)
        if since is None or followed_image.changes > 0:
            return True
        return not self.clock.compute_time_before(half) < format_time(since) <= compute_latest_time(now)

    def _compute_policy_revision(
        self, advisories: AdvisoryState, policy: PolicyReference, repository: str
    ) -> PolicyRevision:
        """Return a revision that changes whenever verdicts by this policy, or the watch, could change.

        What belongs to single images is left out.
        """
        own_policy = self.selection.find_superseding_policy(repository, policy)
        policies = [policy] if own_policy is None else [policy, own_policy]
        revisions = [advisories.compute_policy_revision(self.selection.read(name)) for name in policies]
        watch, is_built = self.selection.get_watch(repository), self.store.pipelines.is_built(repository)
        parts = [[revision.text for revision in revisions], watch, is_built]
        has_epss_rule = any(revision.has_epss_rule for revision in revisions)
        return PolicyRevision(compute_digest(canonical.encode(parts)), has_epss_rule)


def _make_key(followed_image: FollowedImage) -> _Key:
    return followed_image.image, followed_image.repository, followed_image.policy
