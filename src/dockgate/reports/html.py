"""A self-contained HTML file: no network, no fonts, and only the short script of the filter.

Text from images and feeds is escaped, and the content security policy blocks every other script and resource.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TextIO

from dockgate.gate.model import PlatformVerdict, Status, Violation
from dockgate.gate.next_steps import list_next_steps
from dockgate.reports import Report
from dockgate.reports import _html_page as page
from dockgate.reports import _wording as wording
from dockgate.reports._image_report import TOOL, VERSION, ImageFormat, ImageReport, PlatformPart
from dockgate.scanner.model import Package
from dockgate.shared.escaping import clean_text
from dockgate.shared.wording import format_count
from dockgate.vulnerabilities.model import Finding, Severity

_GLYPHS = {Status.APPROVED: "✓", Status.REJECTED: "✗", Status.UNDETERMINED: "?"}
# Bars of a severity, as in the console.
_BARS = {Severity.CRITICAL: 4, Severity.HIGH: 3, Severity.MEDIUM: 2, Severity.LOW: 1}
# After these, a long name may break: nowhere else, above all not in print.
_BREAKS = re.compile(r"([/@:!]|(?<=[A-Za-z0-9])[._+-])")
# An upgrade shows as many of the findings that it fixes, as in the console.
_FIRST_IDS = 10


def _write(report: ImageReport, output: TextIO) -> None:
    output.write(page.render_head(_escape(f"{report.reference} · {TOOL}")))
    for piece in _render_body(report):
        output.write(piece + "\n")
    output.write(page.FOOT)


REPORT: Report = ImageFormat(_write)


def _render_body(report: ImageReport) -> Iterator[str]:
    yield "<header>"
    name = report.reference.removesuffix(report.digest).removesuffix("@")  # the digest is below
    yield f"<h1>{_escape(name) or 'Image'}</h1>"
    yield f'<p class="quiet"><code>{_escape(report.digest)}</code></p>'
    if report.verdict:
        status = report.verdict.status
        yield f'<p class="verdict {status.lower()}"><b>{_GLYPHS[status]} {status}</b> by policy '
        yield f"{_escape(report.verdict.policy)}<br>{_escape(report.verdict.summary)}</p>"
    yield from _render_totals([finding for part in report.parts for finding in part.findings])
    yield "</header>"
    if any(part.findings for part in report.parts):
        yield page.FILTER
    for part in report.parts:
        yield from _render_part(report, part)
    yield f'<footer class="quiet">{TOOL} {_escape(VERSION)} · {_escape(report.created_at)}</footer>'


def _render_part(report: ImageReport, part: PlatformPart) -> Iterator[str]:
    yield "<section>"
    status = part.platform_verdict.status if part.platform_verdict else None
    badge = f' <span class="{status.lower()}">{_GLYPHS[status]} {status}</span>' if status else ""
    yield f"<h2>{_escape(part.label or 'Image')}{badge}</h2>"
    yield f'<p class="quiet">{" · ".join(_list_summary_parts(report, part))}</p>'
    if part.platform_verdict:
        yield from _render_remediation(part.platform_verdict)
        for violation in part.platform_verdict.violations:
            yield from _render_violation(violation, part)
        for title, violations in part.non_blocking:
            for violation in violations:
                yield from _render_violation(violation, part, title)
    if part.waived_findings or part.waived_violations:
        yield from _render_waived_section(part)
    if part.undetermined:
        yield f"<h3>Undetermined <small>{len(part.undetermined)}</small></h3>"
        yield f"<ul>{''.join(f'<li>{_escape(entry.reason)}</li>' for entry in part.undetermined)}</ul>"
        if part.platform_verdict:
            steps = list_next_steps(part.undetermined, part.manifest)
            yield f"<h3>Next step</h3><ul>{''.join(f'<li>{_escape(step.text)}</li>' for step in steps)}</ul>"
    yield f"<h3>Findings <small>{len(part.findings)}</small></h3>"
    if part.findings:
        if len(report.parts) > 1:
            yield from _render_totals(part.findings)
        yield from _render_findings(part.findings, part)
    else:
        scope = " in the packages that could be looked up" if part.undetermined else ""
        yield f"<p>No findings{scope}.</p>"
    yield from _render_packages(part)
    yield "</section>"


def _render_totals(findings: Iterable[Finding]) -> Iterator[str]:
    """The number of findings of each severity, the worst first."""
    if counts := wording.count_severities(findings):
        chips = (f"<li>{_render_chip(kind, f'{count} {kind}')}</li>" for count, kind in counts)
        yield f'<ul class="totals">{"".join(chips)}</ul>'


def _list_summary_parts(report: ImageReport, part: PlatformPart) -> Iterator[str]:
    inventory = part.inventory
    if inventory is None:
        return
    if inventory.distribution:
        yield _escape(inventory.distribution.name or f"{inventory.distribution.id} {inventory.distribution.version}")
        support_text, is_over = wording.describe_support(inventory.distribution, report.created_at)
        if support_text:
            yield f'<b class="rejected">{_escape(support_text)}</b>' if is_over else _escape(support_text)
    else:
        yield "unknown distribution"
    yield format_count(len(inventory.packages), "package")
    if inventory.base:
        yield f"built on {_escape(inventory.base)}"
    elif part.has_unknown_base:
        yield "base unknown"


def _render_violation(violation: Violation, part: PlatformPart, label: str | None = None) -> Iterator[str]:
    """A violation; `label` is "warning" or "note" for one that does not reject."""
    mark = f"<h3><small>{label.capitalize()}</small> " if label else '<h3 class="rejected">'
    yield f"{mark}{_escape(violation.message)}</h3>"
    if violation.findings:
        yield from _render_findings(violation.findings, part)


def _render_remediation(platform_verdict: PlatformVerdict) -> Iterator[str]:
    """The upgrades, those of the base image on their own, with their commands, and what else blocks."""
    remediation = platform_verdict.remediation
    reasons = wording.list_obstacle_reasons(platform_verdict)
    if not remediation.upgrades and not reasons:
        return
    yield '<div class="panel">'
    if remediation.upgrades:
        title, minimality = wording.format_remediation_title(remediation)
        yield f"<h3>{title} <small>{minimality.strip()}</small></h3>"
        for is_base, heading, commands in wording.group_upgrades(remediation):
            if heading:
                yield f'<p class="quiet">{heading}</p>'
            rows = (
                f"<tr><td>{_render_name(upgrade.name)}</td><td>{_render_name(upgrade.version)}</td>"
                f'<td class="approved"><b>{_render_name(upgrade.fixed)}</b></td>'
                f"<td>{_render_ids(upgrade.clears)}</td></tr>"
                for upgrade in remediation.upgrades
                if upgrade.is_in_base is is_base
            )
            yield from _render_table(("Upgrade", "From", "To", "Fixes"), rows)
            yield from (f"<pre>{_escape(command)}</pre>" for command in commands)
    if reasons:
        yield f"<h3>{wording.format_obstacles_title(remediation)}</h3>"
        yield f"<ul>{''.join(f'<li>{_escape(reason)}</li>' for reason in reasons)}</ul>"
    yield "</div>"


def _render_ids(ids: Sequence[str]) -> str:
    """The first of the ids, and the others behind a summary: an old kernel has hundreds."""
    first_ids, more_ids = ids[:_FIRST_IDS], ids[_FIRST_IDS:]
    if not more_ids:
        return _escape(", ".join(first_ids))
    summary = f"<summary>{format_count(len(more_ids), 'more finding')}</summary>"
    return f"{_escape(', '.join(first_ids))}<details>{summary}{_escape(', '.join(more_ids))}</details>"


def _render_waived_section(part: PlatformPart) -> Iterator[str]:
    """List what does not count, and who accepted it."""
    applied_waivers = (*part.waived_findings.values(), *part.waived_violations)
    rows = dict.fromkeys(
        f"<tr><td>{_escape(wording.describe_waived_subject(entry))}</td><td>{_escape(wording.describe_waiver(entry))}</td></tr>"
        for entry in applied_waivers
    )
    yield f"<h3>Waived <small>{len(applied_waivers)}</small></h3>"
    yield from _render_table(("What", "Accepted by"), rows)


def _render_findings(findings: Iterable[Finding], part: PlatformPart) -> Iterator[str]:
    head = ("Severity", "Vulnerability", "Package", "Installed", "Fixed in", "Notes", "Where")
    yield from _render_table(head, (_render_finding(finding, part) for finding in findings), "findings")


def _render_finding(finding: Finding, part: PlatformPart) -> str:
    package, url = finding.package, wording.build_advisory_url(finding.id)
    identity = f'<a href="{escape(url)}" rel="noreferrer">{_escape(finding.id)}</a>' if url else _escape(finding.id)
    notes = [f'<b class="rejected">{_escape(word)}</b>' for word in wording.list_urgent_notes(finding)] + [
        *map(_escape, wording.list_other_notes(finding))
    ]
    fix_cell = (
        f'<b class="approved">{_render_name(finding.fixed)}</b>'
        if finding.fixed
        else f"<i>{wording.describe_fix(finding)}</i>"
    )
    is_other_source = package.source_name.lower() != package.name.lower()
    origin = package.ecosystem + (f", of {package.source_name}" if is_other_source else "")
    cells = (
        f"{identity}<br><small>{_escape(finding.summary or '')}</small>",
        f"{_render_name(package.name)}<br><small>{_escape(origin)}</small>",
        _render_name(package.version),
        fix_cell,
        ", ".join(notes),
        f"<small>{_render_location(package, part)}</small>",
    )
    severity = f'<td data-sort="{finding.severity.rank}">{_render_chip(finding.severity, finding.severity.value)}</td>'
    return f"<tr>{severity}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _render_location(package: Package, part: PlatformPart) -> str:
    is_in_base = part.is_in_base(package)
    if is_in_base is None:
        origin = "base unknown" if part.has_unknown_base else None
    else:
        origin = "base image" if is_in_base else "own layers"
    return "<br>".join(filter(None, (_render_name(package.path), origin)))


def _render_packages(part: PlatformPart) -> Iterator[str]:
    inventory = part.inventory
    if inventory is None or not inventory.packages:
        return
    rows = (
        f"<tr><td>{_render_name(package.name)}</td><td>{_render_name(package.version)}</td><td><small>{_render_name(package.purl)}</small></td>"
        f"<td><small>{_render_location(package, part)}</small></td></tr>"
        for package in inventory.packages
    )
    yield f"<details><summary>{format_count(len(inventory.packages), 'package')}</summary>"
    yield from _render_table(("Package", "Version", "Package URL", "Where"), rows)
    yield "</details>"


def _render_table(head: Iterable[str], rows: Iterable[str], kind: str | None = None) -> Iterator[str]:
    attribute = f' class="{kind}"' if kind else ""
    yield f'<div class="wide"><table{attribute}><thead><tr>'
    yield "".join(f"<th>{name}</th>" for name in head)
    yield "</tr></thead><tbody>"
    yield from rows
    yield "</tbody></table></div>"


def _render_chip(kind: Severity, text: str) -> str:
    """A severity: bars, word and colour, so that none of them alone has to say it."""
    filled_bars = _BARS.get(kind, 0)
    bars = "".join(
        f'<rect x="{0.5 + bar * 5.5}" y="{8.5 - bar * 2.5}" width="4" height="{3 + bar * 2.5}"'
        + (' class="full"/>' if bar < filled_bars else "/>")
        for bar in range(4)
    )
    return f'<span class="chip {kind.lower()}"><svg viewBox="0 0 22 12" aria-hidden="true">{bars}</svg>{text}</span>'


def _render_name(text: str) -> str:
    """A name, version or path as HTML that breaks only where its parts end."""
    return "<wbr>".join(escape(piece) for piece in _split_text(clean_text(text)))


def _split_text(text: str) -> Iterator[str]:
    """The text, cut after each separator."""
    start = 0
    for match in _BREAKS.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    if text[start:]:
        yield text[start:]


def _escape(text: str) -> str:
    return escape(clean_text(text))
