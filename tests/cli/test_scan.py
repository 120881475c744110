"""`dockgate scan` and `dockgate gate`, whole, over small OCI layouts: exits, reports, and what each refuses."""

import errno
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli import layouts
from tests.cli.conftest import Dockgate, Ran
from tests.cli.layouts import Layout, make_debian_files, make_python_files, write_image
from tests.test_imports import FORBIDDEN_IN_A_SCAN

CLEAN = {**make_debian_files(openssl="3.5.4-1", bash="5.2-1"), **make_python_files("jinja2", "2.10.1")}
VULNERABLE = {**make_debian_files(openssl="3.5.1-1", zlib="1:1.3"), **make_python_files("jinja2", "2.10")}
BROKEN = {**CLEAN, "var/lib/dpkg/status": "Package: openssl\nStatus: install ok"}

Run = Callable[..., Ran]


@pytest.fixture
def run(dockgate: Dockgate, tmp_path: Path) -> Run:
    """`dockgate`, with a database of the small feeds in place."""
    assert dockgate("db", "build", "--from", str(layouts.write_feeds(tmp_path / "feeds"))).code == 0
    return dockgate


def test_a_scan_to_json_imports_no_slow_module_on_the_way(run: Run, tmp_path: Path) -> None:
    program = "from dockgate.cli.main import main; main()"
    scan = ("scan", write_image(tmp_path / "image", VULNERABLE), "-o", f"json={tmp_path / 'report.json'}")
    command = [sys.executable, "-X", "importtime", "-c", program, *scan]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    imported_modules = {
        line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time")
    }
    assert "dockgate.scanner.inventory" in imported_modules
    assert imported_modules.isdisjoint({*FORBIDDEN_IN_A_SCAN, "tempfile", "signal"})


def test_a_scan_lists_findings_without_a_verdict(run: Run, tmp_path: Path) -> None:
    result = run("scan", write_image(tmp_path / "image", VULNERABLE))
    assert (result.code, result.err) == (0, "")
    assert "linux/amd64 · Debian GNU/Linux 13 (trixie) · 3 packages" in result.out
    for identity, package in (("CVE-2025-0001", "openssl"), ("CVE-2025-0002", "zlib"), ("PYSEC-2019-217", "jinja2")):
        assert identity in result.out
        assert f"\n{package} " in result.out
    assert "3 findings: 1 CRITICAL, 1 HIGH, 1 LOW" in result.out
    assert "policy" not in result.out


def test_a_partly_unread_scan_exits_3_unless_allowed(run: Run, tmp_path: Path) -> None:
    reference = write_image(tmp_path / "image", BROKEN)
    result = run("scan", reference)
    assert result.code == 3
    assert "Could not be read" in result.out
    assert "var/lib/dpkg/status" in result.out
    assert run("scan", reference, "--allow-unread").code == 0


@pytest.mark.parametrize(
    ("content", "code", "status"),
    [(CLEAN, 0, "✓ Approved"), (VULNERABLE, 1, "✗ Rejected"), (BROKEN, 3, "? Undetermined")],
    ids=["approved", "rejected", "undetermined"],
)
def test_the_gate_exits_by_its_verdict(
    run: Run, tmp_path: Path, content: dict[str, str], code: int, status: str
) -> None:
    result = run("gate", write_image(tmp_path / "image", content))
    assert (result.code, result.err) == (code, "")
    assert f"{status} by policy default" in result.out


def test_a_rejection_lists_every_violation_and_the_upgrades(run: Run, tmp_path: Path) -> None:
    result = run("gate", write_image(tmp_path / "image", VULNERABLE))
    assert re.search(r"openssl 3.5.1-1 .*\n +✗ +CRITICAL +CVE-2025-0001 +fixed in 3.5.4-1", result.out)
    assert re.search(r"jinja2 2.10 .*\n +✗ +HIGH +PYSEC-2019-217 +fixed in 2.10.1", result.out)
    assert result.out.index("To pass: upgrade") < result.out.index("✗  CRITICAL")
    remediation = result.out[result.out.index("To pass: upgrade") :]
    assert "openssl 3.5.1-1 → 3.5.4-1" in remediation
    assert "jinja2 2.10 → 2.10.1" in remediation
    upgraded_files = {**make_debian_files(openssl="3.5.4-1", zlib="1:1.3"), **make_python_files("jinja2", "2.10.1")}
    assert run("gate", write_image(tmp_path / "upgraded", upgraded_files)).code == 0


