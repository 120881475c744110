"""The end of a policy's verdicts on images that it does not judge any more.

This is step 4 of `verdict_renewal.py`, which says what a crash leaves.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dockgate.events.dockgate_events import make_watch_ended
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.images.unused_images import find_unused_images
from dockgate.store import Store
from dockgate.store.fleet.records import FleetVerdict, IndexedImage
from dockgate.store.records import ImageLocation


@dataclass(frozen=True, slots=True)
class FormerVerdicts:
    """The verdicts by a policy on `images` (ids), which it does not judge any more."""

    store: Store
    clock: ServerClock
    effects: Effects
    policy: str
    images: Collection[int]

    def read(self) -> dict[int, FleetVerdict]:
        """Return the verdicts by image."""
        return self.store.fleet_verdicts.list_of_policy(self.policy, self.images) if self.images else {}

    def end(self, judged_images: Collection[int], unwatched_images: Mapping[IndexedImage, str | None]) -> None:
        """End the verdicts.

        If no other policy judges the image either (it is not in `judged_images`), its verdict is kept as the last one.
        The end of its watch (`unwatched_images` has the times) is an event, once.
        """
        if not self.images:
            return
        store, verdicts, now = self.store, self.read(), self.clock.now()
        last_verdicts = [verdict for image, verdict in verdicts.items() if image not in judged_images]
        ended_images = [image for image in unwatched_images if image.id in verdicts]
        unused_locations = find_unused_images(
            store, [ImageLocation(image.repository, image.digest) for image in ended_images]
        )
        events = [
            make_watch_ended(
                image.digest, image.repository, self.policy, verdicts[image.id].status, unwatched_images[image], now
            )
            for image in ended_images
            if (image.repository, image.digest) not in unused_locations
        ]
        self.effects.run(
            EffectKind.RENEW, store.fleet_verdicts.end, self.policy, self.images, last_verdicts, now, events
        )
