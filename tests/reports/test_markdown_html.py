"""Markdown for a merge request and the HTML page: their content, and that text from an image has no effect."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.reports.samples import (
    EVIL,
    NOW,
    make_finding,
    make_inventory,
    make_platform_verdict,
    make_pypi_package,
    make_reports,
    make_verdict,
)
from tests.reports.test_schemas import write_report
from tests.scenarios.accessibility import CHROMIUM

from dockgate.gate.model import Status, Violation
from dockgate.reports import GateReport, ScanReport
from dockgate.reports.markdown import LIMIT
from dockgate.vulnerabilities.model import Matches, Severity

REPORTS = make_reports()


def test_a_markdown_comment_has_verdict_violations_and_remediation_in_this_order() -> None:
    text = write_report(REPORTS["gate"], "markdown")
    assert text.startswith("### ❌ Rejected by policy `default`\n")
    at = [text.index(part) for part in ("2 CRITICAL findings, at most 0", "Upgrades that fix some", "<details>")]
    assert at == sorted(at)
    assert "| CRITICAL | [CVE-2025-0001](https://osv.dev/vulnerability/CVE-2025-0001) | `openssl` | `3.5.1-1` |" in text
    assert "| `jinja2` | `2.10` | `2.11.3` | 2 |" in text
    assert "Within the policy: 1 finding: 1 LOW" in text


def test_the_page_says_that_the_base_of_an_image_is_unknown() -> None:
    page = write_report(REPORTS["scan"], "html")
    assert "5 packages · base unknown" in re.sub(r"<[^>]*>", "", page)
    assert "<br>base unknown</small>" in page


def test_a_comment_on_an_approval_is_short() -> None:
    text = write_report(REPORTS["approval"], "markdown")
    assert text.startswith("### ✅ Approved by policy `default`")
    assert "details" not in text


def test_a_comment_shows_at_once_why_a_verdict_is_undetermined() -> None:
    assert "<details open><summary>1 undetermined result</summary>" in write_report(
        REPORTS["gate without a scan"], "markdown"
    )


def test_a_comment_stays_within_the_size_limit_and_counts_omitted_rows() -> None:
    findings = tuple(
        make_finding(f"CVE-2025-{number:05}", make_pypi_package(f"ü{number}", "1"), Severity.HIGH)
        for number in range(5000)
    )
    violation = Violation("max_findings", "5000 HIGH findings, at most 0 allowed", findings)
    report = GateReport(
        "app:1",
        make_verdict(
            make_platform_verdict(findings=findings, violations=(violation,), remediation=(), undetermined_subjects=())
        ),
    )
    text = write_report(report, "markdown")
    assert LIMIT - 500 < len(text.encode()) < 65_536
    rows = text.count("| HIGH |")
    assert f"**{5000 - rows:,} rows omitted**" in text


def test_text_from_an_image_is_never_markdown() -> None:
    text = write_report(REPORTS["odd gate of an index"], "markdown")
    outside = re.sub(r"`[^`\n]*`", "", text)
    for sign in ("@team", "<b>", "<i>", "\\x1b"):
        assert sign not in outside
    rows = [line for line in text.splitlines() if line.startswith("| CRITICAL")]
    assert {line.count("|") for line in rows} == {7}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def parse_page(report: ScanReport | GateReport) -> _Page:
    page = _Page()
    page.feed(write_report(report, "html"))
    return page


@pytest.mark.parametrize("name", REPORTS)
def test_an_html_page_is_self_contained_and_allows_only_its_own_script(name: str) -> None:
    page_of_report = parse_page(REPORTS[name])
    assert page_of_report.tags.count("script") == 1
    assert "<i>1 malicious" not in write_report(REPORTS[name], "html")
    assert {"img", "link", "iframe", "object"} & set(page_of_report.tags) == set()
    assert [link for link in page_of_report.links if not link.startswith("https://osv.dev/vulnerability/")] == []
    assert "default-src 'none'" in write_report(REPORTS[name], "html")


def test_an_html_page_shows_hostile_names_as_text() -> None:
    page_of_report = parse_page(REPORTS["odd scan"])
    assert "<b>|`x`|</b>@team" in page_of_report.text
    assert "</script><script>alert(1)</script>" in page_of_report.text
    assert "support ended 2024-06-30" in page_of_report.text
    assert "base image" in page_of_report.text


def test_an_upgrade_of_an_html_page_shows_the_first_of_many_findings_that_it_fixes() -> None:
    report = REPORTS["gate"]
    assert isinstance(report, GateReport)
    (platform,) = report.verdict.platform_verdicts
    ids = tuple(f"CVE-2024-{number:04}" for number in range(122))
    upgrades = tuple(replace(upgrade, clears=ids) for upgrade in platform.remediation.upgrades[:1])
    platform_with_ids = replace(platform, remediation=replace(platform.remediation, upgrades=upgrades))
    verdict = replace(report.verdict, platform_verdicts=(platform_with_ids,))
    page = write_report(GateReport("app:1", verdict, report.inventories), "html")
    assert f"<td>{', '.join(ids[:10])}<details><summary>112 more findings</summary>{', '.join(ids[10:])}" in page


def test_a_malformed_id_is_not_a_link() -> None:
    odd = make_finding('CVE-1" onclick="x', EVIL, Severity.HIGH)
    report = ScanReport("app:1", "sha256:x", ((replace(make_inventory(), unread=()), Matches((odd,), ())),), (), NOW)
    assert parse_page(report).links == []
    assert "](" not in write_report(report, "markdown")


def test_an_html_page_shows_the_verdict() -> None:
    assert "✓ Approved" in parse_page(REPORTS["approval"]).text
    assert f"? {Status.UNDETERMINED}" in parse_page(REPORTS["gate without a scan"]).text


def test_an_html_page_has_totals_then_the_remediation_then_violations_then_findings() -> None:
    text = write_report(REPORTS["gate with remediation"], "html")
    parts = ('<ul class="totals">', "To pass: upgrade 2 packages", '<h3 class="rejected">', "<h3>Findings")
    assert sorted(parts, key=text.index) == list(parts)


def test_an_html_page_has_the_digest_once_below_the_name() -> None:
    verdict = make_verdict()
    for reference, title in ((f"team/app@{verdict.image}", "app"), (verdict.image, "Image")):
        page = write_report(GateReport(reference, verdict), "html").partition("<body>")[2]
        header = re.sub("<[^>]*>", "", page.partition("</header>")[0])
        assert header.count(verdict.image) == 1
        assert f"{title}</h1>" in page


def test_names_break_only_where_a_part_ends() -> None:
    text = write_report(REPORTS["odd scan"], "html")
    assert re.findall(r"[^/@:!._+>-]<wbr>", text) == []
    assert "pkg:<wbr>" in text


@pytest.mark.real
def test_a_browser_sorts_findings_by_severity_and_by_version(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(write_report(REPORTS["odd scan"], "html"), "utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(file.as_uri())
        table = page.locator("table.findings").first
        severities = "rows => rows.map(row => Number(row.cells[0].dataset.sort))"
        for expected, is_reversed in (("ascending", False), ("descending", True)):
            table.get_by_role("button", name="Severity").click()
            ranks = table.locator("tbody tr").evaluate_all(severities)
            assert ranks == sorted(ranks, reverse=is_reversed)
            assert table.locator("th").first.get_attribute("aria-sort") == expected
        browser.close()


@pytest.mark.real
def test_a_browser_runs_the_filter_and_no_script_from_an_image(tmp_path: object) -> None:
    """A script of the test types into the filter; the test adds its hash to the page's content security policy."""
    import base64
    import hashlib
    import subprocess

    script = (
        '{ const box = document.getElementById("filter"); box.value = "openssl"; '
        'box.dispatchEvent(new Event("input")); }'
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = write_report(REPORTS["odd scan"], "html")
    text = text.replace("script-src ", f"script-src 'sha256-{digest}' ").replace(
        "</body>", f"<script>{script}</script></body>"
    )
    file = Path(str(tmp_path)) / "page.html"
    file.write_text(text, "utf-8")
    result = subprocess.run(
        [
            CHROMIUM,
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}/profile",
            "--dump-dom",
            str(file),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    hidden_ids = re.findall(r'<tr hidden="">.*?osv.dev/vulnerability/([A-Z0-9-]+)', result.stdout, re.DOTALL)
    assert "MAL-2025-0001" in hidden_ids
    assert "CVE-2025-0001" not in hidden_ids


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_remediation_warnings_and_notes_are_shown(form: str) -> None:
    text = write_report(REPORTS["gate with remediation"], form)
    parts = ("To pass: upgrade 2 packages", "minimum", "pip install --upgrade", "In the base image", "No upgrade makes")
    assert sorted(parts, key=text.index) == list(parts)
    assert "90 days old" in text.replace("&#32;", " ")
    assert "likely to be exploited" in text
    assert "\x1b" not in text
    assert form == "markdown" or "<i>`" not in text
