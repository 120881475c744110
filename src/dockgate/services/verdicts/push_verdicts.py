"""Verdicts on pushed images, whether or not anyone waits for them."""

import logging
import time
from dataclasses import dataclass, field

from dockgate.services.answer_priority import AnswerPriority
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.shared.errors import DockgateError
from dockgate.store import Store
from dockgate.store.records import ScanState

# Images that one round of the reconciler judges.
ROUND_LIMIT = 200
# Seconds until an image whose judging failed is tried again.
RETRY_SECONDS = 600.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class PushVerdicts:
    """Verdicts on pushed images by the policies of their repositories, once their scan has ended.

    A push whose image was not judged is a row, so a crash loses nothing. A new scan of an image makes it due again.
    """

    store: Store
    verdicts: Verdicts
    selection: PolicySelection
    watched_images: WatchedImages
    clock: ServerClock
    effects: Effects
    answer_priority: AnswerPriority
    # By image: when it is tried again.
    _retry_at: dict[str, float] = field(default_factory=dict, init=False)

    def judge_due(self) -> None:
        """Judge the images that are due. One that fails keeps no other from being judged."""
        for image in self.store.images.list_unjudged(ROUND_LIMIT + len(self._retry_at)):
            if self._retry_at.get(image, 0.0) <= time.monotonic():
                self.answer_priority.give_way()
                self.judge(image)

    def judge(self, image: str) -> None:
        """Judge an image in each repository that it was pushed to and not judged in. A failure is logged."""
        try:
            self.effects.run(EffectKind.REJUDGE, self._judge, image)
            self._retry_at.pop(image, None)
        except DockgateError as error:
            self._retry_at[image] = time.monotonic() + RETRY_SECONDS
            _log.warning("%s was not judged after its push, and is tried again: %s", image, error.full_message)
        except Exception as error:
            self._retry_at[image] = time.monotonic() + RETRY_SECONDS
            _log.error("judging %s after its push failed, and is tried again", image, exc_info=error)

    def _judge(self, image: str) -> None:
        scan = self.store.images.find_newest_scan(image)
        if scan is None or scan.finished_at is None:
            return
        if self.store.approvals.has_unjudged(image):
            return  # it is judged for them first
        for repository in self.store.images.list_unjudged_repositories(image):
            is_image = scan.state is not ScanState.NOT_AN_IMAGE
            is_due = is_image and self.watched_images.read_state(repository, image).is_watched
            if is_due and not self._is_judged(image, repository, scan.finished_at):
                self.verdicts.judge_push(image, repository, scan.number)
            self.store.images.mark_judged(repository, image, scan.number, self.clock.now())

    def _is_judged(self, image: str, repository: str, since: str) -> bool:
        """Return whether the policy judged the image in this repository since its scan, for an approval."""
        key = self.selection.get_policy_name(repository), repository
        records = self.store.verdicts.list_of_image(image)
        return any((record.policy, record.repository) == key and record.judged_at >= since for record in records)
