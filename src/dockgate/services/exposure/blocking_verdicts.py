"""The images that a vulnerability blocks, by the newest recorded verdict of each repository."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from dockgate.gate.model import Status
from dockgate.gate.policy_choice import DEFAULT_POLICY
from dockgate.services.policies.selection import PolicySelection
from dockgate.store import Store
from dockgate.store.exposure.records import ExposureScope
from dockgate.store.records import RecordedViolations

# Rejected images, the newest, whose recorded verdicts are read.
MAX_BLOCKED = 200
# Compressed bytes of these verdicts: for every answer, and for one that is about them.
_FEW_BYTES, _MANY_BYTES = 64 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class BlockingVerdicts:
    """The images on which a vulnerability violates a rule, by the newest recorded verdicts.

    `violations` are those of each repository that rejects an image, the newest first: it is blocked if it is in any.
    `images` are those whose newest recorded verdicts were read, or that have none: the first of those asked about. A
    recorded verdict decides something, so it is not renewed with the current one of an image that is only stored.
    """

    names: Sequence[str]
    violations: Mapping[str, Sequence[RecordedViolations]]
    images: Sequence[str]

    @property
    def unknown_count(self) -> int:
        """The number of images of which it is unknown, because they have no record since it is known."""
        return sum(self.is_blocking(image) is None for image in self.images)

    def find_message(self, image: str) -> str | None:
        """Return the message of the rule that it violates, or None."""
        messages = entry.blocking_messages if (entry := self._find_blocking(image)) else {}
        return next((messages[name] for name in self.names if name in messages), None)

    def find_verdict(self, image: str) -> str | None:
        """Return the verdict in which it violates a rule, else the newest that rejects, else the newest."""
        blocking, entries = self._find_blocking(image), self.violations.get(image, ())
        candidates = [*([blocking] if blocking else ()), *self._list_rejecting(image), *entries]
        return candidates[0].verdict if candidates else None

    def is_blocking(self, image: str) -> bool | None:
        """Return None if a verdict that rejects does not know it, or none rejects the image."""
        if self._find_blocking(image):
            return True
        rejecting = self._list_rejecting(image)
        is_known = rejecting and not any(entry.findings.isdisjoint(self.names) for entry in rejecting)
        return False if is_known else None

    def _find_blocking(self, image: str) -> RecordedViolations | None:
        return next(
            (
                entry
                for entry in self._list_rejecting(image)
                if not entry.blocking_messages.keys().isdisjoint(self.names)
            ),
            None,
        )

    def _list_rejecting(self, image: str) -> list[RecordedViolations]:
        return [entry for entry in self.violations.get(image, ()) if entry.status is Status.REJECTED]


def find_blocking_verdicts(
    store: Store,
    repositories_by_image: Mapping[str, Collection[str]],
    selection: PolicySelection,
    names: Sequence[str],
    scope: ExposureScope,
    *,
    should_read_more: bool,
) -> BlockingVerdicts:
    """Find what the newest verdicts on images say of the vulnerability with these names.

    Each image is rejected in its `repositories_by_image`, by their policies in the `selection`. Only the first
    MAX_BLOCKED images are looked at.
    """
    if not repositories_by_image:
        return BlockingVerdicts(names, {}, ())
    size = _MANY_BYTES if should_read_more else _FEW_BYTES
    first = dict(islice(repositories_by_image.items(), MAX_BLOCKED))
    assignments = selection.split_repositories(frozenset().union(*first.values())).assignments
    policies = {name: assignment.policy if assignment else DEFAULT_POLICY for name, assignment in assignments.items()}
    violations, count = store.verdicts.list_newest_violations(first, policies, scope.repositories, size)
    return BlockingVerdicts(names, violations, list(first)[:count])
