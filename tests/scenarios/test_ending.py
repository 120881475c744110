"""However a server ends, it ends in time, with a code that says so, and nothing of it stays behind."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.scenarios.live import Live, until

pytestmark = pytest.mark.real

DIGEST = "sha256:" + "7" * 64
SECONDS = 25
"""`dockgate down` waits for 30"""


@pytest.fixture
def silent() -> Iterator[str]:
    """A registry that lets everybody connect, and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def live(tmp_path: Path, silent: str) -> Iterator[Live]:
    """A server that reads an image in that registry."""
    live = Live(tmp_path)
    try:
        live.start()
        asked = {"pipeline": "shop", "stage": "gate", "execution": "1", "image": f"{silent}/app@{DIGEST}"}
        live.post("/approvals", asked)
        yield live
    finally:
        live.kill()
        live.purge()


def nothing_left(live: Live) -> bool:
    with socket.socket() as probe:
        free = probe.connect_ex(("127.0.0.1", live.registry_port)) != 0
    return free and not (live.data / "run/server.json").exists()


@pytest.mark.parametrize(("told", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_told_to_end_it_waits_for_no_registry(live: Live, told: signal.Signals, code: int) -> None:
    assert live.process is not None
    live.process.send_signal(told)
    assert live.process.wait(SECONDS) == code
    assert nothing_left(live)


def test_a_port_that_is_taken_ends_the_start_though_work_was_taken_up(live: Live) -> None:
    live.kill()
    (live.data / "run/server.json").unlink()
    until(lambda: nothing_left(live))
    with closing(socket.create_server(("127.0.0.1", live.port))):
        ended = subprocess.run(
            [sys.executable, *live.entry], env=live.env, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    assert ended.returncode == 2
    assert f"error: this server cannot listen at 127.0.0.1:{live.port}" in ended.stderr
    assert "--port" in ended.stderr
    assert nothing_left(live)
