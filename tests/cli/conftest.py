import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.fake_server import FakeServer, serve_answers

from dockgate.cli.main import run


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Dockgate = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKGATE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DOCKGATE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with serve_answers() as fake:
        monkeypatch.setenv("DOCKGATE_SERVER", fake.url)
        yield fake


@pytest.fixture
def dockgate(capsys: pytest.CaptureFixture[str]) -> Dockgate:
    """Runs `dockgate` with these arguments, in this process."""

    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture
def unused_port() -> int:
    """A port of loopback where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
