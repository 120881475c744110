"""The inputs of verdicts on running and followed images, as a text that is cheap to compare."""

from dataclasses import dataclass

from dockgate.services.clock import ServerClock
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.store import Store


@dataclass(frozen=True, slots=True)
class VerdictInputs:
    """A text of all inputs. While it stays the same, a round need not look at each image."""

    store: Store
    verdicts: Verdicts
    selection: PolicySelection
    clock: ServerClock

    def compute_revision(self) -> str:
        """Return a text that changes when advisories, policies, waivers or VEX documents change.

        It also changes every ten minutes, because verdicts depend on more than it is computed from: an execution that
        was removed, for example.
        """
        now = self.clock.now()
        advisories = self.verdicts.read_advisory_digest() or ""
        with self.store.database.read():  # one connection for all of it
            waivers = [record.waiver.id for record in self.store.waivers.list_active(now)]
            inputs = advisories, self.compute_policy_revision(), waivers, self.store.vex.read_revision()
        return compute_digest(canonical.encode(inputs))

    def compute_policy_revision(self) -> str:
        """Return a text that changes when policies, or their assignments, change, and every ten minutes."""
        policies = self.store.policies.read_revision(), self.selection.compute_revision()
        return compute_digest(canonical.encode([*policies, self.clock.now()[:15]]))