def test_the_result_is_on_standard_error_if_all_outputs_are_files(run: Run, tmp_path: Path) -> None:
    reference, file = write_image(tmp_path / "image", VULNERABLE), tmp_path / "report.json"
    result = run("gate", reference, "-o", f"json={file}")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"{reference}: Rejected by policy default: ")
    assert json.loads(file.read_text())["verdict"]["status"] == "Rejected"
    assert run("gate", reference, "-o", f"json={file}", "--quiet") == Ran(1, "", "")
    assert run("gate", reference, "-o", f"json={file}", "-o", "table").err == ""
    assert run("scan", reference, "-o", f"sarif={file}").err.endswith(": 3 findings: 1 CRITICAL, 1 HIGH, 1 LOW\n")


def test_quiet_prints_only_explicit_outputs_and_keeps_the_exit_code(run: Run, tmp_path: Path) -> None:
    reference = write_image(tmp_path / "image", VULNERABLE)
    assert run("gate", reference, "-q") == Ran(1, "", "")
    assert run("scan", reference, "-q") == Ran(0, "", "")
    assert json.loads(run("scan", reference, "-q", "-o", "json").out)["platforms"]
    assert run("gate", str(tmp_path / "none"), "-q").err.startswith("error: ")


def test_findings_that_are_not_listed_count_in_verdict_exit_and_other_formats(run: Run, tmp_path: Path) -> None:
    reference = write_image(tmp_path / "image", VULNERABLE)
    for options in (("--severity", "low"), ("--severity", "LOW,medium", "--only-fixable"), ("--summary",)):
        result = run("gate", reference, *options)
        assert result.code == 1
        assert "1 CRITICAL finding, at most 0 allowed" in result.out
        assert "3 findings: 1 CRITICAL, 1 HIGH, 1 LOW" in result.out
        assert "fixed in" not in result.out
        assert "counted but not listed." in result.out
        assert run("gate", reference, *options, "-o", "json").out.count('"id": "CVE-2025-0001"') > 0
    result = run("scan", reference, "--severity", "HIGH,SEVERE")
    assert (result.code, "Unknown: SEVERE. Severities: CRITICAL, HIGH" in result.err) == (2, True)


def test_the_same_image_judged_twice_gives_the_same_document_but_for_the_time(run: Run, tmp_path: Path) -> None:
    reference = write_image(tmp_path / "image", VULNERABLE)
    first, second = (json.loads(run("gate", reference, "-o", "json").out) for _ in range(2))
    for document in (first, second):
        del document["verdict"]["inputs"]["now"]
    assert first == second


