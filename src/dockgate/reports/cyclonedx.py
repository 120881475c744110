"""CycloneDX 1.6 as JSON, with vulnerabilities.

`metadata.component` is the image. An index has its platforms as components of their own, each holding its packages.
What CycloneDX has no field for stands in properties that begin with "dockgate:". A vulnerability stands once for all
packages of which the same is said; `analysis` holds what others said, by waiver (without a state) or
VEX: a scanner cannot say what an affected package does to its user.

Written without cyclonedx-python-lib, whose import alone takes longer than half of a scan; its schema holds the tests.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from dockgate.reports import Bill, GateReport, InventoryReport, ScanReport
from dockgate.reports import _traits as traits
from dockgate.reports._document import Document, given, urn, write
from dockgate.reports._parts import TOOL, VERSION, Part, Whole, image_purl, link, remediation, vex_status, waiver, whole
from dockgate.scanner.model import Distribution, Package
from dockgate.vulnerabilities.model import Finding, Severity

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedWaiver

_SEVERITIES = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "high",
    Severity.MEDIUM: "medium",
    Severity.LOW: "low",
    Severity.INFORMATIONAL: "info",
    Severity.UNTRIAGED: "unknown",
}
_METHODS = {"CVSS:3.0": "CVSSv3", "CVSS:3.1": "CVSSv31", "CVSS:4.0": "CVSSv4"}
_STATES = {"not_affected": "not_affected", "fixed": "resolved"}
_NOBODY = Package("", "", "", "", "", "", "")


class CycloneDx:
    def scan(self, report: ScanReport, out: TextIO) -> None:
        write(_document(whole(report)), out)

    def gate(self, report: GateReport, out: TextIO) -> None:
        write(_document(whole(report)), out)

    def inventory(self, report: InventoryReport, out: TextIO) -> None:
        write(_document(whole(report)), out)


REPORT: Bill = CycloneDx()


def _document(report: Whole) -> Document:
    images: list[Document] = []
    vulnerabilities: list[Document] = []
    for part in report.parts:
        image, found = _part(report, part)
        images.append(image)
        vulnerabilities += found
    if report.of_one:
        (component,) = images
        components = component.pop("components", [])
    else:
        component, components = _image(report, report.digest), images
    content = {
        "metadata": {
            "timestamp": report.now,
            "tools": {"components": [{"type": "application", "name": TOOL, "version": VERSION}]},
            "component": component,
            "properties": _properties(traits.of_report(report)),
        },
        "components": components,
        "compositions": _compositions(report),
        "vulnerabilities": vulnerabilities,
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": urn(content),
        "version": 1,
        **content,
    }


def _part(report: Whole, part: Part) -> tuple[Document, list[Document]]:
    """The platform's image with its packages as components, and the vulnerabilities of those."""
    prefix = "" if report.of_one else f"{part.manifest}/"
    refs: dict[Package, str] = {}
    taken: dict[str, int] = {}
    for package in part.packages:
        taken[package.purl] = number = taken.get(package.purl, 0) + 1
        refs[package] = prefix + package.purl + (f"#{number}" if number > 1 else "")
    image = _image(report, part.manifest, part)
    held = part.inventory
    system = [_system(held.distribution, prefix)] if held and held.distribution else []
    image["components"] = [*system, *(_component(package, ref) for package, ref in refs.items())]
    return image, list(_vulnerabilities(part, refs, image["bom-ref"]))


def _image(report: Whole, digest: str, part: Part | None = None) -> Document:
    algorithm, _, content = digest.partition(":")
    return given(
        **{"bom-ref": _image_ref(digest, part)},
        type="container",
        name=report.reference,
        version=digest,
        purl=image_purl(report.reference, digest, part.platform if part else "") if digest else "",
        hashes=[{"alg": "SHA-256", "content": content}] if algorithm == "sha256" and len(content) == 64 else [],
        properties=_properties(traits.of_part(part)) if part else [],
    )


def _image_ref(digest: str, part: Part | None) -> str:
    return f"{digest} {part.platform}" if part else digest or "image"


def _system(distribution: Distribution, prefix: str) -> Document:
    return given(
        **{"bom-ref": f"{prefix}os:{distribution.id}@{distribution.version}"},
        type="operating-system",
        name=distribution.id,
        version=distribution.version,
        description=distribution.name,
        properties=_properties(traits.of_distribution(distribution)),
    )


def _component(package: Package, ref: str) -> Document:
    return given(
        **{"bom-ref": ref},
        type="library",
        name=package.name,
        version=package.version,
        purl=package.purl,
        supplier=given(name=package.vendor),
        properties=_properties(traits.of_package(package)),
    )


def _compositions(report: Whole) -> list[Document]:
    """Whether all that an image holds is in here."""
    refs: dict[bool, list[str]] = {}
    for part in report.parts:
        known = part.inventory is not None and not part.inventory.unread
        refs.setdefault(known, []).append(_image_ref(part.manifest, part))
    return [
        {"aggregate": "complete" if known else "incomplete", "assemblies": images} for known, images in refs.items()
    ]


def _vulnerabilities(part: Part, refs: dict[Package, str], image: str) -> Iterable[Document]:
    breaking = part.breaking
    groups: dict[tuple[Finding, tuple[str, ...], str, AppliedWaiver | None], list[Package]] = {}
    for finding in part.findings:
        by = part.waived.get(finding)
        said = replace(by, finding=None) if by else None
        key = replace(finding, package=_NOBODY), breaking.get(finding, ()), remediation(finding), said
        groups.setdefault(key, []).append(finding.package)
    for (finding, rules, advice, said), packages in groups.items():
        yield given(
            id=finding.id,
            source=_source(finding.id),
            references=[{"id": alias, "source": _source(alias)} for alias in finding.aliases],
            ratings=[_rating(finding)],
            description=finding.summary,
            recommendation=advice,
            published=finding.published,
            analysis=given(state=_STATES.get(vex_status(said), ""), detail=waiver(said)) if said else {},
            affects=[
                given(
                    ref=refs.get(package, image),
                    versions=[
                        given(version=package.version, status="affected"),
                        *([given(version=finding.fixed, status="unaffected")] if finding.fixed else []),
                    ],
                )
                for package in dict.fromkeys(packages)
            ],
            properties=_properties(traits.of_finding(finding, rules)),
        )


def _source(identity: str) -> Document:
    return given(name="OSV", url=link(identity))


def _rating(finding: Finding) -> Document:
    rating = finding.rating
    known = rating.score >= 0
    return given(
        source=given(name=rating.source),
        score=rating.score if known else None,
        severity=_SEVERITIES[finding.severity],
        method=_METHODS.get(rating.vector[:8], "CVSSv2" if rating.vector else "other") if known else "other",
        vector=rating.vector,
    )


def _properties(said: Iterable[tuple[str, str]]) -> list[Document]:
    return [{"name": name, "value": text} for name, text in said]
