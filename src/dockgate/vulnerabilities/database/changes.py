"""The differences between the answers of two advisory databases."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from dockgate.vulnerabilities.database.database import CVE_TABLES, Database

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class AdvisoryChanges:
    """The packages to be matched again after another database was installed.

    `keys` are the packages (ecosystem and source name) with other advisories: any field of one, or an alias group. The
    ecosystem is named as in the database: "Debian" concerns packages of "Debian:13", too. `cves` are those with another
    score, KEV entry or EPSS. `ecosystems` are those, and those of the catalogues "kev" and "epss", that are covered
    differently; the time of the last check is not compared.
    """

    keys: frozenset[tuple[str, str]] = frozenset()
    cves: frozenset[str] = frozenset()
    ecosystems: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.keys or self.cves or self.ecosystems)


def find_changes(old: Database, new: Database, cves: Collection[str] | None = None) -> AdvisoryChanges:
    """Compare two databases.

    Only these `cves` are compared, None for all: every day EPSS has other values for hundreds of thousands.
    Raises DatabaseError if one of the databases is broken.
    """
    if old.digest == new.digest:
        return AdvisoryChanges()
    ecosystems_before, ecosystems_after = old.list_ecosystem_digests(), new.list_ecosystem_digests()
    keys = {
        (ecosystem, name)
        for ecosystem in _find_differing_keys(ecosystems_before, ecosystems_after)
        for name in _find_differing_keys(old.list_package_digests(ecosystem), new.list_package_digests(ecosystem))
    }
    coverage_before, coverage_after = (
        {entry.ecosystem: (entry.is_complete, entry.names) for entry in database.list_coverage()}
        for database in (old, new)
    )
    return AdvisoryChanges(
        frozenset(keys),
        frozenset(_find_changed_cves(old, new, cves)),
        frozenset(_find_differing_keys(coverage_before, coverage_after)),
    )


def _find_changed_cves(old: Database, new: Database, cves: Collection[str] | None) -> set[str]:
    before, after = old.list_cve_digests(), new.list_cve_digests()
    sources = [source for source in CVE_TABLES if before.get(source) != after.get(source)]
    if cves is not None and sources:
        return _find_differing_keys(old.find_cves(cves), new.find_cves(cves))
    return {
        cve for source in sources for cve in _find_differing_keys(old.read_cve_rows(source), new.read_cve_rows(source))
    }


def _find_differing_keys(before: Mapping[K, V], after: Mapping[K, V]) -> set[K]:
    """The keys with another value, or with a value on one side only."""
    changed_keys = {key for key, value in after.items() if key not in before or before[key] != value}
    return changed_keys | (before.keys() - after.keys())
