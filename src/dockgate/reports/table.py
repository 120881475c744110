"""The table for people: the verdict with every violation, findings by package, unread files."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.text import Text

from dockgate.gate.model import Status
from dockgate.reports import GateReport, Report, ScanReport, View
from dockgate.reports import _wording as wording
from dockgate.reports._image_report import PlatformPart, image_report
from dockgate.reports._lines import (
    ID_WIDTH,
    NAME_WIDTH,
    finding_notes,
    findings_line,
    fix_text,
    severity,
)
from dockgate.reports._verdict_lines import (
    headline,
    show_reasons,
    show_waived,
    show_waiver_commands,
    undetermined_sentences,
)
from dockgate.reports._wording import support_status
from dockgate.scanner.model import Inventory
from dockgate.shared.interfaces import override
from dockgate.shared.terminal_lines import align, bullets, console, line, print_heading, show
from dockgate.shared.wording import list_first, plural
from dockgate.vulnerabilities.model import Finding, Undetermined

# Columns; with less room on the line an advisory's summary is omitted.
_SUMMARY_WIDTH = 24


class Table(Report):
    """The verdict and the remediation first, then the packages with their findings."""

    @override
    def scan(self, report: ScanReport, out: TextIO) -> None:
        to = console(out)
        _image(to, report.reference, report.digest)
        for part, (inventory, matches) in zip(image_report(report).parts, report.platforms, strict=True):
            _platform(to, part, report.scanned_at or "")
            _show_unread(to, inventory)
            if matches.undetermined:
                print_heading(to, "Undetermined", len(matches.undetermined))
                bullets(to, undetermined_sentences(matches.undetermined))
            _findings(to, part, report.view)
        if report.coverage:
            words = (f"{entry.ecosystem} {entry.checked_at.partition('T')[0] or 'never'}" for entry in report.coverage)
            to.print()
            show(to, [line(("Advisories last checked: " + ", ".join(words), "dim"))])

    @override
    def gate(self, report: GateReport, out: TextIO) -> None:
        to = console(out)
        verdict, view = report.verdict, report.view
        _image(to, report.reference, verdict.image)
        show(to, [headline(verdict)])
        if verdict.status is Status.APPROVED:
            show(to, [line(f"  {verdict.summary}.")])
        unread = {entry.reason for inventory in report.inventories for entry in inventory.unread}
        show_reasons(to, verdict, () if view.is_summary else unread, has_findings=False)
        show_waiver_commands(to, verdict)
        show_waived(to, verdict, has_findings=view.is_summary)
        for part in image_report(report).parts:
            to.print()
            _platform(to, part, verdict.inputs.now)
            if part.inventory and not view.is_summary:
                _show_unread(to, part.inventory)
            _findings(to, part, view)


REPORT: Report = Table()


def _image(to: Console, reference: str, digest: str) -> None:
    show(to, [line((reference, "bold"))])
    if digest not in reference:
        show(to, [line((digest, "dim"))])


def _platform(to: Console, part: PlatformPart, now: str) -> None:
    """Print what the platform is, and the number of its findings."""
    words: list[tuple[str, str]] = [(part.label, "dim")] if part.label else []
    if part.inventory:
        distribution = part.inventory.distribution
        words.append((distribution.name or distribution.id if distribution else "unknown distribution", "dim"))
        if distribution and (support := support_status(distribution, now))[0]:
            words.append((support[0], "bold red" if support[1] else "dim"))
        words.append((plural(len(part.inventory.packages), "package"), "dim"))
        if part.inventory.base:
            words.append((f"built on {part.inventory.base}", "dim"))
    if words:
        show(to, [Text(" · ", "dim").join(line(word) for word in words)])
    scope = " in the packages that could be looked up" if part.undetermined else ""
    show(to, [findings_line(part.findings) if part.findings else Text(f"No findings{scope}.", "bold")])


def _findings(to: Console, part: PlatformPart, view: View) -> None:
    """Print findings by source package, worst first. Blocking ones are marked, waived ones name their waiver."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in filter(view.shows, part.findings):
        package = finding.package
        groups.setdefault((package.ecosystem, package.source_name, package.source_version), []).append(finding)
    vulnerabilities = {
        key: list({finding.id: finding for finding in listed}.values()) for key, listed in groups.items()
    }
    blocking, waived = part.broken_rules, part.waived_findings
    cells = [
        [Text("✗", "bold red") if blocks else Text(" "), severity(finding), line(finding.id), fix_text(finding)]
        for key, listed in vulnerabilities.items()
        for finding in listed
        for blocks in [any(same in blocking for same in groups[key] if same.id == finding.id)]
    ]
    lines = iter(align(cells, 2 if blocking else 0, {2: ID_WIDTH, 3: NAME_WIDTH}))
    if groups:
        to.print()
    width = to.width
    for key, listed in vulnerabilities.items():
        show(to, [_package_line(key, groups[key], part, width)])
        for finding in listed:
            show(to, [_with_summary(next(lines), finding, width)])
            for by in dict.fromkeys(
                wording.waiver_sentence(waived[same])
                for same in groups[key]
                if same.id == finding.id and same in waived
            ):
                show(to, [line((f"      {by}", "yellow"))])
    shown = sum(map(len, groups.values()))
    if shown < len(part.findings):
        show(to, [line((f"{plural(len(part.findings) - shown, 'finding')} counted but not listed.", "dim"))])


def _with_summary(text: Text, finding: Finding, width: int) -> Text:
    """The line with the finding's notes, and as much of its summary as fits."""
    urgency = finding_notes(finding)
    text.append_text(urgency)
    room = width - text.cell_len
    if finding.summary and room >= _SUMMARY_WIDTH:
        summary = line((("  " if urgency else "") + finding.summary.strip(), "dim"))
        summary.truncate(room, overflow="ellipsis")
        text.append_text(summary)
    return text


def _package_line(key: tuple[str, str, str], findings: Iterable[Finding], part: PlatformPart, width: int) -> Text:
    """ "openssl 3.5.1-1  base image, Debian:13, installed as libssl3t64"; a language package has its folder."""
    ecosystem, name, version = key
    packages = [finding.package for finding in findings]
    names = list(dict.fromkeys(package.name for package in packages))
    in_base = {part.is_in_base(package) for package in packages}
    where = [label for value, label in ((True, "base image"), (False, "own layers")) if value in in_base]
    where.append(ecosystem)
    if any(package.source_version != package.version for package in packages) or names != [name]:
        where.append(
            "installed as " + list_first([*dict.fromkeys(f"{package.name} {package.version}" for package in packages)])
        )
    elif ":" not in ecosystem:
        where.append(list_first(list(dict.fromkeys(package.path.rpartition("/")[0] for package in packages))))
    heading = line((name, "bold"), f" {version}")
    detail = line(("  " + ", ".join(filter(None, where)), "dim"))
    detail.truncate(max(width - heading.cell_len, 0), overflow="ellipsis")
    return heading.append_text(detail)


def _show_unread(to: Console, inventory: Inventory) -> None:
    if inventory.unread:
        print_heading(to, "Could not be read", len(inventory.unread))
        bullets(to, undetermined_sentences(Undetermined(entry.path, entry.reason) for entry in inventory.unread))
