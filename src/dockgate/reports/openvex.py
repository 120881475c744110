"""OpenVEX 0.2.0: a statement a vulnerability, for all packages of the image of which the same is said.

A scanner knows that a package is affected, and what to do about it; that a product is `not_affected` or `fixed` it only
passes on, from documents whose author the policy trusts.
What could not be compared is `under_investigation`. Where there is nothing to state, `statements` is empty: the
published schema asks for one at least, but any that could be made up would be untrue.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from dockgate.reports import GateReport, Report, ScanReport
from dockgate.reports._clean import clean
from dockgate.reports._document import Document, given, urn, write
from dockgate.reports._parts import TOOL, VERSION, Part, Whole, image_purl, link, remediation, vex_status, waiver, whole
from dockgate.scanner.model import Package
from dockgate.vulnerabilities.model import Finding

if TYPE_CHECKING:
    from dockgate.gate.model import AppliedWaiver

_NOBODY = Package("", "", "", "", "", "", "")


class OpenVex:
    def scan(self, report: ScanReport, out: TextIO) -> None:
        _write(whole(report), out)

    def gate(self, report: GateReport, out: TextIO) -> None:
        _write(whole(report), out)


REPORT: Report = OpenVex()


def _write(report: Whole, out: TextIO) -> None:
    content = {
        "author": TOOL,
        "role": "Vulnerability scanner",
        "timestamp": report.now,
        "version": 1,
        "tooling": f"{TOOL} {VERSION}",
        "statements": list(_statements(report)),
    }
    write({"@context": "https://openvex.dev/ns/v0.2.0", "@id": urn(content), **content}, out)


def _statements(report: Whole) -> Iterator[Document]:
    affected: dict[tuple[Finding, str, AppliedWaiver | None], dict[int, list[Package]]] = {}
    doubtful: dict[tuple[str, str], dict[int, list[str]]] = {}
    for number, part in enumerate(report.parts):
        for finding in part.findings:
            by = part.waived.get(finding)
            said = replace(by, finding=None) if by else None
            places = affected.setdefault((replace(finding, package=_NOBODY), remediation(finding), said), {})
            places.setdefault(number, []).append(finding.package)
        for doubt in part.doubts:
            for identity in doubt.ids:
                doubtful.setdefault((identity, doubt.reason), {}).setdefault(number, []).append(doubt.subject)
    for (finding, advice, said), packages in affected.items():
        purls = {number: [package.purl for package in held] for number, held in packages.items()}
        yield given(
            vulnerability=_vulnerability(finding.id, finding.aliases, finding.summary),
            products=list(_products(report, purls)),
            **_status(finding, advice, said),
        )
    for (identity, reason), subjects in doubtful.items():
        yield given(
            vulnerability=_vulnerability(identity),
            products=list(_products(report, subjects)),
            status="under_investigation",
            status_notes=clean(reason),
        )


def _status(finding: Finding, advice: str, said: "AppliedWaiver | None") -> Document:
    """What others' VEX says is passed on with whose word it is; a waiver leaves the package affected."""
    notes = clean(_notes(finding))
    by = clean(waiver(said)) if said else ""
    if (status := vex_status(said)) == "not_affected":
        return {"status": status, "status_notes": notes, "impact_statement": by}
    if status:
        return {"status": status, "status_notes": f"{by} {notes}"}
    return {"status": "affected", "status_notes": notes, "action_statement": f"{clean(advice)} {by}".strip()}


def _vulnerability(identity: str, aliases: Iterable[str] = (), summary: str = "") -> Document:
    return given(
        **{"@id": link(identity)},
        name=clean(identity),
        aliases=[clean(alias) for alias in dict.fromkeys(aliases)],
        description=clean(summary),
    )


def _products(report: Whole, purls: dict[int, list[str]]) -> Iterator[Document]:
    for number, held in purls.items():
        yield _product(report, report.parts[number], list(dict.fromkeys(held)))


def _product(report: Whole, part: Part, purls: list[str]) -> Document:
    purl = image_purl(report.reference, part.manifest, part.platform)
    algorithm, _, content = part.manifest.partition(":")
    return given(
        **{"@id": purl},
        identifiers={"purl": purl},
        hashes={"sha-256": content} if algorithm == "sha256" else {},
        subcomponents=[{"@id": one, "identifiers": {"purl": one}} for one in purls],
    )


def _notes(finding: Finding) -> str:
    said = [
        f"Severity {finding.severity}" + (f" by {finding.rating.source}" if finding.rating.source else ""),
        f"known to be exploited since {finding.exploited}" if finding.exploited else "",
        f"exploited within 30 days with a probability of {finding.epss:.1%} (EPSS)" if finding.epss >= 0 else "",
        "disputed" if finding.disputed else "",
        f"reachable: {finding.reachable}" if finding.reachable else "",
    ]
    return "; ".join(filter(None, said)) + "."
