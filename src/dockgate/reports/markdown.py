"""Markdown for a comment on a merge request.

It has the verdict, the violations and the remediation; the rest is folded.

GitHub accepts 65,536 characters: rows that do not fit are omitted, and a line says how many. Text from an image is in
code spans, where Markdown, HTML, mentions and links have no effect.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from dockgate.gate.model import PlatformVerdict, Status, Violation
from dockgate.gate.next_steps import next_steps
from dockgate.reports import Report
from dockgate.reports import _wording as wording
from dockgate.reports._image_report import ImageFormat, ImageReport, PlatformPart
from dockgate.shared.escaping import clean
from dockgate.shared.wording import plural
from dockgate.vulnerabilities.model import Finding

# Bytes; the rest of GitHub's limit is for text that the poster adds.
LIMIT = 60_000

_GLYPHS = {Status.APPROVED: "✅", Status.REJECTED: "❌", Status.UNDETERMINED: "❔"}
# Characters of one cell.
_CELL = 200
# Characters of one sentence.
_SENTENCE = 1000

# A line, and whether it may be omitted when there is no room.
Line = tuple[str, bool]


def _write(report: ImageReport, output: TextIO) -> None:
    lines = list(_lines(report))
    room = LIMIT - sum(_size(text) for text, may_go in lines if not may_go)
    cut_count = 0
    for text, may_go in lines:
        if may_go and _size(text) > room:
            cut_count += 1
            continue
        room -= _size(text) if may_go else 0
        output.write(f"{text}\n")
    if cut_count:
        output.write(f"\n**{plural(cut_count, 'row')} omitted**: they exceed the size limit of a comment.\n")


REPORT: Report = ImageFormat(_write)


def _size(line: str) -> int:
    return len(line.encode("utf-8", "backslashreplace")) + 1


def _lines(report: ImageReport) -> Iterator[Line]:
    verdict = report.verdict
    if verdict:
        yield from _fixed_lines(f"### {_GLYPHS[verdict.status]} {verdict.status} by policy {_code(verdict.policy)}", "")
    else:
        yield from _fixed_lines(
            f"### {wording.findings_summary([finding for part in report.parts for finding in part.findings])}", ""
        )
    yield from _fixed_lines(" · ".join(_code(text) for text in (report.reference, report.digest) if text))
    if verdict:
        yield from _fixed_lines("", _code(verdict.summary, _SENTENCE))
    several = len(report.parts) > 1
    for part in report.parts:
        if several and part.platform_verdict:
            yield from _fixed_lines("", f"#### {_GLYPHS[part.platform_verdict.status]} {_code(part.label)}")
        if part.platform_verdict:
            for violation in part.platform_verdict.violations:
                yield from _violation(violation, part)
            yield from _remediation(part.platform_verdict)
    for part in report.parts:
        yield from _other_sections(part, f" on {_escape(part.label)}" if several else "")


def _remediation(platform_verdict: PlatformVerdict) -> Iterator[Line]:
    """The upgrades, those of the base image on their own, with their commands, and what else blocks."""
    remediation = platform_verdict.remediation
    if remediation.upgrades:
        title, minimality = wording.remediation_title(remediation)
        yield from _fixed_lines("", f"**{title}**{f' ({minimality.strip()})' if minimality else ''}", "")
        for is_base, heading, commands in wording.upgrade_groups(remediation):
            if heading:
                yield from _fixed_lines("", f"*{heading}*", "")
            rows = (
                (_code(upgrade.name), _code(upgrade.version), _code(upgrade.fixed), str(len(upgrade.clears)))
                for upgrade in remediation.upgrades
                if upgrade.base is is_base
            )
            yield from _table(("Upgrade", "From", "To", "Fixes"), rows)
            if commands:
                yield from _fixed_lines("")
            for command in commands:
                yield f"- {_code(command, _SENTENCE)}", True
    if reasons := wording.obstacle_reasons(platform_verdict):
        yield from _fixed_lines(
            "", f"**{wording.obstacles_title(remediation)}**", "", *(f"- {_code(reason)}" for reason in reasons)
        )


def _violation(violation: Violation, part: PlatformPart) -> Iterator[Line]:
    yield from _fixed_lines("", f"**{_escape(violation.message)}**", "")
    if violation.findings:
        yield from _findings(violation.findings, part)


def _other_sections(part: PlatformPart, platform_text: str) -> Iterator[Line]:
    if part.undetermined:
        title = f"{plural(len(part.undetermined), 'undetermined result')}{platform_text}"
        decides = part.platform_verdict is not None and part.platform_verdict.status is Status.UNDETERMINED
        reasons = ((f"- {_code(doubt.reason, _SENTENCE)}", True) for doubt in part.undetermined)
        yield from _fold(title, reasons, " open" if decides else "")
        if part.platform_verdict:
            steps = next_steps(part.undetermined, part.manifest)
            yield from _fixed_lines("", "**Next step**", "")
            yield from ((f"- {_code(step.text, _SENTENCE)}", True) for step in steps)
    for title, violations in part.non_blocking:
        count = plural(len(violations), title)
        yield from _fold(
            f"{count}{platform_text}", (line for violation in violations for line in _violation(violation, part))
        )
    broken_rules = part.broken_rules
    waived_findings = part.waived_findings
    if waived_findings or part.waived_violations:
        title = f"{plural(len(waived_findings) + len(part.waived_violations), 'waived item')}{platform_text}"
        yield from _fold(title, _waived_section(part))
    other_findings = [
        finding for finding in part.findings if finding not in broken_rules and finding not in waived_findings
    ]
    if other_findings:
        title = (
            f"Within the policy{platform_text}: {wording.findings_summary(other_findings)}"
            if part.platform_verdict
            else f"{wording.findings_summary(other_findings)}{platform_text}"
        )
        yield from _fold(title, _findings(other_findings, part))


def _fold(title: str, inner: Iterable[Line], attribute: str | None = None) -> Iterator[Line]:
    yield from _fixed_lines("", f"<details{attribute}><summary>{title}</summary>", "")
    yield from inner
    yield from _fixed_lines("", "</details>")


def _waived_section(part: PlatformPart) -> Iterator[Line]:
    head = ("Severity", "What", "Package", "Installed", "Accepted by")
    rows = [
        (
            finding.severity.value,
            _code(finding.id),
            _code(finding.package.name),
            _code(finding.package.version),
            _code(wording.waiver_sentence(by)),
        )
        for finding, by in part.waived_findings.items()
    ]
    rows += [
        ("", _code(wording.waived_subject(entry)), "", "", _code(wording.waiver_sentence(entry)))
        for entry in part.waived_violations
    ]
    yield from _table(head, dict.fromkeys(rows))


def _findings(findings: Iterable[Finding], part: PlatformPart) -> Iterator[Line]:
    head = ("Severity", "Vulnerability", "Package", "Installed", "Fixed in", "")
    yield from _table(head, dict.fromkeys(_finding(finding, part) for finding in findings))


def _finding(finding: Finding, part: PlatformPart) -> tuple[str, ...]:
    package = finding.package
    url = wording.advisory_url(finding.id)
    marks = [f"**{word}**" for word in map(_escape, wording.urgency(finding))] + wording.other_notes(finding)
    if part.is_in_base(package):
        marks.append("base image")
    return (
        finding.severity.value,
        f"[{_escape(finding.id)}]({url})" if url else _code(finding.id),
        _code(package.name),
        _code(package.version),
        _code(finding.fixed) if finding.fixed else wording.fix_status(finding),
        ", ".join(marks),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Line]:
    yield from _fixed_lines(_row(head), _row(["---"] * len(head)))
    for row in rows:
        yield _row(row), True


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fixed_lines(*lines: str) -> Iterator[Line]:
    for text in lines:
        yield text, False


def _code(text: str, limit: int = _CELL) -> str:
    """A code span. Back-quotes would end it, and bars its table cell, even after a backslash."""
    inner = clean(text)[:limit].replace("`", "'").replace("|", "¦").strip()
    return f"`{inner}`" if inner else ""


def _escape(text: str) -> str:
    """Our own text, which may contain a name: characters with a meaning in Markdown or HTML are escaped."""
    return "".join(char if char.isalnum() or char in " ,:'-" else f"&#{ord(char)};" for char in clean(text)[:_SENTENCE])
