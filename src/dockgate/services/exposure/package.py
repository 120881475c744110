"""The versions of a package in images, and their vulnerabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dockgate.identity.model import Caller
from dockgate.services.exposure.catalogue_ages import CatalogueAge, read_catalogue_ages
from dockgate.services.exposure.search import ExposureSearch, LookUp
from dockgate.shared.errors import DatabaseError
from dockgate.shared.timestamps import to_datetime
from dockgate.store.exposure.records import IndexState
from dockgate.store.fleet.records import Component, ComponentFinding
from dockgate.vulnerabilities.feed_age import is_stale
from dockgate.vulnerabilities.model import Severity

# Vulnerabilities of an answer, the worst first.
MAX_VULNERABILITIES = 200


@dataclass(frozen=True, slots=True)
class PackageVersion:
    """A version that images contain.

    `images` counts those under a tag or running, `counts` its findings by severity. `undetermined` says why it may have
    others, null if it was matched with all advisories
    of feeds that are not stale.
    """

    name: str
    version: str
    ecosystem: str
    purl: str
    images: int
    counts: list[tuple[int, Severity]]
    undetermined: str | None


@dataclass(frozen=True, slots=True)
class PackageVulnerability:
    """A vulnerability of some versions.

    `fixed` are the versions without it; `exploited` and `epss` null if unknown.
    """

    name: str
    severity: Severity
    versions: list[str]
    fixed: list[str]
    exploited: str | None
    epss: float | None


@dataclass(frozen=True, slots=True)
class PackageContents:
    """`vulnerability_count` counts the vulnerabilities, of which `vulnerabilities` has the worst.

    With `is_limited`, only images that the caller may see count: others may contain the package. `catalogues` says how
    old KEV and EPSS are, none if the advisories cannot be read.
    """

    versions: list[PackageVersion]
    vulnerabilities: list[PackageVulnerability]
    vulnerability_count: int
    is_limited: bool
    catalogues: list[CatalogueAge]


def find_package(
    search: ExposureSearch, question: str, caller: Caller | None, look_up: LookUp | None = None
) -> PackageContents:
    """Return what is known of a package: a name, NAME@VERSION or a package URL.

    UsageError for a wrong package URL. `look_up` is what looking it up for this caller gave, if it is known.
    """
    store = search.store
    with store.database.read():
        look_up = look_up or search.look_up(question)
        components = {} if look_up.subject.is_vulnerability else look_up.subject.components
        images = store.exposures.count_images_by_component(components, search.find_matching_images(look_up, caller))
        present_components = {number: component for number, component in components.items() if images.get(number)}
        findings, entries = store.component_search.list_findings(present_components)
        reasons = _find_undetermined(search, present_components, look_up.state) if present_components else {}
    by_component: dict[int, list[Severity]] = {}
    by_vulnerability: dict[int, list[ComponentFinding]] = {}
    for finding in findings:
        by_component.setdefault(finding.component, []).append(finding.severity)
        by_vulnerability.setdefault(finding.vulnerability, []).append(finding)
    vulnerabilities = sorted(
        (
            PackageVulnerability(
                name=entries[number].name,
                severity=min((finding.severity for finding in group), key=lambda severity: severity.rank),
                versions=list(dict.fromkeys(present_components[finding.component].version for finding in group)),
                fixed=list(dict.fromkeys(finding.fixed for finding in group if finding.fixed)),
                exploited=entries[number].exploited or None,
                epss=entries[number].epss,
            )
            for number, group in by_vulnerability.items()
        ),
        key=lambda entry: (not entry.exploited, entry.severity.rank, -(entry.epss or 0), entry.name),
    )
    versions = [
        _make_version(component, images[number], by_component.get(number, []), reasons.get(number))
        for number, component in present_components.items()
    ]
    versions.sort(key=lambda entry: (entry.ecosystem, entry.name, entry.version))
    is_limited = caller is not None and caller.is_limited
    catalogues = list(read_catalogue_ages(search.advisories, search.clock.now()))
    return PackageContents(
        versions, vulnerabilities[:MAX_VULNERABILITIES], len(vulnerabilities), is_limited, catalogues
    )


def _find_undetermined(
    search: ExposureSearch, components: Mapping[int, Component], known_state: IndexState | None
) -> dict[int, str]:
    """Return why it is unknown whether components have further vulnerabilities, without those that were matched."""
    try:
        coverage = {entry.ecosystem: entry for entry in search.advisories().list_coverage()}
    except DatabaseError:
        return dict.fromkeys(components, "the advisories cannot be read")
    state = known_state or search.store.component_search.read_index_state()
    uncomparable_ids = {number for number, _ in state.uncomparable_components}
    unmatched_ids = set(state.unmatched_components if state.is_matched else components)
    reasons = {}
    for number, component in components.items():
        entry = coverage.get(component.ecosystem)
        if entry is None or not (entry.is_complete or component.source_name in entry.names):
            reasons[number] = "the advisory database does not cover it"
        elif number in unmatched_ids:
            reasons[number] = "it is not matched with the advisories yet"
        elif number in uncomparable_ids:
            reasons[number] = "its version cannot be compared"
        elif is_stale(entry.checked_at, to_datetime(search.clock.now())):
            reasons[number] = "the feed of its ecosystem is stale"
    return reasons


def _make_version(
    component: Component, image_count: int, severities: Sequence[Severity], undetermined: str | None
) -> PackageVersion:
    counts = [(severities.count(severity), severity) for severity in Severity if severity in severities]
    name, version, ecosystem, purl = component.name, component.version, component.ecosystem, component.purl
    return PackageVersion(name, version, ecosystem, purl, image_count, counts, undetermined)
