"""Every document in tests/cases/findings, read: what comes of it stands in the file of the same name, in YAML.

The Metadata and Packages of the Trivy documents are Trivy 0.76's own, of a small image; its findings, and all other
documents, are written by hand after their schemas and documentations (see docs/how-to/external-findings.md), with a few
real vulnerabilities in them.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dockgate.gate.model import ExternalReport
from dockgate.services import external_findings
from dockgate.shared import canonical
from dockgate.vulnerabilities.model import Finding

CASES = Path(__file__).parent.parent.parent / "cases" / "findings"
DOCUMENTS = sorted(CASES.glob("*.json"))


def told(reported: ExternalReport) -> dict[str, Any]:
    inventory = reported.inventory
    return {
        "source": reported.source,
        "at": reported.at,
        "image": inventory.image,
        "platform": inventory.platform,
        "distribution": f"{inventory.distribution.id} {inventory.distribution.version}"
        if inventory.distribution
        else "",
        "created": inventory.created,
        "user": inventory.user,
        "packages": [f"{one.ecosystem} {one.purl or one.name} {one.path}".strip() for one in inventory.packages],
        "findings": [line(one) for one in reported.matches.findings],
        "undetermined": [f"{one.kind or '-'} {one.reason}" for one in reported.matches.undetermined],
        "unlisted_counts": dict(reported.unlisted_counts),
        "missing_fields": list(reported.missing_fields),
    }


def line(one: Finding) -> str:
    parts = [
        one.severity.value,
        *(one.id, *one.aliases),
        one.package.purl or one.package.name,
        f"by {one.rating.source}",
        f"score {one.rating.score}" if one.rating.score >= 0 else "",
        f"fixed {one.fixed}" if one.fixed else f"({one.note or 'unfixed'})",
        f"exploited {one.exploited} due {one.due}" if one.exploited else "",
        f"epss {one.epss}" if one.epss >= 0 else "",
        f"published {one.published}" if one.published else "",
    ]
    return " ".join(filter(None, parts))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_a_document_is_read_as_its_case_says(document: Path) -> None:
    expected = yaml.safe_load(document.with_suffix(".yaml").read_text("utf-8"))
    assert [told(one) for one in external_findings.read_file(document)] == expected


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_what_is_read_can_be_kept(document: Path) -> None:
    for reported in external_findings.read_file(document):
        assert canonical.decode(ExternalReport, canonical.encode(reported)) == reported
