"""Fetch attached documents again that could not be fetched, as when a registry was away."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.error_isolation import run_for_each
from dockgate.services.verdicts.provenance import Provenance
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.shared.errors import DockgateError, TooSlowError, UnavailableError
from dockgate.shared.references import ImageReference, RepositoryReference
from dockgate.shared.timestamps import compute_latest_time
from dockgate.store import Store
from dockgate.store.records import ImageLocation

# Images in a round, and days after which a fetch that failed is repeated.
ROUND_LIMIT = 50
PAUSE_DAYS = 10 / (24 * 60)


@dataclass(frozen=True, slots=True)
class AttachmentRetries:
    """The repetition of failed fetches of provenance and VEX documents.

    A result has the image judged again wherever it is judged.
    """

    store: Store
    provenance: Provenance
    waivers: ServerWaivers
    clock: ServerClock
    effects: Effects

    def run(self) -> None:
        """Fetch what is attached to the next images.

        A registry that does not answer is left alone until the next round, and so is a repository that it refuses.
        """
        failed_names = set[str | None]()

        def retry_all(locations: Sequence[ImageLocation], fetch: Callable[[str, str], DockgateError | None]) -> None:
            def retry(location: ImageLocation) -> None:
                registry = RepositoryReference.parse(location.repository).registry
                if registry in failed_names or location.repository in failed_names:
                    return
                error = self.effects.run(EffectKind.RECORD_IMAGE, fetch, location.repository, location.image)
                if error is not None:
                    is_away = isinstance(error, UnavailableError | TooSlowError)
                    failed_names.add(registry if is_away else location.repository)

            run_for_each(locations, retry, _name_image)

        times = self.clock.compute_time_before(PAUSE_DAYS), compute_latest_time(self.clock.now())
        retry_all(self.store.vex.list_failed_fetches(*times, ROUND_LIMIT), self.waivers.fetch_attached_vex)
        retry_all(self.store.provenance.list_failed_fetches(*times, ROUND_LIMIT), self.provenance.fetch_statements)


def _name_image(location: ImageLocation) -> str:
    return str(ImageReference(location.repository, location.image))
