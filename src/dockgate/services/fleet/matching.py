"""Match components of the fleet with the advisory database, a part at a time: memory stays flat."""

from collections.abc import Iterable, Iterator, Sequence

from dockgate.scanner.model import Inventory, Package
from dockgate.scanner.ports import Ecosystem
from dockgate.store.fleet.findings import MatchResult
from dockgate.store.fleet.records import Component
from dockgate.vulnerabilities.matching import Matcher
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
    by_ecosystem: dict[str, list[tuple[int, Package]]] = {}
    for number, component in components:
        by_ecosystem.setdefault(component.ecosystem, []).append((number, component.to_package()))
    for ecosystem in sorted(by_ecosystem):
        # Versions of one name lie together, so that a part reads each advisory once.
        packages = sorted(by_ecosystem[ecosystem], key=lambda entry: (entry[1].source_name, entry[0]))
        for at in range(0, len(packages), PART):
            yield from _match(packages[at : at + PART], advisories, ecosystems)


def _match(
    packages: Sequence[tuple[int, Package]], advisories: AdvisoryReader, ecosystems: Sequence[Ecosystem]
) -> Iterator[MatchResult]:
    inventory = Inventory(None, None, None, (), tuple(package for _, package in packages), ())
    matcher = Matcher(advisories.read_snapshot([inventory]), ecosystems)
    for number, package in packages:
        matches = matcher.match((package,))
        yield MatchResult(
            number, matches.findings, tuple(entry for entry in matches.undetermined if entry.kind != "uncovered")
        )
