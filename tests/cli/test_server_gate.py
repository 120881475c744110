"""`dockgate gate --server`: asks once, waits through what happens to the server, and exits as the local gate does."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer, RecordedRequest
from tests.reports import samples

from dockgate.cli.client import ServerUnreachableError
from dockgate.cli.options import DurationType
from dockgate.cli.server_gate import GateRequest, request_verdict, require_remote_image
from dockgate.delivery.model import ApprovalState
from dockgate.gate.model import Status, Verdict
from dockgate.shared.canonical import to_plain
from dockgate.shared.errors import NotFoundError

ID = "external/gate/1/gate/0f"
NO = (503, {"error": "it is being started again", "advice": None})
BUSY = (429, {"error": "the server already answers 375 requests of yours", "advice": "Retry in a minute."})


def make_approval(state: str, verdict: str = "") -> dict[str, Any]:
    return {"id": ID, "state": state, "image": "sha256:a", "summary": "because", "verdict": verdict}


def make_gate_request(server: FakeServer, timeout: int = 60) -> GateRequest:
    return GateRequest(server.url, "quay.io/team/app:1", "default", "shop", "gate", "", "web", timeout)


def answer_in_turn(*answers: Any) -> Callable[[RecordedRequest], Any]:
    remaining: Iterator[Any] = iter(answers)
    return lambda _: next(remaining)


def test_the_request_is_repeated_unchanged_while_the_server_restarts(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST /approvals"] = answer_in_turn(NO, NO, (201, {"approval": make_approval("Waiting")}))
    server.answers[f"GET /approvals/{ID}/answer"] = answer_in_turn(
        make_approval("Waiting"), NO, make_approval("Rejected")
    )
    pauses: list[float] = []
    answer = request_verdict(make_gate_request(server), True, lambda _: None, pauses.append)
    assert (answer.state, answer.summary, answer.report) == (ApprovalState.REJECTED, "because", None)
    assert pauses == [1, 2, 1]
    # Once for each outage, also where standard error is not a terminal.
    assert capsys.readouterr().err == "it is being started again. Retrying.\n" * 2
    bodies = [request.parse_body() for request in server.requests if request.method == "POST"]
    assert len(bodies) == 3
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["execution"]


def test_the_request_is_repeated_while_the_server_is_busy(server: FakeServer) -> None:
    server.answers["POST /approvals"] = answer_in_turn(BUSY, (201, {"approval": make_approval("Waiting")}))
    server.answers[f"GET /approvals/{ID}/answer"] = answer_in_turn(BUSY, make_approval("Rejected"))
    pauses: list[float] = []
    assert (
        request_verdict(make_gate_request(server), True, lambda _: None, pauses.append).state is ApprovalState.REJECTED
    )
    assert pauses == [1, 1]


def test_refused_requests_are_not_retried(server: FakeServer) -> None:
    with pytest.raises(NotFoundError):
        request_verdict(make_gate_request(server), True, lambda _: None, lambda _: None)
    assert len(server.requests) == 1


def test_the_wait_ends_in_time_if_the_server_stays_unreachable(server: FakeServer) -> None:
    server.answers["POST /approvals"] = NO
    with pytest.raises(ServerUnreachableError):
        request_verdict(make_gate_request(server, timeout=1), True, lambda _: None, lambda _: None)


def test_a_registry_that_the_server_cannot_reach_ends_the_wait_at_once(server: FakeServer, dockgate: Dockgate) -> None:
    server.answers["POST /approvals"] = (502, {"error": "quay.io does not answer", "advice": "Is it up?"})
    result = dockgate("gate", "quay.io/team/app:1", "--server", server.url, "--wait")
    assert result.code == 2
    assert result.err == f"error: {server.url}: quay.io does not answer\n       Is it up?\n"
    assert len(server.requests) == 1


@pytest.mark.parametrize(("state", "code"), [("Approved", 0), ("Rejected", 1), ("Expired", 3), ("Cancelled", 3)])
def test_the_exit_code_follows_the_approvals_state(
    server: FakeServer, dockgate: Dockgate, state: str, code: int
) -> None:
    server.answers["POST /approvals"] = (201, {"approval": make_approval(state)})
    result = dockgate("gate", "quay.io/team/app:1", "--server", server.url, "--wait")
    assert result.code == code
    assert f"{ID}: {state}, because" in result.err


@pytest.mark.parametrize(
    ("state", "verdict", "code"),
    [
        ("Approved", samples.make_approved_verdict(), 0),
        ("Rejected", samples.make_verdict(), 1),
        ("Rejected", samples.make_verdict(status=Status.UNDETERMINED), 3),
        ("Approved", samples.make_verdict(), 1),
        ("Rejected", samples.make_approved_verdict(), 1),
        ("Waiting", samples.make_approved_verdict(), 3),
    ],
)
def test_exit_0_needs_an_approving_verdict_and_an_approved_approval(
    server: FakeServer, dockgate: Dockgate, state: str, verdict: Verdict, code: int
) -> None:
    server.answers["POST /approvals"] = (201, {"approval": make_approval(state, "sha256:v")})
    server.answers["GET /verdicts/sha256:v"] = to_plain(verdict)
    assert dockgate("gate", "quay.io/team/app:1", "--server", server.url).code == code


def test_without_wait_a_missing_verdict_exits_3(server: FakeServer, dockgate: Dockgate) -> None:
    server.answers["POST /approvals"] = (201, {"approval": make_approval("Waiting")})
    assert dockgate("gate", "quay.io/team/app:1", "--server", server.url).code == 3
    assert len(server.requests) == 1


@pytest.mark.parametrize("option", [("--insecure",), ("--platform", "linux/amd64"), ("--database", "x.db")])
def test_options_about_local_images_are_refused(
    server: FakeServer, dockgate: Dockgate, option: tuple[str, ...]
) -> None:
    result = dockgate("gate", "quay.io/team/app:1", "--server", server.url, *option)
    assert result.code == 2
    assert option[0] in result.err
    assert server.requests == []


@pytest.mark.parametrize("policy", ["strict.yaml", "policies/strict"])
def test_a_local_policy_file_is_refused_with_the_upload_command(
    server: FakeServer, dockgate: Dockgate, policy: str
) -> None:
    result = dockgate("gate", "quay.io/team/app:1", "--server", server.url, "--policy", policy)
    assert result.code == 2
    assert f"--policy {policy} is a local file" in result.err
    assert f"dockgate policy set {Path(policy).stem} {policy}" in result.err
    assert server.requests == []


def test_a_local_archive_is_refused(
    server: FakeServer, dockgate: Dockgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.tar").write_bytes(b"")
    result = dockgate("gate", "app.tar", "--server", server.url)
    assert (result.code, server.requests) == (2, [])
    assert "app.tar is on this machine" in result.err


@pytest.mark.parametrize(
    "reference", ["-", "./app", "dir:/", "docker-daemon:app", "containers-storage:app", "oci:app", "sbom:app.json"]
)
def test_an_image_on_this_machine_is_refused(server: FakeServer, dockgate: Dockgate, reference: str) -> None:
    result = dockgate("gate", reference, "--server", server.url)
    assert (result.code, server.requests) == (2, [])
    assert f"{reference} is on this machine" in result.err


def test_a_registry_whose_host_is_named_like_an_engine_is_not_this_machine() -> None:
    require_remote_image("docker:5000/app:1", "all", {})


def test_wait_needs_a_server_and_a_valid_duration(dockgate: Dockgate) -> None:
    assert dockgate("gate", "app:1", "--wait").code == 2
    assert dockgate("gate", "app:1", "--server", "http://127.0.0.1:1", "--timeout", "soon").code == 2
    assert [DurationType().convert(text, None, None) for text in ("90s", "15m", "12h", "7d")] == [
        90,
        900,
        43200,
        604800,
    ]
