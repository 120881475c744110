"""The ages of the catalogues KEV and EPSS, on which it depends whether their values still count."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from dockgate.delivery.ports import Advisories
from dockgate.services.exposure.feed_ages import find_moment
from dockgate.shared.errors import DatabaseError
from dockgate.vulnerabilities.feed_age import describe_staleness, is_stale
from dockgate.vulnerabilities.model import CATALOGUES, Coverage

CATALOGUE_NAMES = {"epss": "EPSS", "kev": "KEV"}


@dataclass(frozen=True, slots=True)
class CatalogueAge:
    """The last check of a catalogue.

    `catalogue` is "kev" (known to be exploited) or "epss" (probability of an exploitation).
    `checked_at` is null if this server has not read it, or the time is unknown. `is_stale`: at the time of the question
    the check was too long ago, was unknown, or lay in the future. `reason` says so in a sentence, null if the
    catalogue is not stale. The limit is that of feeds.
    """

    catalogue: str
    checked_at: str | None
    is_stale: bool
    reason: str | None


def list_catalogue_ages(
    coverage: Iterable[Coverage], now: str, as_of: str | None = None, names: Collection[str] = CATALOGUES
) -> list[CatalogueAge]:
    """Return the ages of the catalogues of these names, sorted by name. Pure."""
    entries = {entry.ecosystem: entry for entry in coverage}
    return [_make_catalogue_age(name, entries.get(name), now, as_of) for name in sorted(names)]


def read_catalogue_ages(advisories: Advisories, now: str) -> Sequence[CatalogueAge]:
    """Return the ages of the catalogues now, none if the advisories cannot be read."""
    try:
        return list_catalogue_ages(advisories().list_coverage(), now)
    except DatabaseError:
        return ()


def _make_catalogue_age(name: str, coverage: Coverage | None, now: str, as_of: str | None) -> CatalogueAge:
    if coverage is None:
        return CatalogueAge(name, None, True, f"This server has not read the catalogue {CATALOGUE_NAMES[name]}.")
    moment = find_moment(coverage.checked_at, now, as_of)
    title = f"The catalogue {CATALOGUE_NAMES[name]}"
    reason = describe_staleness(title, "was last checked", coverage.checked_at, moment)
    return CatalogueAge(name, coverage.checked_at, is_stale(coverage.checked_at, moment), reason)
