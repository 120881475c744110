"""What follows from an image that was deleted from a registry."""

from dataclasses import dataclass

from dockgate.services.clock import ServerClock
from dockgate.services.effects import EffectKind, Effects
from dockgate.store import Store


@dataclass(frozen=True, slots=True)
class ImageRemoval:
    """Records that images were deleted. It deletes nothing in a registry."""

    store: Store
    clock: ServerClock
    effects: Effects

    def record(self, repository: str, image: str) -> bool:
        """Record that an image (a digest) is no longer in a repository: call it after the deletion, as often as needed.

        Its tags there end, with an event `ECR Image Action` each. Returns whether it is in no repository any more: then
        its findings end with the reason "image gone", and it has no current verdict. A later push or scan of the image
        brings it back.
        """
        remove = self.store.image_removals.remove
        return self.effects.run(EffectKind.RECORD_IMAGE, remove, repository, image, self.clock.now())
