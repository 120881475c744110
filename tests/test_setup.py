"""The set-up that the scripts of `make` share."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.parts import write

ROOT = Path(__file__).parent.parent
# Adds rules of killed servers and of others to a host of its own, where a program runs.
HOST = """
    . scripts/setup.sh
    for table in netavark dockgate12ab dockgate-other other; do nft add table inet $table; done
    "$@" &
    until pgrep -x "$1" >/dev/null; do sleep 0.01; done
    remove_leftover_rules
    nft list tables inet | sort
"""
UNSHARE = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
PROGRAM = "#!/bin/sh\nsleep 60\n:\n"


@pytest.mark.real
@pytest.mark.parametrize(
    ("program", "removed_tables"),
    [
        ("sleep 60", {"netavark", "dockgate12ab"}),
        ("podman --root=data/podman/storage system service", {"netavark"}),
        ("conmon", set()),
    ],
)
def test_rules_of_killed_servers_and_containers_are_removed(
    program: str, removed_tables: set[str], tmp_path: Path
) -> None:
    write(tmp_path, {"podman": PROGRAM, "conmon": PROGRAM})
    for name in ("podman", "conmon"):
        (tmp_path / name).chmod(0o755)
    result = subprocess.run(
        [*UNSHARE, "sh", "-euc", HOST, "scripts/test", *program.split()],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    remaining = {line.removeprefix("table inet ") for line in result.stdout.splitlines()}
    assert remaining == {"netavark", "dockgate12ab", "dockgate-other", "other"} - removed_tables, result.stderr
