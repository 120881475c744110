"""However a server ends, it ends in time, with a code that says so, and nothing of it stays behind."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
from tests.forks import ForkedProcess, Surroundings
from tests.scenarios.live import Live

from dockgate.config import from_environment
from dockgate.server import daemon
from dockgate.shared.errors import UnavailableError

pytestmark = pytest.mark.real

DIGEST = "sha256:" + "7" * 64
# `dockgate down` waits for 30.
SECONDS = 25


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A registry that lets everybody connect, and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(60)
        yield listening


@pytest.fixture
def live(tmp_path: Path, silent: socket.socket) -> Iterator[Live]:
    """A server that asks that registry for an image."""
    live = Live(tmp_path)
    try:
        live.start()
        image = f"127.0.0.1:{silent.getsockname()[1]}/app@{DIGEST}"
        request = {"pipeline": "shop", "stage": "gate", "execution": "1", "image": image}
        asker = threading.Thread(target=_ask, args=(live, request))
        asker.start()
        with closing(silent.accept()[0]):
            yield live
    finally:
        live.kill()
        live.purge()
    asker.join()


def _ask(live: Live, request: object) -> None:
    with suppress(AssertionError, httpx.HTTPError):  # refused, or cut off by the end of the server
        live.post("/approvals", request)


def is_nothing_left(live: Live) -> bool:
    with socket.socket() as probe:
        free = probe.connect_ex(("127.0.0.1", live.registry_port)) != 0
    return free and not (live.data / "run/server.json").exists()


@pytest.mark.parametrize(
    ("stop_signal", "code"), [(signal.SIGTERM, 0), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_stopping_does_not_wait_for_a_registry(live: Live, stop_signal: signal.Signals, code: int) -> None:
    assert live.process is not None
    live.process.send_signal(stop_signal)
    assert live.process.wait(SECONDS) == code
    assert is_nothing_left(live)


def test_a_port_in_use_stops_the_start(tmp_path: Path) -> None:
    live, log = Live(tmp_path), tmp_path / "server.log"
    with closing(socket.create_server(("127.0.0.1", live.port))):
        code = ForkedProcess("dockgate", ("up",), Surroundings(live.env, log)).wait(60)
    assert code == 2
    assert f"error: this server cannot listen at 127.0.0.1:{live.port}" in log.read_text()
    assert "--port" in log.read_text()
    assert is_nothing_left(live)


def test_a_background_server_that_does_not_answer_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKGATE_DATA", str(tmp_path / "data"))
    try:
        with pytest.raises(UnavailableError, match="did not answer within 0 seconds, and was ended"):
            daemon.start(from_environment(), patience=0)
        assert list_server_processes(tmp_path) == []
    finally:
        for pid in list_server_processes(tmp_path):
            os.kill(pid, signal.SIGKILL)


def test_a_failed_background_start_shows_only_its_own_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    (data / "logs").mkdir(parents=True)
    (data / "logs" / "server.log").write_text("error: an old error\n")
    monkeypatch.setenv("DOCKGATE_DATA", str(data))
    with (
        daemon.lock_folder(data / "run" / "lock"),  # as another server does
        pytest.raises(UnavailableError, match="the server ended with code 2") as error_info,
    ):
        daemon.start(from_environment())
    assert "another server runs with the data in" in str(error_info.value)
    assert "an old error" not in str(error_info.value)
    assert "INFO" not in str(error_info.value)


def list_server_processes(folder: Path) -> list[int]:
    """The processes that were started with a data folder in this one."""
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"DOCKGATE_DATA={folder}/".encode() in (process / "environ").read_bytes():
                processes.append(int(process.name))
    return processes
