"""Markdown for a comment on a merge request.

It has the verdict, the violations and the remediation; the rest is folded.

GitHub accepts 65,536 characters: rows that do not fit are omitted, and a line says how many. Text from an image is in
code spans, where Markdown, HTML, mentions and links have no effect.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from dockgate.gate.model import PlatformVerdict, Status, Violation
from dockgate.gate.next_steps import list_next_steps
from dockgate.reports import Report
from dockgate.reports import _wording as wording
from dockgate.reports._image_report import ImageFormat, ImageReport, PlatformPart
from dockgate.shared.escaping import clean_text
from dockgate.shared.platforms import UNKNOWN_PLATFORM
from dockgate.shared.wording import format_count
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
    lines = list(_build_lines(report))
    room = LIMIT - sum(_count_bytes(text) for text, may_go in lines if not may_go)
    cut_count = 0
    for text, may_go in lines:
        if may_go and _count_bytes(text) > room:
            cut_count += 1
            continue
        room -= _count_bytes(text) if may_go else 0
        output.write(f"{text}\n")
    if cut_count:
        output.write(f"\n**{format_count(cut_count, 'row')} omitted**: they exceed the size limit of a comment.\n")


REPORT: Report = ImageFormat(_write)


def _count_bytes(line: str) -> int:
    return len(line.encode("utf-8", "backslashreplace")) + 1


def _build_lines(report: ImageReport) -> Iterator[Line]:
    verdict = report.verdict
    if verdict:
        yield from _build_fixed_lines(
            f"### {_GLYPHS[verdict.status]} {verdict.status} by policy {_format_code(verdict.policy)}", ""
        )
    else:
        yield from _build_fixed_lines(
            f"### {wording.summarize_findings([finding for part in report.parts for finding in part.findings])}", ""
        )
    yield from _build_fixed_lines(" · ".join(_format_code(text) for text in (report.reference, report.digest) if text))
    if verdict:
        yield from _build_fixed_lines("", _format_code(verdict.summary, _SENTENCE))
    has_several_parts = len(report.parts) > 1
    for part in report.parts:
        if has_several_parts and part.platform_verdict:
            yield from _build_fixed_lines(
                "", f"#### {_GLYPHS[part.platform_verdict.status]} {_format_code(part.label or UNKNOWN_PLATFORM)}"
            )
        if part.platform_verdict:
            for violation in part.platform_verdict.violations:
                yield from _build_violation(violation, part)
            yield from _build_remediation(part.platform_verdict)
    for part in report.parts:
        yield from _build_other_sections(
            part, f" on {_escape(part.label or UNKNOWN_PLATFORM)}" if has_several_parts else ""
        )


def _build_remediation(platform_verdict: PlatformVerdict) -> Iterator[Line]:
    """The upgrades, those of the base image on their own, with their commands, and what else blocks."""
    remediation = platform_verdict.remediation
    if remediation.upgrades:
        title, minimality = wording.format_remediation_title(remediation)
        yield from _build_fixed_lines("", f"**{title}**{f' ({minimality.strip()})' if minimality else ''}", "")
        for is_base, heading, commands in wording.group_upgrades(remediation):
            if heading:
                yield from _build_fixed_lines("", f"*{heading}*", "")
            rows = (
                (
                    _format_code(upgrade.name),
                    _format_code(upgrade.version),
                    _format_code(upgrade.fixed),
                    str(len(upgrade.clears)),
                )
                for upgrade in remediation.upgrades
                if upgrade.is_in_base is is_base
            )
            yield from _build_table(("Upgrade", "From", "To", "Fixes"), rows)
            if commands:
                yield from _build_fixed_lines("")
            for command in commands:
                yield f"- {_format_code(command, _SENTENCE)}", True
    if reasons := wording.list_obstacle_reasons(platform_verdict):
        yield from _build_fixed_lines(
            "",
            f"**{wording.format_obstacles_title(remediation)}**",
            "",
            *(f"- {_format_code(reason)}" for reason in reasons),
        )


def _build_violation(violation: Violation, part: PlatformPart) -> Iterator[Line]:
    yield from _build_fixed_lines("", f"**{_escape(violation.message)}**", "")
    if violation.findings:
        yield from _build_findings(violation.findings, part)


def _build_other_sections(part: PlatformPart, platform_text: str) -> Iterator[Line]:
    if part.undetermined:
        title = f"{format_count(len(part.undetermined), 'undetermined result')}{platform_text}"
        is_decisive = part.platform_verdict is not None and part.platform_verdict.status is Status.UNDETERMINED
        reasons = ((f"- {_format_code(entry.reason, _SENTENCE)}", True) for entry in part.undetermined)
        yield from _fold(title, reasons, " open" if is_decisive else "")
        if part.platform_verdict:
            steps = list_next_steps(part.undetermined, part.manifest)
            yield from _build_fixed_lines("", "**Next step**", "")
            yield from ((f"- {_format_code(step.text, _SENTENCE)}", True) for step in steps)
    for title, violations in part.non_blocking:
        count = format_count(len(violations), title)
        yield from _fold(
            f"{count}{platform_text}", (line for violation in violations for line in _build_violation(violation, part))
        )
    broken_rules = part.broken_rules
    waived_findings = part.waived_findings
    if waived_findings or part.waived_violations:
        title = f"{format_count(len(waived_findings) + len(part.waived_violations), 'waived item')}{platform_text}"
        yield from _fold(title, _build_waived_section(part))
    other_findings = [
        finding for finding in part.findings if finding not in broken_rules and finding not in waived_findings
    ]
    if other_findings:
        title = (
            f"Within the policy{platform_text}: {wording.summarize_findings(other_findings)}"
            if part.platform_verdict
            else f"{wording.summarize_findings(other_findings)}{platform_text}"
        )
        yield from _fold(title, _build_findings(other_findings, part))


def _fold(title: str, inner: Iterable[Line], attribute: str | None = None) -> Iterator[Line]:
    yield from _build_fixed_lines("", f"<details{attribute}><summary>{title}</summary>", "")
    yield from inner
    yield from _build_fixed_lines("", "</details>")


def _build_waived_section(part: PlatformPart) -> Iterator[Line]:
    head = ("Severity", "What", "Package", "Installed", "Accepted by")
    rows = [
        (
            finding.severity.value,
            _format_code(finding.id),
            _format_code(finding.package.name),
            _format_code(finding.package.version),
            _format_code(wording.describe_waiver(by)),
        )
        for finding, by in part.waived_findings.items()
    ]
    rows += [
        ("", _format_code(wording.describe_waived_subject(entry)), "", "", _format_code(wording.describe_waiver(entry)))
        for entry in part.waived_violations
    ]
    yield from _build_table(head, dict.fromkeys(rows))


def _build_findings(findings: Iterable[Finding], part: PlatformPart) -> Iterator[Line]:
    head = ("Severity", "Vulnerability", "Package", "Installed", "Fixed in", "")
    yield from _build_table(head, dict.fromkeys(_build_finding_cells(finding, part) for finding in findings))


def _build_finding_cells(finding: Finding, part: PlatformPart) -> tuple[str, ...]:
    package = finding.package
    url = wording.build_advisory_url(finding.id)
    marks = [f"**{word}**" for word in map(_escape, wording.list_urgent_notes(finding))] + wording.list_other_notes(
        finding
    )
    if part.is_in_base(package):
        marks.append("base image")
    return (
        finding.severity.value,
        f"[{_escape(finding.id)}]({url})" if url else _format_code(finding.id),
        _format_code(package.name),
        _format_code(package.version),
        _format_code(finding.fixed) if finding.fixed else wording.describe_fix(finding),
        ", ".join(marks),
    )


def _build_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Line]:
    yield from _build_fixed_lines(_format_row(head), _format_row(["---"] * len(head)))
    for row in rows:
        yield _format_row(row), True


def _format_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _build_fixed_lines(*lines: str) -> Iterator[Line]:
    for text in lines:
        yield text, False


def _format_code(text: str, limit: int = _CELL) -> str:
    """A code span. Back-quotes would end it, and bars its table cell, even after a backslash."""
    inner = clean_text(text)[:limit].replace("`", "'").replace("|", "¦").strip()
    return f"`{inner}`" if inner else ""


def _escape(text: str) -> str:
    """Our own text, which may contain a name: characters with a meaning in Markdown or HTML are escaped."""
    return "".join(
        char if char.isalnum() or char in " ,:'-" else f"&#{ord(char)};" for char in clean_text(text)[:_SENTENCE]
    )
