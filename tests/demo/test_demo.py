"""The complete demo, as `make demo` and `make clean-demo` run it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

pytestmark = pytest.mark.real

# The demo takes one minute or two, on a busy machine several times as long.
SECONDS = 900


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, for sockets, which is purged even if the demo fails."""
    with TemporaryDirectory(prefix="demo-") as name:
        folder = Path(name)
        try:
            yield folder
        finally:
            _run_dockgate(folder, "down", "--purge")


@pytest.mark.long
def test_the_demo_can_be_repeated_and_purged(folder: Path) -> None:
    first = _run_dockgate(folder, "demo", "--data", str(folder))
    assert "the approved digest" in first
    second_output = _run_dockgate(folder, "demo", "--data", str(folder))
    assert "The server of an earlier run is up" in second_output
    assert "mmdebstrap" not in second_output
    _run_dockgate(folder, "down", "--purge")
    assert not (folder / "data").exists()
    assert [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line] == []
    assert _list_processes(folder) == []


def _run_dockgate(folder: Path, *words: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "dockgate", *words],
        env={**os.environ, "DOCKGATE_DATA": str(folder / "data")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


def _list_processes(folder: Path) -> list[str]:
    commands = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if str(folder) in command:
            commands.append(command)
    return commands
