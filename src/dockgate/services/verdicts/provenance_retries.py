"""Fetch provenance again that could not be fetched: a registry may have been away for a moment."""

from dataclasses import dataclass

from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.verdicts.provenance import Provenance
from dockgate.shared.references import RepositoryReference
from dockgate.store import Store

# Images in a round, and days after which a fetch that failed is repeated.
ROUND_LIMIT = 50
PAUSE_DAYS = 10 / (24 * 60)


@dataclass(frozen=True, slots=True)
class ProvenanceRetries:
    """The repetition of failed fetches. A result has the image judged again wherever it is judged."""

    store: Store
    provenance: Provenance
    clock: ServerClock
    effects: Effects

    def run(self) -> None:
        """Fetch the statements of the next images. A registry that fails is left alone until the next round."""
        failed_registries: set[str | None] = set()
        before = self.clock.compute_time_before(PAUSE_DAYS)
        for repository, image in self.store.provenance.list_failed_fetches(before, ROUND_LIMIT):
            registry = RepositoryReference.parse(repository).registry
            if registry in failed_registries:
                continue
            is_fetched = self.effects.run(EffectKind.RECORD_IMAGE, self.provenance.fetch_statements, repository, image)
            if not is_fetched:
                failed_registries.add(registry)
