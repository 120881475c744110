"""The images that a vulnerability blocks, by the newest recorded verdicts on rejected images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dockgate.gate.model import Status
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

    `images` are those whose newest recorded verdicts were read, or that have none: the first of those asked about. A
    recorded verdict decides something, so it is not renewed with the current one of an image that is only stored.
    """

    names: Sequence[str]
    violations: Mapping[str, RecordedViolations]
    images: Sequence[str]

    @property
    def unknown_count(self) -> int:
        """Of how many of the images it is unknown, because they have no record since it is known."""
        return sum(self.is_blocking(image) is None for image in self.images)

    def find_message(self, image: str) -> str | None:
        """Return the message of the rule that it violates, or None."""
        entry = self.violations.get(image)
        if entry is None or entry.status is not Status.REJECTED:
            return None
        return next((entry.blocking_messages[name] for name in self.names if name in entry.blocking_messages), None)

    def is_blocking(self, image: str) -> bool | None:
        """Return None if the verdict does not know it, or does not reject the image."""
        entry = self.violations.get(image)
        if entry is None or entry.status is not Status.REJECTED or entry.findings.isdisjoint(self.names):
            return None
        return self.find_message(image) is not None


def find_blocking_verdicts(
    store: Store, images: Sequence[str], names: Sequence[str], scope: ExposureScope, *, reads_more: bool
) -> BlockingVerdicts:
    """Find what the newest verdicts on these images say of the vulnerability with these names.

    Only the first MAX_BLOCKED images are looked at.
    """
    if not images:
        return BlockingVerdicts(names, {}, ())
    size = _MANY_BYTES if reads_more else _FEW_BYTES
    violations, count = store.verdicts.list_newest_violations(images[:MAX_BLOCKED], scope.repositories, size)
    return BlockingVerdicts(names, violations, images[:count])
