"""The table for people."""

import io
import re
from dataclasses import replace

import pytest
from tests.reports.samples import (
    FINDINGS,
    UNDETERMINED,
    make_approved_verdict,
    make_finding,
    make_inventory,
    make_platform_verdict,
    make_pypi_package,
    make_reports,
    make_verdict,
    with_remediation,
)

from dockgate.gate.model import Status, Verdict, Violation
from dockgate.reports import GateReport, ScanReport, View, load
from dockgate.reports._verdict_lines import show_reasons
from dockgate.reports._wording import describe_support
from dockgate.scanner.model import Distribution
from dockgate.shared.terminal_lines import create_console, wrap_shell_command
from dockgate.vulnerabilities.model import Coverage, Matches, Severity


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def write_verdict(subject: Verdict, *inventories: object) -> str:
    output = io.StringIO()
    load("table").write_verdict(GateReport("registry.test/app:1", subject, inventories), output)  # type: ignore[arg-type]
    return output.getvalue()


def write_scan(matches: Matches) -> str:
    output = io.StringIO()
    coverage = (Coverage("Debian:13", True, (), "2026-11-24T10:00:00Z"),)
    scanned_inventory = make_inventory()
    load("table").write_scan(
        ScanReport("registry.test/app:1", scanned_inventory.image_digest, ((scanned_inventory, matches),), coverage),
        output,
    )
    return output.getvalue()


def select_lines(text: str, word: str) -> list[str]:
    return [line for line in text.splitlines() if word in line]


def test_every_violation_is_named_with_package_versions_advisory_and_severity() -> None:
    text = write_verdict(make_verdict(), make_inventory())
    top = text[text.index("Rejected by policy default") : text.index("linux/amd64")]
    assert "2 CRITICAL findings, at most 0 allowed" in top
    assert "2 HIGH findings, at most 0 allowed" in top
    for sample in FINDINGS[:4]:
        (row,) = [row for row in select_lines(text, sample.id) if sample.severity in row]
        assert row.strip().startswith("✗")
        assert (f"fixed in {sample.fixed}" if sample.fixed else "no fix") in row
        assert sample.package.version in text


def test_verdict_and_remediation_come_before_the_findings() -> None:
    text = write_verdict(with_remediation(), make_inventory())
    order = ("Rejected by policy", "To pass: upgrade", "python3 -m pip install", "5 findings", "CVE-2019-10906  fixed")
    assert sorted(order, key=text.index) == list(order)


def test_a_finding_that_breaks_several_rules_is_listed_once() -> None:
    violations = (
        Violation("max_findings", "1 HIGH finding", FINDINGS[:1]),
        Violation("exploited", "1 exploited", FINDINGS[:1]),
    )
    subject = make_verdict(
        make_platform_verdict(violations=violations, remediation=(), undetermined_subjects=(), findings=FINDINGS[:1])
    )
    finding_lines = [line for line in select_lines(write_verdict(subject), FINDINGS[0].id) if "waiver add" not in line]
    assert len(finding_lines) == 1
    output = io.StringIO()
    show_reasons(create_console(output), subject)
    assert len(select_lines(output.getvalue(), FINDINGS[0].id)) == 1


def write_view(view: View) -> str:
    output = io.StringIO()
    load("table").write_verdict(
        GateReport("registry.test/app:1", make_verdict(), (make_inventory(),), view=view), output
    )
    return output.getvalue()


def test_a_view_lists_fewer_findings_and_changes_no_verdict() -> None:
    high = write_view(View(severities=frozenset({Severity.HIGH})))
    assert [sample.id for sample in FINDINGS if re.search(rf"{sample.severity} +{sample.id}", high)] == [
        sample.id for sample in FINDINGS if sample.severity is Severity.HIGH
    ]
    assert "counted but not listed." in high
    assert "CVE-2024-34069" not in write_view(View(is_only_fixable=True)).partition("linux/amd64")[2]
    summary = write_view(View(is_summary=True))
    assert not select_lines(summary, "fixed in")
    for text in (high, summary):
        assert "✗ Rejected by policy default" in text
        assert "5 findings: 2 CRITICAL, 2 HIGH, 1 LOW" in text
        assert "it is not text" in text, "what could not be read is never obstacles out"


def test_a_waived_finding_names_who_accepted_it_also_in_a_summary() -> None:
    report = make_reports()["waived"]
    assert isinstance(report, GateReport)
    for view in (View(), View(is_summary=True)):
        output = io.StringIO()
        load("table").write_verdict(report._replace(view=view), output)
        assert output.getvalue().count("Accepted by ana until 2026-12-31") == 1
        assert output.getvalue().count("It runs as <i>root: Accepted by bob") == 1


