"""`dockgate gate --findings`: others' findings judged at a terminal."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.vulnerabilities.database.samples import build_database, write_folder
from tests.vulnerabilities.feeds.feed_files import make_entry, make_fixed_range, make_kev, record

from dockgate.cli.main import root
from dockgate.shared.errors import UsageError

CASES = Path(__file__).parent.parent / "cases" / "findings"
NOW_AND_THEN = "evidence: {stale_after_days: 36500}\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A gate that accepts old reports: the cases' times stand still."""
    file = tmp_path / "patient.yaml"
    file.write_text(f"max_findings: {{CRITICAL: 0, HIGH: 0}}\n{NOW_AND_THEN}")
    return file


def run_gate(*arguments: str | Path) -> tuple[int, str]:
    """The exit code and what was printed; no advisory database is there."""
    result = CliRunner().invoke(
        root, ["gate", *(str(argument) for argument in arguments)], env={"DOCKGATE_DATA": "/nonexistent"}
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_findings_are_judged_without_an_image_or_a_database(policy: Path) -> None:
    code, output = run_gate("--findings", CASES / "trivy-clean.json", "--policy", policy)
    assert (code, "Approved by policy patient" in output) == (0, True)
    code, output = run_gate("--findings", CASES / "trivy-findings.json", "--policy", policy)
    assert code == 1
    assert "CVE-2021-23337" in output
    assert "linux/amd64 by trivy" in output


def test_the_database_says_what_is_exploited_where_a_report_does_not(tmp_path: Path) -> None:
    """As much of the policy `default` as does not look at when the report was made."""
    exploited_list = tmp_path / "exploited.yaml"
    exploited_list.write_text(f"exploited: {{}}\n{NOW_AND_THEN}")
    report = ("--findings", CASES / "trivy-findings.json", "--policy", exploited_list)
    assert run_gate(*report)[0] == 3
    database = tmp_path / "advisories.db"
    debian = record("DSA-1", make_entry("Debian:13", "zlib", *make_fixed_range("1")))
    for exploited_dates, code in (({"CVE-2021-23337": "2024-01-05"}, 1), ({"CVE-2001-0001": "2024-01-05"}, 0)):
        build_database(
            database, write_folder(tmp_path / f"feeds-{code}", {"Debian": [debian]}, kev_json=make_kev(exploited_dates))
        )
        assert run_gate(*report, "--database", database)[0] == code


def test_several_reports_are_judged_together_and_the_worst_counts(policy: Path) -> None:
    both = ("--findings", CASES / "inspector-scan-clean.json", "--findings", CASES / "grype.json")
    assert run_gate(*both, "--policy", policy)[0] == 1


def test_unknown_results_are_undetermined(policy: Path, tmp_path: Path) -> None:
    code, output = run_gate("--findings", CASES / "inspector-scan-unsupported.json", "--policy", policy)
    assert (code, "Inspector has not scanned the image: UNSUPPORTED_OS." in output) == (3, True)
    fixable = tmp_path / "fixable.yaml"
    fixable.write_text(f"max_findings: {{CRITICAL: 0, only_fixable: true}}\n{NOW_AND_THEN}")
    assert run_gate("--findings", CASES / "inspector-scan.json", "--policy", fixable)[0] == 3


def test_counts_alone_are_enough_for_a_policy_of_counts(tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    text = f"max_findings: {{CRITICAL: %d, HIGH: 5, MEDIUM: 10, untriaged_counts_as: LOW}}\n{NOW_AND_THEN}"
    plain.write_text(text % 1)
    assert run_gate("--findings", CASES / "inspector-scan.json", "--policy", plain)[0] == 0
    plain.write_text(text % 0)
    assert run_gate("--findings", CASES / "inspector-scan.json", "--policy", plain)[0] == 1


def test_an_old_report_is_undetermined(tmp_path: Path) -> None:
    document = json.loads((CASES / "trivy-clean.json").read_text())
    document["CreatedAt"] = "2020-01-01T00:00:00Z"
    old = tmp_path / "old.json"
    old.write_text(json.dumps(document))
    code, output = run_gate("--findings", old)
    assert (code, "The report by trivy was made" in output) == (3, True)


def test_reports_of_different_images_are_refused(policy: Path) -> None:
    with pytest.raises(UsageError, match="reports are of several images"):
        run_gate("--findings", CASES / "trivy-clean.json", "--findings", CASES / "grype.json", "--policy", policy)


def test_neither_an_image_nor_findings_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="no image and no findings"):
        run_gate()
    with pytest.raises(UsageError, match="need --findings"):
        run_gate("app:1", "--digest", "sha256:" + "1" * 64)
