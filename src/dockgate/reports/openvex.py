"""OpenVEX 0.2.0: one statement per vulnerability, for all packages of the image with the same data.

A scanner knows that a package is affected. `not_affected` and `fixed` come from VEX documents whose author the policy
trusts. What could not be compared is `under_investigation`. Without findings `statements` is empty: the published
schema requires one statement, but an invented one would be false.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

from dockgate.reports import Report
from dockgate.reports import _wording as wording
from dockgate.reports._document import Document, drop_empty, make_urn, write
from dockgate.reports._image_report import TOOL, VERSION, ImageFormat, ImageReport, PlatformPart, build_image_purl
from dockgate.scanner.model import Package
from dockgate.shared.digest import Digest
from dockgate.shared.escaping import clean_text
from dockgate.vulnerabilities.model import Finding

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedExemption


def _write(report: ImageReport, output: TextIO) -> None:
    content = {
        "author": TOOL,
        "role": "Vulnerability scanner",
        "timestamp": report.created_at,
        "version": 1,
        "tooling": f"{TOOL} {VERSION}",
        "statements": list(_build_statements(report)),
    }
    write({"@context": "https://openvex.dev/ns/v0.2.0", "@id": make_urn(content), **content}, output)


REPORT: Report = ImageFormat(_write)


def _build_statements(report: ImageReport) -> Iterator[Document]:
    affected_packages: dict[tuple[Finding, str, AppliedExemption | None], dict[int, list[Package]]] = {}
    undetermined_subjects: dict[tuple[str, str], dict[int, list[str]]] = {}
    for number, part in enumerate(report.parts):
        for finding in part.findings:
            general, waiver = part.strip_package(finding)
            packages_by_number = affected_packages.setdefault(
                (general, wording.describe_remediation(finding), waiver), {}
            )
            packages_by_number.setdefault(number, []).append(finding.package)
        for entry in part.undetermined:
            for identity in entry.ids:
                undetermined_subjects.setdefault((identity, entry.reason), {}).setdefault(number, []).append(
                    entry.subject
                )
    for (finding, advice, waiver), packages in affected_packages.items():
        purls = {number: [package.purl for package in listed_packages] for number, listed_packages in packages.items()}
        yield drop_empty(
            vulnerability=_build_vulnerability(finding.id, finding.aliases, finding.summary),
            products=list(_build_products(report, purls)),
            **_build_status(finding, advice, waiver),
        )
    for (identity, reason), subjects in undetermined_subjects.items():
        yield drop_empty(
            vulnerability=_build_vulnerability(identity),
            products=list(_build_products(report, subjects)),
            status="under_investigation",
            status_notes=clean_text(reason),
        )


def _build_status(finding: Finding, advice: str, waiver: "AppliedExemption | None") -> Document:
    """The status fields. A VEX statement keeps its author; a waiver leaves the package affected."""
    notes = clean_text(_describe_finding(finding))
    by = clean_text(wording.describe_waiver(waiver)) if waiver else ""
    if (status := wording.derive_vex_status(waiver)) == "not_affected":
        return {"status": status, "status_notes": notes, "impact_statement": by}
    if status:
        return {"status": status, "status_notes": f"{by} {notes}"}
    return {"status": "affected", "status_notes": notes, "action_statement": f"{clean_text(advice)} {by}".strip()}


def _build_vulnerability(identity: str, aliases: Iterable[str] = (), summary: str | None = None) -> Document:
    return drop_empty(
        **{"@id": wording.build_advisory_url(identity)},
        name=clean_text(identity),
        aliases=[clean_text(alias) for alias in dict.fromkeys(aliases)],
        description=clean_text(summary or ""),
    )


def _build_products(report: ImageReport, purls: dict[int, list[str]]) -> Iterator[Document]:
    for number, listed_purls in purls.items():
        yield _build_product(report, report.parts[number], list(dict.fromkeys(listed_purls)))


def _build_product(report: ImageReport, part: PlatformPart, purls: list[str]) -> Document:
    purl = build_image_purl(report.reference, part.manifest, part.platform)
    algorithm, content = Digest.parse(part.manifest)
    return drop_empty(
        **{"@id": purl},
        identifiers={"purl": purl},
        hashes={"sha-256": content} if algorithm == "sha256" else {},
        subcomponents=[{"@id": component, "identifiers": {"purl": component}} for component in purls],
    )


def _describe_finding(finding: Finding) -> str:
    notes = [
        f"Severity {finding.severity}" + (f" by {finding.rating.source}" if finding.rating.source else ""),
        f"known to be exploited since {finding.exploited}" if finding.exploited else "",
        f"exploited within 30 days with a probability of {finding.epss:.1%} (EPSS)" if finding.epss is not None else "",
        "disputed" if finding.is_disputed else "",
        f"reachable: {finding.reachable}" if finding.reachable else "",
    ]
    return "; ".join(filter(None, notes)) + "."