def test_no_line_on_a_terminal_breaks_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for report in make_reports().values():
        terminal = Terminal()
        table = load("table")
        if isinstance(report, GateReport):
            table.write_verdict(report, terminal)
        else:
            table.write_scan(report, terminal)
        for row in re.sub("\x1b\\[[0-9;]*m", "", terminal.getvalue()).splitlines():
            assert len(row) <= 80 or " " not in row.strip().removesuffix(" \\"), row


def test_a_long_command_is_wrapped_with_backslashes() -> None:
    command = "python3 -m pip install --upgrade " + " ".join(f"'package{n}>=1.{n}'" for n in range(9))
    lines = [text.plain for text in wrap_shell_command(command, 4, 80)]
    assert max(map(len, lines)) <= 80
    assert [line.endswith(" \\") for line in lines] == [True] * (len(lines) - 1) + [False]
    assert " ".join("".join(lines).replace("\\", " ").split()) == command


def test_the_remediation_lists_upgrades_and_what_still_blocks() -> None:
    text = write_verdict(make_verdict(), make_inventory())
    remediation = text[text.index("Upgrades that fix some of these findings") :]
    assert "jinja2 2.10 → 2.11.3" in remediation
    assert "fixes CVE-2019-10906, CVE-2020-28493" in remediation
    obstacles = remediation[remediation.index("Still blocking after these upgrades") :]
    assert "CVE-2024-34069 has no fix yet." in obstacles


def test_a_remediation_that_passes_shows_the_minimum_commands_and_base_image_upgrades() -> None:
    text = write_verdict(with_remediation(), make_inventory())
    assert "To pass: upgrade 2 packages  (minimum)" in text
    parts = ("jinja2 2.10 → 2.11.3", "python3 -m pip install", "In the base image", "3.5.1-1 → 3.5.4-1")
    remediation = text[text.index("To pass") :]
    assert sorted(parts, key=remediation.index) == list(parts)
    assert "No upgrade makes it pass" in text
    assert "It runs as root: no upgrade of a package changes that." in text
    assert "\x1b" not in text


def test_an_approval_shows_warnings_and_notes() -> None:
    warnings = (Violation("max_age", "The image is 90 days old"),)
    with_warning = replace(
        make_platform_verdict(Status.APPROVED, findings=(), violations=(), undetermined_subjects=(), remediation=()),
        warnings=warnings,
    )
    text = write_verdict(
        make_verdict(with_warning, status=Status.APPROVED, summary="All findings within the policy's limits")
    )
    assert text.index("Approved") < text.index("All findings within") < text.index("Warnings")
    assert "The image is 90 days old" in text


def test_without_fixes_no_upgrade_is_offered() -> None:
    violation = Violation("max_findings", "1 HIGH finding, at most 0 allowed", (FINDINGS[3],))
    text = write_verdict(
        make_verdict(make_platform_verdict(violations=(violation,), remediation=(), undetermined_subjects=()))
    )
    assert "No upgrade makes it pass" in text
    assert "To pass" not in text


def test_binary_packages_of_a_source_are_grouped_and_their_finding_is_listed_once() -> None:
    text = write_scan(Matches(FINDINGS, ()))
    (heading,) = select_lines(text, "installed as")
    assert heading.startswith("openssl 3.5.1-1")
    assert "libssl3t64 3.5.1-1, openssl 3.5.1-1" in heading
    assert len(select_lines(text, "CVE-2025-0001")) == 1


def test_unfixed_and_known_exploited_findings_are_marked() -> None:
    text = write_scan(Matches(FINDINGS, ()))
    assert "known exploited" in select_lines(text, "CVE-2025-0001")[0]
    assert "no fix" in select_lines(text, "CVE-2024-34069")[0]
    assert "no fix for now" in select_lines(text, "CVE-2022-0563")[0]


