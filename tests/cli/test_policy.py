"""`dockgate policy`, as far as a server answers."""

from pathlib import Path
from typing import Any

from tests.cli import answers
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer

TEXT = "max_findings:\n  HIGH: 0\n"


def version(number: int = 2, **changes: Any) -> Any:
    return {
        "name": "strict",
        "version": number,
        "digest": "sha256:" + f"{number:064d}",
        "changed_at": answers.ago(90),
        "changed_by": "ada",
        "comment": "no more HIGH",
        "removed": False,
        "rules": {},
        "text": TEXT,
        **changes,
    }


def test_a_policy_is_put_as_it_is_written(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    server.answers["PUT /policies/strict"] = version()
    (tmp_path / "p.yaml").write_text(TEXT)
    ran = dockgate("policy", "set", "strict", str(tmp_path / "p.yaml"), "--comment", "why", "--if-version", "1")
    assert (ran.code, ran.out) == (0, "strict: version 2\n")
    assert (server.asked[-1].body.decode(), server.asked[-1].query) == (TEXT, {"comment": "why"})
    assert server.asked[-1].headers["If-Match"] == '"1"'
    dockgate("policy", "set", "strict", str(tmp_path / "p.yaml"), "--if-version", "0")
    assert server.asked[-1].headers["If-None-Match"] == "*"


def test_what_the_server_finds_wrong_is_said(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    said = {"error": "strict.yaml:2: max_findings.HIHG: unknown key", "advice": "Allowed here: CRITICAL, HIGH."}
    server.answers["PUT /policies/strict"] = (400, said)
    (tmp_path / "p.yaml").write_text(TEXT)
    ran = dockgate("policy", "set", "strict", str(tmp_path / "p.yaml"))
    assert (ran.code, ran.out) == (2, "")
    assert "strict.yaml:2: max_findings.HIHG" in ran.err
    server.answers["PUT /policies/strict"] = (412, {"error": "it is at version 3", "advice": "Look."})
    assert dockgate("policy", "set", "strict", str(tmp_path / "p.yaml")).code == 2


def test_policies_are_listed_shown_and_told_apart(dockgate: Dockgate, server: FakeServer) -> None:
    builtin = version(0, name="default", changed_by="dockgate", changed_at="", comment="")
    server.answers["GET /policies"] = [builtin, version()]
    listed = dockgate("policy", "list").out
    assert "comes with Dockgate" in listed
    assert "no more HIGH" in listed
    server.answers["GET /policies/strict"] = version()
    assert dockgate("policy", "show", "strict").out == TEXT
    assert '"changed_by": "ada"' in dockgate("policy", "show", "strict", "-o", "json").out
    dockgate("policy", "show", "strict", "--version", "1")
    assert server.asked[-1].query == {"version": "1"}
    server.answers["GET /policies/strict"] = lambda asked: version(text=TEXT.replace("0", asked.query["version"]))
    changed = dockgate("policy", "diff", "strict", "1", "2").out.splitlines()
    assert changed[-2:] == ["-  HIGH: 1", "+  HIGH: 2"]


def test_the_history_tells_who_and_why(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /policies/strict/history"] = [version(3, removed=True, comment="gone"), version(2), version(1)]
    out = dockgate("policy", "history", "strict").out
    assert "removed" in out
    assert "ada" in out
    assert len(out.splitlines()) == 4
    assert dockgate("policy", "history", "strict", "-o", "json").out.startswith("[")


def test_a_policy_is_removed(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["DELETE /policies/strict"] = version(3, removed=True)
    ran = dockgate("policy", "remove", "strict", "--comment", "too strict", "--if-version", "2")
    assert (ran.code, ran.out) == (0, "strict: removed, version 3\n")
    assert (server.asked[-1].query, server.asked[-1].headers["If-Match"]) == ({"comment": "too strict"}, '"2"')
