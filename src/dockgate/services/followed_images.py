"""Follow what was approved: tell outside pipelines when a verdict changes, and renew attestations while it stays."""

import logging
from bisect import bisect_right
from dataclasses import dataclass, field

from dockgate.gate.model import Status
from dockgate.services.clock import ServerClock
from dockgate.services.effects import EffectKind, Effects
from dockgate.services.policies import PolicySelection
from dockgate.services.provenance import Provenance
from dockgate.services.risk_acceptances import RiskAcceptances
from dockgate.services.verdicts import Verdicts
from dockgate.services.watching import Watching
from dockgate.shared import canonical
from dockgate.shared.digest import digest_of
from dockgate.shared.errors import DockgateError
from dockgate.shared.timestamps import format_time, parse_time
from dockgate.store import Store
from dockgate.store.records import FollowedImage

# Images that one round evaluates; the others follow in the next rounds.
ROUND_LIMIT = 100

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ApprovedImages:
    """Evaluates approved images again while they are watched.

    `attestation_days` is how long an attestation is valid: it is renewed after half of that, None if nothing is
    attested.
    """

    store: Store
    verdicts: Verdicts
    selection: PolicySelection
    exceptions: RiskAcceptances
    provenance: Provenance
    watching: Watching
    clock: ServerClock
    effects: Effects
    attestation_days: float | None
    # By image, repository and policy: a digest of what the verdict was made from.
    _evaluated: dict[tuple[str, str, str], str] = field(default_factory=dict, init=False)
    # The last one that was evaluated.
    _last: tuple[str, str, str] = field(default=("", "", ""), init=False)

    def review(self) -> None:
        """Evaluate the approved images whose inputs changed or whose attestation is due. One that fails is logged."""
        database, now = self.verdicts.advisory_digest(), self.clock.now()
        evaluated: dict[tuple[str, str, str], str] = {}
        remaining = ROUND_LIMIT
        every = sorted(self.store.followed_images.list(), key=_key)
        # Each round goes on where the last one ended: otherwise those at the end would wait for ever where many are
        # due, or where the first ones always fail.
        first = bisect_right([_key(followed) for followed in every], self._last)
        for followed in (*every[first:], *every[:first]):
            key = _key(followed)
            before = self._evaluated.get(key)
            try:
                present = self._inputs_digest(database, followed, now)
                if before == present and not self._is_renewal_due(followed, now):
                    evaluated[key] = present
                elif remaining > 0:
                    remaining -= 1
                    self._last = key
                    self.effects.run(EffectKind.REJUDGE, self._evaluate, followed)
                    if self.verdicts.advisory_digest() == database:
                        evaluated[key] = present
            except DockgateError as error:
                _log.warning("%s was not judged again: %s", followed.image, error.full_message)
            except Exception as error:
                _log.error("judging %s again failed", followed.image, exc_info=error)
        self._evaluated = evaluated

    def _evaluate(self, followed: FollowedImage) -> None:
        state = self.watching.state(followed.repository, followed.image)
        if not state.is_watched:
            summary = f"The image is not watched any more{f' since {state.until}' if state.until else ''}."
            self.store.followed_images.end(followed, summary, self.clock.now())
            return
        result = self.verdicts.for_approved(followed.image, followed.repository, followed.policy)
        if result is None:
            return  # it is being scanned
        verdict, digest = result
        now = self.clock.now()
        if verdict.status != followed.status:
            self.store.followed_images.change(followed, verdict.status, digest, verdict.summary, now)
        elif verdict.status is Status.APPROVED and self.attestation_days and self._is_renewal_due(followed, now):
            renew_at = self.clock.later(self.attestation_days * 86400 / 2)
            self.store.followed_images.renew(followed, digest, now, renew_at)

    def _is_renewal_due(self, followed: FollowedImage, now: str) -> bool:
        """Whether half of the attestation's time is over. The first one is made when the image is approved."""
        if self.attestation_days is None or followed.status is not Status.APPROVED:
            return False
        if followed.renew_at is not None:
            return followed.renew_at <= now
        since = parse_time(followed.changed_at)
        half = self.attestation_days / 2
        return since is None or (followed.changes > 0) or format_time(since) <= self.clock.ago(half)

    def _inputs_digest(self, database: str, followed: FollowedImage, now: str) -> str:
        """A digest that changes whenever the verdict or the watch could change; every hour too."""
        usable = self.selection.read(followed.policy)
        exceptions = self.exceptions.state(followed.repository, now)
        provenance = self.provenance.fingerprint(followed.image)
        watch = self.selection.watch_of(followed.repository)
        policy = usable.unusable or usable.policy.digest
        return digest_of(canonical.encode([database, policy, exceptions, provenance, watch, now[:13]]))


def _key(followed: FollowedImage) -> tuple[str, str, str]:
    return followed.image, followed.repository, followed.policy
