"""`dockgate policy`, as far as a server answers."""

import json
from pathlib import Path
from typing import Any

from tests.cli import answers, layouts
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer
from tests.reports.samples import MANIFEST

from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.replay.policy_diff import BlockingReason, ImageComparison, PolicyComparison
from dockgate.shared.canonical import to_plain

TEXT = "max_findings:\n  HIGH: 0\n"


def make_version(number: int = 2, **changes: Any) -> Any:
    return {
        "name": "strict",
        "version": number,
        "digest": "sha256:" + f"{number:064d}",
        "changed_at": answers.get_past(90),
        "changed_by": "ada",
        "comment": "no more HIGH",
        "is_removed": False,
        "rules": {},
        "text": TEXT,
        **changes,
    }


def test_a_policy_is_uploaded_unchanged(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    server.answers["PUT /policies/strict"] = make_version()
    (tmp_path / "p.yaml").write_text(TEXT)
    result = dockgate("policy", "set", "strict", str(tmp_path / "p.yaml"), "--comment", "why", "--if-version", "1")
    assert (result.code, result.out) == (0, "strict: version 2\n")
    assert (server.requests[-1].body.decode(), server.requests[-1].query) == (TEXT, {"comment": "why"})
    assert server.requests[-1].headers["If-Match"] == '"1"'
    dockgate("policy", "set", "strict", str(tmp_path / "p.yaml"), "--if-version", "0")
    assert server.requests[-1].headers["If-None-Match"] == "*"


def test_errors_in_a_policy_are_shown(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    error = {"error": "strict.yaml:2: max_findings.HIHG: unknown key", "advice": "Allowed here: CRITICAL, HIGH."}
    server.answers["PUT /policies/strict"] = (400, error)
    (tmp_path / "p.yaml").write_text(TEXT)
    result = dockgate("policy", "set", "strict", str(tmp_path / "p.yaml"))
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {tmp_path / 'p.yaml'}:2: max_findings.HIHG: unknown key\n")
    server.answers["PUT /policies/strict"] = (412, {"error": "it is at version 3", "advice": "Look."})
    assert dockgate("policy", "set", "strict", str(tmp_path / "p.yaml")).code == 2


def test_policies_are_listed_shown_and_compared(dockgate: Dockgate, server: FakeServer) -> None:
    builtin = make_version(0, name="default", changed_by="dockgate", changed_at="", comment="")
    server.answers["GET /policies"] = [builtin, make_version()]
    output = dockgate("policy", "list").out
    assert "built in" in output
    assert "no more HIGH" in output
    server.answers["GET /policies/strict"] = make_version()
    assert dockgate("policy", "show", "strict").out == TEXT
    assert '"changed_by": "ada"' in dockgate("policy", "show", "strict", "-o", "json").out
    dockgate("policy", "show", "strict", "--version", "1")
    assert server.requests[-1].query == {"version": "1"}
    server.answers["GET /policies/strict"] = lambda request: make_version(
        text=TEXT.replace("0", request.query["version"])
    )
    diff_lines = dockgate("policy", "diff", "strict", "1", "2").out.splitlines()
    assert diff_lines[-2:] == ["-  HIGH: 1", "+  HIGH: 2"]


def test_the_history_shows_author_and_comment(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /policies/strict/history"] = [
        make_version(3, is_removed=True, comment="gone"),
        make_version(2),
        make_version(1),
    ]
    output = dockgate("policy", "history", "strict").out
    assert "removed" in output
    assert "ada" in output
    assert len(output.splitlines()) == 4
    assert dockgate("policy", "history", "strict", "-o", "json").out.startswith("[")


def test_a_policy_is_removed(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["DELETE /policies/strict"] = make_version(3, is_removed=True)
    result = dockgate("policy", "remove", "strict", "--comment", "too strict", "--if-version", "2")
    assert (result.code, result.out) == (0, "strict: removed, version 3\n")
    assert (server.requests[-1].query, server.requests[-1].headers["If-Match"]) == ({"comment": "too strict"}, '"2"')


# --- without a server ------------------------------------------------------------------------------------------------

EXAMPLES = """\
kind: Policy
name: strict
rules:
  max_findings: {HIGH: 0}
examples:
  - name: a HIGH rejects
    findings: [{id: CVE-2025-1, package: "pkg:npm/a@1.0.0", severity: HIGH}]
    expect: Rejected
"""


def test_the_schema_is_printed(dockgate: Dockgate) -> None:
    result = dockgate("policy", "schema")
    assert result.code == 0
    assert json.loads(result.out)["title"] == "Dockgate policy"


def test_check_reports_the_line_of_an_error(dockgate: Dockgate, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(EXAMPLES)
    bad.write_text(TEXT.replace("HIGH", "HIHG"))
    assert dockgate("policy", "check", str(good)).out == f"{good}: strict, 3 rules\n"
    result = dockgate("policy", "check", str(good), str(bad))
    assert result.code == 2
    assert f"{bad}:2: max_findings.HIHG: " in result.err


def test_examples_are_run_like_tests(dockgate: Dockgate, tmp_path: Path) -> None:
    file = tmp_path / "strict.yaml"
    file.write_text(EXAMPLES)
    result = dockgate("policy", "test", str(file))
    assert (result.code, result.out.splitlines()[1:]) == (0, ["  ✓ a HIGH rejects", "1 example, all passed"])
    file.write_text(EXAMPLES.replace("Rejected", "Approved"))
    result = dockgate("policy", "test", str(file))
    assert result.code == 1
    assert "  ✗ a HIGH rejects (line 6)" in result.out
    assert "expected Approved, was Rejected: 1 HIGH finding, at most 0 allowed" in result.out
    result = dockgate("policy", "test", str(file), "-o", "json")
    assert (result.code, json.loads(result.out)[0]["passed"]) == (1, False)
    file.write_text(EXAMPLES.replace("Rejected", "Maybe"))
    result = dockgate("policy", "test", str(file))
    assert (result.code, result.out) == (2, "")
    assert "strict.yaml:8: examples.0.expect" in result.err


def test_a_whole_document_is_a_policy_for_the_gate_too(dockgate: Dockgate, tmp_path: Path) -> None:
    """With any file name: the gate accepts the policy, and then reports the missing database."""
    file = tmp_path / "other-name.yaml"
    file.write_text(EXAMPLES)
    result = dockgate("gate", "sbom:none", "--policy", str(file))
    assert result.code == 2
    assert "other-name" not in result.err


# --- tried -----------------------------------------------------------------------------------------------------------


def make_comparisons(judged_count: int, next_: str | None = None, changes: tuple[ImageComparison, ...] = ()) -> Any:
    status_changes = {"Approved → Rejected": len(changes)} if changes else {}
    return to_plain(PolicyComparison(judged_count, status_changes, changes, next_))


def test_a_policy_is_tried_in_parts(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(TEXT)
    come = (BlockingReason("linux/amd64", "max_findings", "1 HIGH finding, at most 0 allowed"),)
    go = (BlockingReason("linux/amd64", None, "app/x cannot be read."),)
    change = ImageComparison(
        MANIFEST, "web", PolicyReference(f"default+{MANIFEST}"), Status.APPROVED, Status.REJECTED, come, go
    )
    parts = {None: make_comparisons(100, "17", (change,)), "17": make_comparisons(30)}
    server.answers["POST /policies/try"] = lambda request: parts[request.parse_body()["after"]]
    result = dockgate("policy", "try", str(tmp_path / "p.yaml"), "--against", "history", "--policy", "default")
    assert result.code == 0
    assert result.out.splitlines()[-1] == "130 judged: 1 Approved → Rejected, 129 unchanged"
    assert "Approved → Rejected" in result.out.splitlines()[0]
    assert "of web, by default+repository" in result.out
    assert "  + max_findings: 1 HIGH finding, at most 0 allowed" in result.out
    assert "  - app/x cannot be read." in result.out
    body = server.requests[0].parse_body()
    assert (body["text"], body["name"], body["policy"], body["limit"]) == (TEXT, "p", "default", 100)
    document = json.loads(dockgate("policy", "try", str(tmp_path / "p.yaml"), "--against", "history", "-o", "json").out)
    assert (document["judged"], document["status_changes"]) == (130, {"Approved → Rejected": 1})
    dockgate("policy", "try", str(tmp_path / "p.yaml"), "--against", "history", "--limit", "120")
    assert server.requests[-1].parse_body()["limit"] == 20


def test_a_change_of_the_past_names_its_verdict(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(TEXT)
    change = ImageComparison(
        "sha256:" + "a" * 64, "sha256:" + "b" * 64, PolicyReference("default"), Status.APPROVED, Status.REJECTED, (), ()
    )
    server.answers["POST /policies/try"] = make_comparisons(1, changes=(change,))
    result = dockgate("policy", "try", str(tmp_path / "p.yaml"), "--against", "history")
    assert result.out.startswith(
        "sha256:aaaaaaaaaaaa…, verdict sha256:bbbbbbbbbbbb…, by default: Approved → Rejected\n"
    )


def test_a_candidate_is_tried_on_an_image_without_a_server(dockgate: Dockgate, tmp_path: Path) -> None:
    assert dockgate("db", "build", "--from", str(layouts.write_feeds(tmp_path / "feeds"))).code == 0
    image = layouts.write_image(tmp_path / "image", layouts.make_debian_files(openssl="3.5.1-1"))
    (tmp_path / "strict.yaml").write_text("max_findings:\n  CRITICAL: 0\n")
    (tmp_path / "lax.yaml").write_text("max_findings:\n  CRITICAL: 9\n")
    arguments = ("--against", image, "--policy", str(tmp_path / "lax.yaml"))
    result = dockgate("policy", "try", str(tmp_path / "strict.yaml"), *arguments, "-o", "json")
    assert result.code == 0
    document = json.loads(result.out)
    assert (document["judged"], document["status_changes"]) == (1, {"Approved → Rejected": 1})
    (change,) = document["changes"]
    assert (change["image"], change["policy"]) == (image, "lax")
    assert [entry["rule"] for entry in change["added"]] == ["max_findings"]
