"""The table for people: the verdict with every violation, findings by package, unread files."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.text import Text

from dockgate.gate.model import Status
from dockgate.reports import GateReport, Report, ScanReport, View
from dockgate.reports import _wording as wording
from dockgate.reports._image_report import PlatformPart, build_image_report
from dockgate.reports._lines import (
    ID_WIDTH,
    NAME_WIDTH,
    format_finding_notes,
    format_findings_line,
    format_fix,
    format_severity,
)
from dockgate.reports._verdict_lines import (
    describe_undetermined,
    format_headline,
    show_reasons,
    show_waived,
    show_waiver_commands,
)
from dockgate.reports._wording import describe_support
from dockgate.scanner.model import Inventory
from dockgate.shared.interfaces import override
from dockgate.shared.terminal_lines import (
    align_rows,
    create_console,
    make_line,
    print_bullets,
    print_heading,
    print_lines,
)
from dockgate.shared.wording import format_count, list_first
from dockgate.vulnerabilities.model import Finding, UndeterminedFact

# Columns; with less room on the line an advisory's summary is omitted.
_SUMMARY_WIDTH = 24


class Table(Report):
    """The verdict and the remediation first, then the packages with their findings."""

    @override
    def write_scan(self, report: ScanReport, output: TextIO) -> None:
        terminal = create_console(output)
        _show_image(terminal, report.reference, report.digest)
        for part, (inventory, matches) in zip(build_image_report(report).parts, report.platforms, strict=True):
            _show_platform(terminal, part, report.scanned_at or "")
            _show_unread(terminal, inventory)
            if matches.undetermined:
                print_heading(terminal, "Undetermined", len(matches.undetermined))
                print_bullets(terminal, describe_undetermined(matches.undetermined))
            _show_findings(terminal, part, report.view)
        if report.coverage:
            words = (
                f"{entry.ecosystem} {entry.checked_at[:10] if entry.checked_at else 'never'}"
                for entry in report.coverage
            )
            terminal.print()
            print_lines(terminal, [make_line(("Advisories last checked: " + ", ".join(words), "dim"))])

    @override
    def write_verdict(self, report: GateReport, output: TextIO) -> None:
        terminal = create_console(output)
        verdict, view = report.verdict, report.view
        _show_image(terminal, report.reference, verdict.image)
        print_lines(terminal, [format_headline(verdict)])
        if verdict.status is Status.APPROVED:
            print_lines(terminal, [make_line(f"  {verdict.summary}.")])
        unread_reasons = {entry.reason for inventory in report.inventories for entry in inventory.unread}
        show_reasons(terminal, verdict, () if view.is_summary else unread_reasons, has_findings=False)
        show_waiver_commands(terminal, verdict)
        show_waived(terminal, verdict, has_findings=view.is_summary)
        for part in build_image_report(report).parts:
            terminal.print()
            _show_platform(terminal, part, verdict.inputs.now)
            if part.inventory and not view.is_summary:
                _show_unread(terminal, part.inventory)
            _show_findings(terminal, part, view)


REPORT: Report = Table()


def _show_image(terminal: Console, reference: str, digest: str) -> None:
    print_lines(terminal, [make_line((reference, "bold"))])
    if digest not in reference:
        print_lines(terminal, [make_line((digest, "dim"))])


def _show_platform(terminal: Console, part: PlatformPart, now: str) -> None:
    """Print what the platform is, and the number of its findings."""
    words: list[tuple[str, str]] = [(part.label, "dim")] if part.label else []
    if part.inventory:
        distribution = part.inventory.distribution
        words.append((distribution.name or distribution.id if distribution else "unknown distribution", "dim"))
        if distribution and (support := describe_support(distribution, now))[0]:
            words.append((support[0], "bold red" if support[1] else "dim"))
        words.append((format_count(len(part.inventory.packages), "package"), "dim"))
        if part.inventory.base:
            words.append((f"built on {part.inventory.base}", "dim"))
        elif part.has_unknown_base:
            words.append(("base unknown", "dim"))
    if words:
        print_lines(terminal, [Text(" · ", "dim").join(make_line(word) for word in words)])
    scope = " in the packages that could be looked up" if part.undetermined else ""
    print_lines(
        terminal, [format_findings_line(part.findings) if part.findings else Text(f"No findings{scope}.", "bold")]
    )


def _show_findings(terminal: Console, part: PlatformPart, view: View) -> None:
    """Print findings by source package, worst first. Blocking ones are marked, waived ones name their waiver."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in filter(view.should_show, part.findings):
        package = finding.package
        groups.setdefault((package.ecosystem, package.source_name, package.source_version), []).append(finding)
    vulnerabilities = {
        key: list({finding.id: finding for finding in listed_findings}.values())
        for key, listed_findings in groups.items()
    }
    blocking, waived_findings = part.broken_rules, part.waived_findings
    cells = [
        [
            Text("✗", "bold red") if blocks else Text(" "),
            format_severity(finding),
            make_line(finding.id),
            format_fix(finding),
        ]
        for key, listed_findings in vulnerabilities.items()
        for finding in listed_findings
        for blocks in [
            any(other_finding in blocking for other_finding in groups[key] if other_finding.id == finding.id)
        ]
    ]
    lines = iter(align_rows(cells, 2 if blocking else 0, {2: ID_WIDTH, 3: NAME_WIDTH}))
    if groups:
        terminal.print()
    width = terminal.width
    for key, listed_findings in vulnerabilities.items():
        print_lines(terminal, [_format_package_line(key, groups[key], part, width)])
        for finding in listed_findings:
            print_lines(terminal, [_append_summary(next(lines), finding, width)])
            for by in dict.fromkeys(
                wording.describe_waiver(waived_findings[other_finding])
                for other_finding in groups[key]
                if other_finding.id == finding.id and other_finding in waived_findings
            ):
                print_lines(terminal, [make_line((f"      {by}", "yellow"))])
    shown_count = sum(map(len, groups.values()))
    if shown_count < len(part.findings):
        print_lines(
            terminal,
            [
                make_line(
                    (f"{format_count(len(part.findings) - shown_count, 'finding')} counted but not listed.", "dim")
                )
            ],
        )


