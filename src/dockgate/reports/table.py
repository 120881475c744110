"""The table for people: the verdict with every violation, findings by package, unread files."""

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from dockgate.gate.model import PlatformVerdict, Status
from dockgate.reports import GateReport, Report, ScanReport, View
from dockgate.reports._image_report import waiver_sentence
from dockgate.reports._lines import (
    ID_WIDTH,
    NAME_WIDTH,
    align,
    bullets,
    console,
    finding_notes,
    findings_line,
    fix_text,
    heading,
    line,
    plural,
    severity,
    shorten,
    show,
)
from dockgate.reports._verdict_lines import (
    headline,
    show_reasons,
    show_waived,
    show_waiver_commands,
    undetermined_sentences,
)
from dockgate.reports._wording import support_status
from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities.model import Coverage, Finding

# Columns; with less room on the line an advisory's summary is omitted.
_SUMMARY_WIDTH = 24


class Table:
    """The verdict and the remediation first, then the packages with their findings."""

    def scan(self, report: ScanReport, out: TextIO) -> None:
        to = console(out)
        _image(to, report.reference, report.digest)
        for inventory, matches in report.platforms:
            _platform(to, inventory.platform, inventory, report.now)
            show(to, [_total_line(matches.findings, is_whole=not (matches.undetermined or inventory.unread))])
            _unread(to, inventory)
            if matches.undetermined:
                heading(to, "Undetermined", len(matches.undetermined))
                bullets(to, undetermined_sentences(matches.undetermined))
            _findings(to, inventory, matches.findings, report.view)
        _database_age(to, report.coverage)

    def gate(self, report: GateReport, out: TextIO) -> None:
        to = console(out)
        verdict, view = report.verdict, report.view
        _image(to, report.reference, verdict.image)
        show(to, [headline(verdict)])
        if verdict.status is Status.APPROVED:
            show(to, [line(f"  {verdict.summary}.")])
        inventories = {(inventory.platform, inventory.image): inventory for inventory in report.inventories}
        unread = {entry.reason for inventory in report.inventories for entry in inventory.unread}
        show_reasons(to, verdict, () if view.is_summary else unread, has_findings=False)
        show_waiver_commands(to, verdict)
        show_waived(to, verdict, has_findings=view.is_summary)
        for platform_verdict in verdict.platform_verdicts:
            to.print()
            inventory = (
                None
                if platform_verdict.source
                else inventories.get((platform_verdict.platform, platform_verdict.image))
            )
            _platform(to, platform_verdict.label, inventory, verdict.inputs.now)
            show(to, [_total_line(platform_verdict.findings, is_whole=not platform_verdict.undetermined)])
            if inventory and not view.is_summary:
                _unread(to, inventory)
            _findings(to, inventory, platform_verdict.findings, view, platform_verdict)


REPORT: Report = Table()


def _image(to: Console, reference: str, digest: str) -> None:
    show(to, [line((reference, "bold"))])
    if digest not in reference:
        show(to, [line((digest, "dim"))])


def _platform(to: Console, platform: str, inventory: Inventory | None, now: str) -> None:
    parts: list[tuple[str, str]] = [(platform, "dim")] if platform else []
    if inventory:
        distribution = inventory.distribution
        parts.append((distribution.name or distribution.id if distribution else "unknown distribution", "dim"))
        if distribution and (words := support_status(distribution, now))[0]:
            parts.append((words[0], "bold red" if words[1] else "dim"))
        parts.append((plural(len(inventory.packages), "package"), "dim"))
        if inventory.base:
            parts.append((f"built on {inventory.base}", "dim"))
    if parts:
        show(to, [Text(" · ", "dim").join(line(part) for part in parts)])


def _total_line(findings: Sequence[Finding], *, is_whole: bool) -> Text:
    if findings:
        return findings_line(findings)
    return Text("No findings." if is_whole else "No findings in the packages that could be looked up.", "bold")


def _findings(
    to: Console,
    inventory: Inventory | None,
    findings: Sequence[Finding],
    view: View,
    platform_verdict: PlatformVerdict | None = None,
) -> None:
    """Print findings by source package, worst first.

    Blocking findings are marked, waived ones name their waiver.
    """
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in filter(view.shows, findings):
        package = finding.package
        groups.setdefault((package.ecosystem, package.source_name, package.source_version), []).append(finding)
    vulnerabilities = {
        key: list({finding.id: finding for finding in listed}.values()) for key, listed in groups.items()
    }
    blocking = {
        finding
        for violation in (platform_verdict.violations if platform_verdict else ())
        for finding in violation.findings
    }
    waived = {
        finding.finding: finding for finding in (platform_verdict.waived if platform_verdict else ()) if finding.finding
    }
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
        show(to, [_package_line(key, groups[key], inventory, width)])
        for finding in listed:
            show(to, [_with_summary(next(lines), finding, width)])
            for by in dict.fromkeys(
                waiver_sentence(waived[same]) for same in groups[key] if same.id == finding.id and same in waived
            ):
                show(to, [line((f"      {by}", "yellow"))])
    shown = sum(map(len, groups.values()))
    if shown < len(findings):
        show(to, [line((f"{plural(len(findings) - shown, 'finding')} counted but not listed.", "dim"))])


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


def _package_line(
    key: tuple[str, str, str], findings: Iterable[Finding], inventory: Inventory | None, width: int
) -> Text:
    """ "openssl 3.5.1-1  base image, Debian:13, installed as libssl3t64, openssl".

    Language packages have a folder.
    """
    ecosystem, name, version = key
    packages = [finding.package for finding in findings]
    names = list(dict.fromkeys(package.name for package in packages))
    where = [*_base_or_own(packages, inventory), ecosystem]
    if any(package.source_version != package.version for package in packages) or names != [name]:
        where.append(
            "installed as " + shorten([*dict.fromkeys(f"{package.name} {package.version}" for package in packages)])
        )
    elif ":" not in ecosystem:
        where.append(shorten(list(dict.fromkeys(package.path.rpartition("/")[0] for package in packages))))
    heading = line((name, "bold"), f" {version}")
    detail = line(("  " + ", ".join(filter(None, where)), "dim"))
    detail.truncate(max(width - heading.cell_len, 0), overflow="ellipsis")
    return heading.append_text(detail)


def _base_or_own(packages: Iterable[Package], inventory: Inventory | None) -> list[str]:
    """ "base image", "own layers" or both; empty when the base layers are unknown."""
    if inventory is None or not inventory.base_layers:
        return []
    in_base_values = {inventory.in_base(package) for package in packages}
    return [label for in_base, label in ((True, "base image"), (False, "own layers")) if in_base in in_base_values]


def _unread(to: Console, inventory: Inventory) -> None:
    if inventory.unread:
        heading(to, "Could not be read", len(inventory.unread))
        bullets(
            to,
            (
                entry.reason if entry.path == "/" or entry.path in entry.reason else f"{entry.path}: {entry.reason}"
                for entry in inventory.unread
            ),
        )


def _database_age(to: Console, coverage: Iterable[Coverage]) -> None:
    """Print when the advisories of each ecosystem were last checked."""
    words = [f"{entry.ecosystem} {entry.checked_at.partition('T')[0] or 'never'}" for entry in coverage]
    if words:
        to.print()
        show(to, [line(("Advisories last checked: " + ", ".join(words), "dim"))])
