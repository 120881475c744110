"""The packages of the fleet by the names that people give them."""

from collections.abc import Mapping
from dataclasses import dataclass

from dockgate.gate import patterns
from dockgate.services.packages import Purls
from dockgate.shared.purl import Purl, is_purl
from dockgate.store import Store
from dockgate.store.fleet.records import Component


@dataclass(frozen=True, slots=True)
class FleetPackages:
    """Components of the fleet, by id."""

    store: Store
    purls: Purls

    def find(self, text: str) -> Mapping[int, Component]:
        """The components that a package URL or NAME[@VERSION] names.

        The name may be that of the source of a distribution's package. UsageError for a wrong package URL.
        """
        if is_purl(text.lower()):
            return self._find_by_purl(text)
        name, at_sign, version = text.rpartition("@")
        if not name or not at_sign:
            name, version = text, ""
        components = self.store.component_search.find_components_named([name])
        return {
            number: component
            for number, component in components.items()
            if not version or version in (component.version, component.source_version)
        }

    def list_names(self, text: str) -> list[str]:
        """The names that a package without a version may have in advisories.

        UsageError for a wrong package URL.
        """
        return _list_full_names(self.purls.parse(text)) if is_purl(text.lower()) else [text]

    def _find_by_purl(self, text: str) -> Mapping[int, Component]:
        purl = self.purls.parse(text)
        components = self.store.component_search.find_components_named(_list_full_names(purl))
        return {
            number: component
            for number, component in components.items()
            if patterns.is_package_match(text, component.to_package())
        }


def _list_full_names(purl: Purl) -> list[str]:
    return [purl.name, *(f"{purl.namespace}{mark}{purl.name}" for mark in "/:" if purl.namespace)]
