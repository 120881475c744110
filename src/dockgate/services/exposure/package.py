"""The versions of a package in images, and their vulnerabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

from dockgate.identity.model import Caller
from dockgate.services.exposure.search import ExposureSearch, LookUp
from dockgate.store.fleet.records import Component, ComponentFinding
from dockgate.vulnerabilities.model import Severity

# Vulnerabilities of an answer, the worst first.
MAX_VULNERABILITIES = 200


@dataclass(frozen=True, slots=True)
class PackageVersion:
    """A version that images contain.

    `images` counts those under a tag or running, `counts` its findings by severity.
    """

    name: str
    version: str
    ecosystem: str
    purl: str
    images: int
    counts: list[tuple[int, Severity]]


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

    With `is_limited`, only images that the caller may see count: others may contain the package.
    """

    versions: list[PackageVersion]
    vulnerabilities: list[PackageVulnerability]
    vulnerability_count: int
    is_limited: bool


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
        _make_version(component, images[number], by_component.get(number, []))
        for number, component in present_components.items()
    ]
    versions.sort(key=lambda entry: (entry.ecosystem, entry.name, entry.version))
    is_limited = caller is not None and caller.is_limited
    return PackageContents(versions, vulnerabilities[:MAX_VULNERABILITIES], len(vulnerabilities), is_limited)


def _make_version(component: Component, image_count: int, severities: Sequence[Severity]) -> PackageVersion:
    counts = [(severities.count(severity), severity) for severity in Severity if severity in severities]
    return PackageVersion(component.name, component.version, component.ecosystem, component.purl, image_count, counts)
