"""How the commands and a server get along."""

import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer

from dockgate.cli.client import Client, ServerUnreachableError, parse_answer
from dockgate.config import from_environment
from dockgate.delivery.model import Execution
from dockgate.shared.errors import (
    ConflictError,
    DeniedError,
    DockgateError,
    NotFoundError,
    UnavailableError,
    UsageError,
)


def test_without_a_server_the_error_names_the_command_that_starts_one(
    dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    monkeypatch.setenv("DOCKGATE_SERVER", f"http://127.0.0.1:{unused_port}")
    result = dockgate("pipeline", "list")
    assert (result.code, result.out) == (2, "")
    assert f"error: no server answers at http://127.0.0.1:{unused_port}" in result.err
    assert "Start it with `dockgate up`" in result.err


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UsageError),
        (401, DeniedError),
        (403, DeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, UsageError),
        (500, DockgateError),
        (503, ServerUnreachableError),
    ],
)
def test_the_servers_errors_keep_message_advice_and_class(
    server: FakeServer, status: int, kind: type[DockgateError]
) -> None:
    server.answers["GET /status"] = (status, {"error": "it is so", "advice": "do this"})
    with pytest.raises(DockgateError) as error:
        Client().get("status")
    assert (type(error.value), str(error.value), error.value.advice) == (kind, "it is so", "do this")


def test_a_response_that_is_not_the_servers_shows_its_status(server: FakeServer) -> None:
    server.answers["GET /status"] = (502, b"<html>Bad Gateway</html>")
    with pytest.raises(ServerUnreachableError, match="/api/v1/status answered 502 Bad Gateway") as error:
        Client().get("status")
    assert "DOCKGATE_SERVER" in (error.value.advice or "")


def test_an_unreachable_dependency_differs_from_an_unreachable_server(server: FakeServer) -> None:
    server.answers["GET /status"] = (502, {"error": "quay.io does not answer", "advice": "Try again."})
    with pytest.raises(UnavailableError, match=f"{server.url}: quay.io does not answer") as error:
        Client().get("status")
    assert not isinstance(error.value, ServerUnreachableError)


