"""Announce waivers that hold until a fix exists, once one exists in an image in which they count."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

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
    """The events of the first fix for what waivers with `until_fixed` accept: one for each waiver.

    For one that names no vulnerability, that is a fix which has appeared since the waiver was accepted: it never
    accepted a vulnerability that had a fix before.
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
        if waiver.vulnerability:
            packages = self._find_fixes_of_vulnerability(waiver, waiver.vulnerability, now)
        else:
            packages = self._find_new_fixes(waiver, now)
        images = self._find_images(waiver, packages)[:IMAGES_LIMIT]
        occurrences = self.store.fleet_changes.list_occurrences(packages, images) if images else ()
        return sorted({packages[occurrence.component] for occurrence in occurrences})

    def _find_fixes_of_vulnerability(self, waiver: Waiver, name: str, now: str) -> dict[int, tuple[str, str]]:
        """Name and fixed version of the packages for which the vulnerability has a fix, by component."""
        vulnerabilities = self.store.component_search.find_vulnerabilities(name, should_ignore_case=False)
        packages: dict[int, tuple[str, str]] = {}
        for affected, component in self.store.component_search.list_affected_components(vulnerabilities):
            vulnerability, package = vulnerabilities[affected.vulnerability], component.to_package()
            rating = Rating(None, affected.severity)
            finding = Finding(vulnerability.name, vulnerability.aliases, package, affected.severity, rating, None)
            if affected.is_there(None) and affected.fixed and is_finding_accepted(waiver, finding, now):
                packages[affected.component] = package.name, affected.fixed
        return packages

    def _find_new_fixes(self, waiver: Waiver, now: str) -> dict[int, tuple[str, str]]:
        """Name and fixed version of the packages for which a fix has appeared since the waiver was accepted."""
        packages: dict[int, tuple[str, str]] = {}
        rows, vulnerabilities, components = self.store.component_search.list_fixed_since(waiver.created_at or now)
        for row in rows:
            finding = row.make_finding(components[row.component].to_package(), vulnerabilities[row.vulnerability])
            if row.fixed and is_finding_accepted(waiver, replace(finding, fixed=None), now):
                packages[row.component] = finding.package.name, row.fixed
        return packages

    def _find_images(self, waiver: Waiver, components: Collection[int]) -> Sequence[str]:
        """The images with one of the components that are in a repository that the waiver names."""
        digests = self.store.fleet_changes.find_images_with(components) if components else ()
        return [
            digest
            for digest, tags in self.store.fleet_changes.list_tags(digests).items()
            if waiver.image in (None, "", digest)
            and any(patterns.is_match(repository, waiver.repository or "**") for repository in tags)
        ]
