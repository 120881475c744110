"""The reasons of a verdict and the remediation, as lines for people."""

import sys
from collections.abc import Collection, Iterable, Iterator

from rich.console import Console
from rich.text import Text

from dockgate.delivery.accept_commands import make_waiver_commands
from dockgate.gate.model import PlatformVerdict, Status, Verdict
from dockgate.gate.next_steps import list_next_steps
from dockgate.gate.summaries import count_waived
from dockgate.reports import _wording as wording
from dockgate.reports._lines import ID_WIDTH, NAME_WIDTH, STATUS, format_finding_notes, format_severity
from dockgate.shared.platforms import UNKNOWN_PLATFORM
from dockgate.shared.purl import is_purl
from dockgate.shared.terminal_lines import (
    align_rows,
    make_line,
    print_bullets,
    print_heading,
    print_lines,
    wrap_shell_command,
)
from dockgate.shared.wording import format_count, list_first
from dockgate.vulnerabilities.model import Finding, UndeterminedFact


def format_headline(verdict: Verdict) -> Text:
    """The status and the policy. An approval with waived findings says so, in yellow instead of green."""
    glyph, style = STATUS[verdict.status]
    waived_counts = count_waived(verdict.platform_verdicts)
    if verdict.status is Status.APPROVED and waived_counts:
        return make_line(
            (f"{glyph} {verdict.status} with {waived_counts}", "bold yellow"), f" by policy {verdict.policy}"
        )
    return make_line((f"{glyph} {verdict.status}", style), f" by policy {verdict.policy}")


def show_reasons(
    terminal: Console,
    verdict: Verdict,
    listed_violations: Collection[str] = (),
    indent: int = 2,
    *,
    has_findings: bool = True,
) -> None:
    """Print why a verdict is what it is, by platform.

    These are violations, undetermined entries with next steps, remediation and blocking findings. Reasons in
    `listed_violations` are only counted: the caller prints them; and the findings, without `has_findings`.
    """
    for platform_verdict in verdict.platform_verdicts:
        inner = indent
        if len(verdict.platform_verdicts) > 1:
            glyph, style = STATUS[platform_verdict.status]
            print_lines(
                terminal, [make_line(" " * indent, (glyph, style), f" {platform_verdict.label or UNKNOWN_PLATFORM}")]
            )
            inner += 2
        print_lines(
            terminal, [make_line(" " * inner, (violation.message, "bold")) for violation in platform_verdict.violations]
        )
        if platform_verdict.undetermined:
            print_lines(terminal, [make_line(" " * inner, ("Undetermined", "bold"))])
            other_entries = [entry for entry in platform_verdict.undetermined if entry.reason not in listed_violations]
            if listed_count := len(platform_verdict.undetermined) - len(other_entries):
                print_bullets(
                    terminal, [f"{format_count(listed_count, 'path')} could not be read: see below."], inner + 2
                )
            print_bullets(terminal, describe_undetermined(other_entries), inner + 2)
            print_lines(terminal, [make_line(" " * inner, ("Next step", "bold"))])
            for step in list_next_steps(platform_verdict.undetermined, verdict.image):
                print_bullets(terminal, [step.sentence], inner + 2)
                if step.command:
                    print_lines(terminal, wrap_shell_command(step.command, inner + 4, max(20, terminal.width)))
        show_remediation(terminal, platform_verdict, inner)
        blocking = dict.fromkeys(finding for violation in platform_verdict.violations for finding in violation.findings)
        if has_findings and blocking:
            print_lines(terminal, [make_line(" " * inner, ("Blocking findings", "bold"))])
            _show_findings(terminal, blocking, inner + 2)
        for title, violations in (("Warnings", platform_verdict.warnings), ("Notes", platform_verdict.notes)):
            print_lines(terminal, [make_line(" " * inner, (title, "bold"))] if violations else [])
            for violation in violations:
                print_lines(terminal, [make_line(" " * (inner + 2), (violation.message, "bold"))])
                if has_findings:
                    _show_findings(terminal, violation.findings, inner + 4)


def show_waiver_commands(terminal: Console, verdict: Verdict) -> None:
    """Print the commands by which a person with the role security accepts the findings."""
    commands = make_waiver_commands(verdict)
    if commands:
        condition = ("  needs the role security; without a server use --waivers", "dim")
        print_lines(terminal, [make_line("  ", ("Or accept the findings", "bold"), condition)])
    for command in commands:
        print_lines(terminal, wrap_shell_command(command, 4, max(20, terminal.width)))


