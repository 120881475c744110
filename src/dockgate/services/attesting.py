"""Attestations: what an approval leaves beside its image, so that others can refuse what the gate did not pass."""

import logging
from dataclasses import replace

from dockgate.attestations.statements import Attestation, Due, covered, statement
from dockgate.delivery.approval_request import is_qualified
from dockgate.gate.model import Status
from dockgate.services.dependencies import Dependencies, text
from dockgate.shared.errors import DockgateError
from dockgate.shared.retry import ATTACHMENT

_log = logging.getLogger(__name__)


class Attesting:
    """What fails is tried again by the sweep, and keeps nobody waiting: the approval stands without it."""

    def __init__(self, parts: Dependencies) -> None:
        self._parts = parts
        self._store = parts.store

    def attest(self, image: str) -> None:
        """Attests what was approved of this image just now, in our own registry: others may take their time."""
        for due in self._store.attestations.due(self._parts.now(), image):
            if not is_qualified(due.repository):
                self._attest(due)

    def attest_all(self) -> None:
        """Attests whatever is due."""
        for due in self._store.attestations.due(self._parts.now()):
            self._attest(due)

    def _attest(self, due: Due) -> None:
        parts = self._parts
        if parts.attestor is None:
            return
        verdict = self._store.images.verdict(due.verdict)
        done = Attestation(due.verdict, due.image, due.repository, due.policy, attempts=due.attempts + 1)
        if verdict.status is not Status.APPROVED:
            said = f"the verdict is {verdict.status}: whoever approved, it was not the policy"
            self._store.attestations.put(replace(done, error=said))
            return

        def write(name: str, digest: str) -> bytes:
            return statement(verdict, due.verdict, name, digest, parts.attestation_days)

        try:
            key = parts.attestor.attest(due.repository, due.image, due.verdict, due.policy, write, covered(verdict))
        except DockgateError as error:
            _log.warning("the approval of %s@%s is not attested: %s", due.repository, due.image, error.whole)
            again = ATTACHMENT.next_attempt(due.verdict, done.attempts, parts.clock())
            self._store.attestations.put(replace(done, error=error.whole, next_at=text(again) if again else ""))
        else:
            self._store.attestations.put(replace(done, key=key, attested_at=parts.now()))
