"""One HTML file that needs nothing else: no network, no fonts, and no script but the filter's few lines.

Everything that comes from an image or a feed is escaped, and the page's own policy (CSP) lets nothing else run or load.
"""

from collections.abc import Iterable, Iterator
from html import escape
from typing import TextIO

from dockgate.gate.model import PlatformVerdict, Status, Violation
from dockgate.gate.next_steps import next_steps
from dockgate.reports import GateReport, Report, ScanReport
from dockgate.reports import _page as page
from dockgate.reports._clean import clean
from dockgate.reports._parts import TOOL, VERSION, Part, Whole, link, waiver, whole
from dockgate.reports._words import (
    also,
    counts,
    fix,
    obstacles,
    obstacles_title,
    plural,
    remediation_title,
    shares,
    support,
    urgent,
)
from dockgate.scanner.model import Package
from dockgate.vulnerabilities.model import Finding, Severity

_GLYPHS = {Status.APPROVED: "✓", Status.REJECTED: "✗", Status.UNDETERMINED: "?"}


class Html:
    def scan(self, report: ScanReport, out: TextIO) -> None:
        _write(whole(report), out)

    def gate(self, report: GateReport, out: TextIO) -> None:
        _write(whole(report), out)


REPORT: Report = Html()


def _write(report: Whole, out: TextIO) -> None:
    out.write(page.head(_text(f"{report.reference} · {TOOL}")))
    for piece in _body(report):
        out.write(piece + "\n")
    out.write(page.FOOT)


def _body(report: Whole) -> Iterator[str]:
    yield "<header>"
    yield f"<h1>{_text(report.reference)}</h1>"
    yield f'<p class="quiet"><code>{_text(report.digest)}</code></p>'
    if report.verdict:
        status = report.verdict.status
        yield f'<p class="verdict {status.lower()}"><b>{_GLYPHS[status]} {status}</b> by policy '
        yield f"{_text(report.verdict.policy)}<br>{_text(report.verdict.summary)}</p>"
    yield "</header>"
    if any(part.findings for part in report.parts):
        yield page.FILTER
    for part in report.parts:
        yield from _part(report, part)
    yield f'<footer class="quiet">{TOOL} {_text(VERSION)} · {_text(report.now)}</footer>'


def _part(report: Whole, part: Part) -> Iterator[str]:
    yield "<section>"
    yield f"<h2>{_text(part.label) or 'Image'}{_status(part)}</h2>"
    yield f'<p class="quiet">{" · ".join(_about(report, part))}</p>'
    if part.platform_verdict:
        for violation in part.platform_verdict.violations:
            yield from _violation(violation, part)
        yield from _remediation(part.platform_verdict)
        for title, told in part.asides:
            for violation in told:
                yield from _violation(violation, part, title)
    if part.waived or part.accepted:
        yield from _waived(part)
    if part.doubts:
        yield f"<h3>Undetermined <small>{len(part.doubts)}</small></h3>"
        yield f"<ul>{''.join(f'<li>{_text(doubt.reason)}</li>' for doubt in part.doubts)}</ul>"
        if part.platform_verdict:
            steps = next_steps(part.doubts, part.manifest)
            yield f"<h3>Next step</h3><ul>{''.join(f'<li>{_text(step.text)}</li>' for step in steps)}</ul>"
    yield f"<h3>Findings <small>{len(part.findings)}</small></h3>"
    if part.findings:
        chips = (_chip(kind, f"{count} {kind}") for count, kind in counts(part.findings))
        yield f"<p>{' '.join(chips)}</p>"
        yield from _findings(part.findings, part)
    else:
        yield f"<p>{'No findings in what could be looked up.' if part.doubts else 'No findings.'}</p>"
    yield from _packages(part)
    yield "</section>"


def _status(part: Part) -> str:
    status = part.platform_verdict.status if part.platform_verdict else None
    return f' <span class="{status.lower()}">{_GLYPHS[status]} {status}</span>' if status else ""


def _about(report: Whole, part: Part) -> Iterator[str]:
    held = part.inventory
    if held is None:
        return
    if held.distribution:
        yield _text(held.distribution.name or f"{held.distribution.id} {held.distribution.version}")
        words, over = support(held.distribution, report.now)
        if words:
            yield f'<b class="rejected">{_text(words)}</b>' if over else _text(words)
    else:
        yield "unknown distribution"
    yield plural(len(held.packages), "package")
    if held.base:
        yield f"built on {_text(held.base)}"


