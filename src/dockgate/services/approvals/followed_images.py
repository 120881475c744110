"""Follow approved images after the answer.

External pipelines are notified of changed verdicts; attestations are renewed while the verdict stays.
"""

from dataclasses import dataclass, field
from functools import cache, partial

from dockgate.gate.model import Status, Verdict
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.summaries import name_policy
from dockgate.services.answer_priority import AnswerPriority
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.reconciler_rounds import RoundRobin
from dockgate.services.verdicts.exemption_revisions import ExemptionRevisions
from dockgate.services.verdicts.stale_advisories import has_only_stale_advisories
from dockgate.services.verdicts.verdict_inputs import VerdictInputs
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.timestamps import compute_latest_time, format_time, parse_time
from dockgate.store import Store
from dockgate.store.records import FollowedImage

# An image that is not watched is forgotten after so long. If a fast clock ended the watch, it resumes until then.
FORGET_DAYS = 7.0

# Image, repository and policy.
_Key = tuple[str, str, PolicyReference]


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
        database, now = self.verdicts.read_advisory_digest(), self.clock.now()
        revision = self._compute_revision(now)
        if self._round_robin.is_finished(revision):
            return
        by_key = {_make_key(followed_image): followed_image for followed_image in self.store.followed_images.list()}
        inputs_of = cache(partial(self._compute_inputs_digest, database, now=now))
        provenance = self.store.provenance.list_revisions({(image, repository) for image, repository, _ in by_key})
        locations = {(repository, image) for image, repository, _ in by_key}
        watches = self.watched_images.read_watches(locations)
        exemptions = self.exemptions.compute(locations, now)

        def compute_state(key: _Key) -> str | None:
            followed_image = by_key[key]
            if self._is_renewal_due(followed_image, now):
                return None
            image, repository, policy = key
            is_watched = watches[repository, image].is_watched
            inputs = inputs_of(policy, repository), provenance[image, repository], exemptions[repository, image]
            return " ".join(map(str, (*inputs, is_watched, followed_image.status)))

        def judge(key: _Key) -> bool:
            self.answer_priority.give_way()
            self.effects.run(EffectKind.REJUDGE, self._judge_again, by_key[key])
            return self.verdicts.read_advisory_digest() == database

        self._round_robin.run(by_key, compute_state, judge, "judging", revision)

    def _compute_revision(self, now: str) -> str:
        """Return a text that changes whenever an image is to be looked at again."""
        half = self.clock.compute_time_before((self.attestation_days or 0) / 2)
        followed_revision, provenance = (
            self.store.followed_images.read_revision(now, half),
            self.store.provenance.read_revision(),
        )
        return f"{self.inputs.compute_revision()} {followed_revision} {provenance}"

    def _judge_again(self, followed_image: FollowedImage) -> None:
        state = self.watched_images.read_state(followed_image.repository, followed_image.image)
        if not state.is_watched:
            self._end_watch(followed_image, state.until)
            return
        result = self._judge(followed_image)
        if result is None:
            return  # it is being scanned
        verdict, digest, summary = result
        now = self.clock.now()
        if followed_image.status is Status.REJECTED and has_only_stale_advisories(verdict):
            return  # a rejection is announced once
        if verdict.status != followed_image.status or followed_image.unwatched_at is not None:
            self.store.followed_images.change(followed_image, verdict.status, digest, summary, now)
        elif verdict.status is Status.APPROVED and self.attestation_days and self._is_renewal_due(followed_image, now):
            renew_at = self.clock.compute_time_after(self.attestation_days * 86400 / 2)
            self.store.followed_images.renew(followed_image, digest, now, renew_at)

    def _judge(self, followed_image: FollowedImage) -> tuple[Verdict, str, str] | None:
        """Return the present verdict, the digest of the stored one like it, and its summary; None during a scan.

        It is that of the policy of the approval. If this does not count for the repository any more, the repository's
        own policy has to approve the image, too.
        """
        image, repository, policy = _make_key(followed_image)
        result = self.verdicts.judge_followed(image, repository, policy)
        if result is None:
            return None
        verdict, digest = result
        own_policy = self.selection.find_superseding_policy(repository, policy)
        if own_policy is None or verdict.status is not Status.APPROVED:
            return verdict, digest, verdict.summary
        own_result = self.verdicts.judge_followed(image, repository, own_policy)
        if own_result is None:
            return None
        own_verdict, own_digest = own_result
        if own_verdict.status is Status.APPROVED:
            return verdict, digest, verdict.summary
        return own_verdict, own_digest, name_policy(own_policy, own_verdict.summary)

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

    def _compute_inputs_digest(
        self, database: str | None, policy: PolicyReference, repository: str, *, now: str
    ) -> str:
        """A digest that changes whenever verdicts by this policy, or the watch, could change; every hour too."""
        loaded_policy = self.selection.read(policy)
        watch = self.selection.get_watch(repository)
        policy_digest = loaded_policy.unusable_reason or loaded_policy.policy.digest
        own_policy = self.selection.find_superseding_policy(repository, policy)
        own_usable = self.selection.read(own_policy) if own_policy is not None else None
        own_digest = (own_usable.unusable_reason or own_usable.policy.digest) if own_usable is not None else None
        return compute_digest(canonical.encode([database, policy_digest, own_digest, watch, now[:13]]))


def _make_key(followed_image: FollowedImage) -> _Key:
    return followed_image.image, followed_image.repository, followed_image.policy