def _append_summary(text: Text, finding: Finding, width: int) -> Text:
    """The line with the finding's notes, and as much of its summary as fits."""
    urgency = format_finding_notes(finding)
    text.append_text(urgency)
    room = width - text.cell_len
    if finding.summary and room >= _SUMMARY_WIDTH:
        summary = make_line((("  " if urgency else "") + finding.summary.strip(), "dim"))
        summary.truncate(room, overflow="ellipsis")
        text.append_text(summary)
    return text


def _format_package_line(
    key: tuple[str, str, str], findings: Iterable[Finding], part: PlatformPart, width: int
) -> Text:
    """ "openssl 3.5.1-1  base image, Debian:13, installed as libssl3t64"; a language package has its folder."""
    ecosystem, name, version = key
    packages = [finding.package for finding in findings]
    names = list(dict.fromkeys(package.name for package in packages))
    in_base = {part.is_in_base(package) for package in packages}
    origins = [label for value, label in ((True, "base image"), (False, "own layers")) if value in in_base]
    origins.append(ecosystem)
    if any(package.source_version != package.version for package in packages) or names != [name]:
        origins.append(
            "installed as " + list_first([*dict.fromkeys(f"{package.name} {package.version}" for package in packages)])
        )
    elif ":" not in ecosystem:
        origins.append(list_first(list(dict.fromkeys(package.path.rpartition("/")[0] for package in packages))))
    heading = make_line((name, "bold"), f" {version}")
    detail = make_line(("  " + ", ".join(filter(None, origins)), "dim"))
    detail.truncate(max(width - heading.cell_len, 0), overflow="ellipsis")
    return heading.append_text(detail)


def _show_unread(terminal: Console, inventory: Inventory) -> None:
    if inventory.unread:
        print_heading(terminal, "Could not be read", len(inventory.unread))
        print_bullets(
            terminal, describe_undetermined(UndeterminedFact(entry.path, entry.reason) for entry in inventory.unread)
        )
