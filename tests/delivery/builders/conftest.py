"""A host with podman and a registry, and sources that run shell scripts."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.parts import Host, run_host, write
from tests.pushed_images import BUSYBOX


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with run_host(tmp_path_factory.mktemp("builds")) as host:
        yield host


@pytest.fixture
def source(tmp_path: Path) -> Callable[[str], Path]:
    """A source whose build runs the script with busybox's programs."""

    def make(script: str) -> Path:
        command = json.dumps(["/bin/busybox", "sh", "-c", script])
        write(tmp_path, {"Dockerfile": f"FROM scratch\nCOPY busybox /bin/busybox\nARG URL\nRUN {command}\n"})
        shutil.copy(BUSYBOX, tmp_path / "busybox")
        return tmp_path

    return make