def _violation(violation: Violation, part: Part, aside: str = "") -> Iterator[str]:
    """`aside` is "warning" or "note" for what does not reject."""
    mark = f"<h3><small>{aside.capitalize()}</small> " if aside else '<h3 class="rejected">'
    yield f"{mark}{_text(violation.message)}</h3>"
    if violation.findings:
        yield from _findings(violation.findings, part)


def _remediation(platform_verdict: PlatformVerdict) -> Iterator[str]:
    """The upgrades, the base image's apart, with their commands, and what stands in the way."""
    remediation = platform_verdict.remediation
    if remediation.upgrades:
        title, few = remediation_title(remediation)
        yield f"<h3>{title} <small>{few.strip()}</small></h3>"
        for base, heading, commands in shares(remediation):
            if heading:
                yield f'<p class="quiet">{heading}</p>'
            rows = (
                f"<tr><td>{_text(one.name)}</td><td>{_text(one.version)}</td><td>{_text(one.fixed)}</td>"
                f"<td>{_text(', '.join(one.clears))}</td></tr>"
                for one in remediation.upgrades
                if one.base is base
            )
            yield from _table(("Upgrade", "From", "To", "Clears"), rows)
            yield from (f"<p><code>{_text(command)}</code></p>" for command in commands)
    if left := obstacles(platform_verdict):
        yield f"<h3>{obstacles_title(remediation)}</h3>"
        yield f"<ul>{''.join(f'<li>{_text(reason)}</li>' for reason in left)}</ul>"


def _waived(part: Part) -> Iterator[str]:
    """What does not count, and by whose word."""
    said = [(f"{one.id} in {one.package.name} {one.package.version}", by) for one, by in part.waived.items()]
    said += [(one.violation, one) for one in part.accepted]
    rows = dict.fromkeys(f"<tr><td>{_text(what)}</td><td>{_text(waiver(by))}</td></tr>" for what, by in said)
    yield f"<h3>Does not count <small>{len(said)}</small></h3>"
    yield from _table(("What", "By whose word"), rows)


def _findings(findings: Iterable[Finding], part: Part) -> Iterator[str]:
    head = ("Severity", "Vulnerability", "Package", "Installed", "Fixed in", "Known", "Where")
    yield from _table(head, (_finding(finding, part) for finding in findings), "findings")


def _finding(finding: Finding, part: Part) -> str:
    package, url = finding.package, link(finding.id)
    identity = f'<a href="{escape(url)}" rel="noreferrer">{_text(finding.id)}</a>' if url else _text(finding.id)
    known = [f'<b class="rejected">{_text(word)}</b>' for word in urgent(finding)] + [*map(_text, also(finding))]
    fixed = f'<span class="approved">{_text(finding.fixed)}</span>' if finding.fixed else f"<i>{fix(finding)}</i>"
    cells = (
        _chip(finding.severity, finding.severity.value),
        f"{identity}<br><small>{_text(finding.summary)}</small>",
        f"{_text(package.name)}<br><small>{_text(_origin(package))}</small>",
        _text(package.version),
        fixed,
        ", ".join(known),
        f"<small>{_where(package, part)}</small>",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _origin(package: Package) -> str:
    """ "Debian:13, of openssl": where advisories speak of something else than what is installed."""
    other = package.source_name.lower() != package.name.lower()
    return package.ecosystem + (f", of {package.source_name}" if other else "")


def _where(package: Package, part: Part) -> str:
    base = part.in_base(package)
    whose = "" if base is None else "base image" if base else "own layers"
    return "<br>".join(filter(None, (_text(package.path), whose)))


def _packages(part: Part) -> Iterator[str]:
    held = part.inventory
    if held is None or not held.packages:
        return
    rows = (
        f"<tr><td>{_text(one.name)}</td><td>{_text(one.version)}</td><td><small>{_text(one.purl)}</small></td>"
        f"<td><small>{_where(one, part)}</small></td></tr>"
        for one in held.packages
    )
    yield f"<details><summary>{plural(len(held.packages), 'package')}</summary>"
    yield from _table(("Package", "Version", "Package URL", "Where"), rows)
    yield "</details>"


def _table(head: Iterable[str], rows: Iterable[str], kind: str = "") -> Iterator[str]:
    yield f'<div class="wide"><table class="{kind}"><thead><tr>'
    yield "".join(f"<th>{name}</th>" for name in head)
    yield "</tr></thead><tbody>"
    yield from rows
    yield "</tbody></table></div>"


def _chip(kind: Severity, text: str) -> str:
    return f'<span class="chip {kind.lower()}">{text}</span>'


def _text(text: str) -> str:
    return escape(clean(text))
