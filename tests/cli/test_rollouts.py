"""Changed services: the commands wait for the rollout, and their exit code says how it ended."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cli import answers
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer

from dockgate.cli.client import Client, ServerUnreachableError
from dockgate.cli.rollout import wait_for_rollout
from dockgate.config import from_environment
from dockgate.delivery.model import RunState
from dockgate.shared.canonical import to_plain

APPLIED = {"kind": "Service", "name": "web", "change": "updated", "advice": "dockgate deploy show web", "rollout": 4}


def answer_in_turn(*states: RunState, reason: str = "") -> Callable[[object], Any]:
    """Answers with one state after the other, then with the last again and again."""
    remaining = list(states)
    return lambda _: to_plain(answers.make_rollout(remaining.pop(0) if len(remaining) > 1 else remaining[0], reason))


@pytest.fixture
def document(tmp_path: Path) -> str:
    file = tmp_path / "service.yaml"
    file.write_text("kind: Service\nname: web\ntaskDefinition: {container: app}\n")
    return str(file)


def test_apply_waits_until_a_changed_service_runs(dockgate: Dockgate, server: FakeServer, document: str) -> None:
    server.answers["POST /apply/documents"] = [APPLIED]
    server.answers["GET /services/web/rollouts/4"] = answer_in_turn(RunState.IN_PROGRESS, RunState.SUCCEEDED)
    result = dockgate("apply", document)
    assert result.code == 0
    assert result.out.splitlines() == [
        "Service web: rolling out",
        "  web: revision 3, 3 tasks healthy",
        "  dockgate deploy show web",
    ]


def test_apply_exits_with_2_and_the_reason_when_the_rollout_failed(
    dockgate: Dockgate, server: FakeServer, document: str
) -> None:
    server.answers["POST /apply/documents"] = [APPLIED]
    server.answers["GET /services/web/rollouts/4"] = answer_in_turn(
        RunState.FAILED, reason="not healthy\nRevision 2 runs again"
    )
    result = dockgate("apply", document)
    assert result.code == 2
    assert "web failed and was rolled back: not healthy" in result.err
    assert "Revision 2 runs again" in result.err
    assert "dockgate deploy show web" in result.err


def test_apply_with_no_wait_returns_at_once(dockgate: Dockgate, server: FakeServer, document: str) -> None:
    server.answers["POST /apply/documents"] = [APPLIED]
    result = dockgate("apply", "--no-wait", document)
    assert (result.code, len(server.requests)) == (0, 1)


def test_scale_waits_until_the_tasks_are_healthy(dockgate: Dockgate, server: FakeServer) -> None:
    view = answers.make_service()
    server.answers["POST /services/web/scale"] = {
        "service": view["service"],
        "rollout": to_plain(answers.make_rollout()),
    }
    server.answers["GET /services/web/rollouts/4"] = answer_in_turn(RunState.IN_PROGRESS, RunState.SUCCEEDED)
    assert dockgate("deploy", "scale", "web", "3").out == "web: revision 3, 3 tasks healthy\n"
    server.answers["GET /services/web/rollouts/4"] = answer_in_turn(RunState.FAILED, reason="no room")
    assert dockgate("deploy", "scale", "web", "3").code == 2
    assert "scaling to 3" in dockgate("deploy", "scale", "web", "3", "--no-wait").out
    server.answers["POST /services/web/scale"] = {"service": view["service"], "rollout": None}
    assert dockgate("deploy", "scale", "web", "1").out == "web: the desired count is already 1.\n"


def test_restart_waits_until_the_new_tasks_are_healthy(dockgate: Dockgate, server: FakeServer) -> None:
    rollout = to_plain(replace(answers.make_rollout(), is_restart=True))
    server.answers["POST /services/web/restart"] = {"service": answers.make_service()["service"], "rollout": rollout}
    server.answers["GET /services/web/rollouts/4"] = answer_in_turn(RunState.IN_PROGRESS, RunState.SUCCEEDED)
    assert dockgate("deploy", "restart", "web").out == "web: revision 3, 3 tasks healthy\n"
    server.answers["GET /services/web/rollouts/4"] = answer_in_turn(RunState.FAILED, reason="no room")
    assert dockgate("deploy", "restart", "web").code == 2
    assert "restarting" in dockgate("deploy", "restart", "web", "--no-wait").out


def test_calls_are_retried_while_the_server_restarts(server: FakeServer) -> None:
    away = [(503, {"error": "starting"}), (429, {"error": "busy"}), (503, {"error": "starting"})]
    after = answer_in_turn(RunState.SUCCEEDED)
    server.answers["GET /services/web/rollouts/4"] = lambda request: away.pop() if away else after(request)
    client = Client(from_environment())
    assert wait_for_rollout(client, "web", 4, lambda _: None).revision == 3
    server.answers["GET /services/web/rollouts/4"] = (503, {"error": "starting"})
    with pytest.raises(ServerUnreachableError):
        wait_for_rollout(client, "web", 4, lambda _: None)


def test_the_log_of_a_task_is_printed_without_control_characters(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /services/web/tasks/web-1-0/log"] = {"lines": ["started", "\x1b[31mred"]}
    result = dockgate("deploy", "logs", "web", "web-1-0")
    assert (result.code, result.out.splitlines()) == (0, ["started", "\\x1b[31mred"])
    server.answers["GET /services/web/tasks/web-1-0/log"] = {"lines": None}
    result = dockgate("deploy", "logs", "web", "web-1-0")
    assert (result.code, result.out) == (0, "")
    assert "elsewhere" in result.err
