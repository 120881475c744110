"""`dockgate explain`, whole: cases from files and from a server, judged again and compared."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli import layouts
from tests.cli.conftest import Dockgate, Ran
from tests.cli.fake_server import FakeServer
from tests.cli.layouts import make_debian_files, make_python_files, write_image
from tests.gate.replay.test_explain import make_case, record_verdict

from dockgate.gate.model import Status
from dockgate.gate.replay import case_file

CLEAN = {**make_debian_files(openssl="3.5.4-1", bash="5.2-1"), **make_python_files("jinja2", "2.10.1")}
VULNERABLE = {**make_debian_files(openssl="3.5.1-1", zlib="1:1.3"), **make_python_files("jinja2", "2.10")}

Run = Callable[..., Ran]


@pytest.fixture
def run(dockgate: Dockgate, tmp_path: Path) -> Run:
    assert dockgate("db", "build", "--from", str(layouts.write_feeds(tmp_path / "feeds"))).code == 0
    return dockgate


def test_a_verdict_is_replayed_from_its_file_also_after_the_database_is_gone(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "case.json"
    assert run("gate", write_image(tmp_path / "image", VULNERABLE), "-o", f"case={file}").code == 1
    (tmp_path / "data" / "advisories.db").unlink()
    result = run("explain", str(file))
    assert (result.code, result.err) == (0, "")
    assert "replay is identical" in result.out
    assert "1 CRITICAL finding, at most 0 allowed" in result.out
    assert "To pass: upgrade" in result.out
    for name in ("inventory", "advisories", "policy", "waivers", "time", "engine"):
        assert name in result.out.partition("Inputs")[2]


def test_explain_lists_waived_findings(run: Run, tmp_path: Path) -> None:
    file, waiver_file = tmp_path / "case.json", tmp_path / "waivers.yaml"
    waiver_file.write_text("- {vulnerability: CVE-2025-0001, until: 2099-01-01, owner: ana, reason: Never called.}\n")
    first = write_image(tmp_path / "image", VULNERABLE)
    assert run("gate", first, "--waivers", str(waiver_file), "-o", f"case={file}").code == 1
    output = " ".join(run("explain", str(file)).out.partition("Waived  1")[2].split())
    assert "CVE-2025-0001 in openssl 3.5.1-1: Accepted by ana until 2099-01-01: Never called (waiver" in output


def test_two_verdicts_are_compared(run: Run, tmp_path: Path) -> None:
    files = []
    for name, content in (("old", VULNERABLE), ("new", CLEAN)):
        files.append(str(tmp_path / f"{name}.json"))
        run("gate", write_image(tmp_path / name, content), "-o", f"case={files[-1]}")
    result = run("explain", *files)
    assert result.code == 0
    assert "Rejected → ✓ Approved: because of code" in result.out
    assert "CVE-2025-0001 in openssl 3.5.1-1 (CRITICAL, fixed in 3.5.4-1)" in result.out
    document = json.loads(run("explain", *files, "-o", "json").out)
    assert [replay["is_same"] for replay in document["replays"]] == [True, True]
    assert [change["input"] for change in document["explanation"]["changes"]] == ["code", "time"]


def test_a_forged_verdict_is_reported_and_exits_2(dockgate: Dockgate, tmp_path: Path) -> None:
    first = record_verdict(replace(make_case("a"), engine="0.0.9"))
    file = tmp_path / "forged.json"
    file.write_text(case_file.encode_document(replace(first, verdict=replace(first.verdict, status=Status.APPROVED))))
    result = dockgate("explain", str(file))
    assert result.code == 2
    assert "replay differs; recorded by version 0.0.9, replayed by " in result.out
    assert "The verdict's status was Approved, and is Rejected." in result.out


def test_a_verdict_of_the_server_is_replayed_locally(dockgate: Dockgate, server: FakeServer) -> None:
    first, second = record_verdict(make_case("a")), record_verdict(make_case("x"))
    for entry in (first, second):
        server.answers[f"GET /verdicts/{entry.digest}/case"] = json.loads(case_file.encode_document(entry))
    result = dockgate("explain", first.digest)
    assert (result.code, result.err) == (0, "")
    assert first.digest in result.out
    assert "because of code" in dockgate("explain", first.digest, second.digest).out
    missing_verdict = dockgate("explain", "sha256:" + "0" * 64)
    assert missing_verdict.code == 2
    assert missing_verdict.err.startswith("error: there is no /verdicts/sha256:")


def test_a_verdict_of_the_server_is_written_as_a_case(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    first = record_verdict(make_case("a"))
    server.answers[f"GET /verdicts/{first.digest}"] = json.loads(case_file.encode_document(first))["verdict"]
    server.answers[f"GET /verdicts/{first.digest}/case"] = json.loads(case_file.encode_document(first))
    file = tmp_path / "case.json"
    assert dockgate("verdict", "show", first.digest, "-o", f"case={file}").code == 0
    assert case_file.read(file.read_bytes(), "it").digest == first.digest


@pytest.mark.parametrize("content", ["", "{}", '{"kind": "case", "schema_version": 3, "verdict": 1, "case": 2}'])
def test_a_file_that_is_not_a_case_is_refused_with_the_command_that_writes_one(
    dockgate: Dockgate, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "x.json"
    file.write_text(content)
    result = dockgate("explain", str(file))
    assert result.code == 2
    assert "-o case=FILE" in result.err


def test_a_scan_has_no_case(dockgate: Dockgate, tmp_path: Path) -> None:
    result = dockgate("scan", "app:1", "-o", "case")
    assert result.code == 2
    assert "Unknown format 'case'" in result.err
