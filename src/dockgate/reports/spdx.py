"""SPDX 2.3 as JSON: the image DESCRIBED, its packages CONTAINED.

Annotations hold what SPDX has no field for: "dockgate " and a JSON object of names and texts. The names are those of
the CycloneDX properties without "dockgate:". Vulnerabilities are external references of the category SECURITY.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import TextIO

from dockgate.reports import InventoryFormat
from dockgate.reports import _properties as properties
from dockgate.reports import _wording as wording
from dockgate.reports._document import Document, drop_empty, make_urn, write
from dockgate.reports._image_report import TOOL, VERSION, ImageFormat, ImageReport, PlatformPart, build_image_purl
from dockgate.scanner.model import Distribution, Package
from dockgate.shared.digest import Digest
from dockgate.shared.escaping import clean_text

_UNSTATED_FIELDS = ("supplier", "downloadLocation", "licenseConcluded", "licenseDeclared", "copyrightText")
_CREATOR = f"Tool: {TOOL}-{VERSION}"


def _write(report: ImageReport, output: TextIO) -> None:
    write(_build_document(report), output)


REPORT: InventoryFormat = ImageFormat(_write)


def _build_document(report: ImageReport) -> Document:
    created_at = report.created_at[:19] + "Z"
    packages: dict[str, Document] = {}
    relations: list[Document] = []
    for part in report.parts:
        image = _make_id("Image", part.manifest, part.platform)
        packages[image] = _build_image(report, part, image, created_at)
        relations.append(_build_relation("SPDXRef-DOCUMENT", "DESCRIBES", image))
        for package in _build_contained_packages(part, created_at):
            packages[package["SPDXID"]] = package
            relations.append(_build_relation(image, "CONTAINS", package["SPDXID"]))
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": report.reference,
        "creationInfo": {"created": created_at, "creators": [_CREATOR]},
        "annotations": [_build_annotation(properties.list_report_properties(report), created_at)],
        "packages": list(packages.values()),
        "relationships": relations,
    }
    return {**document, "documentNamespace": make_urn(document)}


def _build_image(report: ImageReport, part: PlatformPart, identity: str, created_at: str) -> Document:
    algorithm, content = Digest.parse(part.manifest)
    is_sha256 = algorithm == "sha256" and len(content) == 64
    locator = build_image_purl(report.reference, part.manifest, part.platform) if part.manifest else ""
    return {
        **_build_package(identity, report.reference, part.manifest, "CONTAINER"),
        "checksums": [{"algorithm": "SHA256", "checksumValue": content}] if is_sha256 else [],
        "externalRefs": [_build_purl_reference(locator)] if locator else [],
        "annotations": [_build_annotation(properties.list_part_properties(part), created_at)],
    }


def _build_contained_packages(part: PlatformPart, created_at: str) -> Iterable[Document]:
    inventory = part.inventory
    if inventory and inventory.distribution:
        yield _build_system(inventory.distribution, part, created_at)
    references: dict[Package, list[Document]] = {}
    for finding in part.findings:
        if locator := wording.build_advisory_url(finding.id):
            by = part.waived_findings.get(finding)
            waiver_text = f" {wording.describe_waiver(by)}" if by else ""
            comment = clean_text(f"{finding.severity}. {wording.describe_remediation(finding)}{waiver_text}")
            references.setdefault(finding.package, []).append(
                _build_reference("SECURITY", "advisory", locator, comment)
            )
    for package in part.packages:
        source = package.source_name, package.source_version
        is_other_source = source != (package.name, package.version)
        facts = json.dumps(dict(properties.list_package_properties(package)))
        yield {
            **_build_package(
                _make_id("Package", part.manifest, part.platform, package.purl, facts),
                package.name,
                package.version,
                "LIBRARY",
            ),
            **drop_empty(
                sourceInfo=clean_text(f"built package from: {' '.join(source)}") if is_other_source else "",
                supplier=f"Organization: {clean_text(package.vendor)}" if package.vendor else "",
            ),
            "externalRefs": [_build_purl_reference(package.purl), *references.get(package, ())],
            "annotations": [_build_annotation(properties.list_package_properties(package), created_at)],
        }


def _build_system(distribution: Distribution, part: PlatformPart, created_at: str) -> Document:
    return {
        **_build_package(
            _make_id("OperatingSystem", part.manifest, part.platform),
            distribution.id,
            distribution.version,
            "OPERATING_SYSTEM",
        ),
        "annotations": [_build_annotation(properties.list_distribution_properties(distribution), created_at)],
    }


def _build_package(identity: str, name: str, version: str, purpose: str) -> Document:
    return {
        "SPDXID": identity,
        "name": name,
        **drop_empty(versionInfo=version),
        "primaryPackagePurpose": purpose,
        "filesAnalyzed": False,
        **dict.fromkeys(_UNSTATED_FIELDS, "NOASSERTION"),
    }


def _build_purl_reference(purl: str) -> Document:
    return _build_reference("PACKAGE-MANAGER", "purl", purl)


def _build_reference(category: str, kind: str, locator: str, comment: str | None = None) -> Document:
    return drop_empty(referenceCategory=category, referenceType=kind, referenceLocator=locator, comment=comment)


def _build_relation(subject: str, kind: str, related_id: str) -> Document:
    return {"spdxElementId": subject, "relationshipType": kind, "relatedSpdxElement": related_id}


def _build_annotation(pairs: Iterable[tuple[str, str]], created_at: str) -> Document:
    """An annotation; repeated names become a list of texts."""
    texts_by_name: dict[str, list[str]] = {}
    for name, text in pairs:
        texts_by_name.setdefault(name.removeprefix("dockgate:"), []).append(text)
    facts = {name: texts[0] if len(texts) == 1 else texts for name, texts in texts_by_name.items()}
    comment = "dockgate " + json.dumps(facts)
    return {"annotationDate": created_at, "annotationType": "OTHER", "annotator": _CREATOR, "comment": comment}


def _make_id(kind: str, *parts: str | None) -> str:
    """An SPDX id: the same for the same package in every document."""
    digest = hashlib.sha256("\n".join(part or "" for part in parts).encode("utf-8", "backslashreplace")).hexdigest()
    return f"SPDXRef-{kind}-{digest[:24]}"
