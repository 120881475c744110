"""The records that may excuse findings in any image. Read once, and again after a change."""

from collections.abc import Callable, Sequence
from functools import cached_property

from dockgate.gate.model import Waiver
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.gate.waivers import is_active
from dockgate.services.policies.timeline import PolicyTimeline
from dockgate.services.verdicts.waivers import VexDocument
from dockgate.store import Store
from dockgate.store.records import WaiverRecord


class WaiverHistory:
    """The waivers and documents of all times, read when needed. `timeline` says whose statements count."""

    def __init__(self, store: Store, timeline: PolicyTimeline) -> None:
        self._store = store
        self.timeline = timeline

    @cached_property
    def waivers(self) -> Sequence[WaiverRecord]:
        """All waivers, revoked ones too, newest first."""
        return self._store.waivers.list()

    @cached_property
    def assignments(self) -> Sequence[PolicyAssignment]:
        """The policy assignments of today."""
        return [record.assignment for record in self._store.policy_assignments.list()]

    def list_active(self, now: str) -> Sequence[Waiver]:
        """The waivers that count at this time, oldest first: it is not before any change of them."""
        return [
            record.waiver
            for record in reversed(self.waivers)
            if not record.revoked_at and is_active(record.waiver, now)
        ]

    @cached_property
    def documents(self) -> Sequence[VexDocument]:
        """The documents that are attached to no image, also removed ones."""
        return self._store.vex.list_history([None])

    @cached_property
    def images(self) -> frozenset[str]:
        """The images (digests) to which documents are or were attached."""
        return frozenset(self._store.vex.list_images())


class CachedWaiverHistory:
    """The records of a revision (`IndexState.waiver_revision`), the same for all answers until the next.

    `read_timeline` returns the policies of all repositories, now and at any time before.
    """

    def __init__(self, store: Store, read_timeline: Callable[[], PolicyTimeline]) -> None:
        self._store = store
        self._read_timeline = read_timeline
        self._cache: tuple[str, WaiverHistory] | None = None

    def read(self, revision: str) -> WaiverHistory:
        """The records as of a revision, which the caller's transaction has read."""
        cache = self._cache
        if cache is None or cache[0] != revision:
            cache = self._cache = revision, WaiverHistory(self._store, self._read_timeline())
        return cache[1]
