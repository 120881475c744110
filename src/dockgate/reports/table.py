"""The table for people: findings by package, what could not be read, and the verdict with every violation."""

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from dockgate.gate.model import PlatformVerdict, Status
from dockgate.reports import GateReport, Report, ScanReport, View
from dockgate.reports._lines import (
    ID_WIDTH,
    NAME_WIDTH,
    aligned,
    bullets,
    console,
    counts,
    fix,
    heading,
    line,
    marks,
    plural,
    severity,
    show,
    some,
)
from dockgate.reports._parts import waiver
from dockgate.reports._verdict import acceptance, headline, reasons, sentences, waived
from dockgate.reports._words import support
from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities.model import Coverage, Finding

# columns; with fewer left on the line an advisory's summary is left out.
_SUMMARY_WIDTH = 24


class Table:
    """The verdict and the way out first; then the packages with their findings, each finding once."""

    def scan(self, report: ScanReport, out: TextIO) -> None:
        to = console(out)
        _image(to, report.reference, report.digest)
        for inventory, matches in report.platforms:
            _platform(to, inventory.platform, inventory, report.now)
            show(to, [_total(matches.findings, is_whole=not (matches.undetermined or inventory.unread))])
            _unread(to, inventory)
            if matches.undetermined:
                heading(to, "Cannot be said", len(matches.undetermined))
                bullets(to, sentences(matches.undetermined))
            _findings(to, inventory, matches.findings, report.view)
        _checked(to, report.coverage)

    def gate(self, report: GateReport, out: TextIO) -> None:
        to = console(out)
        verdict, view = report.verdict, report.view
        _image(to, report.reference, verdict.image)
        show(to, [headline(verdict)])
        if verdict.status is Status.APPROVED:
            show(to, [line(f"  {verdict.summary}.")])
        inventories = {(inventory.platform, inventory.image): inventory for inventory in report.inventories}
        unread = {entry.reason for inventory in report.inventories for entry in inventory.unread}
        reasons(to, verdict, () if view.is_summary else unread, has_findings=False)
        acceptance(to, verdict)
        waived(to, verdict, has_findings=view.is_summary)
        for platform_verdict in verdict.platform_verdicts:
            to.print()
            inventory = (
                None
                if platform_verdict.source
                else inventories.get((platform_verdict.platform, platform_verdict.image))
            )
            _platform(to, platform_verdict.label, inventory, verdict.inputs.now)
            show(to, [_total(platform_verdict.findings, is_whole=not platform_verdict.undetermined)])
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
        if distribution and (words := support(distribution, now))[0]:
            parts.append((words[0], "bold red" if words[1] else "dim"))
        parts.append((plural(len(inventory.packages), "package"), "dim"))
        if inventory.base:
            parts.append((f"built on {inventory.base}", "dim"))
    if parts:
        show(to, [Text(" · ", "dim").join(line(part) for part in parts)])


def _total(findings: Sequence[Finding], *, is_whole: bool) -> Text:
    if findings:
        return counts(findings)
    return Text("No findings." if is_whole else "No findings in what could be looked up.", "bold")


def _findings(
    to: Console,
    inventory: Inventory | None,
    findings: Sequence[Finding],
    view: View,
    platform_verdict: PlatformVerdict | None = None,
) -> None:
    """By the source that is to be upgraded, the worst first; what blocks is marked, and what is waived says by whom."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in filter(view.shows, findings):
        package = finding.package
        groups.setdefault((package.ecosystem, package.source_name, package.source_version), []).append(finding)
    vulnerabilities = {key: list({one.id: one for one in found}.values()) for key, found in groups.items()}
    blocking = {
        one for violation in (platform_verdict.violations if platform_verdict else ()) for one in violation.findings
    }
    excused = {one.finding: one for one in (platform_verdict.waived if platform_verdict else ()) if one.finding}
    cells = [
        [Text("✗", "bold red") if blocks else Text(" "), severity(one), line(one.id), fix(one)]
        for key, found in vulnerabilities.items()
        for one in found
        for blocks in [any(same in blocking for same in groups[key] if same.id == one.id)]
    ]
    lines = iter(aligned(cells, 2 if blocking else 0, {2: ID_WIDTH, 3: NAME_WIDTH}))
    if groups:
        to.print()
    width = to.width
    for key, found in vulnerabilities.items():
        show(to, [_group(key, groups[key], inventory, width)])
        for one in found:
            show(to, [_with_summary(next(lines), one, width)])
            for by in dict.fromkeys(
                waiver(excused[same]) for same in groups[key] if same.id == one.id and same in excused
            ):
                show(to, [line((f"      {by}", "yellow"))])
    shown = sum(map(len, groups.values()))
    if shown < len(findings):
        show(to, [line((f"{plural(len(findings) - shown, 'finding')} not listed, but counted.", "dim"))])


def _with_summary(text: Text, finding: Finding, width: int) -> Text:
    """The line, with what makes the finding urgent, and as much of its summary as there is room for."""
    urgent = marks(finding)
    text.append_text(urgent)
    room = width - text.cell_len
    if finding.summary and room >= _SUMMARY_WIDTH:
        summary = line((("  " if urgent else "") + finding.summary.strip(), "dim"))
        summary.truncate(room, overflow="ellipsis")
        text.append_text(summary)
    return text


def _group(key: tuple[str, str, str], findings: Iterable[Finding], inventory: Inventory | None, width: int) -> Text:
    """ "openssl 3.5.1-1  base image, Debian:13, installed as libssl3t64, openssl"; a language's package says where it
    lies."""
    ecosystem, name, version = key
    packages = [finding.package for finding in findings]
    names = list(dict.fromkeys(package.name for package in packages))
    where = [*_whose(packages, inventory), ecosystem]
    if any(package.source_version != package.version for package in packages) or names != [name]:
        where.append("installed as " + some([*dict.fromkeys(f"{one.name} {one.version}" for one in packages)]))
    elif ":" not in ecosystem:
        where.append(some(list(dict.fromkeys(package.path.rpartition("/")[0] for package in packages))))
    heading = line((name, "bold"), f" {version}")
    detail = line(("  " + ", ".join(filter(None, where)), "dim"))
    detail.truncate(max(width - heading.cell_len, 0), overflow="ellipsis")
    return heading.append_text(detail)


def _whose(packages: Iterable[Package], inventory: Inventory | None) -> list[str]:
    """Whether the base image brought them or what was built on it, where that is known."""
    if inventory is None or not inventory.base_layers:
        return []
    brought = {inventory.in_base(package) for package in packages}
    return [words for in_base, words in ((True, "base image"), (False, "own layers")) if in_base in brought]


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


def _checked(to: Console, coverage: Iterable[Coverage]) -> None:
    """How old the advisories are that were looked at."""
    words = [f"{one.ecosystem} {one.checked_at.partition('T')[0] or 'never'}" for one in coverage]
    if words:
        to.print()
        show(to, [line(("Advisories last checked: " + ", ".join(words), "dim"))])