def show_waived(terminal: Console, verdict: Verdict, *, has_findings: bool = True) -> None:
    """Print what does not count, and who accepted it. Without `has_findings` only violations are listed."""
    for platform_verdict in verdict.platform_verdicts:
        entries = [entry for entry in platform_verdict.waived if has_findings or entry.finding is None]
        sentences = dict.fromkeys(
            f"{wording.describe_waived_subject(entry)}: {wording.describe_waiver(entry)}" for entry in entries
        )
        if sentences:
            platform_text = (
                f" on {platform_verdict.label or UNKNOWN_PLATFORM}" if len(verdict.platform_verdicts) > 1 else ""
            )
            print_heading(terminal, f"Waived{platform_text}", len(sentences))
            print_bullets(terminal, sentences)


def show_inputs(terminal: Console, verdict: Verdict) -> None:
    """Print the inputs of the verdict."""
    inputs = verdict.inputs
    rows = [
        *(("inventory", digest) for digest in inputs.inventories),
        *(("external findings", digest) for digest in inputs.external_reports),
        *((f"baseline {name}", digest) for name, digests in inputs.baselines.items() for digest in digests),
        *((f"exempt from {name}", digest) for name, digest in inputs.baseline_exemptions.items()),
        ("advisories", inputs.snapshot),
        ("policy", inputs.policy),
        ("waivers", inputs.waivers),
        ("provenance", inputs.provenance),
        ("time", inputs.now),
        ("engine", inputs.engine),
        ("not scanned", inputs.no_scan_reason),
    ]
    print_lines(terminal, [make_line(("Inputs", "bold"))])
    print_lines(
        terminal, align_rows([[make_line((name, "dim")), make_line(value)] for name, value in rows if value], indent=2)
    )


def describe_undetermined(entries: Iterable[UndeterminedFact]) -> Iterator[str]:
    """Each reason, prefixed with its subject where the reason does not name it."""
    for entry in entries:
        is_named = entry.subject in ("", "/") or entry.subject in entry.reason or is_purl(entry.subject)
        yield entry.reason if is_named else f"{entry.subject}: {entry.reason}"


def _show_findings(terminal: Console, findings: Iterable[Finding], indent: int) -> None:
    findings_by_package: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        findings_by_package.setdefault((finding.package.purl, finding.id), []).append(finding)
    if findings_by_package:
        rows = [
            _build_finding_row(same_findings[0], len(same_findings)) for same_findings in findings_by_package.values()
        ]
        print_lines(terminal, align_rows(rows, indent, {1: ID_WIDTH, 2: NAME_WIDTH}))


def _build_finding_row(finding: Finding, count: int) -> list[Text]:
    """Severity, advisory, package with installed and fixed version, urgency."""
    package = finding.package
    urgent = format_finding_notes(finding)
    if count > 1:
        urgent = Text.assemble(urgent, "  " if urgent else "", (f"in {count} places", "dim"))
    fix_cell = (finding.fixed, "green") if finding.fixed else (wording.describe_fix(finding), "dim italic")
    return [
        format_severity(finding),
        make_line(finding.id),
        make_line((package.name, "bold"), f" {package.version} → ", fix_cell),
        urgent,
    ]


def show_remediation(terminal: Console, platform_verdict: PlatformVerdict, indent: int) -> None:
    """Print the upgrades, those of the base image on their own, their commands, and what else blocks."""
    remediation = platform_verdict.remediation
    if remediation.upgrades:
        title = wording.format_remediation_title(remediation)
        print_lines(terminal, [make_line(" " * indent, (title[0], "bold"), (title[1], "dim"))])
        cells = [
            [
                make_line((upgrade.name, "bold"), f" {upgrade.version} → ", (upgrade.fixed, "green")),
                make_line(("fixes " + list_first(upgrade.clears) if upgrade.clears else "", "dim")),
            ]
            for upgrade in remediation.upgrades
        ]
        rows = iter(align_rows(cells, indent + 2))
        for is_base, heading, commands in wording.group_upgrades(remediation):
            if heading:
                print_lines(terminal, [make_line(" " * (indent + 2), (heading, "dim"))])
            print_lines(terminal, [next(rows) for upgrade in remediation.upgrades if upgrade.is_in_base is is_base])
            width = terminal.width if terminal.is_terminal else sys.maxsize
            print_lines(
                terminal, [part for command in commands for part in wrap_shell_command(command, indent + 2, width)]
            )
    obstacles = wording.list_obstacle_reasons(platform_verdict)
    if obstacles:
        print_lines(terminal, [make_line(" " * indent, (wording.format_obstacles_title(remediation), "bold"))])
        print_bullets(terminal, dict.fromkeys(obstacles), indent + 2)