def test_the_token_goes_with_every_request(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKGATE_TOKEN", "s3cret")
    server.answers["GET /status"] = {}
    Client().get("status")
    assert server.requests[0].headers["Authorization"] == "Bearer s3cret"


def test_no_token_is_sent_over_plain_http_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKGATE_TOKEN", "s3cret")
    monkeypatch.setenv("DOCKGATE_SERVER", "http://gate.invalid")
    with pytest.raises(UsageError, match="over plain HTTP") as error:
        Client().get("status")
    assert "s3cret" not in f"{error.value}{error.value.advice}"


@pytest.mark.parametrize(
    "server", ["http://ada:s3cret@127.0.0.1:9", "https://ada:s3cret@127.0.0.1:9", "http://ada:s3cret@gate.invalid"]
)
def test_a_password_in_the_servers_address_is_not_printed(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setenv("DOCKGATE_TOKEN", "token")
    monkeypatch.setenv("DOCKGATE_SERVER", server)
    with pytest.raises(DockgateError) as error:
        Client().get("status")
    assert str(urlsplit(server).hostname) in error.value.full_message
    assert "s3cret" not in error.value.full_message


def test_proxies_are_not_used_for_loopback(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answers["GET /status"] = {"version": "1"}
    assert Client().get("status") == {"version": "1"}


def test_paths_are_quoted_except_slashes_of_approval_ids(server: FakeServer) -> None:
    server.answers["GET /approvals/P-1/Assess/a b?#/1"] = {"id": "x"}
    assert Client().get("approvals", "P-1/Assess/a b?#/1") == {"id": "x"}


def test_a_response_of_another_version_is_an_error() -> None:
    with pytest.raises(DockgateError, match="cannot be read as Execution") as error:
        parse_answer(Execution, {"id": "x", "colour": "blue"})
    assert "same version" in str(error.value.advice)


def test_a_wrong_server_address_names_the_setting(dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKGATE_SERVER", "ftp://127.0.0.1")
    result = dockgate("repository", "list")
    assert result.code == 2
    assert "DOCKGATE_SERVER" in result.err


def test_apply_sends_all_documents_with_their_names(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    change = {"kind": "Repository", "change": "created", "advice": "git clone it"}
    server.answers["POST /apply/documents"] = [{**change, "name": name} for name in ("one", "two")]
    files = []
    for name in ("one", "two"):
        file = tmp_path / f"{name}.yaml"
        file.write_text(f"kind: Repository\nname: {name}\n")
        files.append(str(file))
    result = dockgate("apply", *files)
    assert result.code == 0
    assert result.out == "Repository one: created\n  git clone it\nRepository two: created\n  git clone it\n"
    (request,) = server.requests
    sent_documents = json.loads(request.body)
    assert sent_documents == [{"name": file, "text": f"kind: Repository\nname: {Path(file).stem}\n"} for file in files]


def test_apply_says_why_no_document_was_applied(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    refusal = {"error": "a.yaml:2: stagse: unknown key", "advice": "Allowed: stages."}
    server.answers["POST /apply/documents"] = (422, refusal)
    (tmp_path / "a.yaml").write_text("stagse: []")
    result = dockgate("apply", str(tmp_path / "a.yaml"), str(tmp_path / "a.yaml"))
    assert result.code == 2
    assert result.err == "error: a.yaml:2: stagse: unknown key\n       Allowed: stages.\n"
    (tmp_path / "a.yaml").write_bytes(b"\xff")
    assert "a.yaml is not UTF-8" in dockgate("apply", str(tmp_path / "a.yaml")).err
    assert len(server.requests) == 1


@pytest.mark.parametrize("command", [("where", "CVE-1"), ("image", "list"), ("events", "list")])
def test_a_small_command_imports_neither_an_http_library_nor_what_verdicts_are_made_of(
    server: FakeServer, command: tuple[str, ...]
) -> None:
    """They take longer than the command itself."""
    empty_lists: dict[str, Any] = {"images": [], "next": None, "events": [], "after": 0, "has_more": False}
    unknown: dict[str, Any] = {"total": 0, "reason": None, "images": [], "next": None}
    exposure: dict[str, Any] = {"question": "CVE-1", "state": "Absent", "unaffected": None, "names": [], "services": []}
    counts = dict.fromkeys(("total", "moved", "rejected", "blocked", "blocked_of", "blocked_unknown"), 0)
    server.answers |= {
        "GET /exposure": {
            **(exposure | empty_lists | counts | dict.fromkeys(("waived", "waived_of"), 0)),
            "unknown": unknown,
            "conclusion": {"sentence": "No image is known.", "certainty": "Complete", "is_all_clear": True},
            "as_of": None,
            "is_limited": False,
            "exploited": None,
            "pipelines": [],
            "caveats": [],
            "catalogues": [],
        },
        "GET /images": empty_lists,
        "GET /events": empty_lists,
    }
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dockgate", *command],
        env={**os.environ, "DOCKGATE_SERVER": server.url},
        capture_output=True,
        text=True,
        check=True,
    )
    imported_modules = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "dockgate.cli.client" in imported_modules
    assert {"httpx", "dockgate.gate.model", "dockgate.vulnerabilities.model"} & imported_modules == set()


def test_a_server_that_ends_a_call_early_did_not_answer(server: FakeServer) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        settings = from_environment()._replace(server=f"http://127.0.0.1:{listener.getsockname()[1]}")

        def end() -> None:
            connection, _ = listener.accept()
            connection.recv(1)
            connection.close()

        thread = Thread(target=end)
        thread.start()
        with pytest.raises(ServerUnreachableError, match="did not answer"):
            Client(settings).get("status")
        thread.join()


def test_a_token_that_no_header_can_carry_is_not_printed(server: FakeServer) -> None:
    settings = from_environment()._replace(token="s3cret\nx: y")
    with pytest.raises(ServerUnreachableError, match="characters that are not allowed") as error:
        Client(settings).get("status")
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((3, 1, 3, 0), "1 of 3 rejected, by their newest recorded verdicts"),
        ((9, 1, 3, 0), "1 of the newest 3 rejected, by their newest recorded verdicts"),
        ((1, 0, 0, 1), "unknown of 1, which was last recorded before it was known: request an approval"),
        ((3, 1, 1, 2), "verdicts; unknown of 2, which were last recorded before it was known: request an approval"),
    ],
)
def test_whether_a_vulnerability_blocks_is_never_no_where_it_is_unknown(
    dockgate: Dockgate, server: FakeServer, counts: tuple[int, int, int, int], expected: str
) -> None:
    names = ("rejected", "blocked", "blocked_of", "blocked_unknown")
    server.answers["GET /exposure"] = {
        **dict(zip(names, counts, strict=True)),
        **dict.fromkeys(("unaffected", "next", "as_of", "exploited")),
        **dict.fromkeys(("moved", "waived", "waived_of"), 0),
        **{name: [] for name in ("names", "services", "images", "pipelines", "caveats", "catalogues")},
        "question": "CVE-1",
        "is_limited": False,
        "state": "Present",
        "conclusion": {"sentence": "9 images contain it.", "certainty": "Complete", "is_all_clear": False},
        "total": 9,
        "unknown": {"total": 0, "reason": None, "images": [], "next": None},
    }
    (line,) = [line for line in dockgate("where", "CVE-1").out.splitlines() if line.split()[:1] == ["blocks"]]
    assert line.endswith(expected)
