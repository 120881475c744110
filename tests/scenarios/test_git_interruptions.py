"""Clients of the git server that send too slowly or hang up."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.parts import run_git, wait_until
from tests.scenarios.git_server_host import NONE, Host, open_host

from dockgate.web.git_process import GitProcesses

pytestmark = pytest.mark.real


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with open_host(tmp_path) as host:
        yield host


# --- clients that send slowly --------------------------------------------------------------------------------------


def test_a_push_whose_body_takes_too_long_is_refused(host: Host) -> None:
    host.server.app.state.git_processes = GitProcesses(push_body_seconds=0.2)
    connection = host.send(b"0000", 1000)
    assert connection.recv(12) == b"HTTP/1.1 408"
    connection.close()


# --- clients that hang up ------------------------------------------------------------------------------------------


def close_before_body(host: Host, body: bytes) -> None:
    host.send(b"", len(body)).close()


def close_within_body(host: Host, body: bytes) -> None:
    host.send(body[: len(body) // 2], len(body)).close()


def close_before_answer(host: Host, body: bytes) -> None:
    host.gate.wait_at = "start"
    connection = host.send(body)
    assert host.gate.reached.wait(60)
    connection.close()
    host.gate.open.set()


def close_within_answer(host: Host, body: bytes) -> None:
    host.gate.wait_at = "answer"
    connection = host.send(body)
    assert connection.recv(12) == b"HTTP/1.1 200"
    connection.close()
    host.gate.open.set()


@pytest.mark.parametrize(
    ("hang_up", "is_taken"),
    [
        (close_before_body, False),
        pytest.param(close_within_body, False, marks=pytest.mark.slow),
        (close_before_answer, True),
        pytest.param(close_within_answer, True, marks=pytest.mark.slow),
    ],
)
def test_a_disconnect_leaves_no_lock_and_the_push_is_recorded(
    host: Host, hang_up: Callable[[Host, bytes], None], is_taken: bool
) -> None:
    first = host.commit("first")
    hang_up(host, host.push_body(first))
    entry = wait_until(lambda: next((entry for entry in host.audit() if entry["status"]), None))
    if is_taken:
        wait_until(lambda: host.audit()[0]["detail"] == f"refs/heads/main {NONE} -> {first}")
        wait_until(lambda: first in host.list_started_commits)
    else:
        assert (entry["status"], entry["detail"]) == (499, None)
    host.gate.wait_at = ""
    second = host.commit("second")
    run_git(host.clone, "push", "--quiet", host.make_url(), "HEAD:main")
    wait_until(lambda: second in host.list_started_commits)
    assert (first in host.list_started_commits) == is_taken
    wait_until(lambda: not list(host.server.options.scratch.iterdir()))  # an execution may still work there
