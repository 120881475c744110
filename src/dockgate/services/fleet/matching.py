"""Match components of the fleet with the advisory database, a part at a time: memory stays flat."""

from collections.abc import Iterable, Iterator, Sequence

from dockgate.scanner.model import Inventory, Package
from dockgate.scanner.ports import Ecosystem
from dockgate.store.fleet.findings import MatchResult
from dockgate.store.fleet.records import Component
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import AdvisorySnapshot
from dockgate.vulnerabilities.ports import AdvisoryReader

# Components that are matched at once: their advisories are in memory together.
PART = 2_000


def match_components(
    components: Iterable[tuple[int, Component]], advisories: AdvisoryReader, ecosystems: Sequence[Ecosystem]
) -> Iterator[MatchResult]:
    """Yield what matching says of each component, as it would of a package of an image.

    Components have their ids. Those that the database does not cover are in
    `store.fleet.index.Fleet.list_uncovered_components`.
    """
    packages = ((number, component.to_package()) for number, component in components)
    for part, snapshot in _read_parts(packages, advisories):
        yield from _match(part, Matcher(snapshot, ecosystems))


def compute_record_revisions(
    packages: Iterable[tuple[int, Package]], advisories: AdvisoryReader, ecosystems: Sequence[Ecosystem]
) -> Iterator[tuple[int, int, int]]:
    """Yield for each package its id, and two numbers that can be compared within this process.

    The first changes with the advisories for any of its versions, the second with the EPSS values of their CVEs.
    """
    for part, snapshot in _read_parts(packages, advisories):
        matcher = Matcher(snapshot, ecosystems)
        for number, package in part:
            records, cves = matcher.select_records(package)
            facts = frozenset(
                (cve.id, cve.rating, cve.exploited, cve.due) for cve in cves if cve.rating or cve.exploited
            )
            epss_values = frozenset((cve.id, cve.epss, cve.percentile) for cve in cves)
            yield number, hash((frozenset(records), facts)), hash(epss_values)


def _read_parts(
    packages: Iterable[tuple[int, Package]], advisories: AdvisoryReader
) -> Iterator[tuple[Sequence[tuple[int, Package]], AdvisorySnapshot]]:
    """Yield the packages in parts of one ecosystem, with the advisories for each part."""
    by_ecosystem: dict[str, list[tuple[int, Package]]] = {}
    for number, package in packages:
        by_ecosystem.setdefault(package.ecosystem, []).append((number, package))
    for ecosystem in sorted(by_ecosystem):
        # Versions of one name lie together, so that a part reads each advisory once.
        sorted_packages = sorted(by_ecosystem[ecosystem], key=lambda entry: (entry[1].source_name, entry[0]))
        for at in range(0, len(sorted_packages), PART):
            part = sorted_packages[at : at + PART]
            inventory = Inventory(None, None, None, (), tuple(package for _, package in part), ())
            yield part, advisories.read_snapshot([inventory])


def _match(packages: Sequence[tuple[int, Package]], matcher: Matcher) -> Iterator[MatchResult]:
    for number, package in packages:
        matches = matcher.match((package,))
        yield MatchResult(
            number, matches.findings, tuple(entry for entry in matches.undetermined if entry.kind != "uncovered")
        )
