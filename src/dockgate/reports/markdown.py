"""Markdown for a comment on a merge request: the verdict, what breaks it, what would turn it; the rest folded away.

GitHub takes 65,536 characters: rows for which there is no room are left out, and a line says how many. Whatever comes
from an image stands in code spans, where no Markdown, HTML, mention or link is understood.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from dockgate.gate.model import PlatformVerdict, Status, Upgrade, Violation
from dockgate.gate.next_steps import next_steps
from dockgate.reports import GateReport, Report, ScanReport
from dockgate.reports._clean import clean
from dockgate.reports._parts import Part, Whole, link, waiver, whole
from dockgate.reports._words import (
    also,
    counted,
    fix,
    obstacles,
    obstacles_title,
    plural,
    remediation_title,
    shares,
    urgent,
)
from dockgate.vulnerabilities.model import Finding

# bytes; the rest of GitHub's limit is left to whoever posts it.
LIMIT = 60_000

_GLYPHS = {Status.APPROVED: "✅", Status.REJECTED: "❌", Status.UNDETERMINED: "❔"}
# Characters of one cell.
_CELL = 200
# Characters of one sentence.
_SENTENCE = 1000

# A line, and whether it may be left out where there is no room.
Line = tuple[str, bool]


class Markdown:
    def scan(self, report: ScanReport, out: TextIO) -> None:
        _write(whole(report), out)

    def gate(self, report: GateReport, out: TextIO) -> None:
        _write(whole(report), out)


REPORT: Report = Markdown()


def _write(report: Whole, out: TextIO) -> None:
    lines = list(_lines(report))
    room = LIMIT - sum(_size(text) for text, may_go in lines if not may_go)
    cut = 0
    for text, may_go in lines:
        if may_go and _size(text) > room:
            cut += 1
            continue
        room -= _size(text) if may_go else 0
        out.write(f"{text}\n")
    if cut:
        out.write(f"\n**{plural(cut, 'row')} left out**: a comment has no room for more.\n")


def _size(line: str) -> int:
    return len(line.encode("utf-8", "backslashreplace")) + 1


def _lines(report: Whole) -> Iterator[Line]:
    verdict = report.verdict
    if verdict:
        yield from _fixed(f"### {_GLYPHS[verdict.status]} {verdict.status} by policy {_code(verdict.policy)}", "")
    else:
        yield from _fixed(f"### {counted([one for part in report.parts for one in part.findings])}", "")
    yield from _fixed(" · ".join(_code(text) for text in (report.reference, report.digest) if text))
    if verdict:
        yield from _fixed("", _code(verdict.summary, _SENTENCE))
    several = len(report.parts) > 1
    for part in report.parts:
        if several and part.platform_verdict:
            yield from _fixed("", f"#### {_GLYPHS[part.platform_verdict.status]} {_code(part.label)}")
        yield from _broken(part)
    for part in report.parts:
        yield from _rest(part, f" on {_escaped(part.label)}" if several else "")


def _broken(part: Part) -> Iterator[Line]:
    if part.platform_verdict is None:
        return
    for violation in part.platform_verdict.violations:
        yield from _violation(violation, part)
    yield from _remediation(part.platform_verdict)


def _remediation(platform_verdict: PlatformVerdict) -> Iterator[Line]:
    """The upgrades, the base image's apart, with their commands, and what stands in the way."""
    remediation = platform_verdict.remediation
    if remediation.upgrades:
        title, few = remediation_title(remediation)
        yield from _fixed("", f"**{title}**{f' ({few.strip()})' if few else ''}", "")
        for base, heading, commands in shares(remediation):
            if heading:
                yield from _fixed("", f"*{heading}*", "")
            rows = (_upgrade(upgrade) for upgrade in remediation.upgrades if upgrade.base is base)
            yield from _table(("Upgrade", "From", "To", "Clears"), rows)
            if commands:
                yield from _fixed("")
            for command in commands:
                yield f"- {_code(command, _SENTENCE)}", True
    if left := obstacles(platform_verdict):
        yield from _fixed("", f"**{obstacles_title(remediation)}**", "", *(f"- {_code(reason)}" for reason in left))