def test_findings_show_due_date_epss_disputed_and_base_image() -> None:
    output = io.StringIO()
    report = make_reports()["odd scan"]
    assert isinstance(report, ScanReport)
    load("table").write_scan(report, output)
    text = output.getvalue()
    assert "known exploited, due 2025-02-01, EPSS 94%" in select_lines(text, "CVE-2025-0001")[0]
    assert "malicious" in select_lines(text, "MAL-2025-0001")[0]
    assert "no fix, end of life  disputed" in select_lines(text, "CVE-2024-0002")[0]
    assert "no fix for now       EPSS <1%" in select_lines(text, "CVE-2024-0003")[0]
    assert select_lines(text, "openssl 3.5.1-1")[0].startswith("openssl 3.5.1-1  base image, Debian:13")
    assert select_lines(text, "owned 1.0")[0].startswith("owned 1.0  own layers, PyPI")
    assert "support ended 2024-06-30" in text
    assert "built on debian:10" in text


def test_tables_name_an_unknown_base_only_if_there_are_layers() -> None:
    text = write_scan(Matches(FINDINGS, ()))
    assert "5 packages · base unknown" in text
    report = make_reports()["scan"]
    assert isinstance(report, ScanReport)
    ((inventory, matches),) = report.platforms
    output = io.StringIO()
    load("table").write_scan(report._replace(platforms=((replace(inventory, layers=()), matches),)), output)
    assert "base unknown" not in output.getvalue()


def test_a_supported_distribution_shows_its_end_of_support() -> None:
    distribution = Distribution("debian", "13", support_end="2030-06-30")
    assert describe_support(distribution, "2026-11-25T00:00:00Z") == ("supported until 2030-06-30", False)
    assert describe_support(distribution, "2030-07-01T00:00:00Z") == ("support ended 2030-06-30", True)


def test_findings_are_counted_by_severity() -> None:
    assert "5 findings: 2 CRITICAL, 2 HIGH, 1 LOW" in write_scan(Matches(FINDINGS, ()))


def test_unread_paths_are_listed_once() -> None:
    text = write_verdict(make_verdict(), make_inventory())
    assert "Could not be read" in text
    assert text.count("it is not text") == 1
    assert "1 path could not be read: see below." in text


def test_a_verdict_without_inventory_lists_unread_paths_too() -> None:
    assert "it is not text" in write_verdict(make_verdict())


def test_an_undetermined_verdict_has_reasons_and_no_upgrades() -> None:
    unsure = make_platform_verdict(Status.UNDETERMINED, violations=(), remediation=(), findings=())
    text = write_verdict(make_verdict(unsure, status=Status.UNDETERMINED))
    assert "? Undetermined by policy default" in text
    assert "no feed for npm" in text
    assert "No findings in the packages that could be looked up." in text
    assert "To pass" not in text


def test_a_table_of_an_approved_image_is_short() -> None:
    text = write_verdict(make_approved_verdict())
    assert "No findings." in text
    assert "✓ Approved by policy default\n  All findings within the policy's limits.\n" in text
    assert len(text.splitlines()) <= 8


def test_each_platform_has_its_own_section() -> None:
    fine = make_platform_verdict(
        Status.APPROVED, platform="linux/arm64", findings=(), violations=(), undetermined_subjects=(), remediation=()
    )
    text = write_verdict(make_verdict(make_platform_verdict(), fine))
    assert "✗ linux/amd64" in text
    assert "✓ linux/arm64" in text


def test_a_scan_has_no_verdict_and_shows_the_age_of_the_advisories() -> None:
    text = write_scan(Matches(FINDINGS, UNDETERMINED[1:]))
    assert "policy" not in text
    assert "Undetermined  1" in text
    assert "Advisories last checked: Debian:13 2026-11-24" in text


def test_text_from_an_image_cannot_steer_the_terminal() -> None:
    evil = make_pypi_package("\x1b]0;owned\x07[red]\u202e", "1.0\r\x9b2J")
    terminal = Terminal()
    report = make_verdict(make_platform_verdict(findings=(make_finding("CVE-1", evil, Severity.HIGH, "2\n\x1b[1m"),)))
    load("table").write_verdict(GateReport("x\x1b[2J", report), terminal)
    text = terminal.getvalue()
    assert "\\x1b]0;owned\\x07[red]\\u202e" in text
    for steering in ("\x1b]", "\x07", "\x9b", "\u202e", "\x1b[2J", "2\n\x1b"):
        assert steering not in text


def test_a_terminal_and_a_file_get_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    terminal = Terminal()
    load("table").write_verdict(GateReport("registry.test/app:1", make_verdict(), (make_inventory(),)), terminal)
    assert re.sub("\x1b\\[[0-9;]*m", "", terminal.getvalue()) == write_verdict(make_verdict(), make_inventory())


def test_no_colour_without_a_terminal() -> None:
    assert "\x1b" not in write_verdict(make_verdict(), make_inventory())
