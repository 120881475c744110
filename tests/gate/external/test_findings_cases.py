"""Every document in tests/cases/findings; the YAML file of the same name has the expected report.

Metadata and Packages of the Trivy documents are from Trivy 0.76, for a small image. Its findings, and all other
documents, are written by hand from schemas and documentation (docs/how-to/external-findings.md), with a few real
vulnerabilities.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dockgate.gate.model import ExternalReport
from dockgate.services.images import external_findings
from dockgate.shared import canonical
from dockgate.vulnerabilities.model import Finding

CASES = Path(__file__).parent.parent.parent / "cases" / "findings"
DOCUMENTS = sorted(CASES.glob("*.json"))


def summarize(report: ExternalReport) -> dict[str, Any]:
    inventory = report.inventory
    return {
        "source": report.source,
        "at": report.at,
        "image": inventory.image,
        "platform": inventory.platform,
        "distribution": f"{inventory.distribution.id} {inventory.distribution.version}"
        if inventory.distribution
        else "",
        "created": inventory.created,
        "user": inventory.user or "",
        "packages": [
            f"{package.ecosystem} {package.purl or package.name} {package.path}".strip()
            for package in inventory.packages
        ],
        "findings": [describe_finding(finding) for finding in report.matches.findings],
        "undetermined": [f"{entry.kind or '-'} {entry.reason}" for entry in report.matches.undetermined],
        "unlisted_counts": dict(report.unlisted_counts),
        "missing_fields": list(report.missing_fields),
    }


def describe_finding(finding: Finding) -> str:
    parts = [
        finding.severity.value,
        *(finding.id, *finding.aliases),
        finding.package.purl or finding.package.name,
        f"by {finding.rating.source}",
        f"score {finding.rating.score}" if finding.rating.score is not None else "",
        f"fixed {finding.fixed}" if finding.fixed else f"({finding.note or 'unfixed'})",
        f"exploited {finding.exploited} due {finding.due or ''}" if finding.exploited else "",
        f"epss {finding.epss}" if finding.epss is not None else "",
        f"published {finding.published}" if finding.published else "",
    ]
    return " ".join(filter(None, parts))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_a_document_gives_the_expected_report(document: Path) -> None:
    expected = yaml.safe_load(document.with_suffix(".yaml").read_text("utf-8"))
    assert [summarize(report) for report in external_findings.read_file(document)] == expected


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_a_report_can_be_stored_and_read_back(document: Path) -> None:
    for report in external_findings.read_file(document):
        assert canonical.decode(ExternalReport, canonical.encode(report)) == report
