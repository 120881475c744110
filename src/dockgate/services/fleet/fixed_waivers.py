"""Announce waivers that hold until a fix exists, once one exists in an image in which they count."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dockgate.events.governance_events import make_waiver_fixed
from dockgate.gate import patterns
from dockgate.gate.model import Waiver
from dockgate.gate.waivers import is_finding_accepted
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.error_isolation import run_for_each
from dockgate.store import Store
from dockgate.vulnerabilities.model import Finding, Rating

# Packages that an event names, and images in which they are looked for.
PACKAGES_LIMIT, IMAGES_LIMIT = 20, 100


@dataclass(frozen=True, slots=True)
class FixedWaivers:
    """Announces the end of waivers with `until_fixed` that name a vulnerability, once for each waiver.

    One that names packages or an image alone is about many vulnerabilities: fixes of some do not end it.
    """

    store: Store
    effects: Effects
    clock: ServerClock

    def announce(self) -> None:
        """Announce the waivers for which a fix exists since the last call."""
        waivers = self.store.waivers.list_unannounced_fixes(self.clock.now())
        run_for_each(waivers, self._announce, lambda waiver: waiver.id)

    def _announce(self, waiver: Waiver) -> None:
        now = self.clock.now()
        if packages := self._find_fixed_packages(waiver, now):
            events = [make_waiver_fixed(waiver, packages[:PACKAGES_LIMIT], now)]
            self.effects.run(EffectKind.ANNOUNCE, self.store.waivers.mark_fix_announced, waiver.id, now, events)

    def _find_fixed_packages(self, waiver: Waiver, now: str) -> Sequence[tuple[str, str]]:
        """Name and fixed version of the packages that the waiver accepted while they had no fix."""
        vulnerabilities = self.store.component_search.find_vulnerabilities(
            waiver.vulnerability or "", should_ignore_case=False
        )
        packages: dict[int, tuple[str, str]] = {}
        for affected, component in self.store.component_search.list_affected_components(vulnerabilities):
            vulnerability, package = vulnerabilities[affected.vulnerability], component.to_package()
            rating = Rating(None, affected.severity)
            finding = Finding(vulnerability.name, vulnerability.aliases, package, affected.severity, rating, None)
            if affected.is_there(None) and affected.fixed and is_finding_accepted(waiver, finding, now):
                packages[affected.component] = package.name, affected.fixed
        images = self._find_images(waiver, packages)[:IMAGES_LIMIT]
        occurrences = self.store.fleet_changes.list_occurrences(packages, images) if images else ()
        return sorted({packages[occurrence.component] for occurrence in occurrences})

    def _find_images(self, waiver: Waiver, components: Collection[int]) -> Sequence[str]:
        """The images with one of the components that are in a place that the waiver names."""
        digests = self.store.fleet_changes.find_images_with(components) if components else ()
        return [
            digest
            for digest, tags in self.store.fleet_changes.list_tags(digests).items()
            if waiver.image in (None, "", digest)
            and any(patterns.is_match(repository, waiver.repository or "**") for repository in tags)
        ]
