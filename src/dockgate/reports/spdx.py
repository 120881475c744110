"""SPDX 2.3 as JSON: the image DESCRIBED, its packages CONTAINED.

What SPDX has no field for stands in annotations: "dockgate " and a JSON object of names and texts, each name being what
it is in CycloneDX' properties without its "dockgate:". Vulnerabilities are external references of the category
SECURITY.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import TextIO

from dockgate.reports import Bill, GateReport, InventoryReport, ScanReport
from dockgate.reports import _traits as traits
from dockgate.reports._clean import clean
from dockgate.reports._document import Document, given, urn, write
from dockgate.reports._parts import TOOL, VERSION, Part, Whole, image_purl, link, remediation, waiver, whole
from dockgate.scanner.model import Distribution, Package

_UNSAID = "NOASSERTION"
_BY = f"Tool: {TOOL}-{VERSION}"


class Spdx:
    def scan(self, report: ScanReport, out: TextIO) -> None:
        write(_document(whole(report)), out)

    def gate(self, report: GateReport, out: TextIO) -> None:
        write(_document(whole(report)), out)

    def inventory(self, report: InventoryReport, out: TextIO) -> None:
        write(_document(whole(report)), out)


REPORT: Bill = Spdx()


def _document(report: Whole) -> Document:
    created = report.now[:19] + "Z"
    packages: dict[str, Document] = {}
    relations: list[Document] = []
    for part in report.parts:
        image = _identity("Image", part.manifest, part.platform)
        packages[image] = _image(report, part, image, created)
        relations.append(_relation("SPDXRef-DOCUMENT", "DESCRIBES", image))
        for package in _contained(part, created):
            packages[package["SPDXID"]] = package
            relations.append(_relation(image, "CONTAINS", package["SPDXID"]))
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": report.reference,
        "creationInfo": {"created": created, "creators": [_BY]},
        "annotations": [_annotation(traits.of_report(report), created)],
        "packages": list(packages.values()),
        "relationships": relations,
    }
    return {**document, "documentNamespace": urn(document)}


def _image(report: Whole, part: Part, identity: str, created: str) -> Document:
    algorithm, _, content = part.manifest.partition(":")
    sha256 = algorithm == "sha256" and len(content) == 64
    locator = image_purl(report.reference, part.manifest, part.platform) if part.manifest else ""
    return {
        **_package(identity, report.reference, part.manifest, "CONTAINER"),
        "checksums": [{"algorithm": "SHA256", "checksumValue": content}] if sha256 else [],
        "externalRefs": [_purl(locator)] if locator else [],
        "annotations": [_annotation(traits.of_part(part), created)],
    }


def _contained(part: Part, created: str) -> Iterable[Document]:
    held = part.inventory
    if held and held.distribution:
        yield _system(held.distribution, part, created)
    suffered: dict[Package, list[Document]] = {}
    for finding in part.findings:
        if locator := link(finding.id):
            by = part.waived.get(finding)
            comment = clean(f"{finding.severity}. {remediation(finding)}{f' {waiver(by)}' if by else ''}")
            suffered.setdefault(finding.package, []).append(_reference("SECURITY", "advisory", locator, comment))
    for package in part.packages:
        facts = json.dumps(dict(traits.of_package(package)))
        yield {
            **_package(
                _identity("Package", part.manifest, part.platform, package.purl, facts),
                package.name,
                package.version,
                "LIBRARY",
            ),
            **given(sourceInfo=_built_from(package), supplier=_supplier(package)),
            "externalRefs": [_purl(package.purl), *suffered.get(package, ())],
            "annotations": [_annotation(traits.of_package(package), created)],
        }


def _supplier(package: Package) -> str:
    return f"Organization: {clean(package.vendor)}" if package.vendor else ""


def _built_from(package: Package) -> str:
    other = (package.source_name, package.source_version) != (package.name, package.version)
    return clean(f"built package from: {package.source_name} {package.source_version}") if other else ""


def _system(distribution: Distribution, part: Part, created: str) -> Document:
    return {
        **_package(
            _identity("OperatingSystem", part.manifest, part.platform),
            distribution.id,
            distribution.version,
            "OPERATING_SYSTEM",
        ),
        "annotations": [_annotation(traits.of_distribution(distribution), created)],
    }


def _package(identity: str, name: str, version: str, purpose: str) -> Document:
    return {
        "SPDXID": identity,
        "name": name,
        **given(versionInfo=version),
        "primaryPackagePurpose": purpose,
        "supplier": _UNSAID,
        "downloadLocation": _UNSAID,
        "filesAnalyzed": False,
        "licenseConcluded": _UNSAID,
        "licenseDeclared": _UNSAID,
        "copyrightText": _UNSAID,
    }


def _purl(purl: str) -> Document:
    return _reference("PACKAGE-MANAGER", "purl", purl)


def _reference(category: str, kind: str, locator: str, comment: str = "") -> Document:
    return given(referenceCategory=category, referenceType=kind, referenceLocator=locator, comment=comment)


def _relation(of: str, kind: str, to: str) -> Document:
    return {"spdxElementId": of, "relationshipType": kind, "relatedSpdxElement": to}


def _annotation(said: Iterable[tuple[str, str]], created: str) -> Document:
    """Names that stand several times become a list of texts."""
    held: dict[str, list[str]] = {}
    for name, text in said:
        held.setdefault(name.removeprefix("dockgate:"), []).append(text)
    facts = {name: texts[0] if len(texts) == 1 else texts for name, texts in held.items()}
    comment = "dockgate " + json.dumps(facts)
    return {"annotationDate": created, "annotationType": "OTHER", "annotator": _BY, "comment": comment}


def _identity(kind: str, *parts: str) -> str:
    """The same for the same thing in every document."""
    digest = hashlib.sha256("\n".join(parts).encode("utf-8", "backslashreplace")).hexdigest()
    return f"SPDXRef-{kind}-{digest[:24]}"