def test_a_policy_may_be_a_file_and_is_named_after_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lenient.yaml").write_text("max_findings: {CRITICAL: 1, HIGH: 1}\n")
    result = run("gate", write_image(tmp_path / "image", VULNERABLE), "--policy", str(tmp_path / "lenient.yaml"))
    assert result.code == 0
    assert "✓ Approved by policy lenient" in result.out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "there is no policy"),
        ("max_findings: {HIHG: 1}\n", "p.yaml:1: max_findings.HIHG: unknown key"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_policy_that_is_wrong_is_refused_before_anything_is_read(
    dockgate: Dockgate, tmp_path: Path, text: str | bytes | None, complaint: str
) -> None:
    if text is not None:
        (tmp_path / "p.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    result = dockgate("gate", "nowhere.invalid/app", "--policy", str(tmp_path / "p.yaml"))
    assert result.code == 2
    assert complaint in result.err


@pytest.mark.parametrize("command", ["scan", "gate"])
def test_without_a_database_the_error_names_the_update_command(
    dockgate: Dockgate, tmp_path: Path, command: str
) -> None:
    result = dockgate(command, write_image(tmp_path / "image", CLEAN))
    assert (result.code, result.out) == (2, "")
    assert f"there is no advisory database at {tmp_path / 'data' / 'advisories.db'}" in result.err
    assert "dockgate db update" in result.err


@pytest.mark.parametrize("command", ["scan", "gate"])
def test_a_missing_image_exits_2(run: Run, tmp_path: Path, command: str) -> None:
    for reference in (f"oci:{tmp_path / 'nothing'}", "UPPER/case", str(tmp_path / "missing.tar")):
        result = run(command, reference)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("error: ")
        assert "internal fault" not in result.err


def test_reports_go_to_files_and_to_the_screen(run: Run, tmp_path: Path) -> None:
    reference = write_image(tmp_path / "image", VULNERABLE)
    result = run("gate", reference, "-o", "table", "-o", f"json={tmp_path / 'verdict.json'}")
    assert result.code == 1
    assert "Rejected by policy default" in result.out
    document = json.loads((tmp_path / "verdict.json").read_text())
    assert document["verdict"]["status"] == "Rejected"
    assert document["image"]["reference"] == reference


class TestAnIndex:
    @pytest.fixture
    def layout(self, tmp_path: Path) -> Layout:
        return Layout(tmp_path / "index")

    def test_the_verdict_on_an_index_is_the_worst_of_its_platforms(self, run: Run, layout: Layout) -> None:
        digest = layout.tag_manifest(
            layout.index(layout.add_manifest(CLEAN), layout.add_manifest(VULNERABLE, architecture="arm64"))
        )
        result = run("gate", f"oci:{layout.folder}", "-o", "json")
        document = json.loads(result.out)
        assert result.code == 1
        assert document["image"]["digest"] == digest
        assert {platform["platform"]: platform["status"] for platform in document["platforms"]} == {
            "linux/amd64": "Approved",
            "linux/arm64": "Rejected",
        }

    def test_the_verdict_on_one_platform_is_not_on_the_index(self, run: Run, layout: Layout) -> None:
        child = layout.add_manifest(CLEAN)
        layout.tag_manifest(layout.index(child, layout.add_manifest(VULNERABLE, architecture="arm64")))
        result = run("gate", f"oci:{layout.folder}", "--platform", "linux/amd64", "-o", "json")
        assert result.code == 0
        assert json.loads(result.out)["image"]["digest"] == child["digest"]

    def test_a_scan_is_of_all_platforms_when_asked(self, run: Run, layout: Layout) -> None:
        layout.tag_manifest(
            layout.index(layout.add_manifest(CLEAN), layout.add_manifest(VULNERABLE, architecture="arm64"))
        )
        result = run("scan", f"oci:{layout.folder}", "--platform", "all")
        assert "linux/amd64 · " in result.out
        assert "linux/arm64 · " in result.out

    def test_a_platform_that_is_not_there_is_a_fault_that_names_those_that_are(self, run: Run, layout: Layout) -> None:
        layout.tag_manifest(layout.index(layout.add_manifest(CLEAN), layout.add_manifest(CLEAN, architecture="arm64")))
        result = run("gate", f"oci:{layout.folder}", "--platform", "linux/s390x")
        assert result.code == 2
        assert "linux/amd64, linux/arm64" in result.err


def test_a_damaged_image_is_refused_with_the_next_step(run: Run, tmp_path: Path) -> None:
    reference = write_image(tmp_path / "image", CLEAN)
    _find_manifest(tmp_path / "image").write_text("{}")
    result = run("scan", reference)
    assert result.code == 2
    assert "build, save or push it again" in result.err


class TestTheCacheOfLayers:
    def test_a_layer_in_the_cache_is_not_read_again(self, run: Run, tmp_path: Path) -> None:
        reference = write_image(tmp_path / "image", CLEAN)
        first = run("scan", reference, "-o", "json").out
        manifest = json.loads((tmp_path / "image/index.json").read_text())["manifests"][0]["digest"]
        blobs = tmp_path / "image/blobs/sha256"
        for layer in json.loads((blobs / manifest.partition(":")[2]).read_text())["layers"]:
            (blobs / layer["digest"].partition(":")[2]).unlink()
        assert run("scan", reference, "-o", "json").out == first

    def test_a_layer_that_is_broken_is_not_remembered(self, run: Run, tmp_path: Path) -> None:
        reference = write_image(tmp_path / "image", CLEAN)
        (layer,) = json.loads(_find_manifest(tmp_path / "image").read_text())["layers"]
        blob = tmp_path / "image/blobs/sha256" / layer["digest"].partition(":")[2]
        content = blob.read_bytes()
        blob.write_bytes(content[:-20])
        assert run("gate", reference).code == 3
        blob.write_bytes(content)
        assert run("gate", reference).code == 0

    def test_a_cache_that_is_spoiled_or_cannot_be_written_is_no_matter(self, run: Run, tmp_path: Path) -> None:
        reference = write_image(tmp_path / "image", VULNERABLE)
        first = run("scan", reference).out
        cached_files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        assert cached_files
        for path in cached_files:
            path.write_text('{"layer": 3')
        assert run("scan", reference).out == first
        for path in cached_files:
            path.unlink()
            path.mkdir()
        assert run("scan", reference).out == first


def _find_manifest(layout: Path) -> Path:
    digest: str = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    return layout / "blobs/sha256" / digest.partition(":")[2]


def test_a_json_scan_imports_only_what_it_needs(run: Run, tmp_path: Path) -> None:
    """Not only its imports: the whole command, findings included, over a local image."""
    forbidden = (
        "sqlalchemy",
        "alembic",
        "dbos",
        "fastapi",
        "uvicorn",
        "pydantic",
        "rich",
        "univers",
        "httpx",
        "zstandard",
    )
    program = (
        "import sys\n"
        "from dockgate.cli.main import run\n"
        f"code = run(['scan', {write_image(tmp_path / 'image', VULNERABLE)!r}, '-o', 'json={tmp_path / 'out.json'}'])\n"
        f"print(code, sorted(set({forbidden!r}) & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=False
    )
    assert result.stdout == "0 []\n"
    assert result.stderr.endswith(": 3 findings: 1 CRITICAL, 1 HIGH, 1 LOW\n")
    assert len(json.loads((tmp_path / "out.json").read_text())["platforms"][0]["findings"]) == 3


def test_the_import_time_of_a_scan_is_reported(run: Run, record_property: Callable[[str, object], None]) -> None:
    """A figure for the record, not a bar: bench/ measures."""
    program = (
        "import time; start = time.perf_counter()\n"
        "import dockgate.cli.main, dockgate.cli.scan, dockgate.services.images.image_inventory\n"
        "print(time.perf_counter() - start)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    record_property("scan_import_seconds", float(result.stdout))
    print(f"scan's imports: {float(result.stdout) * 1000:.0f} ms")  # noqa: T201 - shown with -s
    assert float(result.stdout) > 0


def test_progress_is_shown_on_a_terminal_only(run: Run, tmp_path: Path) -> None:
    reference = write_image(tmp_path / "image", CLEAN)
    assert run("scan", reference).err == ""
    terminal, terminal_end = pty.openpty()
    try:
        result = subprocess.run(
            [sys.executable, "-m", "dockgate", "scan", reference, "-o", "json"],
            stdout=subprocess.PIPE,
            stderr=terminal_end,
            check=False,
        )
        os.close(terminal_end)
        output = _read_to_end(terminal).decode()
    finally:
        os.close(terminal)
    assert result.returncode == 0
    assert output.startswith(f"\r\x1b[2Kopening {reference[:30]}")
    assert output.endswith("\r\x1b[2K")


def _read_to_end(terminal: int) -> bytes:
    """All that was written to the terminal: one read may return a part of it."""
    output = b""
    try:
        while chunk := os.read(terminal, 4096):
            output += chunk
    except OSError as error:
        if error.errno != errno.EIO:  # the other end is closed
            raise
    return output