def _violation(violation: Violation, part: Part) -> Iterator[Line]:
    yield from _fixed("", f"**{_escaped(violation.message)}**", "")
    if violation.findings:
        yield from _findings(violation.findings, part)


def _rest(part: Part, where: str) -> Iterator[Line]:
    if part.doubts:
        title = f"{plural(len(part.doubts), 'thing')} undetermined{where}"
        decides = part.platform_verdict is not None and part.platform_verdict.status is Status.UNDETERMINED
        reasons = ((f"- {_code(doubt.reason, _SENTENCE)}", True) for doubt in part.doubts)
        yield from _folded(title, reasons, " open" if decides else "")
        if part.platform_verdict:
            steps = next_steps(part.doubts, part.manifest)
            yield from _fixed("", "**Next step**", "")
            yield from ((f"- {_code(step.text, _SENTENCE)}", True) for step in steps)
    for title, told in part.asides:
        count = plural(len(told), title)
        yield from _folded(f"{count}{where}", (line for violation in told for line in _violation(violation, part)))
    breaking = part.breaking
    waived = part.waived
    if waived or part.accepted:
        title = f"{plural(len(waived) + len(part.accepted), 'thing')} that does not count{where}"
        yield from _folded(title, _waived(part))
    rest = [finding for finding in part.findings if finding not in breaking and finding not in waived]
    if rest:
        title = f"Within the policy{where}: {counted(rest)}" if part.platform_verdict else f"{counted(rest)}{where}"
        yield from _folded(title, _findings(rest, part))


def _folded(title: str, inner: Iterable[Line], how: str = "") -> Iterator[Line]:
    yield from _fixed("", f"<details{how}><summary>{title}</summary>", "")
    yield from inner
    yield from _fixed("", "</details>")


def _waived(part: Part) -> Iterator[Line]:
    head = ("Severity", "What", "Package", "Installed", "By whose word")
    rows = [
        (one.severity.value, _code(one.id), _code(one.package.name), _code(one.package.version), _code(waiver(by)))
        for one, by in part.waived.items()
    ]
    rows += [("", _code(one.violation), "", "", _code(waiver(one))) for one in part.accepted]
    yield from _table(head, dict.fromkeys(rows))


def _findings(findings: Iterable[Finding], part: Part) -> Iterator[Line]:
    head = ("Severity", "Vulnerability", "Package", "Installed", "Fixed in", "")
    yield from _table(head, dict.fromkeys(_finding(finding, part) for finding in findings))


def _finding(finding: Finding, part: Part) -> tuple[str, ...]:
    package = finding.package
    url = link(finding.id)
    marks = [f"**{word}**" for word in map(_escaped, urgent(finding))] + also(finding)
    if part.in_base(package):
        marks.append("base image")
    return (
        finding.severity.value,
        f"[{_escaped(finding.id)}]({url})" if url else _code(finding.id),
        _code(package.name),
        _code(package.version),
        _code(finding.fixed) if finding.fixed else fix(finding),
        ", ".join(marks),
    )


def _upgrade(upgrade: Upgrade) -> tuple[str, ...]:
    return _code(upgrade.name), _code(upgrade.version), _code(upgrade.fixed), str(len(upgrade.clears))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Line]:
    yield from _fixed(_row(head), _row(["---"] * len(head)))
    for row in rows:
        yield _row(row), True


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fixed(*lines: str) -> Iterator[Line]:
    for text in lines:
        yield text, False


def _code(text: str, most: int = _CELL) -> str:
    """A code span. A back-quote would end it, and a bar the cell that it is in, even behind a backslash."""
    inner = clean(text)[:most].replace("`", "'").replace("|", "¦").strip()
    return f"`{inner}`" if inner else ""


def _escaped(text: str) -> str:
    """Text of ours that may hold a name: every sign that Markdown or HTML could understand stands for itself."""
    return "".join(char if char.isalnum() or char in " ,:'-" else f"&#{ord(char)};" for char in clean(text)[:_SENTENCE])
